//! Virtual and real servers as rows of numbers, and the kernel that balances.
//!
//! The first [`SERVICES_MAX`] virtual and [`SERVERS_MAX`] real servers, in the order configured, are told one
//! by one; of the others it is told how many there are. What the kernel counts is as old as its last look,
//! some seconds.

use super::names;
use super::sample::{SERVERS_MAX, SERVICES_MAX};
use crate::lvs::hands::{Counted, Counts, Picture};
use crate::lvs::{Called, Lvs, ServerView, ServiceView, service_key};
use crate::lvs::{server_key, server_name};
use hacluster_net::netlink::ipvs::Stats;
use opentelemetry::KeyValue;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Load balancing at one moment.
#[derive(Debug)]
pub(super) struct Balance {
    pub(super) services: Vec<ServiceRow>,
    pub(super) servers: Vec<ServerRow>,
    /// So many virtual and real servers are configured beyond those.
    pub(super) unlisted: (usize, usize),
    /// The kernel balances.
    pub(super) available: bool,
    /// Things that the kernel refuses now.
    pub(super) refused: usize,
    pub(super) counts: Arc<Counts>,
}

/// A virtual server.
#[derive(Debug)]
pub(super) struct ServiceRow {
    pub(super) label: KeyValue,
    pub(super) up: bool,
    pub(super) age: Duration,
    pub(super) weight_up: u64,
    pub(super) weight_needed: u64,
    pub(super) suspended: bool,
    /// The sorry server answers; `None` without one.
    pub(super) sorry: Option<bool>,
    pub(super) servers_up: usize,
    pub(super) servers_down: usize,
    pub(super) servers_drained: usize,
    /// What the kernel counted; `None` while it does not have the service.
    pub(super) stats: Option<Stats>,
}

/// A real server of a virtual server.
#[derive(Debug)]
pub(super) struct ServerRow {
    pub(super) labels: [KeyValue; 2],
    pub(super) up: bool,
    pub(super) age: Duration,
    pub(super) weight: u16,
    pub(super) weight_configured: u16,
    pub(super) drained: bool,
    /// An operator ordered another weight than 0.
    pub(super) overridden: bool,
    /// How long the latest try of its slowest check took.
    pub(super) took: Option<Duration>,
    /// What the kernel counted; `None` while it is not in its table.
    pub(super) counted: Option<Counted>,
}

impl Balance {
    pub(super) fn of(lvs: &Lvs) -> Option<Self> {
        let (view, picture) = (lvs.view(), lvs.picture());
        if view.is_empty() {
            return None;
        }
        let mut balance = Self {
            services: Vec::new(),
            servers: Vec::new(),
            unlisted: (view.len().saturating_sub(SERVICES_MAX), 0),
            available: picture.at.is_some() && picture.absent.is_none(),
            refused: picture.refused.len(),
            counts: lvs.counts().clone(),
        };
        for (number, service) in view.iter().enumerate() {
            let service = service.load();
            if number >= SERVICES_MAX {
                balance.unlisted.1 += service.servers.len();
                continue;
            }
            let room = SERVERS_MAX - balance.servers.len();
            balance.unlisted.1 += service.servers.len().saturating_sub(room);
            let rows = service.servers.iter().enumerate().take(room);
            balance.servers.extend(rows.map(|(number, of)| server(&service, number, of, &picture)));
            balance.services.push(row(&service, &picture));
        }
        Some(balance)
    }
}

fn age(since: SystemTime) -> Duration {
    SystemTime::now().duration_since(since).unwrap_or_default()
}

fn row(of: &ServiceView, picture: &Picture) -> ServiceRow {
    let config = &of.config;
    let stats = config.frontends.iter().filter_map(|frontend| picture.services.get(&service_key(frontend)));
    let up = of.servers.iter().filter(|server| server.up).count();
    ServiceRow {
        label: KeyValue::new(names::SERVICE, Called::service(config).service),
        up: of.up,
        age: age(of.since),
        weight_up: of.sum,
        weight_needed: config.quorum.into(),
        suspended: of.suspended,
        sorry: config.sorry.map(|_| of.sorry.is_some_and(|weight| weight > 0)),
        servers_up: up,
        servers_down: of.servers.len() - up,
        servers_drained: of.servers.iter().filter(|server| is_drained(server)).count(),
        stats: stats.map(|(stats, _)| *stats).reduce(sum),
    }
}

fn is_drained(of: &ServerView) -> bool {
    of.order.as_ref().is_some_and(|order| order.weight == 0)
}

fn server(of: &ServiceView, number: usize, view: &ServerView, picture: &Picture) -> ServerRow {
    let config = &of.config.servers[number];
    let counted = of.config.frontends.iter().filter_map(|frontend| {
        let (_, servers) = picture.services.get(&service_key(frontend))?;
        servers.get(&server_key(frontend, config.to, config.forwarding)).copied()
    });
    let took = view.checks.iter().filter_map(|check| Some(check.seen.as_ref()?.outcome.took));
    ServerRow {
        labels: [
            KeyValue::new(names::SERVICE, of.config.name.clone()),
            KeyValue::new(names::SERVER, server_name(&of.config, config.to)),
        ],
        up: view.up,
        age: age(view.since),
        weight: view.weight,
        weight_configured: config.weight,
        drained: is_drained(view),
        overridden: view.order.as_ref().is_some_and(|order| order.weight != 0),
        took: took.max(),
        counted: counted.reduce(|one, other| Counted {
            active: one.active.saturating_add(other.active),
            inactive: one.inactive.saturating_add(other.inactive),
            stats: sum(one.stats, other.stats),
            ..one
        }),
    }
}

/// Totals only: rates are what Prometheus makes of them.
fn sum(one: Stats, other: Stats) -> Stats {
    Stats {
        connections: one.connections.saturating_add(other.connections),
        packets_in: one.packets_in.saturating_add(other.packets_in),
        packets_out: one.packets_out.saturating_add(other.packets_out),
        bytes_in: one.bytes_in.saturating_add(other.bytes_in),
        bytes_out: one.bytes_out.saturating_add(other.bytes_out),
        ..one
    }
}
