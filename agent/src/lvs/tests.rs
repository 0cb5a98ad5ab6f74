//! Samples, and the desk with checks and a kernel that tests play.

mod readings;
mod reload;
mod rest;
mod shown;
mod silence;

use super::desk::{Desk, Message, run};
use super::hands::tests::{Fake, fake};
use super::looks::Looks;
use super::{Ask, Parts, hands};
use crate::board::Board;
use crate::check::{Outcome, Report, Wanted};
use crate::chronicle::tests::chronicle;
use crate::event::{Event, What};
use crate::fact::Fact;
use crate::lvs::record::Record;
use crate::mailbox::{Receiver, mailbox};
use hacluster_conf::model::Config;
use hacluster_conf::model::lvs::{
    Check, CheckKind, CheckPace, CheckRoute, Forwarding, Frontend, Protocol, RealServer, Scheduler,
    SorryServer, VirtualServer,
};
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration as Span;
use hacluster_net::poll::Wake;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// A TCP service with real servers of weight 1 and a TCP check each.
pub(crate) fn virtual_server(name: &str, to: &str, servers: &[&str]) -> VirtualServer {
    let frontend = Frontend::Address { protocol: Protocol::Tcp, to: to.parse().unwrap() };
    VirtualServer {
        name: name.to_owned(),
        frontends: vec![frontend],
        scheduler: Scheduler { name: "wrr".into(), flags: [false; 3] },
        persistence: None,
        one_packet: false,
        forwarding: Forwarding::DirectRouting,
        ha_suspend: false,
        omega: false,
        quorum: 1,
        hysteresis: 0,
        quorum_up: None,
        quorum_down: None,
        mail: false,
        sorry: None,
        servers: servers.iter().map(|to| real_server(to)).collect(),
    }
}

pub(crate) fn real_server(to: &str) -> RealServer {
    let to: SocketAddr = to.parse().unwrap();
    RealServer {
        to,
        weight: 1,
        forwarding: Forwarding::DirectRouting,
        upper_threshold: 0,
        lower_threshold: 0,
        inhibit_on_failure: false,
        notify_up: None,
        notify_down: None,
        mail: false,
        checks: vec![tcp_check(to)],
    }
}

pub(crate) fn tcp_check(to: SocketAddr) -> Check {
    let second = Span::from_secs(1);
    Check {
        kind: CheckKind::Tcp,
        route: CheckRoute { to, from: None, interface: None, fwmark: 0 },
        pace: CheckPace {
            delay_loop: second.times(6),
            timeout: second,
            retry: 0,
            delay_before_retry: second,
            warmup: Span::ZERO,
            alpha: false,
            log_all_failures: false,
        },
    }
}

pub(crate) fn sorry(to: &str) -> SorryServer {
    SorryServer { to: to.parse().unwrap(), forwarding: Forwarding::DirectRouting, inhibit: false }
}

pub(crate) fn config(services: Vec<VirtualServer>) -> Box<Config> {
    let mut config = Config::default();
    config.lvs.services = services;
    Box::new(config)
}

/// What was wanted to be looked at last.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<Wanted>>>);

impl Looks for Noted {
    fn configure(&mut self, _: &Config) {}

    fn set(&mut self, wanted: Vec<Wanted>) {
        *self.0.lock().unwrap() = wanted;
    }
}

/// A desk that runs.
struct Stage {
    kernel: Fake,
    looks: Noted,
    messages: mpsc::Sender<Message>,
    reports: mpsc::Sender<Report>,
    events: Receiver<Event>,
    readings: tokio::sync::watch::Receiver<Option<Arc<super::Readings>>>,
    view: Arc<arc_swap::ArcSwap<super::View>>,
    said: Mutex<Vec<String>>,
    thread: Option<std::thread::JoinHandle<()>>,
    dir: Arc<TempDir>,
}

impl Stage {
    fn open() -> Self {
        Self::successor(Fake::default(), Arc::new(tempfile::tempdir().unwrap()))
    }

    /// One that finds the kernel as another left it.
    fn successor(kernel: Fake, dir: Arc<TempDir>) -> Self {
        Self::prepared(kernel, dir, |_| {})
    }

    fn prepared(
        kernel: Fake,
        dir: Arc<TempDir>,
        prepare: impl FnOnce(&mut Desk<Noted>) + Send + 'static,
    ) -> Self {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let (messages, told) = mpsc::channel(16);
        let (reports, reported) = mpsc::channel(64);
        let (inherited, inheritance) = mpsc::channel(1);
        let (record, routers) = (Record::of(dir.path()), Arc::<tokio::sync::Notify>::default());
        let to_kernel = hands::Parts {
            events: events.clone(),
            record,
            flush: false,
            inherited,
            found: routers.clone(),
            counts: Arc::default(),
        };
        let (orders, _) = hands::spawn(to_kernel, fake(&kernel)).unwrap();
        let (looks, view) = (Noted::default(), Arc::default());
        let sender = tokio::sync::watch::Sender::default();
        let readings = sender.subscribe();
        let parts = Parts {
            events,
            board: Arc::new(Board::new(chronicle())),
            state_dir: dir.path().join("state"),
            view: Arc::clone(&view),
            readings: sender,
            routers,
            follows: Arc::default(),
        };
        let desk_looks = looks.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut desk = Desk::new(parts, desk_looks, orders);
            prepare(&mut desk);
            runtime.block_on(run(desk, told, reported, inheritance));
        });
        let (said, thread) = (Mutex::default(), Some(thread));
        Self { kernel, looks, messages, reports, events: heard, readings, view, said, thread, dir }
    }

    fn configure(&self, services: Vec<VirtualServer>) {
        self.load(config(services));
    }

    fn load(&self, config: Box<Config>) {
        self.messages.blocking_send(Message::Configure(config)).unwrap();
    }

    fn report(&self, server: &str, good: bool, why: &str) {
        self.report_of(tcp_check(server.parse().unwrap()), good, why);
    }

    /// Waits until somebody asks for `check`.
    #[track_caller]
    fn wants(&self, check: &Check) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.looks.0.lock().unwrap().iter().any(|wanted| *wanted.check == *check) {
            assert!(Instant::now() < until, "nobody asks for {check:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn report_of(&self, check: Check, good: bool, why: &str) {
        // Nobody reports of a check before it was asked for.
        self.wants(&check);
        let check = Arc::new(check);
        let outcome = Outcome { good, ours: false, weight: None, why: why.into(), took: Duration::ZERO };
        let verdict = if good { Verdict::Good } else { Verdict::Bad };
        let report = Report { check, verdict, retries_left: None, outcome, at: SystemTime::now() };
        self.reports.blocking_send(report).unwrap();
    }

    fn ask(&self, server: &str, weight: Option<u16>, dry_run: bool) -> Result<super::Done, super::Unknown> {
        let (reply, answer) = oneshot::channel();
        let (by, reason) = ("alice".to_owned(), "disk".to_owned());
        let (server, service) = (server.to_owned(), String::new());
        let ask = Ask { server, service, weight, by, reason, limit: None, trail: None, dry_run, reply };
        self.messages.blocking_send(Message::Ask(Box::new(ask))).unwrap();
        answer.blocking_recv().unwrap()
    }

    /// Whether that virtual server has its quorum, as trackers hear it.
    fn reads(&self, name: &str) -> bool {
        self.readings.borrow().as_ref().unwrap().get(name).unwrap().up
    }

    /// Waits until the kernel's table is this.
    #[track_caller]
    fn table(&self, expected: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.kernel.text() != expected {
            assert!(Instant::now() < until, "found {:?}, wanted {expected:?}", self.kernel.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until something that contains `words` was said.
    #[track_caller]
    fn hears(&self, words: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        let mut said = self.said.lock().unwrap();
        loop {
            while let Some(event) = self.events.pop() {
                if let What::Balance(notice) = event.what {
                    let told = notice.told.as_ref().map_or_else(String::new, |told| {
                        let way = if told.check.is_some() { "mail alone: " } else { "" };
                        format!(" | {way}{} {}", told.subject, if told.up { "UP" } else { "DOWN" })
                    });
                    said.push(format!("{}{told}", notice.text));
                }
            }
            if let Some(line) = said.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(Instant::now() < until, "{words:?} was not said: {said:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn stop(mut self) -> (Fake, Arc<TempDir>) {
        self.messages.blocking_send(Message::Stop(oneshot::channel().0)).unwrap();
        self.thread.take().unwrap().join().unwrap();
        (self.kernel.clone(), self.dir.clone())
    }

    /// As if it was killed: nothing is taken back.
    fn kill(self) -> (Fake, Arc<TempDir>) {
        (self.kernel.clone(), self.dir.clone())
    }
}

const A: &str = "10.0.0.2:80";
const B: &str = "10.0.0.3:80";

fn web() -> VirtualServer {
    virtual_server("10.0.0.1 80", "10.0.0.1:80", &[A, B])
}

#[test]
fn a_failed_server_leaves_the_kernels_table_and_returns_and_everybody_hears_why() {
    let stage = Stage::open();
    stage.configure(vec![VirtualServer { sorry: Some(sorry("10.0.0.9:80")), ..web() }]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.report(A, false, "connection refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1");
    let line = stage.hears("real server 10.0.0.2:80 is down");
    assert!(line.contains("TCP check of 10.0.0.2:80: connection refused"), "{line}");
    assert!(line.ends_with("| RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN"), "{line}");
    assert!(stage.reads("10.0.0.1 80"));
    stage.report(B, false, "connection refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.9:80=1");
    let line = stage.hears("lost its quorum");
    assert!(line.contains("sorry server 10.0.0.9:80 answers"), "{line}");
    assert!(line.ends_with("| VS [10.0.0.1]:tcp:80 DOWN"), "{line}");
    assert!(!stage.reads("10.0.0.1 80"));
    stage.report(B, true, "connected");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1");
    stage.hears("has its quorum");
    stage.stop().0.is("");
}

#[test]
fn one_check_of_a_server_that_several_services_use_is_looked_at_once_and_counts_everywhere() {
    let stage = Stage::open();
    let other = virtual_server("10.0.0.1 8080", "10.0.0.1:8080", &[A]);
    stage.configure(vec![web(), other]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1\nTCP 10.0.0.1:8080 wrr: 10.0.0.2:8080=1");
    assert_eq!(stage.looks.0.lock().unwrap().len(), 2);
    stage.report(A, false, "refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1\nTCP 10.0.0.1:8080 wrr:");
    stage.stop();
}

#[test]
fn a_drain_keeps_the_server_with_weight_0_survives_a_restart_and_ends() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    let tried = stage.ask("10.0.0.2", Some(0), true).unwrap();
    assert_eq!((tried.rows[0].before, tried.rows[0].now, tried.rows[0].quorum), (1, 0, true));
    assert!(stage.ask("10.0.0.7", Some(0), false).unwrap_err().0.contains("10.0.0.2:80, 10.0.0.3:80"));
    stage.ask("10.0.0.2", Some(0), false).unwrap();
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=0 10.0.0.3:80=1");
    let line = stage.hears("weight 1 -> 0");
    assert!(line.contains("drained by alice (disk)"), "{line}");
    let tried = stage.ask("10.0.0.3:80", Some(0), true).unwrap();
    assert!(tried.rows[0].had_quorum && !tried.rows[0].quorum, "what a drain would cost is said before");
    let (kernel, dir) = stage.stop();
    kernel.is("");
    let stage = Stage::successor(kernel, dir);
    stage.configure(vec![web()]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=0 10.0.0.3:80=1");
    let order = stage.view.load()[0].load().servers[0].order.clone().unwrap();
    assert_eq!((order.by.as_str(), order.weight), ("alice", 0));
    stage.ask("10.0.0.2", None, false).unwrap();
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.stop();
}

/// Under a mark the kernel's table has no port, behind a port that is not rewritten another one.
#[test]
fn a_server_is_drained_by_the_address_in_the_file_or_in_the_kernels_table() {
    let stage = Stage::open();
    let mut marked = virtual_server("fwmark 3", "10.0.0.1:80", &["10.0.0.2:80", "10.0.0.3:0"]);
    marked.frontends = vec![Frontend::Mark { mark: 3, ipv6: false }];
    stage.configure(vec![marked, virtual_server("10.0.0.1 80", "10.0.0.1:80", &["10.0.0.4:8080"])]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.4:80=1\nFWM 3 wrr: 10.0.0.2:0=1 10.0.0.3:0=1");
    for (typed, names) in [
        ("10.0.0.2:80", Some("10.0.0.2:80")),
        ("10.0.0.2:0", Some("10.0.0.2:80")),
        ("10.0.0.2", Some("10.0.0.2:80")),
        ("10.0.0.2:8080", None),
        ("10.0.0.3", Some("10.0.0.3")),
        ("10.0.0.4:8080", Some("10.0.0.4:8080")),
        ("10.0.0.4:80", Some("10.0.0.4:8080")),
    ] {
        let done = stage.ask(typed, Some(0), true);
        assert_eq!(done.as_ref().ok().map(|done| done.rows[0].server.as_str()), names, "{typed}: {done:?}");
    }
    let why = stage.ask("10.0.0.9", Some(0), true).unwrap_err().0;
    assert!(why.contains("10.0.0.2:80, 10.0.0.3, 10.0.0.4:8080"), "{why}");
    stage.stop();
}

#[test]
fn without_a_real_server_the_sorry_server_answers_from_the_beginning() {
    let stage = Stage::open();
    let mut empty = virtual_server("10.0.0.1 80", "10.0.0.1:80", &[]);
    empty.sorry = Some(sorry("10.0.0.9:0"));
    stage.configure(vec![empty]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.9:80=1");
    stage.stop();
}

#[test]
fn at_the_end_omega_tells_that_all_are_down() {
    let stage = Stage::open();
    let mut of = web();
    of.omega = true;
    stage.configure(vec![of]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.messages.blocking_send(Message::Stop(oneshot::channel().0)).unwrap();
    for subject in ["RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN", "VS [10.0.0.1]:tcp:80 DOWN"] {
        stage.hears(subject);
    }
}

/// A virtual server whose only server has two checks, and mail.
fn twice() -> VirtualServer {
    let mut of = virtual_server("10.0.0.1 80", "10.0.0.1:80", &[A]);
    of.servers[0].checks.push(tcp_check(B.parse().unwrap()));
    of.servers[0].mail = true;
    of
}

#[test]
fn a_check_that_turns_beside_another_is_mailed_unless_that_is_not_wanted() {
    for fewer in [false, true] {
        let stage = Stage::open();
        let mut config = config(vec![twice()]);
        config.lvs.fewer_mails = fewer;
        stage.load(config);
        stage.report(A, false, "refused");
        assert!(stage.hears("is down").ends_with("| RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN"));
        stage.report(B, false, "silence");
        let line =
            stage.hears("TCP check of 10.0.0.3:80 fails: silence; real server 10.0.0.2:80 is down as before");
        assert_eq!(line.contains("| mail alone: RS [10.0.0.2]:tcp:80"), !fewer, "{line}");
        stage.report(A, true, "connected");
        stage
            .hears("TCP check of 10.0.0.2:80 succeeds: connected; real server 10.0.0.2:80 is down as before");
        stage.report(B, true, "connected");
        let line = stage.hears("is up");
        assert!(line.ends_with("| RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 UP"), "{line}");
        stage.stop();
    }
}

#[test]
fn servers_that_are_up_when_they_are_set_up_are_told_where_that_is_wanted() {
    let stage = Stage::open();
    let load = |servers: &[&str]| {
        let mut config = config(vec![virtual_server("10.0.0.1 80", "10.0.0.1:80", servers)]);
        config.lvs.tell_at_start = true;
        config.lvs.services[0].servers.iter_mut().for_each(|of| of.checks[0].pace.alpha = of.to.port() == 81);
        stage.load(config);
    };
    load(&[A, "10.0.0.4:81"]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1");
    let line = stage.hears("real server 10.0.0.2:80 is up: set up");
    assert!(line.ends_with("| RS [10.0.0.2]:tcp:80 [10.0.0.1]:tcp:80 UP"), "{line}");
    load(&[A, "10.0.0.4:81", B]);
    stage.hears("real server 10.0.0.3:80 is up: set up");
    let said = stage.said.lock().unwrap().join("\n");
    assert!(said.matches("10.0.0.2:80 is up").count() == 1 && !said.contains("10.0.0.4"), "{said}");
}

#[test]
fn a_server_that_leaves_is_one_story_with_one_reason_in_line_view_and_notification() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.report(A, false, "connection refused");
    let until = Instant::now() + Duration::from_secs(20);
    let (mut gone, mut done) = (None, None);
    while gone.is_none() || done.is_none() {
        assert!(Instant::now() < until, "{gone:?} {done:?}");
        match stage.events.pop() {
            Some(Event { what: What::Balance(notice), trail, .. }) if notice.text.contains("is down") => {
                gone = notice.told.clone().zip(trail).map(|(told, trail)| (told, trail, notice.text.clone()));
            }
            Some(Event { what: What::Fact(Fact::Balanced(of)), trail, .. }) => done = Some((of, trail)),
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    let ((told, own, line), (done, trail)) = (gone.unwrap(), done.unwrap());
    let reason = "TCP check of 10.0.0.2:80: connection refused";
    assert_eq!((&*told.why, line.ends_with(reason)), (reason, true), "{line}");
    let view = stage.view.load()[0].load_full();
    assert_eq!(view.servers[0].why, told.why);
    assert_eq!(told.cause.as_ref().unwrap().text, "connection refused".into());
    assert_eq!(told.called.server.as_deref(), Some("10.0.0.2:80"));
    assert_eq!((trail, own.parent()), (Some(done.task.trail), Some(done.task.trail.span())));
    assert_eq!((done.task.name, &*done.task.of), ("lvs.change", &*view.config.name));
    assert!(done.sent > 0 && done.refused == 0 && done.begun >= done.task.began);
}
