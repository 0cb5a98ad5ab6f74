//! Virtual servers as a status shows them. Always what is known now, however old a copy of the handle is.

use super::orders::Order;
use crate::check::Outcome;
use arc_swap::ArcSwap;
use hacluster_conf::model::lvs::{Check, CheckKind, Frontend, VirtualServer};
use hacluster_core::health::Verdict;
use hacluster_core::time::Instant;
use std::sync::Arc;
use std::time::SystemTime;

/// All virtual servers, in the order configured.
pub type View = Arc<[Arc<ArcSwap<ServiceView>>]>;

/// One virtual server.
#[derive(Clone, Debug)]
pub struct ServiceView {
    /// As configured.
    pub config: Arc<VirtualServer>,
    /// It has its quorum.
    pub up: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// Why, for people.
    pub why: Arc<str>,
    /// Sum of the weights of servers that are up.
    pub sum: u64,
    /// The sum at which that changes.
    pub threshold: u64,
    /// Its checks rest, because its address is not on this node.
    pub suspended: bool,
    /// Weight of the sorry server in the kernel's table; `None` when it is not in there.
    pub sorry: Option<u16>,
    /// Real servers, in the order configured.
    pub servers: Vec<ServerView>,
}

/// One real server.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// It can take connections.
    pub up: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// Why it came or went last, for people; empty before the first change.
    pub why: Arc<str>,
    /// Weight in force.
    pub weight: u16,
    /// Weight in the kernel's table; `None` when it is not in there.
    pub placed: Option<u16>,
    /// What an operator ordered.
    pub order: Option<Order>,
    /// Its checks, in the order configured.
    pub checks: Vec<CheckView>,
}

/// One check of a real server.
#[derive(Clone, Debug)]
pub struct CheckView {
    /// What counts of it.
    pub up: bool,
    /// Its verdict.
    pub verdict: Verdict,
    /// Its latest result that was remarkable.
    pub seen: Option<Arc<Seen>>,
}

/// A result of a check.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What came of it.
    pub outcome: Outcome,
    /// When.
    pub at: SystemTime,
    /// When it was heard of, by the clock of events.
    pub heard: Instant,
}

impl ServiceView {
    /// `10.0.0.1 80 (TCP 10.0.0.1:80)`: the name, and what it balances where the name does not say so.
    pub fn label(of: &VirtualServer) -> String {
        let first = of.frontends.first().map(Frontend::to_string).unwrap_or_default();
        let more = of.frontends.len().saturating_sub(1);
        match (of.name.starts_with("group "), more) {
            (true, 0) => format!("{} ({first})", of.name),
            (true, more) => format!("{} ({first} and {more} more)", of.name),
            (false, _) => first,
        }
    }
}

/// What `check` is, for people: `HTTP check of 10.0.0.2:80`.
pub fn describe(check: &Check) -> String {
    let kind = match &check.kind {
        CheckKind::Tcp => "TCP check",
        CheckKind::Http(http) if http.tls => "HTTPS check",
        CheckKind::Http(_) => "HTTP check",
        CheckKind::Smtp { .. } => "SMTP check",
        CheckKind::Dns { .. } => "DNS check",
        CheckKind::Udp(_) => "UDP check",
        CheckKind::Ping => return format!("ping of {}", check.route.to.ip()),
        CheckKind::Misc { command, .. } => return format!("script {}", command.program()),
        CheckKind::File { tracker, .. } => return format!("file {tracker}"),
    };
    format!("{kind} of {}", check.route.to)
}
