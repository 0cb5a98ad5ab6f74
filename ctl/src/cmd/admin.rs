//! What the verbs that change something share: whom to ask, how long to wait, how it ends.

use crate::Outcome;
use crate::args::moves::Manner;
use crate::client::{NodeClient, NodeError};
use crate::fanout::{Answer, Cluster, Member, ask, ask_one};
use crate::moves::{Row, Rows};
use crate::output::{self, safe};
use crate::plan::{Known, pick};
use hacluster_proto::v1;
use serde::Serialize;
use std::io::IsTerminal;
use std::time::Duration;

/// A dry run asks other agents in turn: so much longer than a plain answer it may take.
const TRIAL_EXTRA: Duration = Duration::from_secs(5);
/// How long an agent may take to do something: a drain of many virtual routers takes longest.
const ACT_MAX: Duration = Duration::from_secs(60);

/// How long an answer may take.
pub(super) fn deadline(timeout: Duration, dry_run: bool) -> Duration {
    if dry_run { timeout.saturating_add(TRIAL_EXTRA) } else { timeout.max(ACT_MAX) }
}

/// Every node's own account, from all at once.
pub(super) async fn snapshots(cluster: &Cluster, timeout: Duration) -> Vec<Known> {
    let answers = ask(cluster, timeout, |node| async move {
        Ok(node.read().get_snapshot(v1::GetSnapshotRequest {}).await?.into_inner())
    });
    let known =
        |(member, answer): (usize, Answer<_>)| Known { member, alias: answer.node, snapshot: answer.result };
    answers.await.into_iter().enumerate().map(known).collect()
}

/// The nodes called `names`, all when there are none; the local one under its own name.
pub(super) async fn chosen(
    mut cluster: Cluster,
    names: &[String],
    timeout: Duration,
) -> anyhow::Result<Cluster> {
    if cluster.is_local() {
        let known = snapshots(&cluster, timeout).await;
        for (member, known) in cluster.members.iter_mut().zip(known) {
            member.name = known.name().to_owned();
            known.snapshot?;
        }
    }
    let called: Vec<String> = cluster.members.iter().map(|member| member.name.clone()).collect();
    let picked = pick(names, &called, cluster.is_local())?;
    if !picked.is_empty() {
        cluster.members.retain(|member| picked.contains(&member.name.as_str()));
    }
    Ok(cluster)
}

/// Asks one node.
pub(super) async fn tell<T, F>(
    member: &Member,
    deadline: Duration,
    question: impl FnOnce(NodeClient) -> F,
) -> Result<T, NodeError>
where
    F: Future<Output = Result<T, NodeError>>,
{
    ask_one(member, deadline, question).await.result
}

/// Why, for everybody to read.
pub(super) fn reason(manner: &Manner) -> String {
    manner.reason.clone().unwrap_or_else(|| {
        let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("unknown");
        format!("by {}@{host} with haclusterctl", user.as_deref().unwrap_or("unknown"))
    })
}

/// A time limit as the contract writes it.
pub(super) fn limit(span: Option<Duration>) -> Option<prost_types::Duration> {
    span.and_then(|span| span.try_into().ok())
}

/// Ctrl-C came first.
pub(super) struct Interrupted;

/// Waits for what cannot be called back. Ctrl-C ends the waiting only.
pub(super) async fn to_the_end<T>(what: &str, work: impl Future<Output = T>) -> Result<T, Interrupted> {
    let shown = std::io::stderr().is_terminal();
    if shown {
        eprint!("{} ...", safe(what));
    }
    let ended = tokio::select! {
        done = work => Ok(done),
        _ = tokio::signal::ctrl_c() => Err(Interrupted),
    };
    if shown {
        eprint!("\r\x1b[K");
    }
    ended
}

/// Writes to standard output. What is done counts, whether or not anybody reads on: a reader that went
/// away neither stops a move nor changes how it ends.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    match output::print(text) {
        Err(error) if output::is_broken_pipe(&error) => Ok(()),
        printed => printed,
    }
}

/// Asks all nodes of `cluster` the same.
pub(super) async fn tell_all<T, A, Q, F>(cluster: &Cluster, deadline: Duration, question: Q) -> Vec<Row<A>>
where
    T: Send + 'static,
    A: From<T> + Serialize,
    Q: Fn(NodeClient) -> F + Clone + Send + 'static,
    F: Future<Output = Result<T, NodeError>> + Send + 'static,
{
    let row = |of: Answer<T>| {
        let unreachable = matches!(of.result, Err(NodeError::Unreachable(_)));
        let error = of.result.as_ref().err().map(NodeError::to_string);
        Row { node: of.node, address: of.address, answer: of.result.ok().map(A::from), error, unreachable }
    };
    ask(cluster, deadline, question).await.into_iter().map(row).collect()
}

/// Prints `rows`, each answered one by `text`, and says how it ended: `well` judges an answer.
pub(super) fn finish<A: Serialize>(
    rows: &Rows<A>,
    manner: &Manner,
    text: impl Fn(&A) -> String,
    well: impl Fn(&A) -> bool,
) -> anyhow::Result<Outcome> {
    match output::structured(rows, manner.output)? {
        Some(text) => say(&text)?,
        None => say(&crate::confirm::rows(&rows.nodes, text))?,
    }
    let any_unreachable = rows.nodes.iter().any(|row| row.unreachable);
    let all_well = rows.nodes.iter().all(|row| row.answer.as_ref().is_some_and(&well));
    Ok(match (any_unreachable, all_well) {
        (true, _) => Outcome::Unreachable,
        (false, true) => Outcome::Well,
        (false, false) => Outcome::Degraded,
    })
}
