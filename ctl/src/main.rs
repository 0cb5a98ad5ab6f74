//! `haclusterctl`: see `--help`.
//!
//! ```text
//!   args -> cmd/<verb> -> client -- gRPC, unix socket --> agent
//!                 `-----> view (what is shown, stable names) -> output/{table, yaml} or JSON
//! ```
//!
//! Exit status: 0 as it should be, 1 degraded, 2 the agent cannot be reached, 3 wrong usage. So
//! `haclusterctl status` serves as a check of a monitoring system.

mod args;
#[allow(dead_code)] // the verbs that use all of it come next
mod client;
mod cmd;
mod confirm;
mod context;
#[allow(dead_code)]
mod fanout;
mod moves;
mod output;
mod pki;
mod plan;
mod times;
mod view;

use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// As it should be.
    Well = 0,
    /// Something is not as it should be; it was said what.
    Degraded = 1,
    /// A node cannot be reached; it was said which.
    Unreachable = 2,
}

/// Asked for something that does not exist.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

const UNREACHABLE: u8 = 2;
const USAGE: u8 = 3;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked { 0 } else { USAGE });
        }
    };
    match cmd::run(args) {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(match error.downcast_ref() {
                _ if error.is::<Usage>() => USAGE,
                Some(client::NodeError::Refused(..)) => Outcome::Degraded as u8,
                _ => UNREACHABLE,
            })
        }
    }
}
