//! The verbs, one per file.

mod admin;
mod config;
pub(crate) mod context;
mod drain;
mod events;
mod failover;
mod generate;
mod lvs;
mod pause;
pub(crate) mod pki;
mod reload;
mod status;
mod watch;

use crate::Outcome;
use crate::args::{Args, ConfigVerb, Verb};
use crate::client::{NodeClient, NodeError};
use crate::fanout::{Answer, Cluster, ask};
use crate::view::Observed;
use anyhow::Context;
use hacluster_proto::v1;
use jiff::Timestamp;
use std::time::Duration;

/// Does what was asked.
pub(crate) fn run(args: Args) -> anyhow::Result<Outcome> {
    let place = args.place;
    match args.verb {
        Verb::Pki(args) => pki::run(args),
        Verb::Context(verb) => context::run(&place.context, verb),
        Verb::Generate { dir } => generate::run(&dir),
        Verb::Config(ConfigVerb::Check { file, agent_config, no_programs, output }) => {
            config::check(&file, agent_config.as_deref(), !no_programs, output)
        }
        Verb::Config(ConfigVerb::Show { node, output }) => {
            wait(config::show(&place, node.as_deref(), output))
        }
        Verb::Config(ConfigVerb::Diff(args)) => wait(config::diff(&place, &args)),
        Verb::Status(status) => wait(status::run(&place, &status)),
        Verb::Watch(watch) => wait(watch::run(&place, &watch)),
        Verb::Events(events) => wait(events::run(&place, &events)),
        Verb::History(history) => wait(events::history(&place, &history)),
        Verb::Failover(args) => wait(failover::over(&place, &args)),
        Verb::Failback(args) => wait(failover::back(&place, &args)),
        Verb::Drain(args) => wait(drain::drain(&place, &args)),
        Verb::Undrain(args) => wait(drain::undrain(&place, &args)),
        Verb::Pause(args) => wait(pause::pause(&place, &args)),
        Verb::Resume(args) => wait(pause::resume(&place, &args)),
        Verb::Reload(args) => wait(reload::run(&place, &args)),
        Verb::Lvs(args) => lvs::run(&place, args),
    }
}

/// Asks every node; on the local socket, no answer is an error.
async fn gather<T, Q, F>(cluster: &Cluster, deadline: Duration, question: Q) -> anyhow::Result<Vec<Answer<T>>>
where
    T: Send + 'static,
    Q: Fn(NodeClient) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, NodeError>> + Send + 'static,
{
    let mut answers = ask(cluster, deadline, question).await;
    if cluster.is_local()
        && let Some(Answer { result: Err(error), .. }) = answers.pop_if(|answer| answer.result.is_err())
    {
        // Who may not look sees as little as who does not get there.
        anyhow::bail!("{error}");
    }
    Ok(answers)
}

async fn snapshot(node: NodeClient) -> Result<v1::GetSnapshotResponse, NodeError> {
    Ok(node.read().get_snapshot(v1::GetSnapshotRequest {}).await?.into_inner())
}

/// Asks every node for everything; on the local socket, no answer is an error.
pub(crate) async fn observe(cluster: &Cluster, deadline: Duration) -> anyhow::Result<Observed> {
    Ok(observed(cluster, gather(cluster, deadline, snapshot).await?))
}

/// Asks those nodes once more that answered before: who was silent would cost the deadline again.
pub(crate) async fn observe_again(cluster: &Cluster, before: Observed, deadline: Duration) -> Observed {
    let answered: Vec<bool> = before.answers.iter().map(|answer| answer.result.is_ok()).collect();
    let mut keep = answered.iter().copied();
    let mut members = cluster.members.clone();
    members.retain(|_| keep.next().unwrap_or(true));
    let there = Cluster { name: cluster.name.clone(), members };
    let mut fresh = ask(&there, deadline, snapshot).await.into_iter();
    let former = before.answers.into_iter().zip(answered);
    let answers = former.map(|(former, asked)| if asked { fresh.next().unwrap_or(former) } else { former });
    observed(cluster, answers.collect())
}

fn observed(cluster: &Cluster, answers: Vec<Answer<v1::GetSnapshotResponse>>) -> Observed {
    let (context, certificate) = (cluster.name.clone(), cluster.certificate());
    Observed { context, certificate, answers, now: Timestamp::now() }
}

fn wait(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(work)
}
