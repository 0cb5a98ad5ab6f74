//! `[lvs]` and `[[virtual_server]]` with its `[[virtual_server.real_server]]`.
//!
//! A virtual server of the same name as one below is changed key by key; its list of real servers is
//! replaced as a whole. One with any error in what is written of it is not set up.

mod process;

use super::read::{Layers, List};
use super::table::Table;
use super::{check, command};
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::lvs::{
    Forwarding, Frontend, Persistence, Protocol, RealServer, Scheduler, SorryServer, VirtualServer,
};
use crate::model::validate::lvs::{About, Others, crossed, settle};
use crate::model::{Config, Peer};
use crate::notation::lvs::{
    DEFAULT_SCHEDULER, GROUP_MAX, GROUPS_MAX, PERSISTENCE_MAX_SECS, PROTOCOLS, SCHEDULERS, addresses,
    forwarding,
};
use crate::notation::pace::Pace;
use config::ValueKind;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Keys of a virtual server beside those of [`check::PACE_KEYS`].
const SERVICE_KEYS: [&str; 22] = [
    "name",
    "addresses",
    "marks",
    "ipv6",
    "protocol",
    "scheduler",
    "flags",
    "forwarding",
    "persistence",
    "persistence_prefix",
    "persistence_engine",
    "one_packet",
    "ha_suspend",
    "omega",
    "quorum",
    "hysteresis",
    "quorum_up",
    "quorum_down",
    "mail",
    "sorry_server",
    "host",
    "real_server",
];
const SERVER_KEYS: [&str; 11] = [
    "address",
    "weight",
    "forwarding",
    "upper_threshold",
    "lower_threshold",
    "inhibit_on_failure",
    "notify_up",
    "notify_down",
    "mail",
    "host",
    "check",
];
/// What is around all virtual servers.
pub(super) struct Around<'a> {
    pub(super) config: &'a Config,
    pub(super) host_name: &'a str,
}

/// Reads both over what `config` holds; `path` is the file that relative names are looked for beside.
pub(super) fn lower(
    config: &mut Config,
    root: &mut Table<'_>,
    layers: &Layers,
    (path, host_name, own): (&Path, &str, &HashSet<IpAddr>),
    findings: &Findings,
) {
    if let Some(table) = root.table("lvs") {
        let mut lvs = std::mem::take(&mut config.lvs);
        process::read(table, &mut lvs, config, path.parent().unwrap_or(Path::new("")));
        config.lvs = lvs;
    }
    let tables = root.table("virtual_server");
    if tables.is_none() && config.peers.is_empty() {
        return;
    }
    let known = said(config, own);
    let mut services = std::mem::take(&mut config.lvs.services);
    if let Some(tables) = tables {
        change(&mut services, tables, layers, &Around { config, host_name });
    }
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    settle(&mut services, &config.routers, (own, &peers(config)), |at, about, mut finding| {
        if !known.contains(&(finding.code, finding.message.clone())) {
            finding.span = place_of(layers, &names[at], about);
            findings.push(finding);
        }
    });
    config.lvs.services = services;
}

/// The other agents, where they are known by address.
fn peers(config: &Config) -> Others {
    let address = |peer: &Peer| {
        let to: SocketAddr = peer.address.parse().ok()?;
        Some((to.ip(), format!("peer `{}`", show(&peer.name))))
    };
    config.peers.iter().filter_map(address).collect()
}

/// Adds what is written to `services`, changes those there are, takes out those it breaks.
fn change(services: &mut Vec<VirtualServer>, mut tables: Table<'_>, layers: &Layers, around: &Around<'_>) {
    let mut places: HashMap<String, usize> =
        services.iter().enumerate().map(|(at, service)| (service.name.to_ascii_lowercase(), at)).collect();
    let mut broken = HashSet::new();
    let mut count: usize = 0;
    for key in layers.keys(List::Services) {
        let Some(table) = tables.table(key) else { continue };
        let place = places.get(key).copied();
        match service(table, place.map(|at| services[at].clone()), around) {
            Some(service) if count + service.frontends.len() > GROUPS_MAX => {
                let message = format!(
                    "virtual servers have more than {GROUPS_MAX} addresses and marks: `{}` and \
                                       all after it are left out",
                    show(&service.name)
                );
                tables.report(Severity::Error, "too-many-addresses", key, message, "");
                break;
            }
            Some(service) => {
                count += service.frontends.len();
                match place {
                    Some(at) => services[at] = service,
                    None => {
                        places.insert(key.clone(), services.len());
                        services.push(service);
                    }
                }
            }
            None => broken.extend(place),
        }
    }
    let mut at = 0..;
    services.retain(|_| at.next().is_none_or(|at| !broken.contains(&at)));
}

/// What the layer below has said already.
fn said(config: &Config, own: &HashSet<IpAddr>) -> HashSet<(&'static str, String)> {
    let mut said = HashSet::new();
    let mut note = |_: usize, _: About, finding: Diagnostic| {
        said.insert((finding.code, finding.message));
    };
    settle(&mut config.lvs.services.clone(), &config.routers, (own, &Others::new()), &mut note);
    said
}

fn place_of(layers: &Layers, name: &str, about: About) -> Option<Span> {
    let path = format!("virtual_server.{}", name.to_ascii_lowercase());
    let of = |key: &str| layers.place(&format!("{path}.{key}"));
    let found = match about {
        About::Service => of("addresses"),
        About::Quorum => of("quorum").or_else(|| of("hysteresis")),
        About::OnePacket => of("one_packet"),
        About::Suspend => of("ha_suspend"),
        About::Sorry => of("sorry_server"),
        About::Server(at) => of(&format!("real_server.{at}.address")),
        About::Weight(at) => {
            of(&format!("real_server.{at}.weight")).or_else(|| of(&format!("real_server.{at}.address")))
        }
    };
    found.map(|place| place.value.clone()).or_else(|| layers.place(&path).map(|place| place.key.clone()))
}

/// One virtual server; none when anything in it is wrong.
fn service(mut table: Table<'_>, base: Option<VirtualServer>, around: &Around<'_>) -> Option<VirtualServer> {
    let name = table.any_text("name").unwrap_or_else(|| table.name().to_owned());
    let mut service = base.unwrap_or_else(|| blank(name));
    frontends(&mut table, &mut service);
    balance(&mut table, &mut service);
    let pace = check::pace(&mut table);
    let host = table.text("host");
    table.set_bool("one_packet", &mut service.one_packet);
    table.set_bool("ha_suspend", &mut service.ha_suspend);
    table.set_bool("omega", &mut service.omega);
    table.set_bool("mail", &mut service.mail);
    service.quorum = table.integer("quorum", 1..=u32::MAX).unwrap_or(service.quorum);
    service.hysteresis = table.integer("hysteresis", 0..=u32::MAX).unwrap_or(service.hysteresis);
    if service.hysteresis >= service.quorum {
        let message = format!("`hysteresis` must be below the quorum of {}", service.quorum);
        table.report(Severity::Error, "contradiction", "hysteresis", message, "");
    }
    command::set(&mut table, "quorum_up", &mut service.quorum_up);
    command::set(&mut table, "quorum_down", &mut service.quorum_down);
    sorry(&mut table, &mut service);
    if table.has("real_server") {
        let port = one_port(&service.frontends);
        let outer = Outer { pace, host, port, forwarding: service.forwarding };
        let list = table.list("real_server").unwrap_or_default();
        let servers = list
            .into_iter()
            .filter_map(|(key, kind)| real_server(table.as_table(&key, kind)?, &outer, around));
        service.servers = servers.collect();
    }
    rules(&table, &service);
    table.finish(&[&SERVICE_KEYS[..], &check::PACE_KEYS].concat());
    (!table.has_errors()).then_some(service)
}

fn blank(name: String) -> VirtualServer {
    VirtualServer {
        name,
        frontends: Vec::new(),
        scheduler: Scheduler { name: DEFAULT_SCHEDULER.to_owned(), flags: [false; 3] },
        persistence: None,
        one_packet: false,
        forwarding: Forwarding::Masquerade,
        ha_suspend: false,
        omega: false,
        quorum: 1,
        hysteresis: 0,
        quorum_up: None,
        quorum_down: None,
        mail: false,
        sorry: None,
        servers: Vec::new(),
    }
}

/// `addresses` and `marks`, with `protocol` and `ipv6`.
fn frontends(table: &mut Table<'_>, service: &mut VirtualServer) {
    let protocol = table.choice("protocol", &PROTOCOLS);
    let ipv6 = table.boolean("ipv6").unwrap_or(false);
    let written = table.has("addresses") || table.has("marks");
    let mut all = Vec::new();
    for text in table.texts("addresses").unwrap_or_default() {
        match range(&text) {
            Ok((ips, port)) => all.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port))),
            Err(expected) => {
                let message = format!("`{}` must be {expected}, with a port: 192.0.2.80:80", show(&text));
                table.report(Severity::Error, "bad-value", "addresses", message, "");
            }
        }
        if all.len() > GROUP_MAX {
            let message = format!("a virtual server has at most {GROUP_MAX} addresses");
            return table.report(Severity::Error, "too-many-addresses", "addresses", message, "");
        }
    }
    let protocol_now = protocol.unwrap_or(Protocol::Tcp);
    let marks = table.integers("marks", 1..=u32::MAX).unwrap_or_default();
    if written {
        let addresses = all.into_iter().map(|to| Frontend::Address { protocol: protocol_now, to });
        service.frontends =
            addresses.chain(marks.into_iter().map(|mark| Frontend::Mark { mark, ipv6 })).collect();
    } else if let Some(protocol) = protocol {
        for frontend in &mut service.frontends {
            if let Frontend::Address { protocol: own, .. } = frontend {
                *own = protocol;
            }
        }
    }
    if service.frontends.is_empty() && !table.has_errors() {
        let message = format!("virtual server `{}` needs `addresses` or `marks`", show(&service.name));
        table.report(Severity::Error, "missing-key", "", message, "write addresses = [\"192.0.2.80:80\"]");
    }
}

/// `RANGE:PORT`, `[IPv6 RANGE]:PORT`, or a range alone.
fn range(text: &str) -> Result<(Vec<IpAddr>, u16), &'static str> {
    const EXPECTED: &str = "an address or range";
    let bracketed = text.strip_prefix('[').map(|rest| rest.split_once(']').ok_or(EXPECTED)).transpose()?;
    let (range, port) = match bracketed {
        Some((range, "")) => (range, None),
        Some((range, port)) => (range, Some(port.strip_prefix(':').ok_or(EXPECTED)?)),
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(range, port)| (range, Some(port))),
    };
    let port = port.map(|port| port.parse().map_err(|_| EXPECTED)).transpose()?;
    let ips = addresses(range)?;
    let usable = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    if ips.iter().all(usable) { Ok((ips, port.unwrap_or(0))) } else { Err(EXPECTED) }
}

/// `ADDRESS:PORT`, or an address alone with port 0.
pub(super) fn host_and_port(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    let bracketed = || {
        Some(SocketAddr::new(text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(), 0))
    };
    let to = text.parse().ok().or_else(bare).or_else(bracketed)?;
    (!to.ip().is_unspecified() && !to.ip().is_multicast()).then_some(to)
}

fn way(table: &mut Table<'_>) -> Option<Forwarding> {
    let expected = "NAT, DR, or TUN [type ipip|gue port NUMBER|gre] [nocsum|csum|remcsum]";
    table.parsed("forwarding", expected, |text| forwarding(text.split_whitespace()).ok())
}

fn balance(table: &mut Table<'_>, service: &mut VirtualServer) {
    let schedulers = SCHEDULERS.map(|name| (name, name));
    if let Some(name) = table.choice("scheduler", &schedulers) {
        service.scheduler.name = name.to_owned();
    }
    for flag in table.texts("flags").unwrap_or_default() {
        let own = flag.strip_prefix(&format!("{}-", service.scheduler.name));
        let at = match (flag.as_str(), own) {
            ("flag-1", _) | (_, Some("fallback")) => 0,
            ("flag-2", _) | (_, Some("port")) => 1,
            ("flag-3", _) => 2,
            _ => {
                let message = format!("`{}` means nothing to `{}`", show(&flag), service.scheduler.name);
                table.report(Severity::Error, "bad-value", "flags", message, "");
                continue;
            }
        };
        service.scheduler.flags[at] = true;
    }
    service.forwarding = way(table).unwrap_or(service.forwarding);
    let ipv6 = service.frontends.first().is_some_and(|frontend| match frontend {
        Frontend::Address { to, .. } => to.is_ipv6(),
        Frontend::Mark { ipv6, .. } => *ipv6,
    });
    let most = if ipv6 { 128 } else { 32 };
    let timeout = table.seconds("persistence", PERSISTENCE_MAX_SECS.into());
    let prefix_len =
        table.integer("persistence_prefix", 1..=most).and_then(|length| u8::try_from(length).ok());
    let engine = table.choice("persistence_engine", &[("sip", "sip")]).map(str::to_owned);
    let before = service.persistence.take();
    // 0 takes back what a lower layer says.
    if let Some(timeout) =
        timeout.or(before.as_ref().map(|before| before.timeout)).filter(|span| !span.is_zero())
    {
        let (length, pe) = before.map_or((most as u8, None), |before| (before.prefix_len, before.engine));
        let prefix_len = prefix_len.unwrap_or(length);
        service.persistence = Some(Persistence { timeout, prefix_len, engine: engine.or(pe) });
    } else if prefix_len.is_some() || engine.is_some() {
        let key = if prefix_len.is_some() { "persistence_prefix" } else { "persistence_engine" };
        let message = format!("`{key}` does nothing without `persistence`");
        table.report(Severity::Error, "contradiction", key, message, "write persistence = 360");
    }
}

/// An address alone, or a table with `address`, `forwarding` and `inhibit`.
fn sorry(table: &mut Table<'_>, service: &mut VirtualServer) {
    let expected = "an address and a port: 192.0.2.9:80";
    match table.take("sorry_server") {
        None => {}
        Some(kind @ ValueKind::Table(_)) => {
            let Some(mut inner) = table.as_table("sorry_server", kind) else { return };
            let to = inner.parsed("address", expected, host_and_port);
            let forwarding = way(&mut inner).unwrap_or(service.forwarding);
            let inhibit = inner.boolean("inhibit").unwrap_or(false);
            inner.finish(&["address", "forwarding", "inhibit"]);
            match to {
                Some(to) => service.sorry = Some(SorryServer { to, forwarding, inhibit }),
                None => {
                    let message = "`sorry_server` needs `address`".to_owned();
                    inner.report(Severity::Error, "missing-key", "", message, "");
                }
            }
        }
        Some(ValueKind::String(text)) if text.is_empty() => service.sorry = None,
        Some(ValueKind::String(text)) => match host_and_port(&text) {
            Some(to) => {
                service.sorry = Some(SorryServer { to, forwarding: service.forwarding, inhibit: false })
            }
            None => {
                let message = format!("`sorry_server` must be {expected}");
                table.report(Severity::Error, "bad-value", "sorry_server", message, "");
            }
        },
        Some(other) => table.wrong_type("sorry_server", "a text in quotes or a table", &other),
    }
}

/// What a real server takes over from its virtual server.
struct Outer {
    pace: Pace,
    host: Option<String>,
    port: u16,
    forwarding: Forwarding,
}

fn one_port(frontends: &[Frontend]) -> u16 {
    let mut ports = frontends.iter().filter_map(|frontend| match frontend {
        Frontend::Address { to, .. } => Some(to.port()),
        Frontend::Mark { .. } => None,
    });
    let first = ports.next().unwrap_or(0);
    if ports.all(|port| port == first) { first } else { 0 }
}

fn real_server(mut table: Table<'_>, outer: &Outer, around: &Around<'_>) -> Option<RealServer> {
    if !table.has("address") {
        let message = "a real server needs an `address`".to_owned();
        table.report(Severity::Error, "missing-key", "", message, "write address = \"192.0.2.10:80\"");
    }
    let to = table.parsed("address", "an address and a port: 192.0.2.10:80", host_and_port);
    let weight = table.integer("weight", 0..=65_535).and_then(|weight| u16::try_from(weight).ok());
    let mut server = RealServer {
        to: to.unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)),
        weight: weight.unwrap_or(1),
        forwarding: way(&mut table).unwrap_or(outer.forwarding),
        upper_threshold: table.integer("upper_threshold", 0..=u32::MAX).unwrap_or(0),
        lower_threshold: table.integer("lower_threshold", 0..=u32::MAX).unwrap_or(0),
        inhibit_on_failure: table.boolean("inhibit_on_failure").unwrap_or(false),
        notify_up: None,
        notify_down: None,
        mail: table.boolean("mail").unwrap_or(true),
        checks: Vec::new(),
    };
    command::set(&mut table, "notify_up", &mut server.notify_up);
    command::set(&mut table, "notify_down", &mut server.notify_down);
    let pace = check::pace(&mut table).within(&outer.pace);
    let host = table.text("host").or_else(|| outer.host.clone());
    let port = if server.to.port() > 0 { server.to.port() } else { outer.port };
    let of = check::Of { to: SocketAddr::new(server.to.ip(), port), pace, host };
    for (key, kind) in if table.has("check") { table.list("check").unwrap_or_default() } else { Vec::new() } {
        if let Some(inner) = table.as_table(&key, kind) {
            server.checks.extend(check::read(inner, &of, around));
        }
    }
    table.finish(&[&SERVER_KEYS[..], &check::PACE_KEYS].concat());
    to.map(|_| server)
}

/// What keepalived.conf has corrected while it is read is an error here.
fn rules(table: &Table<'_>, service: &VirtualServer) {
    let error = |key: &str, message: String| table.report(Severity::Error, "contradiction", key, message, "");
    let every_port = |frontend: &Frontend| matches!(frontend, Frontend::Address { to, .. } if to.port() == 0);
    if service.persistence.is_none() && service.frontends.iter().any(every_port) {
        let message = "without a port every port is balanced, which takes persistence".to_owned();
        error("addresses", format!("{message}: write the port, or persistence = 360"));
    }
    let streams = |frontend: &Frontend| matches!(frontend, Frontend::Address { protocol, .. } if *protocol != Protocol::Udp);
    if service.one_packet && service.frontends.iter().any(streams) {
        error("one_packet", "`one_packet` is for UDP".to_owned());
    }
    let other = |to: SocketAddr, forwarding| {
        !matches!(forwarding, Forwarding::Tunnel(_))
            && service.frontends.iter().any(|frontend| match frontend {
                Frontend::Address { to: own, .. } => own.is_ipv6() != to.is_ipv6(),
                Frontend::Mark { ipv6, .. } => *ipv6 != to.is_ipv6(),
            })
    };
    let mut seen = HashSet::new();
    for (at, server) in service.servers.iter().enumerate() {
        let key = format!("real_server.{at}.address");
        if other(server.to, server.forwarding) {
            error(&key, format!("{} is of another family: only a tunnel leads there", server.to.ip()));
        } else if !seen.insert(server.to) {
            error(&key, format!("real server {} is written twice", server.to));
        }
        if let Some(message) = crossed(server.lower_threshold, server.upper_threshold) {
            error(&format!("real_server.{at}.lower_threshold"), message);
        }
    }
    if service.sorry.as_ref().is_some_and(|sorry| other(sorry.to, sorry.forwarding)) {
        error("sorry_server", "the sorry server is of another family: only a tunnel leads there".to_owned());
    }
}
