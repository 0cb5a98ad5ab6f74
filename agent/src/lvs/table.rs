//! The kernel's table as it shall be, as it is, and the commands between the two. Pure.
//!
//! ```text
//!   wanted --.                     leave what is ours and not wanted
//!             +--> [Command, ...]  then, service by service: add or change it, add and change its
//!   found ---'                     servers, and only then remove servers: somebody is always there
//! ```

use hacluster_conf::model::lvs::{
    Forwarding, Frontend, Protocol, RealServer, Scheduler, Tunnel, TunnelChecksum, VirtualServer,
};
use hacluster_core::balance::Service;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{
    Checksum, Command, DestEntry, DestKey, DestSpec, Family, Forwarding as Way, Protocol as Transport,
    ServiceEntry, ServiceFlags, ServiceKey, ServiceSpec, Tunnel as Pack,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Services by what the kernel knows them by.
pub(super) type Table = BTreeMap<ServiceKey, Arc<Row>>;

/// One service with its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The service.
    pub spec: ServiceSpec,
    /// Its servers.
    pub servers: BTreeMap<DestKey, DestSpec>,
}

impl Row {
    /// As the kernel has it.
    pub fn found(service: &ServiceEntry, servers: &[DestEntry]) -> Self {
        let servers = servers.iter().map(|server| (server.spec.key, server.spec)).collect();
        Self { spec: service.spec.clone(), servers }
    }
}

/// What `frontend` of a virtual server shall be, as `state` has it now.
pub(super) fn row(frontend: &Frontend, of: &VirtualServer, state: &Service) -> Row {
    let spec = service(frontend, of);
    let mut servers = BTreeMap::new();
    for (number, server) in of.servers.iter().enumerate() {
        if let Some(weight) = state.destination(number) {
            place(&mut servers, destination(frontend, server, weight));
        }
    }
    if let (Some(sorry), Some(weight)) = (&of.sorry, state.sorry()) {
        let key = server_key(frontend, sorry.to, sorry.forwarding);
        place(&mut servers, DestSpec::new(key.ip, key.port, weight.into(), way(sorry.forwarding)));
    }
    Row { spec, servers }
}

/// The sorry server may be one of the servers, too, and two servers may be one for the kernel: whoever takes
/// connections wins, else who came first.
fn place(servers: &mut BTreeMap<DestKey, DestSpec>, spec: DestSpec) {
    let before = servers.entry(spec.key).or_insert(spec);
    if spec.weight > 0 {
        *before = spec;
    }
}

/// What the kernel knows `frontend` by.
pub fn service_key(frontend: &Frontend) -> ServiceKey {
    match *frontend {
        Frontend::Address { protocol, to } => {
            let protocol = match protocol {
                Protocol::Tcp => Transport::Tcp,
                Protocol::Udp => Transport::Udp,
                Protocol::Sctp => Transport::Sctp,
            };
            ServiceKey::Address { protocol, ip: to.ip(), port: to.port() }
        }
        Frontend::Mark { mark, ipv6 } => {
            ServiceKey::Mark { mark, family: if ipv6 { Family::V6 } else { Family::V4 } }
        }
    }
}

/// What the kernel knows a server at `to` by. Only masquerading leads to another port than the one packets
/// came for: with the other ways a server has the port of `frontend`, whatever is written, as with
/// keepalived. A mark has none (0), nor needs a server there one: packets keep theirs.
pub fn server_key(frontend: &Frontend, to: SocketAddr, forwarding: Forwarding) -> DestKey {
    let port = match forwarding {
        Forwarding::Masquerade if to.port() > 0 => to.port(),
        Forwarding::Masquerade | Forwarding::DirectRouting | Forwarding::Tunnel(_) => port_of(frontend),
    };
    DestKey { ip: to.ip(), port }
}

fn port_of(frontend: &Frontend) -> u16 {
    match frontend {
        Frontend::Address { to, .. } => to.port(),
        Frontend::Mark { .. } => 0,
    }
}

/// Where a real server of `of` is, for people: as written; without a port of its own it has that of the
/// virtual server, 0 where there is none.
pub(super) fn server_address(of: &VirtualServer, to: SocketAddr) -> SocketAddr {
    let port = if to.port() > 0 { to.port() } else { of.frontends.first().map_or(0, port_of) };
    SocketAddr::new(to.ip(), port)
}

/// The same in words: `10.0.0.2:80`; `10.0.0.2` without a port.
pub fn server_name(of: &VirtualServer, to: SocketAddr) -> String {
    let to = server_address(of, to);
    if to.port() == 0 { to.ip().to_string() } else { to.to_string() }
}

/// The addresses it answers at; none for a mark.
pub(super) fn addresses(of: &VirtualServer) -> Vec<IpAddr> {
    let address = |frontend: &Frontend| match frontend {
        Frontend::Address { to, .. } => Some(to.ip()),
        Frontend::Mark { .. } => None,
    };
    of.frontends.iter().filter_map(address).collect()
}

fn service(frontend: &Frontend, of: &VirtualServer) -> ServiceSpec {
    let key = service_key(frontend);
    let Scheduler { name, flags: [first, second, third] } = &of.scheduler;
    let mut spec = ServiceSpec::new(key, name.clone());
    spec.flags = ServiceFlags::ONE_PACKET.only_if(of.one_packet)
        | ServiceFlags::SCHEDULER_1.only_if(*first)
        | ServiceFlags::SCHEDULER_2.only_if(*second)
        | ServiceFlags::SCHEDULER_3.only_if(*third)
        | ServiceFlags::PERSISTENT.only_if(of.persistence.is_some());
    if let Some(persistence) = &of.persistence {
        spec.timeout_s = u32::try_from(persistence.timeout.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        spec.prefix_len = persistence.prefix_len.min(key.family().bits());
        spec.engine.clone_from(&persistence.engine);
    }
    spec
}

fn destination(frontend: &Frontend, server: &RealServer, weight: u16) -> DestSpec {
    let DestKey { ip, port } = server_key(frontend, server.to, server.forwarding);
    let mut spec = DestSpec::new(ip, port, weight.into(), way(server.forwarding));
    spec.upper_threshold = server.upper_threshold;
    spec.lower_threshold = server.lower_threshold;
    spec
}

fn way(forwarding: Forwarding) -> Way {
    let checksum = |of: TunnelChecksum| match of {
        TunnelChecksum::None => Checksum::None,
        TunnelChecksum::Full => Checksum::Full,
        TunnelChecksum::Remote => Checksum::Remote,
    };
    match forwarding {
        Forwarding::Masquerade => Way::Masquerade,
        Forwarding::DirectRouting => Way::Direct,
        Forwarding::Tunnel(Tunnel::Ipip) => Way::Tunnel(Pack::Ipip),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum: sum }) => {
            Way::Tunnel(Pack::Gue { port, checksum: checksum(sum) })
        }
        Forwarding::Tunnel(Tunnel::Gre { checksum: sum }) => {
            Way::Tunnel(Pack::Gre { checksum: checksum(sum) })
        }
    }
}

/// Whether the kernel's server is as wanted. Old kernels call one on this host local, whatever was asked.
fn is_as_wanted(found: &DestSpec, wanted: &DestSpec) -> bool {
    let forwarding = if found.forwarding == Way::Local { wanted.forwarding } else { found.forwarding };
    DestSpec { forwarding, ..*found } == *wanted
}

/// The commands that turn `found` into `wanted`. Of what is found and not wanted only what is in `ours`
/// goes; the rest is somebody else's.
pub(super) fn difference(wanted: &Table, found: &Table, ours: &BTreeSet<ServiceKey>) -> Vec<Command> {
    let gone = found.keys().filter(|key| !wanted.contains_key(key) && ours.contains(key));
    let mut commands: Vec<Command> = gone.map(|key| Command::DelService(*key)).collect();
    for (key, row) in wanted {
        match found.get(key) {
            Some(before) if Arc::ptr_eq(before, row) => {}
            Some(before) => change(*key, before, row, &mut commands),
            None => {
                commands.push(Command::NewService(row.spec.clone()));
                commands.extend(row.servers.values().map(|server| Command::NewDest(*key, *server)));
            }
        }
    }
    commands
}

fn change(key: ServiceKey, before: &Row, row: &Row, commands: &mut Vec<Command>) {
    if before.spec != row.spec {
        commands.push(Command::SetService(row.spec.clone()));
    }
    for (server, spec) in &row.servers {
        match before.servers.get(server) {
            None => commands.push(Command::NewDest(key, *spec)),
            Some(found) if !is_as_wanted(found, spec) => commands.push(Command::SetDest(key, *spec)),
            Some(_) => {}
        }
    }
    let gone = before.servers.keys().filter(|server| !row.servers.contains_key(server));
    commands.extend(gone.map(|server| Command::DelDest(key, *server)));
}

/// Writes what `command` did into `table`, which stands for the kernel's.
pub(super) fn apply(table: &mut Table, command: &Command) {
    let servers = |table: &mut Table, key: &ServiceKey, change: &dyn Fn(&mut Row)| {
        if let Some(row) = table.get_mut(key) {
            change(Arc::make_mut(row));
        }
    };
    match command {
        Command::NewService(spec) | Command::SetService(spec) => {
            let empty = || Arc::new(Row { spec: spec.clone(), servers: BTreeMap::new() });
            Arc::make_mut(table.entry(spec.key).or_insert_with(empty)).spec = spec.clone();
        }
        Command::DelService(key) => drop(table.remove(key)),
        Command::NewDest(key, spec) | Command::SetDest(key, spec) => {
            servers(table, key, &|row| {
                row.servers.insert(spec.key, *spec);
            });
        }
        Command::DelDest(key, server) => servers(table, key, &|row| {
            row.servers.remove(server);
        }),
        Command::Flush => table.clear(),
        Command::Zero(_) | Command::SetTimeouts(_) | Command::StartDaemon(_) | Command::StopDaemon(_) => {}
    }
}

/// Puts the wanted rows in place of equal ones, so that a later comparison sees at once that they are
/// the same.
pub(super) fn share(table: &mut Table, wanted: &Table) {
    for (key, row) in wanted {
        if let Some(before) = table.get_mut(key)
            && before == row
        {
            *before = row.clone();
        }
    }
}

/// One thing that another hand did to our services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meddling(pub String);

/// What became of our services between `known`, as we left them, and `found`.
pub(super) fn meddling(known: &Table, found: &Table) -> Vec<Meddling> {
    let mut all = Vec::new();
    for (key, row) in known {
        let Some(now) = found.get(key) else {
            all.push(Meddling(format!("virtual server {key} was removed")));
            continue;
        };
        if now.spec != row.spec {
            all.push(Meddling(format!("virtual server {key} was changed")));
        }
        for (server, spec) in &row.servers {
            match now.servers.get(server) {
                None => all.push(Meddling(format!("real server {server} was removed from {key}"))),
                Some(now) if !is_as_wanted(now, spec) && now.weight != spec.weight => {
                    let (from, to) = (spec.weight, now.weight);
                    let text = format!("real server {server} of {key} was changed, weight {from} -> {to}");
                    all.push(Meddling(text));
                }
                Some(now) if !is_as_wanted(now, spec) => {
                    all.push(Meddling(format!("real server {server} of {key} was changed")));
                }
                Some(_) => {}
            }
        }
        let added = now.servers.keys().filter(|server| !row.servers.contains_key(server));
        all.extend(added.map(|server| Meddling(format!("real server {server} was added to {key}"))));
    }
    all
}

/// Whether a refusal only says that it is as it shall be, or that the picture of the kernel's table was
/// out of date: a look at the table mends it.
pub(super) fn is_out_of_date(error: &NetError) -> bool {
    use nix::errno::Errno::{EEXIST, ENOENT, ESRCH};
    is_lost(error) || matches!(error.errno(), EEXIST | ENOENT | ESRCH)
}

/// Whether nobody knows what came of a request: the answer did not arrive.
pub(super) fn is_lost(error: &NetError) -> bool {
    use nix::errno::Errno::{ENOBUFS, ETIMEDOUT};
    matches!(error.errno(), ENOBUFS | ETIMEDOUT)
}

#[cfg(test)]
mod tests;
