//! The verbs, one per file.

mod admin;
mod config;
pub(crate) mod context;
mod drain;
mod events;
mod failover;
mod generate;
mod pause;
pub(crate) mod pki;
mod reload;
mod status;

use crate::Outcome;
use crate::args::{Args, ConfigVerb, Place, Verb};
use crate::client::{NodeError, connect, silent};
use crate::fanout::Cluster;
use anyhow::Context;
use hacluster_proto::v1::read_client::ReadClient;
use std::time::Duration;
use tonic::transport::Channel;

/// Does what was asked.
pub(crate) fn run(args: Args) -> anyhow::Result<Outcome> {
    let place = args.place;
    match args.verb {
        Verb::Pki(args) => pki::run(args),
        Verb::Context(verb) => context::run(&place.context, verb),
        Verb::Generate { dir } => generate::run(&dir),
        Verb::Config(ConfigVerb::Check { file, output }) => config::check(&file, output),
        Verb::Config(ConfigVerb::Show { output }) => wait(config::show(&place, output)),
        Verb::Status(status) => wait(status::run(&place, &status)),
        Verb::Events(events) => wait(events::run(&place, &events)),
        Verb::Failover(args) => wait(failover::over(&place, &args)),
        Verb::Failback(args) => wait(failover::back(&place, &args)),
        Verb::Drain(args) => wait(drain::drain(&place, &args)),
        Verb::Undrain(args) => wait(drain::undrain(&place, &args)),
        Verb::Pause(args) => wait(pause::pause(&place, &args)),
        Verb::Resume(args) => wait(pause::resume(&place, &args)),
        Verb::Reload(args) => wait(reload::run(&place, &args)),
    }
}

/// The one agent to ask where a verb asks only one.
async fn first(place: &Place) -> anyhow::Result<ReadClient<Channel>> {
    let cluster = Cluster::of(place)?;
    let member = cluster.members.first().context("the context names no node")?;
    Ok(connect(member, place.timeout).await?.read())
}

/// A call with the deadline of every call.
async fn call<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, NodeError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(silent(deadline)),
    }
}

fn wait(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(work)
}
