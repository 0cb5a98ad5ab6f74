//! What a program of the user says.

use super::outcome::{Answer, Bad, Good, bad, span};
use crate::script::program::Program;
use crate::script::{End, Purpose};
use std::time::Duration;

/// Runs it once. Status 0 is good; with `dynamic` 2 to 255 are, too, and set the weight to 0 to 253.
pub(super) async fn ask(program: &mut Program, dynamic: bool, limit: Duration) -> Answer {
    let outcome = match program.once(limit).await {
        Ok(outcome) => outcome,
        Err(why) => return Err(Bad::Ours(why)),
    };
    Purpose::Check.ended(&outcome);
    match outcome.end {
        End::Exited(0) => Ok(Good { weight: None, why: outcome.to_string() }),
        End::Exited(status @ 2..=255) if dynamic => {
            Ok(Good { weight: Some(status - 2), why: format!("weight {}, {outcome}", status - 2) })
        }
        End::TimedOut => Err(bad(format!("not done within {}", span(limit)))),
        End::Exited(_) | End::Signalled(_) => Err(bad(outcome.to_string())),
        // It was taken away, or the node is overloaded: servers should not pay for it.
        End::Lost | End::Failed(_) => Err(Bad::Ours(outcome.to_string())),
    }
}
