//! How many programs ran, what for, and how they ended.

use super::{End, Outcome};
use crate::tally::Count;

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It tells people of a change, or that the agent starts or stops.
    Notification,
    /// It says whether a virtual router may rule.
    Tracker,
    /// It says whether a real server can take connections.
    Check,
    /// It reads a fifo, as long as the agent runs.
    Reader,
}

/// Names of [`Purpose`]s, in their order.
const PURPOSES: [&str; 4] = ["notification", "tracker", "check", "reader"];
/// How a run ended, for programs.
const OUTCOMES: [&str; 5] = ["success", "failure", "signal", "timeout", "not_started"];

/// Since the process began; the runner is one for all, too.
static ENDED: [[Count; OUTCOMES.len()]; PURPOSES.len()] =
    [const { [const { Count::new() }; OUTCOMES.len()] }; PURPOSES.len()];

impl Purpose {
    /// A program of this purpose ended so.
    pub fn ended(self, outcome: &Outcome) {
        let at = match outcome.end {
            End::Exited(0) => 0,
            End::Exited(_) => 1,
            End::Signalled(_) => 2,
            End::TimedOut => 3,
            End::Failed(_) | End::Lost => 4,
        };
        ENDED[self as usize][at].add_one();
    }

    /// All runs so far, by purpose and outcome.
    pub fn runs() -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        PURPOSES.iter().zip(&ENDED).flat_map(|(purpose, counts)| {
            OUTCOMES.iter().zip(counts).map(|(outcome, count)| (*purpose, *outcome, count.get()))
        })
    }
}
