//! What is shown: the answers of all nodes as one cluster, in the names that JSON and YAML promise,
//! and what is not as it should be.
//!
//! ```text
//!   answers -> node, router (names) -> group (same router on several nodes) -> ruling (who is, who
//!              should be master, why not) -> findings (what is wrong, what to know, the mend)
//! ```
//!
//! # Names of `status -o json`
//! New members may come; these stay. Absent values are `null`; enumerations are lower case.
//! - `context`, `health` (`ok`, `degraded`, `unreachable`)
//! - `nodes[]`: `name`, `address`, `reachable`, `error`, `round_trip_ms`, `clock_offset_ms`,
//!   `clock_uncertainty_ms`, `refused[]`, `lvs` (null where nothing is balanced), `agent` (`name`, `version`, `started`, `now`, `sequence`,
//!   `configuration`, `drain`, `pause`, `peers[]`, `certificate`, `trackers[]`,
//!   `telemetry`; see [`node`] and [`telemetry`])
//! - `routers[]`: `name`, `vrid`, `names[]`, `masters[]`, `should_be`, `why_not`, `since`, `agree`,
//!   `addresses[]`, `nodes[]`: one for each node that runs it, with `node` and everything of [`router`]
//! - `warnings[]`, `notes[]`: `kind`, `router`, `node`, `text`, `mend`; any warning is degradation

pub(crate) mod agreement;
mod beside;
mod directors;
mod filter;
mod findings;
mod group;
mod health;
pub(crate) mod history;
pub(crate) mod lvs;
mod names;
pub(crate) mod node;
pub(crate) mod router;
mod ruling;
#[cfg(test)]
pub(crate) mod samples;
mod telemetry;

pub(crate) use findings::Finding;
pub(crate) use group::{Group, OnNode};
pub(crate) use names::{find, unknown};
pub(crate) use node::{Certificate, Configuration, Node};
pub(crate) use router::Event;
pub(crate) use ruling::Ruler;

use crate::Usage;
use crate::fanout::Answer;
use hacluster_proto::v1;
use jiff::{SignedDuration, Timestamp};
use node::{Agent, Refused};
use router::Router;
use serde::Serialize;

/// What was seen of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// Name of the context; none for the agent of this machine alone.
    pub(crate) context: Option<String>,
    /// The certificate that we ask with.
    pub(crate) certificate: Option<Certificate>,
    /// One for each node.
    pub(crate) answers: Vec<Answer<v1::GetSnapshotResponse>>,
    /// Our clock.
    pub(crate) now: Timestamp,
}

/// A cluster, or the one node that is known.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) context: Option<String>,
    pub(crate) health: &'static str,
    pub(crate) nodes: Vec<Node>,
    pub(crate) routers: Vec<Group>,
    /// What is not as it should be.
    pub(crate) warnings: Vec<Finding>,
    /// What is on purpose, or only good to know.
    pub(crate) notes: Vec<Finding>,
}

impl Status {
    /// Of what was seen, narrowed to the routers `named`; all of them when none is.
    ///
    /// # Errors
    /// A name that no router has, or several have.
    pub(crate) fn of(observed: Observed, named: &[String]) -> Result<Self, Usage> {
        let Observed { context, certificate, answers, now } = observed;
        let local = context.is_none();
        let mut nodes = Vec::new();
        let mut routers = Vec::new();
        for answer in answers {
            let (node, of_node) = told(answer, now, local);
            routers.push((node.name.clone(), node.agent.as_ref().and_then(|agent| agent.now), of_node));
            nodes.push(node);
        }
        let mut groups = group::group(routers);
        // Where nobody answers no name can be wrong.
        if !named.is_empty() && nodes.iter().any(|node| node.reachable) {
            let wanted = named.iter().map(|typed| group::find(typed, &groups, &nodes));
            let wanted = wanted.collect::<Result<Vec<usize>, _>>()?;
            let mut number = 0..;
            groups.retain(|_| number.next().is_some_and(|number| wanted.contains(&number)));
        }
        groups.iter_mut().for_each(|group| ruling::decide(group, &nodes));
        let mut status =
            Self { context, health: "ok", nodes, routers: groups, warnings: Vec::new(), notes: Vec::new() };
        findings::of_routers(&mut status);
        health::of_nodes(&mut status, certificate.as_ref(), now);
        status.health = match () {
            () if status.nodes.iter().any(|node| !node.reachable) => "unreachable",
            () if !status.warnings.is_empty() => "degraded",
            () => "ok",
        };
        Ok(status)
    }

    /// Nobody or several rule a router, and a node changed just now or is about to.
    pub(crate) fn is_unsettled(&self) -> bool {
        let mut odd = self.routers.iter().filter(|group| group.masters.len() != 1);
        odd.any(|group| group.moving() || group.nodes.iter().any(OnNode::is_settling))
    }

    /// Only the agent of this machine was asked.
    pub(crate) fn is_local(&self) -> bool {
        self.context.is_none()
    }
}

/// What one node told, with its clock brought to `now`.
fn told(answer: Answer<v1::GetSnapshotResponse>, now: Timestamp, local: bool) -> (Node, Vec<Router>) {
    let mut node = Node {
        name: answer.node,
        address: answer.address,
        reachable: true,
        error: None,
        round_trip_ms: None,
        clock_offset_ms: None,
        clock_uncertainty_ms: None,
        agent: None,
        refused: Vec::new(),
        lvs: None,
    };
    let snapshot = match answer.result {
        Ok(snapshot) => snapshot,
        Err(error) => {
            node.reachable = false;
            node.error = Some(error.to_string());
            return (node, Vec::new());
        }
    };
    let mut agent: Agent = snapshot.node.unwrap_or_default().into();
    agent.sequence = snapshot.sequence;
    if local && !agent.name.is_empty() {
        node.name.clone_from(&agent.name);
    }
    node.round_trip_ms = Some(round(answer.round_trip.as_secs_f64() * 1_000.0));
    if let Some(clock) = agent.now {
        let offset = clock.duration_since(answer.middle);
        node.clock_offset_ms = Some(round(offset.as_secs_f64() * 1_000.0));
        node.clock_uncertainty_ms = Some(round(answer.round_trip.as_secs_f64() * 500.0));
        agent.now = now.checked_add(offset).ok().or(agent.now);
    }
    node.lvs = snapshot.lvs.map(Into::into);
    node.refused = snapshot.refused.into_iter().map(Refused::from).collect();
    node.agent = Some(agent);
    (node, snapshot.routers.into_iter().map(Router::from).collect())
}

/// To a microsecond: more is noise.
fn round(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

/// `at` of a node's clock by ours.
pub(crate) fn by_our_clock(at: Option<Timestamp>, offset_ms: Option<f64>) -> Option<Timestamp> {
    let offset = SignedDuration::try_from_secs_f64(offset_ms.unwrap_or(0.0) / 1_000.0).ok()?;
    at?.checked_sub(offset).ok()
}

/// `STATE_MASTER` of enumeration `State` as `master`.
fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

fn known(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
