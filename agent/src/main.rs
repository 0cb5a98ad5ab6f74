//! `hacluster-agent`: see `--help`.

use clap::Parser;
use hacluster_agent::args::Args;
use hacluster_agent::startup::NothingRuns;
use hacluster_agent::{dry_run, init, log, orphans, script, supervisor};
use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            // Options in a unit are written, too: trying them again is no use.
            return ExitCode::from(if error.use_stderr() { NothingRuns::STATUS } else { 0 });
        }
    };
    if args.script_runner {
        return run_scripts();
    }
    if args.check {
        return dry_run::check(&args);
    }
    log::init(args.log_format, args.syslog);
    if args.release {
        return orphans::release_abandoned(&args).map_or_else(failed, |()| ExitCode::SUCCESS);
    }
    if init::is_process_1() {
        return init::run().unwrap_or_else(failed);
    }
    match supervisor::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

fn failed(error: anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(if error.is::<NothingRuns>() { NothingRuns::STATUS } else { 2 })
}

/// The small process that forks so that the agent need not.
fn run_scripts() -> ExitCode {
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    match socket.and_then(script::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hacluster-agent: the script runner ends: {error}");
            ExitCode::from(2)
        }
    }
}
