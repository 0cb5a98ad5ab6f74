//! A program that is run again and again to find out whether all is well.

use super::resolve::{Resolved, Trap, resolve};
use super::{End, Job, Outcome, Runner};
use crate::in_force::{Mark, mark};
use hacluster_conf::model::{Command, Scripts};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long it is believed that nothing but the file itself could have changed (its folders, users).
const BELIEVED: Duration = Duration::from_secs(10);
/// Before a program is run again whose runner ended.
const AGAIN: Duration = Duration::from_millis(50);

/// What is run.
pub(crate) struct Program {
    command: Command,
    scripts: Scripts,
    runner: Option<Runner>,
    known: Option<Known>,
    /// It could be run once, and what is odd was said.
    remarked: bool,
}

/// What the command means as long as its file has this mark.
struct Known {
    resolved: Resolved,
    mark: Option<Mark>,
    until: Instant,
}

impl Program {
    pub(crate) fn new(command: Command, scripts: Scripts, runner: Option<Runner>) -> Self {
        Self { command, scripts, runner, known: None, remarked: false }
    }

    /// Runs it once. As with keepalived, one that could not be run from the beginning (it is missing, or
    /// refused) says nothing; one that ran before and is gone has failed.
    ///
    /// # Errors
    /// Why it says nothing.
    pub(crate) async fn once(&mut self, limit: Duration) -> Result<Outcome, String> {
        match timeout(limit, self.resolve()).await {
            Ok(Ok(resolved)) => Ok(self.run(&resolved, limit).await),
            Ok(Err(why)) if !self.remarked => Err(why),
            Ok(Err(why)) => Ok(Outcome::failed(why)),
            Err(_) => Ok(Outcome::failed("looking up its file and user takes too long")),
        }
    }

    async fn run(&self, resolved: &Resolved, limit: Duration) -> Outcome {
        let Some(runner) = &self.runner else { return Outcome::failed("there is no script runner") };
        let deadline = Instant::now() + limit;
        loop {
            let outcome = runner.run_while_wanted(Job::of(resolved, limit, true)).await;
            // A runner that ended says nothing of what is checked.
            if outcome.end != End::Lost || Instant::now() >= deadline {
                return outcome;
            }
            sleep(AGAIN).await;
        }
    }

    /// Finds out anew what may have changed: the file may have been replaced, repaired or made unsafe.
    async fn resolve(&mut self) -> Result<Resolved, String> {
        if let Some(known) = &self.known
            && Instant::now() < known.until
            && mark(&known.resolved.path) == known.mark
        {
            return Ok(known.resolved.clone());
        }
        self.known = None;
        let (command, scripts) = (self.command.clone(), self.scripts.clone());
        // Users may be asked for over the network.
        let found = tokio::task::spawn_blocking(move || {
            let resolved = resolve(&command, &scripts)?;
            let mark = mark(&resolved.path);
            Ok((resolved, mark))
        });
        let found: Result<_, Trap> = found.await.map_err(|_| "it cannot be looked up".to_owned())?;
        let (resolved, mark) = found.map_err(|trap| trap.to_string())?;
        if !std::mem::replace(&mut self.remarked, true) {
            resolved.remarks.iter().for_each(|trap| tracing::warn!("{trap}"));
        }
        let until = Instant::now() + BELIEVED;
        self.known = Some(Known { resolved: resolved.clone(), mark, until });
        Ok(resolved)
    }
}
