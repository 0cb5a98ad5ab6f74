//! From seed to verdict: a safety phase, healing, and a phase in which the world must settle.

use super::checks::{Checks, liveness};
use super::sabotage::Sabotage;
use super::trace::{Record, fingerprint};
use super::world::World;
use hacluster_core::time::{Duration, Instant};
use std::fmt::Write;

/// Records shown of a failed run.
const SHOWN: usize = 40;

/// A check that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which check.
    pub check: &'static str,
    /// What it says.
    pub message: String,
    /// When.
    pub at: Instant,
}

/// A finished or failed run.
pub struct Outcome {
    /// What drew it.
    pub seed: u64,
    /// The first failure.
    pub failure: Option<Failure>,
    /// Everything that happened.
    pub trace: Vec<Record>,
    /// Names the kind of world: the variable that replays it.
    variable: &'static str,
}

impl Outcome {
    /// A number that differs when two runs differ.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.trace)
    }

    /// The whole trace as text.
    pub fn trace_text(&self) -> String {
        self.trace.iter().fold(String::new(), |mut text, record| {
            let _ = writeln!(text, "{record}");
            text
        })
    }

    /// What failed, how to see it again, and the end of the trace.
    pub fn report(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let from = self.trace.len().saturating_sub(SHOWN);
        let mut text = String::new();
        for record in &self.trace[from..] {
            let _ = writeln!(text, "{record}");
        }
        Some(format!(
            "{text}\nseed {seed}: check `{check}` failed at {at} s: {message}\nreplay it: \
             {variable}={seed} cargo test -p hacluster-tests --test sim -- --nocapture\n",
            seed = self.seed,
            variable = self.variable,
            check = failure.check,
            at = failure.at.as_micros() as f64 / 1e6,
            message = failure.message,
        ))
    }
}

/// Runs the world of `seed` until a check fails or everything is settled.
pub fn run(seed: u64, sabotage: Sabotage) -> Outcome {
    run_world(seed, World::new(seed, sabotage, true))
}

/// As [`run`], but nobody moves routers.
pub fn run_without_moves(seed: u64) -> Outcome {
    run_world(seed, World::new(seed, Sabotage::None, false))
}

fn run_world(seed: u64, world: World) -> Outcome {
    let mut run = Run { world, checks: Checks::new(), looked: 0 };
    let failure = run.all().err();
    finish(seed, run, failure)
}

pub(super) fn finish(seed: u64, run: Run, failure: Option<Failure>) -> Outcome {
    let variable = if run.world.grouped { "HACLUSTER_SIM_GROUP_SEED" } else { "HACLUSTER_SIM_SEED" };
    Outcome { seed, failure, trace: run.world.trace().to_vec(), variable }
}

pub(super) struct Run {
    pub(super) world: World,
    pub(super) checks: Checks,
    /// Records the checks have seen.
    pub(super) looked: usize,
}

impl Run {
    fn all(&mut self) -> Result<(), Failure> {
        self.until(self.world.now() + self.world.plan.safety)?;
        let groups = self.world.heal();
        // What operators began before is over by then.
        self.settle(&groups, self.world.move_max())?;
        self.checks.expect_quiet();
        let quiet = liveness::Bounds::of(&self.world).quiet;
        let settled = self.liveness(|world| liveness::Settled::expect(world, &groups))?;
        self.until(self.world.now() + quiet)?;
        self.liveness(|world| settled.verify(world))?;
        self.drill(&groups)
    }

    /// Waits until each group has the ruler that it should have.
    pub(super) fn settle(&mut self, groups: &[usize], at_least: Duration) -> Result<(), Failure> {
        let bounds = liveness::Bounds::of(&self.world);
        self.until(self.world.now() + bounds.somebody_rules.max(at_least))?;
        let settled = self.liveness(|world| liveness::Settled::expect(world, groups))?;
        self.checks.expect_rulers(groups.to_vec());
        self.until(self.world.now() + bounds.the_right_one_rules)?;
        self.liveness(|world| settled.verify(world))
    }

    pub(super) fn until(&mut self, limit: Instant) -> Result<(), Failure> {
        self.look()?;
        while self.world.step(limit) {
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Failure> {
        let fresh = self.looked;
        self.looked = self.world.trace().len();
        let found = self.checks.look(&self.world, &self.world.trace()[fresh..]);
        found.map_err(|(check, message)| Failure { check, message, at: self.world.now() })
    }

    pub(super) fn liveness<T>(
        &self,
        verdict: impl FnOnce(&World) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let at = self.world.now();
        verdict(&self.world).map_err(|message| Failure { check: "liveness", message, at })
    }
}
