//! `haclusterctl`: see `--help`.
//!
//! ```text
//!   args, context -> cmd/<verb> -> fanout -> client -- gRPC: unix socket, or TLS --> agents
//!                        |           `-----> live (what changes, told by streams)
//!                        `-> view (all answers as one cluster, stable names) -> output: people, JSON, YAML
//! ```
//!
//! Exit status: 0 as it should be, 1 degraded, 2 a node cannot be
//! reached or lets nobody ask, 3 wrong usage. So
//! `haclusterctl status` serves as a check of a monitoring system.

mod args;
mod client;
mod cmd;
mod confirm;
mod context;
mod fanout;
mod live;
mod moves;
mod output;
mod pki;
mod plan;
mod story;
mod times;
mod view;

use clap::error::ErrorKind;
use std::process::ExitCode;
use tonic::Code;

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
    let args = match args::Args::read(std::env::args_os()) {
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
                // Who may not ask has found out nothing.
                Some(client::NodeError::Refused(Code::PermissionDenied | Code::Unauthenticated, _)) => {
                    UNREACHABLE
                }
                Some(client::NodeError::Refused(..)) => Outcome::Degraded as u8,
                _ => UNREACHABLE,
            })
        }
    }
}
