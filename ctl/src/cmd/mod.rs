//! The verbs, one per file.

mod config;
mod events;
mod generate;
mod status;

use crate::Outcome;
use crate::args::{Args, ConfigVerb, Verb};
use anyhow::Context;

/// Does what was asked.
pub(crate) fn run(args: Args) -> anyhow::Result<Outcome> {
    let place = args.place;
    match args.verb {
        Verb::Generate { dir } => generate::run(&dir),
        Verb::Config(ConfigVerb::Check { file, output }) => config::check(&file, output),
        Verb::Config(ConfigVerb::Show { output }) => wait(config::show(&place, output)),
        Verb::Status(status) => wait(status::run(&place, &status)),
        Verb::Events(events) => wait(events::run(&place, &events)),
    }
}

fn wait(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(work)
}
