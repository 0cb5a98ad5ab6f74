//! Virtual servers of all nodes, in the names that JSON and YAML promise, and what is not as it should be.
//!
//! # Names of `lvs -o json`
//! New members may come; these stay.
//! - `context`, `health` (`ok`, `degraded`, `unreachable`)
//! - `nodes[]`: `name`, `address`, `error`, `absent`, `refused[]`, `mended`, `sync_daemons[]`, `looked`,
//!   `version`, `services[]`
//! - `services[]`: `name`, `frontends[]`, `scheduler`, `persistence_s`, `up`, `since`, `text`, `weight_up`,
//!   `weight_needed`, `suspended`, `sorry` (`address`, `serving`), `servers[]`, `traffic`,
//!   `agreement`
//! - `servers[]`: `address`, `forwarding`, `state` (`up`, `down`, `drained`), `since`, `text`, `weight`,
//!   `weight_configured`, `placed`, `order`, `checks[]`, `connections_active`, `connections_inactive`,
//!   `traffic`
//! - `warnings[]`, `notes[]`: `kind`, `service`, `node`, `text`, `mend`; any warning is degradation

use super::known;
use crate::fanout::Answer;
use crate::times::{ago, timestamp};
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

/// Findings of one kind that are named.
const NAMED: usize = 10;

/// Load balancing of a cluster, or of the one node that is known.
#[derive(Debug, Serialize)]
pub(crate) struct Lvs {
    pub(crate) context: Option<String>,
    pub(crate) health: &'static str,
    pub(crate) nodes: Vec<LvsNode>,
    pub(crate) warnings: Vec<LvsFinding>,
    pub(crate) notes: Vec<LvsFinding>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LvsNode {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Why it did not answer.
    pub(crate) error: Option<String>,
    #[serde(skip)]
    pub(crate) unreachable: bool,
    /// Why its kernel does not balance.
    pub(crate) absent: Option<String>,
    pub(crate) refused: Vec<String>,
    pub(crate) mended: u64,
    pub(crate) sync_daemons: Vec<String>,
    pub(crate) looked: Option<Timestamp>,
    /// Of the agent; none of an older one.
    pub(crate) version: Option<String>,
    pub(crate) services: Vec<Service>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) frontends: Vec<String>,
    pub(crate) scheduler: String,
    pub(crate) persistence_s: Option<i64>,
    pub(crate) up: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) text: String,
    pub(crate) weight_up: u64,
    pub(crate) weight_needed: u64,
    pub(crate) suspended: bool,
    pub(crate) sorry: Option<Sorry>,
    pub(crate) servers: Vec<Server>,
    pub(crate) traffic: Traffic,
    /// Fingerprint of what all directors must have alike; none of an older agent.
    pub(crate) agreement: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sorry {
    pub(crate) address: String,
    pub(crate) serving: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) forwarding: String,
    /// `up`, `down` or `drained`.
    pub(crate) state: &'static str,
    pub(crate) since: Option<Timestamp>,
    pub(crate) text: String,
    pub(crate) weight: u32,
    pub(crate) weight_configured: u32,
    pub(crate) placed: bool,
    pub(crate) order: Option<Order>,
    pub(crate) checks: Vec<Check>,
    pub(crate) connections_active: u32,
    pub(crate) connections_inactive: u32,
    pub(crate) traffic: Traffic,
}

#[derive(Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) weight: u32,
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    /// `good`, `bad` or `unknown`.
    pub(crate) verdict: &'static str,
    pub(crate) up: bool,
    pub(crate) text: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) took_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Traffic {
    pub(crate) connections: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) connections_per_second: u64,
    pub(crate) packets_in_per_second: u64,
    pub(crate) packets_out_per_second: u64,
    pub(crate) bytes_in_per_second: u64,
    pub(crate) bytes_out_per_second: u64,
}

/// One thing to say, with what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LvsFinding {
    /// For programs.
    pub(crate) kind: &'static str,
    pub(crate) service: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) text: String,
    pub(crate) mend: String,
}

impl Lvs {
    /// Of what all nodes answered.
    pub(crate) fn of(
        context: Option<String>,
        answers: Vec<Answer<v1::ListLvsResponse>>,
        now: Timestamp,
    ) -> Self {
        let nodes: Vec<LvsNode> = answers.into_iter().map(LvsNode::of).collect();
        let mut lvs = Self { context, health: "ok", nodes, warnings: Vec::new(), notes: Vec::new() };
        let (mut warnings, mut notes) = (Vec::new(), Vec::new());
        for node in &lvs.nodes {
            of_node(node, &mut warnings, &mut notes);
            for service in &node.services {
                of_service(node, service, now, &mut warnings, &mut notes);
            }
        }
        differences(&lvs.nodes, &mut warnings);
        lvs.health = match () {
            () if lvs.nodes.iter().any(|node| node.unreachable) => "unreachable",
            () if warnings.is_empty() => "ok",
            () => "degraded",
        };
        (lvs.warnings, lvs.notes) = (warnings, notes);
        lvs
    }

    /// Only the agent of this machine was asked.
    pub(crate) fn is_local(&self) -> bool {
        self.context.is_none()
    }

    /// Names of all virtual servers, in the order of the first node that has them.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for service in self.nodes.iter().flat_map(|node| &node.services) {
            if !names.contains(&service.name.as_str()) {
                names.push(&service.name);
            }
        }
        names
    }
}

impl LvsNode {
    /// The virtual server of that name.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    fn of(answer: Answer<v1::ListLvsResponse>) -> Self {
        let (of, error) = match answer.result {
            Ok(of) => (of, None),
            Err(error) => (v1::ListLvsResponse::default(), Some(error)),
        };
        let unreachable = matches!(error, Some(crate::client::NodeError::Unreachable(_)));
        Self {
            name: answer.node,
            address: answer.address,
            error: error.map(|error| error.to_string()),
            unreachable,
            absent: known(of.absent),
            refused: of.refused,
            mended: of.mended,
            sync_daemons: of.sync_daemons,
            looked: timestamp(of.looked.as_ref()),
            version: known(of.agent_version),
            services: of.services.into_iter().map(Service::from).collect(),
        }
    }
}

impl Service {
    /// Whether `typed` means it, as agents judge: its name, a group's, or what it balances.
    pub(crate) fn is_called(&self, typed: &str) -> bool {
        let to = |text: &str| text.eq_ignore_ascii_case(typed) || text == typed.replacen(' ', ":", 1);
        to(&self.name)
            || self.name.strip_prefix("group ").is_some_and(to)
            || self
                .frontends
                .iter()
                .any(|text| to(text) || text.split_once(' ').is_some_and(|(_, text)| to(text)))
    }

    /// The real server at that address.
    pub(crate) fn server(&self, address: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.address == address)
    }
}

impl From<v1::LvsService> for Service {
    fn from(of: v1::LvsService) -> Self {
        Self {
            name: of.name,
            frontends: of.frontends,
            scheduler: of.scheduler,
            persistence_s: of.persistence.map(|persistence| persistence.seconds),
            up: of.up,
            since: timestamp(of.since.as_ref()),
            text: of.text,
            weight_up: of.weight_up,
            weight_needed: of.weight_needed,
            suspended: of.suspended,
            sorry: of.sorry.map(|sorry| Sorry { address: sorry.address, serving: sorry.serving }),
            servers: of.servers.into_iter().map(Server::from).collect(),
            traffic: of.traffic.map(Traffic::from).unwrap_or_default(),
            agreement: known(of.agreement),
        }
    }
}

impl From<v1::LvsServer> for Server {
    fn from(of: v1::LvsServer) -> Self {
        let is_drained = of.order.as_ref().is_some_and(|order| order.weight == 0);
        Self {
            address: of.address,
            forwarding: of.forwarding,
            state: match (of.up, is_drained) {
                (false, _) => "down",
                (true, true) => "drained",
                (true, false) => "up",
            },
            since: timestamp(of.since.as_ref()),
            text: of.text,
            weight: of.weight,
            weight_configured: of.weight_configured,
            placed: of.placed,
            order: of.order.map(Order::from),
            checks: of.checks.into_iter().map(Check::from).collect(),
            connections_active: of.connections_active,
            connections_inactive: of.connections_inactive,
            traffic: of.traffic.map(Traffic::from).unwrap_or_default(),
        }
    }
}

impl From<v1::LvsOrder> for Order {
    fn from(of: v1::LvsOrder) -> Self {
        let (since, until) = (timestamp(of.since.as_ref()), timestamp(of.until.as_ref()));
        Self { weight: of.weight, by: of.by, reason: of.reason, since, until }
    }
}

impl From<v1::LvsCheck> for Check {
    fn from(of: v1::LvsCheck) -> Self {
        Self {
            verdict: match of.verdict() {
                v1::LvsVerdict::Unspecified => "unknown",
                v1::LvsVerdict::Good => "good",
                v1::LvsVerdict::Bad => "bad",
            },
            name: of.name,
            up: of.up,
            text: of.text,
            at: timestamp(of.at.as_ref()),
            took_ms: of.took.as_ref().map(super::node::millis),
        }
    }
}

impl From<v1::LvsTraffic> for Traffic {
    fn from(of: v1::LvsTraffic) -> Self {
        Self {
            connections: of.connections,
            packets_in: of.packets_in,
            packets_out: of.packets_out,
            bytes_in: of.bytes_in,
            bytes_out: of.bytes_out,
            connections_per_second: of.connections_per_second,
            packets_in_per_second: of.packets_in_per_second,
            packets_out_per_second: of.packets_out_per_second,
            bytes_in_per_second: of.bytes_in_per_second,
            bytes_out_per_second: of.bytes_out_per_second,
        }
    }
}

fn finding(node: &LvsNode, kind: &'static str, text: String, mend: &str) -> LvsFinding {
    LvsFinding { kind, service: None, node: Some(node.name.clone()), text, mend: mend.to_owned() }
}

fn of_node(node: &LvsNode, warnings: &mut Vec<LvsFinding>, notes: &mut Vec<LvsFinding>) {
    if let Some(error) = &node.error {
        warnings.push(finding(
            node,
            "node_unreachable",
            format!("{} cannot be asked: {error}", node.name),
            "",
        ));
    }
    if let Some(absent) = node.absent.as_ref().filter(|_| !node.services.is_empty()) {
        let (text, mend) = absent.rsplit_once("; ").unwrap_or((absent, ""));
        warnings.push(finding(
            node,
            "kernel_absent",
            format!("{} balances nothing: {text}", node.name),
            mend,
        ));
    }
    for refused in node.refused.iter().take(NAMED) {
        warnings.push(finding(node, "refused", format!("{}: {refused}", node.name), ""));
    }
    if node.mended > 0 {
        let times = if node.mended == 1 { "once".to_owned() } else { format!("{} times", node.mended) };
        let text = format!("another program changed virtual servers on {} {times}; mended", node.name);
        notes.push(finding(node, "mended", text, "haclusterctl events"));
    }
}

fn of_service(
    node: &LvsNode,
    of: &Service,
    now: Timestamp,
    warnings: &mut Vec<LvsFinding>,
    notes: &mut Vec<LvsFinding>,
) {
    let name = Some(of.name.clone());
    if !of.up {
        let since = ago(of.since, Some(now));
        let text = if of.text.is_empty() { "no server is up" } else { &of.text };
        let text = format!("no quorum on {} for {since}: {text}", node.name);
        let mend = format!("haclusterctl lvs {} -o wide", crate::output::text::word(&of.name));
        warnings.push(LvsFinding { service: name.clone(), ..finding(node, "no_quorum", text, &mend) });
    }
    for server in of.servers.iter().filter(|server| server.state == "down") {
        let since = ago(server.since, Some(now));
        let text = format!("{} is down on {} for {since}: {}", server.address, node.name, server.text);
        notes.push(LvsFinding { service: name.clone(), ..finding(node, "server_down", text, "") });
    }
    for server in &of.servers {
        let Some(order) = &server.order else { continue };
        let until = order
            .until
            .map_or_else(String::new, |until| format!(", for {} more", ago(Some(now), Some(until))));
        let what =
            if order.weight == 0 { "drained".to_owned() } else { format!("at weight {}", order.weight) };
        let text = format!(
            "{} is {what} on {} for {}, by {} ({}){until}",
            server.address,
            node.name,
            ago(order.since, Some(now)),
            order.by,
            order.reason
        );
        let mend = format!("haclusterctl lvs enable {}", server.address);
        notes.push(LvsFinding { service: name.clone(), ..finding(node, "ordered", text, &mend) });
    }
}

/// What nodes that balance the same do not agree on: whoever takes over would answer differently.
fn differences(nodes: &[LvsNode], warnings: &mut Vec<LvsFinding>) {
    let answering: Vec<&LvsNode> = nodes.iter().filter(|node| node.error.is_none()).collect();
    let Some((first, others)) = answering.split_first() else { return };
    for other in others {
        let mut odd = Vec::new();
        for service in &first.services {
            match other.service(&service.name) {
                None => {
                    odd.push((service.name.clone(), format!("is on {}, not on {}", first.name, other.name)))
                }
                Some(same) => {
                    odd.extend(differs(first, service, other, same).map(|text| (service.name.clone(), text)));
                }
            }
        }
        let more = other.services.iter().filter(|service| first.service(&service.name).is_none());
        odd.extend(more.map(|of| (of.name.clone(), format!("is on {}, not on {}", other.name, first.name))));
        for (service, text) in odd.into_iter().take(NAMED) {
            let mend = format!("haclusterctl config diff {} {}", first.name, other.name);
            let of = LvsFinding { kind: "differs", service: Some(service), node: None, text, mend };
            warnings.push(of);
        }
    }
}

/// In which way a virtual server is not the same on both.
fn differs(first: &LvsNode, one: &Service, other: &LvsNode, two: &Service) -> Option<String> {
    let (here, there) = (&first.name, &other.name);
    let set = |of: &Service| {
        let mut servers: Vec<(String, String, u32)> = of
            .servers
            .iter()
            .map(|server| (server.address.clone(), server.forwarding.clone(), server.weight_configured))
            .collect();
        servers.sort();
        (of.scheduler.clone(), of.persistence_s, of.weight_needed, of.frontends.clone(), servers)
    };
    // Fingerprints of different versions say nothing about each other.
    let comparable = first.version.is_some() && first.version == other.version;
    if set(one) != set(two) || comparable && one.agreement != two.agreement {
        return Some(format!("is not configured the same on {here} and {there}"));
    }
    one.servers.iter().find_map(|server| {
        let same = two.server(&server.address)?;
        (server.state != same.state && !two.suspended && !one.suspended).then(|| {
            format!("{} is {} on {here} and {} on {there}", server.address, server.state, same.state)
        })
    })
}

#[cfg(test)]
mod tests;
