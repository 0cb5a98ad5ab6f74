//! What is wrong between virtual servers, their real servers and the virtual routers of this node.
//!
//! Linear in the number of frontends and real servers.

use super::super::VirtualRouter;
use super::super::lvs::{Forwarding, Frontend, VirtualServer, written};
use crate::diag::{Diagnostic, Severity};
use crate::findings::show;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Schedulers that look at weights only to leave out servers without any.
const WITHOUT_WEIGHTS: [&str; 3] = ["rr", "lc", "dh"];

/// What of a virtual server a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Service,
    Quorum,
    OnePacket,
    Suspend,
    Sorry,
    /// A real server, by its place.
    Server(usize),
    /// Its weight.
    Weight(usize),
}

/// Reports what is wrong, by the place of each virtual server in the list as given, and takes out what the
/// kernel would refuse: frontends that another one above has, services that are left without any, and lower
/// thresholds above the upper ones. `own` are addresses of this host, `others` those of other directors.
pub(crate) fn settle(
    services: &mut Vec<VirtualServer>,
    routers: &[VirtualRouter],
    (own, others): (&HashSet<IpAddr>, &Others),
    mut report: impl FnMut(usize, About, Diagnostic),
) {
    let taken = duplicates(services, &mut report);
    let hosts = Hosts::new(routers, own, others);
    for (at, service) in services.iter_mut().enumerate().filter(|(_, service)| !service.frontends.is_empty())
    {
        let mut say = |about, finding| report(at, about, finding);
        thresholds(service, &mut say);
        weights(service, &mut say);
        quorum(service, &mut say);
        contradictions(service, &mut say);
        servers(service, &hosts, &mut say);
        sorry(service, &hosts, &mut say);
        address(service, &hosts, &mut say);
    }
    if taken {
        services.retain(|service| !service.frontends.is_empty());
    }
}

/// Addresses of other directors, and how each is known: `peer `node2``.
pub(crate) type Others = HashMap<IpAddr, String>;

/// Addresses that this host has, or may get, and those of its neighbours.
struct Hosts<'a> {
    virtual_ips: HashMap<IpAddr, &'a str>,
    own: &'a HashSet<IpAddr>,
    others: &'a Others,
}

impl<'a> Hosts<'a> {
    fn new(routers: &'a [VirtualRouter], own: &'a HashSet<IpAddr>, others: &'a Others) -> Self {
        let mut virtual_ips = HashMap::new();
        for router in routers {
            for address in router.addresses.iter().chain(&router.excluded) {
                virtual_ips.entry(IpAddr::V4(address.ip)).or_insert(router.name.as_str());
            }
        }
        Self { virtual_ips, own, others }
    }

    /// What `ip` is of this node: "...".
    fn whose(&self, ip: IpAddr) -> Option<String> {
        if let Some(router) = self.virtual_ips.get(&ip) {
            return Some(format!("an address of virtual router `{}`", show(router)));
        }
        self.own.contains(&ip).then(|| "an address of this node".to_owned())
    }

    /// Which director `ip` is, this node or another one.
    fn director(&self, ip: IpAddr) -> Option<String> {
        let other = || Some(format!("the other director ({})", self.others.get(&ip)?));
        self.whose(ip).or_else(other)
    }
}

fn warn(code: &'static str, message: String, note: &str) -> Diagnostic {
    Diagnostic::new(Severity::Warning, code, message).note(note)
}

fn hint(code: &'static str, message: String, note: &str) -> Diagnostic {
    Diagnostic::new(Severity::Hint, code, message).note(note)
}

/// Takes frontends from services that come later; whether any was taken, or a service is refused.
fn duplicates(services: &mut [VirtualServer], report: &mut impl FnMut(usize, About, Diagnostic)) -> bool {
    let mut owners: HashMap<Frontend, String> = HashMap::new();
    let mut any = false;
    for (at, service) in services.iter_mut().enumerate() {
        let name = service.name.clone();
        let mut first = None;
        let before = service.frontends.len();
        service.frontends.retain(|frontend| match owners.get(frontend) {
            Some(owner) => {
                first.get_or_insert((*frontend, owner.clone()));
                false
            }
            None => {
                owners.insert(*frontend, name.clone());
                true
            }
        });
        let Some((frontend, owner)) = first else { continue };
        any = true;
        let left = service.frontends.len();
        let message = if owner == name {
            format!("{frontend} stands twice in virtual server `{}`", show(&name))
        } else {
            format!("{frontend} of virtual server `{}` belongs to `{}` already", show(&name), show(&owner))
        };
        let left_out = match before - left {
            _ if left == 0 => "the first one counts: this one, with its real servers, is left out".to_owned(),
            1 => "the first one counts".to_owned(),
            count => format!("the first ones count: {count} are left out here"),
        };
        report(
            at,
            About::Service,
            Diagnostic::new(Severity::Error, "duplicate-service", message).note(left_out),
        );
    }
    any
}

fn weights(service: &VirtualServer, say: &mut impl FnMut(About, Diagnostic)) {
    let scheduler = service.scheduler.name.as_str();
    let weighty = service.servers.iter().map(|server| server.weight).filter(|weight| *weight > 0);
    let mut sorted: Vec<u16> = weighty.collect();
    sorted.sort_unstable();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        if !service.servers.is_empty() {
            let message = format!("every real server of `{}` has weight 0", show(&service.name));
            say(About::Service, warn("no-weight", message, "none gets a connection"));
        }
        return;
    };
    if least != most && WITHOUT_WEIGHTS.contains(&scheduler) {
        let place = service.servers.iter().position(|server| server.weight == *most).unwrap_or(0);
        let message =
            format!("weights {least} to {most} have no effect: `{scheduler}` does not look at them");
        let note = match scheduler {
            "rr" => "write `wrr` for a share by weight, or give all servers the same weight".to_owned(),
            "lc" => "write `wlc` for a share by weight, or give all servers the same weight".to_owned(),
            _ => "give all servers the same weight".to_owned(),
        };
        say(About::Weight(place), warn("weights-ignored", message, &note));
    }
}

fn quorum(service: &VirtualServer, say: &mut impl FnMut(About, Diagnostic)) {
    let sum: u64 = service.servers.iter().map(|server| u64::from(server.weight)).sum();
    let (quorum, hysteresis) = (u64::from(service.quorum), u64::from(service.hysteresis));
    if service.servers.is_empty() {
        let message = format!("virtual server `{}` has no real server", show(&service.name));
        let note = match service.sorry {
            Some(_) => "the sorry server answers all the time",
            None => "the kernel refuses every connection to it",
        };
        say(About::Service, warn("no-server", message, note));
    } else if quorum > sum && sum > 0 {
        let message = format!("the quorum of {quorum} is never reached: all weights together are {sum}");
        say(About::Quorum, warn("unreachable-quorum", message, "the service never counts as up"));
    } else if quorum + hysteresis > sum && sum > 0 {
        let message = format!(
            "a lost quorum is never regained: quorum and hysteresis are {}, all weights {sum}",
            quorum + hysteresis
        );
        say(About::Quorum, warn("unreachable-quorum", message, "lower `hysteresis`"));
    }
}

fn contradictions(service: &VirtualServer, say: &mut impl FnMut(About, Diagnostic)) {
    if service.one_packet && service.persistence.is_some() {
        let message = "one packet scheduling and persistence contradict each other".to_owned();
        let note = "persistence keeps a client's packets at one real server, `ops` spreads them";
        say(About::OnePacket, warn("contradiction", message, note));
    }
    let marks = service.frontends.iter().all(|frontend| matches!(frontend, Frontend::Mark { .. }));
    if service.ha_suspend && marks {
        let message = "`ha_suspend` has no effect: a mark is no address that could be held".to_owned();
        say(About::Suspend, warn("contradiction", message, "its servers are checked all the time"));
    }
}

/// The kernel takes no server whose lower threshold is above the upper one, written or not.
fn thresholds(service: &mut VirtualServer, say: &mut impl FnMut(About, Diagnostic)) {
    for (at, server) in service.servers.iter_mut().enumerate() {
        if let Some(message) = crossed(server.lower_threshold, server.upper_threshold) {
            server.lower_threshold = 0;
            let note = match server.upper_threshold {
                0 => "it is left out: the kernel would refuse the server, with keepalived nobody gets there",
                _ => {
                    "three quarters of the upper one are used: the kernel would refuse the server, with \
                     keepalived nobody gets there"
                }
            };
            let found = Diagnostic::new(Severity::Error, "contradiction", message);
            say(About::Server(at), found.note(note));
        }
    }
}

/// What is wrong with two thresholds of a real server, if anything is.
pub(crate) fn crossed(lower: u32, upper: u32) -> Option<String> {
    (lower > upper).then(|| match upper {
        0 => format!("a lower threshold of {lower} means nothing without an upper one"),
        _ => format!("the lower threshold {lower} is above the upper one {upper}"),
    })
}

/// Ports, directors among the servers, servers nobody looks at: one finding of a kind for each service.
fn servers(service: &VirtualServer, hosts: &Hosts<'_>, say: &mut impl FnMut(About, Diagnostic)) {
    let ports: HashSet<u16> = service
        .frontends
        .iter()
        .filter_map(|frontend| match frontend {
            Frontend::Address { to, .. } => Some(to.port()),
            Frontend::Mark { .. } => None,
        })
        .collect();
    let all = || service.servers.iter().enumerate();
    let moved = |to: SocketAddr| {
        to.port() > 0 && !ports.is_empty() && !ports.contains(&0) && !ports.contains(&to.port())
    };
    let rewritten = |forwarding| forwarding == Forwarding::Masquerade;
    if let Some((at, server)) = all().find(|(_, server)| !rewritten(server.forwarding) && moved(server.to)) {
        let port = ports.iter().min().copied().unwrap_or_default();
        let way = if server.forwarding == Forwarding::DirectRouting { "DR" } else { "TUN" };
        let message =
            format!("{way} does not change the port: packets to {} arrive at port {port}", server.to);
        let note =
            "the server must listen there; only NAT rewrites ports (checks go to the port written here)";
        say(About::Server(at), warn("port-not-rewritten", message, note));
    }
    let mut seen = HashSet::new();
    let twice = all().find(|(_, server)| !rewritten(server.forwarding) && !seen.insert(server.to.ip()));
    if let Some((at, server)) = twice {
        let message =
            format!("{} is in the kernel's table once, whatever its ports are here", server.to.ip());
        let note = "it answers while either counts as up; write one real server with a check for each port";
        say(About::Server(at), warn("one-server", message, note));
    }
    if let Some((at, server, whose)) =
        all().find_map(|(at, server)| Some((at, server, hosts.director(server.to.ip())?)))
    {
        let message = format!("real server {} is {whose}", server.to.ip());
        let note = if rewritten(server.forwarding) {
            "a director that is a real server, too, answers locally; the other director must see the same"
        } else {
            "two directors that are each other's real servers hand the same packet to and fro; keep directors \
             and real servers apart, or mark what comes from the other director (fwmark)"
        };
        say(About::Server(at), warn("director-is-server", message, note));
    }
    let unchecked = all().find(|(_, server)| server.checks.is_empty());
    if let Some((at, server)) = unchecked {
        let message =
            format!("nobody looks at real server {}: it counts as good for ever", written(&server.to));
        say(About::Server(at), hint("no-check", message, "write a check, such as `TCP_CHECK { }`"));
    }
}

fn sorry(service: &VirtualServer, hosts: &Hosts<'_>, say: &mut impl FnMut(About, Diagnostic)) {
    let Some(sorry) = &service.sorry else { return };
    let ip = sorry.to.ip();
    if ip.is_loopback() && sorry.forwarding == Forwarding::Masquerade {
        let message = format!("sorry server {ip} gets no packet: the kernel does not rewrite to loopback");
        let note = "write an address of this node, or `sorry_server_lvs_method DR`";
        say(About::Sorry, warn("sorry-server-here", message, note));
    } else if let Some(whose) =
        Some("this node".to_owned()).filter(|_| ip.is_loopback()).or_else(|| hosts.whose(ip))
    {
        let message = format!("sorry server {ip} is {whose}: the director itself answers");
        let note = match sorry.forwarding {
            Forwarding::DirectRouting => {
                "a server must run on every director and listen on the virtual address, at its port"
            }
            _ => "a server must run on every director and listen there",
        };
        say(About::Sorry, warn("sorry-server-here", message, note));
    }
}

/// Packets come only to who holds the address.
fn address(service: &VirtualServer, hosts: &Hosts<'_>, say: &mut impl FnMut(About, Diagnostic)) {
    let held = |ip: IpAddr| hosts.whose(ip).is_some();
    let lost = service.frontends.iter().find_map(|frontend| match frontend {
        Frontend::Address { to, .. } => Some(to.ip()).filter(|ip| !held(*ip)),
        Frontend::Mark { .. } => None,
    });
    if let Some(ip) = lost {
        let message = format!("no virtual router here holds {ip} of `{}`", show(&service.name));
        let note = "clients reach the service only where its address is: add it to a virtual_ipaddress, or to an \
                    interface of this node";
        say(About::Service, warn("address-not-held", message, note));
    }
}
