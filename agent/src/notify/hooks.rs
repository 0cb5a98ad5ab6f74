//! The programs that tell a change: which, in which order, and how each is run.

use super::subject::{Change, Subject, Word};
use super::voice::Voice;
use crate::script::resolve::resolve;
use crate::script::{Job, Outcome, Purpose, Runner};
use hacluster_conf::model::{Command, Notify, Scripts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A hook that takes longer is ended: its queue must move on one day.
const LIMIT: Duration = Duration::from_secs(3_600);
/// A reader should hear of a hook that takes longer.
const REMARKABLE: Duration = Duration::from_secs(30);
/// Between two runs of a hook that is to be retried; doubled each time, up to a minute.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A program that tells a change, and the keyword that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) keyword: &'static str,
    pub(super) command: Command,
}

/// The programs for `change`, in the order in which they run: the specific one first.
pub(super) fn hooks(notify: &Notify, subject: &Subject, change: &Change) -> Vec<Hook> {
    let (keyword, specific) = match change.word {
        Word::Master => ("notify_master", &notify.master),
        Word::Backup => ("notify_backup", &notify.backup),
        Word::Fault => ("notify_fault", &notify.fault),
        Word::Stop => ("notify_stop", &notify.stop),
        Word::Deleted => ("notify_deleted", &notify.deleted),
        Word::RivalHeard => ("notify_master_rx_lower_pri", &notify.master_rx_lower_pri),
        Word::Up | Word::Down => return change.hook.iter().cloned().collect(),
    };
    let specific = specific.iter().map(|command| Hook { keyword, command: command.clone() });
    let general = notify.any.iter().filter(|_| change.word != Word::RivalHeard).map(|command| {
        let mut command = command.clone();
        let word = change.word.to_string();
        command.argv.extend([subject.kind().to_owned(), subject.name().to_owned(), word]);
        command.argv.push(change.priority.to_string());
        Hook { keyword: "notify", command }
    });
    specific.chain(general).collect()
}

/// What hooks are run with.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) runner: Option<Runner>,
    pub(super) scripts: Arc<Scripts>,
    /// So many programs of ours at one time.
    pub(super) permits: Arc<Semaphore>,
    pub(super) voice: Voice,
    /// Told when a newer change waits: nothing is retried any more.
    pub(super) newer: Arc<tokio::sync::Notify>,
    pub(super) retry: bool,
}

impl Means {
    /// Tells `change` by all its hooks, one after the other.
    pub(super) async fn tell(self, subject: Subject, change: Change, hooks: Vec<Hook>) {
        for hook in hooks {
            self.run(&subject, &change, &hook).await;
        }
    }

    async fn run(&self, subject: &Subject, change: &Change, hook: &Hook) {
        let mut pause = RETRY.0;
        loop {
            let outcome = self.run_once(subject, change, hook).await;
            Purpose::Notification.ended(&outcome);
            let retried = self.retry && !outcome.is_success() && change.word != Word::Stop;
            let again = if retried { format!("; again in {} s", pause.as_secs()) } else { String::new() };
            let text = format!("{}: {}{again}", describe(subject, change, hook), told(&outcome));
            self.voice.result(change, hook.keyword, &outcome, text);
            if !retried || timeout(pause, self.newer.notified()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn run_once(&self, subject: &Subject, change: &Change, hook: &Hook) -> Outcome {
        let (job, remarks) = match prepare(hook.command.clone(), &self.scripts, LIMIT, false).await {
            Ok(prepared) => prepared,
            Err(outcome) => return outcome,
        };
        for remark in remarks {
            tracing::debug!("{} {remark}", hook.keyword); // `--check` says it as a warning
        }
        let Some(runner) = &self.runner else { return Outcome::failed("there is no script runner") };
        let Ok(_permit) = self.permits.acquire().await else {
            return Outcome::failed("the agent is stopping");
        };
        let running = runner.run(job);
        tokio::pin!(running);
        tokio::select! {
            outcome = &mut running => outcome,
            () = sleep(REMARKABLE) => {
                let what = describe(subject, change, hook);
                let secs = REMARKABLE.as_secs();
                self.voice.trouble(
                    change.router.clone(),
                    format!("{what}: still running after {secs} s; later states wait for it"),
                );
                running.await
            }
        }
    }
}

/// What `command` means, as a job; the file system and the user database may be slow.
pub(super) async fn prepare(
    command: Command,
    scripts: &Arc<Scripts>,
    limit: Duration,
    end_group: bool,
) -> Result<(Job, Vec<String>), Outcome> {
    let scripts = scripts.clone();
    let resolved = tokio::task::spawn_blocking(move || resolve(&command, &scripts)).await;
    match resolved {
        Ok(Ok(resolved)) => {
            let remarks = resolved.remarks.iter().map(ToString::to_string).collect();
            Ok((Job::of(&resolved, limit, end_group), remarks))
        }
        Ok(Err(trap)) => Err(Outcome::failed(trap.to_string())),
        Err(_) => Err(Outcome::failed("it could not be looked at")),
    }
}

/// `notify_master /etc/master.sh (MASTER)`, with the group's name where no router stands beside it.
fn describe(subject: &Subject, change: &Change, hook: &Hook) -> String {
    let group = match subject {
        Subject::Group(name) => format!("group {name}: "),
        Subject::Balanced(of) => format!("{of}: "),
        Subject::Instance(_) => String::new(),
    };
    format!("{group}{} {} ({})", hook.keyword, hook.command.program(), change.word)
}

/// `exit 1: "no"; it took 12 ms`.
pub(super) fn told(outcome: &Outcome) -> String {
    if outcome.took.is_zero() {
        return outcome.to_string();
    }
    format!("{outcome}; it took {} ms", outcome.took.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str) -> Option<Command> {
        Some(Command { argv: vec![program.to_owned(), "own".to_owned()], user: None })
    }

    fn lines(notify: &Notify, subject: &Subject, word: Word, priority: u8) -> Vec<String> {
        let change = Change { router: None, word, priority, why: "".into(), hook: None, trail: None };
        let hooks = hooks(notify, subject, &change);
        hooks.iter().map(|hook| format!("{}={}", hook.keyword, hook.command.argv.join(" "))).collect()
    }

    #[test]
    fn the_specific_hook_runs_first_and_the_general_one_gets_what_keepalived_gives() {
        let notify = Notify {
            master: command("/m"),
            stop: command("/s"),
            any: command("/n"),
            master_rx_lower_pri: command("/r"),
            ..Notify::default()
        };
        let router = Subject::Instance("VI_1".into());
        let group = Subject::Group("G".into());
        assert_eq!(
            lines(&notify, &router, Word::Master, 100),
            ["notify_master=/m own", "notify=/n own INSTANCE VI_1 MASTER 100"]
        );
        assert_eq!(lines(&notify, &router, Word::Backup, 90), ["notify=/n own INSTANCE VI_1 BACKUP 90"]);
        assert_eq!(
            lines(&notify, &group, Word::Stop, 0),
            ["notify_stop=/s own", "notify=/n own GROUP G STOP 0"]
        );
        assert_eq!(
            lines(&notify, &router, Word::RivalHeard, 100),
            ["notify_master_rx_lower_pri=/r own"],
            "keepalived's general hook does not hear of it"
        );
        assert!(lines(&Notify::default(), &router, Word::Master, 1).is_empty());
    }
}
