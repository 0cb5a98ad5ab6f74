//! `haclusterctl generate`: completions and man pages from the definitions the program runs by.

use crate::Outcome;
use crate::args::Args;
use anyhow::Context;
use clap::{CommandFactory, ValueEnum};
use std::path::Path;

pub(super) fn run(dir: &Path) -> anyhow::Result<Outcome> {
    let mut command = Args::command();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for shell in clap_complete::Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command, "haclusterctl", dir)
            .with_context(|| format!("cannot write to {}", dir.display()))?;
    }
    clap_mangen::generate_to(command, dir).with_context(|| format!("cannot write to {}", dir.display()))?;
    Ok(Outcome::Well)
}
