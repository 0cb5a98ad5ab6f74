//! Virtual servers in the contract's words.

use crate::in_force::InForce;
use crate::lvs::hands::{Counted, Picture};
use crate::lvs::{
    CheckView, Done, DoneRow, Order, ServerView, ServiceView, View, describe, is_called, server_key,
    server_name, service_key,
};
use hacluster_conf::model::lvs::{Check, Forwarding, Frontend, RealServer, VirtualServer};
use hacluster_core::health::Verdict;
use hacluster_net::netlink::ipvs::Stats;
use hacluster_proto::v1;
use std::time::Duration;

/// Names in a summary.
const NAMED: usize = 20;

/// In a few numbers, with the fingerprint of what is configured; nothing where nothing is balanced.
pub(super) fn summary(view: &View, picture: &Picture, agreement: &str) -> Option<v1::LvsSummary> {
    if view.is_empty() {
        return None;
    }
    let mut summary = v1::LvsSummary {
        absent: picture.absent.as_deref().unwrap_or_default().to_owned(),
        refused: picture.refused.iter().take(NAMED).map(ToString::to_string).collect(),
        agreement: agreement.to_owned(),
        ..Default::default()
    };
    for service in view.iter().map(|service| service.load()) {
        summary.services += 1;
        summary.services_up += u32::from(service.up);
        for server in &service.servers {
            summary.servers += 1;
            summary.servers_up += u32::from(server.up);
            let is_drained = server.order.as_ref().is_some_and(|order| order.weight == 0);
            summary.servers_drained += u32::from(is_drained);
        }
        if !service.up && summary.lost.len() < NAMED {
            let text =
                if service.why.is_empty() { "no server is up".to_owned() } else { service.why.to_string() };
            let name = service.config.name.clone();
            summary.lost.push(v1::LvsLost { name, text, since: Some(service.since.into()) });
        }
    }
    Some(summary)
}

/// All virtual servers, or those that are called so.
pub(super) fn list(
    view: &View,
    picture: &Picture,
    in_force: &InForce,
    called: &[String],
) -> v1::ListLvsResponse {
    let services = view.iter().map(|service| service.load());
    let services =
        services.filter(|view| called.is_empty() || called.iter().any(|typed| is_called(view, typed)));
    v1::ListLvsResponse {
        services: services.map(|view| service(&view, picture, in_force)).collect(),
        absent: picture.absent.as_deref().unwrap_or_default().to_owned(),
        refused: picture.refused.iter().map(ToString::to_string).collect(),
        mended: picture.mended,
        sync_daemons: picture.daemons.clone(),
        looked: picture.at.map(Into::into),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What an operator's order came to.
pub(super) fn done(of: &Done, weight: Option<u16>, dry_run: bool) -> v1::SetServerResponse {
    let change = |row: &DoneRow| v1::ServerChange {
        service: row.service.clone(),
        server: row.server.clone(),
        weight_before: row.before.into(),
        weight_now: row.now.into(),
        up: row.up,
        had_quorum: row.had_quorum,
        quorum: row.quorum,
    };
    v1::SetServerResponse { changes: of.rows.iter().map(change).collect(), text: told(of, weight, dry_run) }
}

/// `10.0.0.2:80 drained in 2 virtual servers (a, b); b loses its quorum`.
fn told(of: &Done, weight: Option<u16>, dry_run: bool) -> String {
    let would = if dry_run { "would be " } else { "" };
    let what = match weight {
        Some(0) => "drained".to_owned(),
        Some(weight) => format!("set to weight {weight}"),
        None => "as configured again".to_owned(),
    };
    let mut servers: Vec<String> = of.rows.iter().map(|row| row.server.clone()).collect();
    servers.dedup();
    let of_some = |names: Vec<&str>| match names.len() {
        count if count > 3 => format!("{} and {} more", names[..3].join(", "), count - 3),
        _ => names.join(", "),
    };
    let services = of_some(of.rows.iter().map(|row| row.service.as_str()).collect());
    let servers = of_some(servers.iter().map(String::as_str).collect());
    let mut text = format!("{servers} {would}{what} in {services}");
    let lost: Vec<&str> =
        of.rows.iter().filter(|row| row.had_quorum && !row.quorum).map(|row| row.service.as_str()).collect();
    if !lost.is_empty() {
        let verb = if dry_run { "would lose" } else { "lost" };
        text.push_str(&format!("; {} {verb} the quorum by it", of_some(lost)));
    }
    if let Some(forgetful) = &of.forgetful {
        text.push_str(&format!("; but {forgetful}"));
    }
    text
}

/// One virtual server, with what the kernel counts of it.
fn service(view: &ServiceView, picture: &Picture, in_force: &InForce) -> v1::LvsService {
    let of = &view.config;
    let totals = of.frontends.iter().filter_map(|frontend| picture.services.get(&service_key(frontend)));
    let servers = of.servers.iter().zip(&view.servers);
    v1::LvsService {
        name: of.name.clone(),
        frontends: of.frontends.iter().map(Frontend::to_string).collect(),
        scheduler: of.scheduler.name.clone(),
        up: view.up,
        since: Some(view.since.into()),
        text: view.why.to_string(),
        weight_up: view.sum,
        weight_needed: of.quorum.into(),
        suspended: view.suspended,
        sorry: of.sorry.map(|sorry| v1::LvsSorry {
            address: server_name(of, sorry.to),
            serving: view.sorry.is_some_and(|weight| weight > 0),
        }),
        servers: servers.map(|(config, server)| real(of, config, server, picture)).collect(),
        traffic: Some(traffic(totals.map(|(stats, _)| *stats))),
        persistence: of
            .persistence
            .as_ref()
            .and_then(|persistence| Duration::from_micros(persistence.timeout.as_micros()).try_into().ok()),
        agreement: in_force.balanced_as(&of.name).to_owned(),
    }
}

fn real(of: &VirtualServer, config: &RealServer, view: &ServerView, picture: &Picture) -> v1::LvsServer {
    let counted: Vec<Counted> = of
        .frontends
        .iter()
        .filter_map(|frontend| {
            let (_, servers) = picture.services.get(&service_key(frontend))?;
            servers.get(&server_key(frontend, config.to, config.forwarding)).copied()
        })
        .collect();
    v1::LvsServer {
        address: server_name(of, config.to),
        forwarding: match config.forwarding {
            Forwarding::Masquerade => "NAT",
            Forwarding::DirectRouting => "DR",
            Forwarding::Tunnel(_) => "TUN",
        }
        .to_owned(),
        up: view.up,
        since: Some(view.since.into()),
        text: view.why.to_string(),
        weight_configured: config.weight.into(),
        weight: view.weight.into(),
        placed: view.placed.is_some(),
        order: view.order.as_ref().map(order),
        checks: config.checks.iter().zip(&view.checks).map(|(config, view)| check(config, view)).collect(),
        connections_active: counted.iter().map(|of| of.active).fold(0, u32::saturating_add),
        connections_inactive: counted.iter().map(|of| of.inactive).fold(0, u32::saturating_add),
        traffic: Some(traffic(counted.iter().map(|of| of.stats))),
    }
}

fn order(of: &Order) -> v1::LvsOrder {
    v1::LvsOrder {
        weight: of.weight.into(),
        by: of.by.clone(),
        reason: of.reason.clone(),
        since: Some(of.since.into()),
        until: of.until.map(Into::into),
    }
}

fn check(config: &Check, view: &CheckView) -> v1::LvsCheck {
    let verdict = match view.verdict {
        Verdict::Unknown => v1::LvsVerdict::Unspecified,
        Verdict::Good => v1::LvsVerdict::Good,
        Verdict::Bad => v1::LvsVerdict::Bad,
    };
    let seen = view.seen.as_deref();
    v1::LvsCheck {
        name: describe(config),
        verdict: verdict.into(),
        up: view.up,
        text: seen.map(|seen| seen.outcome.why.to_string()).unwrap_or_default(),
        at: seen.map(|seen| seen.at.into()),
        took: seen.and_then(|seen| seen.outcome.took.try_into().ok()),
    }
}

/// The sum of all.
fn traffic(all: impl Iterator<Item = Stats>) -> v1::LvsTraffic {
    all.fold(v1::LvsTraffic::default(), |sum, stats| v1::LvsTraffic {
        connections: sum.connections.saturating_add(stats.connections),
        packets_in: sum.packets_in.saturating_add(stats.packets_in),
        packets_out: sum.packets_out.saturating_add(stats.packets_out),
        bytes_in: sum.bytes_in.saturating_add(stats.bytes_in),
        bytes_out: sum.bytes_out.saturating_add(stats.bytes_out),
        connections_per_second: sum.connections_per_second.saturating_add(stats.connections_per_s),
        packets_in_per_second: sum.packets_in_per_second.saturating_add(stats.packets_in_per_s),
        packets_out_per_second: sum.packets_out_per_second.saturating_add(stats.packets_out_per_s),
        bytes_in_per_second: sum.bytes_in_per_second.saturating_add(stats.bytes_in_per_s),
        bytes_out_per_second: sum.bytes_out_per_second.saturating_add(stats.bytes_out_per_s),
    })
}
