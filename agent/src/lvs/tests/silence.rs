//! A kernel that keeps whoever asks it waiting, as one whose IPVS locked up does.

use super::super::hands::Kernel;
use super::super::{Ask, Lvs, not_told};
use super::{Message, config, virtual_server, web};
use crate::board::Board;
use crate::chronicle::tests::chronicle;
use crate::mailbox::mailbox;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{Command, DestEntry, ServiceEntry, ServiceKey, SyncDaemon};
use hacluster_net::poll::Wake;
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// Answers nothing until it is told to.
#[derive(Clone, Default)]
struct Stuck(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    answers: bool,
    /// Somebody asked.
    asked: bool,
    services: BTreeSet<ServiceKey>,
}

impl Stuck {
    fn wait(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.0.0.lock().unwrap();
        state.asked = true;
        self.0.1.wait_while(state, |state| !state.answers).unwrap()
    }

    fn answer(&self) {
        self.0.0.lock().unwrap().answers = true;
        self.0.1.notify_all();
    }
}

impl Kernel for Stuck {
    fn services(&mut self) -> Result<Vec<ServiceEntry>, NetError> {
        drop(self.wait());
        Ok(Vec::new())
    }

    fn destinations(&mut self, _: &ServiceKey) -> Result<Vec<DestEntry>, NetError> {
        drop(self.wait());
        Ok(Vec::new())
    }

    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, NetError> {
        drop(self.wait());
        Ok(Vec::new())
    }

    fn execute(&mut self, commands: &[Command]) -> Vec<Result<(), NetError>> {
        let mut state = self.wait();
        for command in commands {
            match command {
                Command::NewService(spec) => drop(state.services.insert(spec.key)),
                Command::DelService(key) => drop(state.services.remove(key)),
                _ => {}
            }
        }
        commands.iter().map(|_| Ok(())).collect()
    }
}

fn lvs(dir: &tempfile::TempDir) -> Lvs {
    let (events, _) = mailbox(64, &Wake::new().unwrap());
    let board = Arc::new(Board::new(chronicle()));
    Lvs::new(events, board, dir.path(), &dir.path().join("state"))
}

fn drain()
-> impl FnOnce(tokio::sync::oneshot::Sender<Result<super::super::Done, super::super::Unknown>>) -> Ask {
    |reply| Ask {
        server: "10.0.0.2".into(),
        service: String::new(),
        weight: Some(0),
        by: "alice".into(),
        reason: "disk".into(),
        limit: None,
        trail: None,
        dry_run: false,
        reply,
    }
}

/// Whoever calls these is the thread that also puts virtual routers in force, and ends the agent.
#[test]
fn a_kernel_that_never_answers_holds_up_neither_reloads_nor_operators_nor_the_end() {
    let (dir, kernel) = (tempfile::tempdir().unwrap(), Stuck::default());
    let lvs = lvs(&dir);
    let opened = kernel.clone();
    lvs.configure_with(&config(vec![web()]), move || Ok(opened.clone())).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !kernel.0.0.lock().unwrap().asked {
        assert!(Instant::now() < until, "nobody asks the kernel");
        std::thread::sleep(Duration::from_millis(2));
    }
    let (done, ended) = std::sync::mpsc::channel();
    let theirs = lvs.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..500 {
            // More than its queue holds: a refusal is fine, a wait is not.
            let _ = theirs.configure(&config(vec![web()]));
        }
        assert!(runtime.block_on(theirs.look()).at.is_none(), "nothing was seen");
        let refused = runtime.block_on(theirs.ask(drain())).unwrap_err();
        assert!(refused.0.contains("does not answer; nothing was changed"), "{refused:?}");
        theirs.stop();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("it waits for the kernel");
}

#[test]
fn a_kernel_that_answers_late_gets_the_newest_configuration() {
    let (dir, kernel) = (tempfile::tempdir().unwrap(), Stuck::default());
    let lvs = lvs(&dir);
    let opened = kernel.clone();
    lvs.configure_with(&config(vec![web()]), move || Ok(opened.clone())).unwrap();
    let other = virtual_server("10.0.0.1 8080", "10.0.0.1:8080", &[super::A]);
    lvs.configure(&config(vec![web(), other])).unwrap();
    kernel.answer();
    let until = Instant::now() + Duration::from_secs(20);
    while kernel.0.0.lock().unwrap().services.len() != 2 {
        assert!(Instant::now() < until, "the services never came");
        std::thread::sleep(Duration::from_millis(2));
    }
    lvs.stop();
    assert!(kernel.0.0.lock().unwrap().services.is_empty(), "what is ours leaves");
}

#[test]
fn who_cannot_be_told_of_a_reload_is_said_with_what_lasts_and_the_mend() {
    let message = || Message::Configure(config(Vec::new()));
    let (full, ended) = (TrySendError::Full(message()), TrySendError::Closed(message()));
    for (error, words) in [
        (full, ["stay as they were configured before", "has 64 orders to do first", "reload again"]),
        (ended, ["stay as they were configured before", "has ended", "restart the agent"]),
    ] {
        let text = not_told(&error).to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}
