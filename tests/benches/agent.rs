//! `cargo bench -p hacluster-tests [-- NAME...] [--quick]`: see [`hacluster_tests::bench`].

use hacluster_tests::bench;
use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    // First thing: one thread still, and the lab's children pass through here.
    if let Err(why) = hacluster_lab::enter() {
        eprintln!("skipped: no lab here: {why}");
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick")
        || std::env::var_os("HACLUSTER_BENCH_QUICK").is_some();
    let filters: Vec<String> = arguments.into_iter().filter(|one| !one.starts_with("--")).collect();
    let outcome = bench::build_agent().and_then(|()| bench::run(&filters, quick));
    match outcome {
        Ok(tables) => {
            // A reader that went away is no error.
            let _ = std::io::stdout().write_all(tables.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
