//! Programs that users wrote: checks and notifications, run where they cannot disturb anybody.
//!
//! ```text
//!   agent: Runner ---- Job (a frame on a socket pair) ----> runner: a small process of its own
//!             ^                                               |-- fork, exec, process group, time limit
//!             `---------------- Outcome --------------------- '      `--> the user's program
//! ```
//!
//! Forking a process with many threads and locked memory stalls all of them for a moment; so a small
//! process, started before anything else, forks instead. When the agent dies the runner sees its
//! socket close, ends what still runs and follows.
//!
//! Contract: at most [`RUNNING_MAX`] programs at one time, the others wait for their turn; output is read to its end and only its last
//! [`OUTPUT_MAX`] bytes are kept; a program that outlives its limit is ended with its whole process
//! group; nothing that a program does is trusted.

mod client;
mod frame;
mod process;
pub(crate) mod program;
mod ran;
mod serve;

pub use client::Runner;
pub use hacluster_programs::resolve;
pub use ran::Purpose;
pub use serve::serve;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Programs at one time; more wait for their turn. Each needs three file descriptors, and 1,024 are
/// the usual limit of a process.
pub const RUNNING_MAX: usize = 256;
/// Programs that run or wait.
const QUEUED_MAX: usize = 16_384;
/// Bytes of output that are kept.
pub const OUTPUT_MAX: usize = 512;

/// A program to be run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Path and arguments; the path is absolute.
    pub argv: Vec<String>,
    /// Numbers of user and group; `None` for those of the agent.
    pub user: Option<(u32, u32)>,
    /// It is ended after this long.
    pub limit: Duration,
    /// What it left running in its process group is ended with it: right for checks, wrong for
    /// notifications, which may start a service.
    pub end_group: bool,
}

impl Job {
    /// Runs what was found; see the fields for `limit` and `end_group`.
    pub fn of(found: &resolve::Resolved, limit: Duration, end_group: bool) -> Self {
        Self { argv: found.argv.clone(), user: found.user, limit, end_group }
    }
}

/// What the agent asks of the runner.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Run this under that number.
    Run(u64, Job),
    /// End what runs under that number, if it still does.
    End(u64),
}

impl Order {
    fn number(&self) -> u64 {
        match self {
            Self::Run(number, _) | Self::End(number) => *number,
        }
    }
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The last bytes it wrote, as text, control characters replaced.
    pub output: String,
    /// From its start to its end.
    pub took: Duration,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It outlived its limit and was ended.
    TimedOut,
    /// It could not be started.
    Failed(String),
    /// Nobody knows: the runner ended before the program did, or does not answer. Both are mended.
    Lost,
}

impl Outcome {
    /// Whether a check passed.
    pub fn is_success(&self) -> bool {
        self.end == End::Exited(0)
    }

    fn lost() -> Self {
        Self { end: End::Lost, output: String::new(), took: Duration::ZERO }
    }

    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self { end: End::Failed(why.into()), output: String::new(), took: Duration::ZERO }
    }
}

impl fmt::Display for End {
    /// `exit 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit {status}"),
            Self::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("not done in time"),
            Self::Failed(why) => f.write_str(why),
            Self::Lost => f.write_str("the script runner ended; it was started again"),
        }
    }
}

impl fmt::Display for Outcome {
    /// `exit 1: "no process"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::TimedOut => write!(f, "not done within {} ms", self.took.as_millis())?,
            end @ (End::Failed(_) | End::Lost) => return end.fmt(f),
            end @ (End::Exited(_) | End::Signalled(_)) => end.fmt(f)?,
        }
        if !self.output.is_empty() {
            write!(f, ": \"{}\"", self.output)?;
        }
        Ok(())
    }
}

/// The end of what a program wrote, fit for a line of the log.
pub(crate) fn readable(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_one_harmless_line() {
        assert_eq!(readable(b"no\r\n process\x1b[31m\xff\n"), "no process [31m\u{fffd}");
    }

    #[test]
    fn an_outcome_in_words() {
        let outcome =
            |end, output: &str| Outcome { end, output: output.into(), took: Duration::from_millis(2) };
        assert_eq!(outcome(End::Exited(1), "no process").to_string(), "exit 1: \"no process\"");
        assert_eq!(outcome(End::TimedOut, "x").to_string(), "not done within 2 ms: \"x\"");
        assert_eq!(outcome(End::Signalled(9), "").to_string(), "ended by signal 9");
    }
}
