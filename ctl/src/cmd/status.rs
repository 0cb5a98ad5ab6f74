//! `haclusterctl status`.

use super::{observe, observe_again};
use crate::Outcome;
use crate::args::{Format, Place, StatusArgs};
use crate::fanout::{Answer, Cluster};
use crate::live::{Live, Nodes, Told};
use crate::output;
use crate::output::status::{Style, text};
use crate::view::{Observed, Status};
use hacluster_proto::v1;
use jiff::Timestamp;
use std::time::Duration;

/// A cluster caught in the middle of a change is asked again after this time.
const AGAIN: Duration = Duration::from_millis(300);
/// Changes that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(50);

pub(super) async fn run(place: &Place, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let cluster = Cluster::of(place)?;
    let observed = observe(&cluster, place.timeout).await?;
    if args.watch {
        return watch(&cluster, place, args, observed).await;
    }
    let before = observed.clone();
    let mut status = Status::of(observed, &args.routers)?;
    // The nodes answer one after the other, if only by microseconds: what looks like two masters or
    // none can be a takeover that one had seen and the other had not.
    if status.is_unsettled() {
        tokio::time::sleep(AGAIN).await;
        let observed = observe_again(&cluster, before, place.timeout).await;
        status = Status::of(observed, &args.routers)?;
    }
    show(&status, args)
}

fn show(status: &Status, args: &StatusArgs) -> anyhow::Result<Outcome> {
    let text = match output::structured(status, args.output)? {
        Some(text) => text,
        None => {
            let wide = args.output == Format::Wide;
            text(status, Style { wide, color: output::color(), columns: output::columns() })
        }
    };
    output::print(&text)?;
    Ok(match status.health {
        "ok" => Outcome::Well,
        "degraded" => Outcome::Degraded,
        _ => Outcome::Unreachable,
    })
}

/// Answers now and after every change.
async fn watch(
    cluster: &Cluster,
    place: &Place,
    args: &StatusArgs,
    observed: Observed,
) -> anyhow::Result<Outcome> {
    let mut live = Live::start(cluster, place.timeout, vec![(None, u64::MAX); cluster.members.len()]);
    let mut nodes = Nodes { answers: observed.answers.clone() };
    loop {
        let (answers, now) = (nodes.answers.clone(), Timestamp::now());
        let status = Status::of(Observed { answers, now, ..observed.clone() }, &args.routers)?;
        if output::color() {
            output::print("\x1b[H\x1b[2J")?; // a terminal shows the latest only
        }
        show(&status, args)?;
        let mut changed = false;
        while !changed {
            let Some((number, told)) = live.next().await else {
                anyhow::bail!("nothing is followed any more")
            };
            changed = take(&mut nodes, number, told, cluster)?;
        }
        while let Ok(Some((number, told))) = tokio::time::timeout(TOGETHER, live.next()).await {
            take(&mut nodes, number, told, cluster)?;
        }
    }
}

/// Nothing differs but clocks and counters.
fn same(before: &Answer<v1::GetSnapshotResponse>, now: &Answer<v1::GetSnapshotResponse>) -> bool {
    let (Ok(before), Ok(now)) = (&before.result, &now.result) else { return false };
    let still = |snapshot: &v1::GetSnapshotResponse| {
        let mut snapshot = snapshot.clone();
        if let Some(node) = &mut snapshot.node {
            node.now = None;
            node.peers.iter_mut().for_each(|peer| (peer.clock_offset, peer.clock_uncertainty) = (None, None));
        }
        snapshot.routers.iter_mut().for_each(|router| router.counters = None);
        snapshot
    };
    still(before) == still(now)
}

/// Whether there is something new to show.
fn take(nodes: &mut Nodes, number: usize, told: Told, cluster: &Cluster) -> anyhow::Result<bool> {
    let news = match &told {
        // The only agent is gone: that is the end, as it is at the beginning.
        Told::Lost(error) if cluster.is_local() => return Err(error.clone().into()),
        Told::Lost(_) => nodes.answers.get(number).is_some_and(|answer| answer.result.is_ok()),
        Told::Snapshot(now) => nodes.answers.get(number).is_none_or(|before| !same(before, now)),
        Told::Router(_) => true,
        Told::Events(..) => false,
    };
    nodes.take(number, &told);
    Ok(news)
}
