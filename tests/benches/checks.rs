//! `cargo bench -p hacluster-tests --bench checks [-- CHECKS [ROUNDS]]`: many HTTP checks on one processor,
//! keepalived's beside them, with the system calls of this machine; see [`hacluster_tests::bench::lvs`].

use anyhow::Result;
use hacluster_lab::{enter, privilege};
use hacluster_tests::bench::{self, lvs};
use std::{env, io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    lvs::farm::play_if_asked();
    privilege::exec_if_asked();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    bench::build_agent()?;
    enter().map_err(anyhow::Error::msg)?;
    let numbers: Vec<u32> = env::args().filter_map(|word| word.parse().ok()).collect();
    let number = |at: usize, usual| numbers.get(at).copied().unwrap_or(usual);
    let table = lvs::run_checks(number(0, 10_000), number(1, 6))?;
    let _ = std::io::stdout().write_all(table.as_bytes()); // a reader that went away is no error
    Ok(())
}
