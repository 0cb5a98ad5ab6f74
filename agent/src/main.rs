//! `hacluster-agent`: see `--help`.

use clap::Parser;
use hacluster_agent::args::Args;
use hacluster_agent::{check, log, supervisor};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.check {
        return check::check(&args);
    }
    log::init(args.log_format);
    match supervisor::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}
