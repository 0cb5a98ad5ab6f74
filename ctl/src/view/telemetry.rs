//! What a node tells collectors, and whether they take it.
//!
//! # Names in `status -o json`, below `agent.telemetry`
//! `otlp`, `prometheus` (null for nowhere), `page_error`, `events_dropped`, `signals[]`: `name` (`traces`,
//! `metrics`, `logs`), `state` (`up`, `failing`, `untried`), `since`, `error`, `exported`, `dropped`, `failures`

use super::findings::Finding;
use super::known;
use super::node::{Agent, Node};
use crate::times::{ago, timestamp};
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Telemetry {
    /// Where the collector is.
    pub(crate) otlp: Option<String>,
    /// Where Prometheus finds the page.
    pub(crate) prometheus: Option<String>,
    /// Why the page is not open.
    pub(crate) page_error: Option<String>,
    /// Events that nothing was made of.
    pub(crate) events_dropped: u64,
    pub(crate) signals: Vec<Signal>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Signal {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    /// Since when that is so.
    pub(crate) since: Option<Timestamp>,
    /// Why the collector does not take it.
    pub(crate) error: Option<String>,
    pub(crate) exported: u64,
    /// Given up.
    pub(crate) dropped: u64,
    /// Attempts that failed.
    pub(crate) failures: u64,
}

impl From<v1::Telemetry> for Telemetry {
    fn from(of: v1::Telemetry) -> Self {
        let signal = |of: v1::TelemetrySignal| Signal {
            state: match (&of.since, of.error.is_empty()) {
                (None, _) => "untried",
                (Some(_), true) => "up",
                (Some(_), false) => "failing",
            },
            since: timestamp(of.since.as_ref()),
            error: known(of.error),
            name: of.name,
            exported: of.exported,
            dropped: of.dropped,
            failures: of.failures,
        };
        Self {
            otlp: known(of.otlp),
            prometheus: known(of.prometheus),
            page_error: known(of.page_error),
            events_dropped: of.events_dropped,
            signals: of.signals.into_iter().map(signal).collect(),
        }
    }
}

/// What to say of it in few words: nothing as long as collectors take what they are told. No warning, since
/// virtual routers do not suffer.
pub(super) fn note(node: &Node, agent: &Agent) -> Option<Finding> {
    let of = agent.telemetry.as_ref()?;
    let failing: Vec<&Signal> = of.signals.iter().filter(|signal| signal.state == "failing").collect();
    let mut said = Vec::new();
    if let Some(first) = failing.iter().min_by_key(|signal| signal.since) {
        let names: Vec<&str> = failing.iter().map(|signal| &*signal.name).collect();
        let lost: u64 = failing.iter().map(|signal| signal.dropped).sum();
        let lost = if lost > 0 { format!("; {lost} item(s) given up") } else { String::new() };
        let error = first.error.as_deref().unwrap_or("it says nothing");
        let (to, since) = (of.otlp.as_deref().unwrap_or("-"), ago(first.since, agent.now));
        said.push(format!("the collector {to} takes no {} for {since}: {error}{lost}", names.join(", ")));
    }
    if let Some(error) = &of.page_error {
        said.push(format!("the page at {} is not open: {error}", of.prometheus.as_deref().unwrap_or("-")));
    }
    let text = format!("telemetry of {}: {}", node.name, said.join("; "));
    let mend = "[telemetry] of agent.toml names the collector; virtual routers are not affected".to_owned();
    let finding = Finding { kind: "telemetry", router: None, node: Some(node.name.clone()), text, mend };
    (!said.is_empty()).then_some(finding)
}
