//! One invariant per file. Each sees every step: what is new in the trace, and the world after it.

mod addresses;
mod announce;
mod invalid;
pub mod liveness;
mod moved;
mod nopreempt;
mod progress;
mod resign;
mod rivals;
mod speech;
mod together;

pub use moved::Route;

use super::trace::Record;
use super::world::World;

/// An invariant.
trait Check {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Looks at a step.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), String>;
}

/// All invariants.
pub struct Checks {
    checks: Vec<Box<dyn Check>>,
    /// Those of a settled world.
    settled: Vec<Box<dyn Check>>,
    moved: Option<moved::Moved>,
}

impl Checks {
    /// Those that hold while faults are on.
    pub fn new() -> Self {
        Self {
            checks: vec![
                Box::new(announce::Announce),
                Box::new(invalid::Invalid),
                Box::new(speech::Speech),
                Box::new(progress::Progress),
                Box::new(addresses::Addresses),
                Box::new(nopreempt::NoPreempt::default()),
                Box::new(resign::Resign::default()),
                Box::new(rivals::Rivals::default()),
            ],
            settled: Vec::new(),
            moved: None,
        }
    }

    /// Those that hold for sync groups: the others expect a router to decide alone.
    pub fn of_groups() -> Self {
        let checks: Vec<Box<dyn Check>> = vec![
            Box::new(announce::Announce),
            Box::new(invalid::Invalid),
            Box::new(speech::Speech),
            Box::new(addresses::Addresses),
            Box::new(together::Together),
        ];
        Self { checks, settled: Vec::new(), moved: None }
    }

    /// From here on no group may be without a ruler.
    pub fn expect_rulers(&mut self, groups: Vec<usize>) {
        self.settled.push(Box::new(liveness::NeverVacant { groups }));
    }

    /// From here on nothing may change.
    pub fn expect_quiet(&mut self) {
        self.settled.push(Box::new(liveness::Quiet));
    }

    /// From here on anything may change again.
    pub fn expect_unrest(&mut self) {
        self.settled.clear();
    }

    /// From here on a router is moved among `members`, and nothing disturbs that.
    pub fn expect_move(&mut self, route: Route, members: Vec<usize>) {
        self.settled.clear();
        self.moved = Some(moved::Moved { route, members, announced: false, advertised: false });
    }

    /// The move is over.
    pub fn move_is_over(&mut self) {
        self.moved = None;
    }

    /// Lets every check look at a step.
    ///
    /// # Errors
    /// The name of the first check that found something, and what.
    pub fn look(&mut self, world: &World, fresh: &[Record]) -> Result<(), (&'static str, String)> {
        let moved = self.moved.iter_mut().map(|check| check as &mut dyn Check);
        let lasting = self.checks.iter_mut().chain(&mut self.settled).map(|check| &mut **check);
        let mut looked = lasting.chain(moved);
        looked.try_for_each(|check| check.look(world, fresh).map_err(|message| (check.name(), message)))
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}
