//! `haclusterctl events` and `haclusterctl history`: what happened on all nodes, in one order.

use super::gather;
use crate::args::{EventsArgs, Format, HistoryArgs, Place};
use crate::client::{NodeClient, NodeError};
use crate::fanout::Cluster;
use crate::live::{Live, Mark, Nodes, Told};
use crate::output::{self, events as lines, yaml};
use crate::view::history::{NodeEvent, changes, merge};
use crate::view::{Event, Observed, Status, find};
use crate::{Outcome, Usage};
use hacluster_proto::v1;
use jiff::Timestamp;
use std::time::Instant;

/// What is remembered everywhere.
pub(crate) struct Past {
    /// The nodes as they are now.
    pub(crate) observed: Observed,
    /// Oldest first.
    pub(crate) events: Vec<NodeEvent>,
    /// Last event of each node.
    pub(crate) marks: Vec<Mark>,
    pub(crate) status: Status,
}

/// What agents remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Everything since they started, of late.
    Events,
    /// Changes of state, also of before.
    Changes,
}

/// The changes of state that a node remembers; an older agent has only those among its events.
async fn remembered(node: &NodeClient) -> Result<Vec<v1::Event>, NodeError> {
    let asked = node.read().list_transitions(v1::ListTransitionsRequest::default()).await;
    let Ok(told) = asked else {
        return Ok(node.read().list_events(v1::ListEventsRequest::default()).await?.into_inner().events);
    };
    let event = |of: v1::RouterTransition| v1::Event {
        at: of.transition.as_ref().and_then(|of| of.at),
        router: of.router,
        transition: of.transition,
        ..Default::default()
    };
    Ok(told.into_inner().transitions.into_iter().map(event).collect())
}

impl Past {
    /// Asks all nodes.
    pub(crate) async fn of(cluster: &Cluster, place: &Place, memory: Memory) -> anyhow::Result<Self> {
        let (mut answers, mut told) = (Vec::new(), Vec::new());
        let asked = gather(cluster, place.timeout, move |node| async move {
            // Clocks are compared by the first answer alone.
            let (sent, clock) = (Instant::now(), Timestamp::now());
            let snapshot = node.read().get_snapshot(v1::GetSnapshotRequest {}).await?.into_inner();
            let asked = (sent.elapsed(), clock);
            let events = match memory {
                Memory::Changes => remembered(&node).await?,
                Memory::Events => {
                    node.read().list_events(v1::ListEventsRequest::default()).await?.into_inner().events
                }
            };
            Ok((snapshot, (events, asked)))
        });
        for answer in asked.await? {
            let (mut answer, other) = answer.split();
            if let Some((_, (round_trip, clock))) = &other {
                answer.round_trip = *round_trip;
                answer.middle = clock.checked_add(*round_trip / 2).unwrap_or(*clock);
            }
            told.push(other.map(|(events, _)| events).unwrap_or_default());
            answers.push(answer);
        }
        let marks = answers.iter().zip(&told).map(|(answer, events)| {
            let node = answer.result.as_ref().ok().and_then(|snapshot| snapshot.node.as_ref());
            (node.and_then(|node| node.started), events.last().map_or(0, |event| event.sequence))
        });
        let marks = marks.collect();
        let observed = super::observed(cluster, answers);
        let status = Status::of(observed.clone(), &[])?;
        let mut events = Vec::new();
        for (number, of_node) in told.into_iter().enumerate() {
            events
                .extend(of_node.into_iter().map(|event| NodeEvent::of(Event::from(event), &status, number)));
        }
        Ok(Self { observed, events: merge(events), marks, status })
    }

    /// The virtual router that `typed` means: one that runs, or one that is only remembered.
    fn resolve(&self, typed: &str) -> Result<String, Usage> {
        let mut names: Vec<String> = self.status.routers.iter().map(|group| group.name.clone()).collect();
        names.extend(self.events.iter().filter_map(|event| event.cluster_router.clone()));
        names.sort();
        names.dedup();
        Ok(find("virtual router", typed, &names)?.to_owned())
    }

    fn dead(&self) -> Outcome {
        for node in self.status.nodes.iter().filter(|node| !node.reachable) {
            let error = node.error.as_deref().unwrap_or("no answer");
            eprintln!("{}: {}", output::safe(&node.name), output::safe(error));
        }
        match self.status.health {
            "unreachable" => Outcome::Unreachable,
            _ => Outcome::Well,
        }
    }
}

/// How events are written.
struct Printer {
    format: Format,
    /// Width of the node column; none for one node.
    nodes: Option<usize>,
    only: Option<String>,
}

impl Printer {
    fn print(&self, events: &[NodeEvent]) -> anyhow::Result<()> {
        let mut text = String::new();
        for event in events.iter().filter(|event| self.only.is_none() || event.cluster_router == self.only) {
            text.push_str(&match self.format {
                Format::Json => output::json_line(event)?,
                Format::Yaml => format!("---\n{}", yaml::text(&serde_json::to_value(event)?)),
                Format::Table | Format::Wide => lines::event(event, self.nodes),
            });
        }
        output::print(&text)
    }
}

pub(super) async fn run(place: &Place, args: &EventsArgs) -> anyhow::Result<Outcome> {
    let cluster = Cluster::of(place)?;
    let past = Past::of(&cluster, place, Memory::Events).await?;
    let only = args.router.as_ref().map(|typed| past.resolve(typed)).transpose()?;
    let width = cluster.members.iter().map(|member| member.name.chars().count()).max();
    let nodes = width.filter(|_| !cluster.is_local());
    let printer = Printer { format: args.output, nodes, only };
    printer.print(&past.events)?;
    let outcome = past.dead();
    if args.follow { follow(&cluster, place, past, &printer).await } else { Ok(outcome) }
}

async fn follow(cluster: &Cluster, place: &Place, past: Past, printer: &Printer) -> anyhow::Result<Outcome> {
    let Past { observed, mut status, marks, .. } = past;
    let mut dead: Vec<bool> = status.nodes.iter().map(|node| !node.reachable).collect();
    let mut nodes = Nodes { answers: observed.answers.clone() };
    let mut live = Live::start(cluster, place.timeout, marks);
    while let Some((number, told)) = live.next().await {
        nodes.take(number, &told);
        let again = |nodes: &Nodes| {
            let now = Timestamp::now();
            Status::of(Observed { answers: nodes.answers.clone(), now, ..observed.clone() }, &[])
        };
        match told {
            Told::Events(events, forgotten) => {
                if forgotten > 0 {
                    eprintln!("... {forgotten} event(s) of one node are not remembered any more");
                }
                status = again(&nodes)?;
                let of = |event| NodeEvent::of(Event::from(event), &status, number);
                printer.print(&merge(events.into_iter().map(of).collect()))?;
            }
            Told::Lost(error) if !std::mem::replace(&mut dead[number], true) => {
                if cluster.is_local() {
                    return Err(error.into());
                }
                let name = &cluster.members[number].name;
                eprintln!("{}: {}; trying again", output::safe(name), output::safe(&error.to_string()));
            }
            Told::Snapshot(_) if std::mem::replace(&mut dead[number], false) => {
                eprintln!("{}: answers again", output::safe(&cluster.members[number].name));
            }
            Told::Snapshot(_) | Told::Router(_) | Told::Lost(_) => {}
        }
    }
    anyhow::bail!("nothing is followed any more")
}

pub(super) async fn history(place: &Place, args: &HistoryArgs) -> anyhow::Result<Outcome> {
    let cluster = Cluster::of(place)?;
    let past = Past::of(&cluster, place, Memory::Changes).await?;
    let only = args.router.as_ref().map(|typed| past.resolve(typed)).transpose()?;
    let mut changes = changes(&past.events);
    changes.retain(|change| only.as_ref().is_none_or(|name| *name == change.router));
    let text = match output::structured(&changes, args.output)? {
        Some(text) => text,
        None => lines::history(&changes, output::color()),
    };
    output::print(&text)?;
    Ok(past.dead())
}
