//! What operators ask of real servers: drained, enabled, another weight.

use super::configure::is_called;
use super::desk::{Desk, Led};
use super::looks::Looks;
use super::notice::Notice;
use super::orders::{Order, Place};
use super::service::Live;
use super::table::{server_key, server_name};
use super::view::ServiceView;
use crate::story::Trail;
use hacluster_conf::model::lvs::{Frontend, RealServer, VirtualServer};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// Names that are shown to somebody who mistyped one.
const NAMED: usize = 5;

/// What an operator wants of a real server.
#[derive(Debug)]
pub struct Ask {
    /// Its address, with or without port.
    pub server: String,
    /// Of this virtual server only; empty for all that have it.
    pub service: String,
    /// This weight, 0 to drain it; `None` for as configured again.
    pub weight: Option<u16>,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// For so long at most.
    pub limit: Option<Duration>,
    /// The story it belongs to.
    pub trail: Option<Trail>,
    /// Only say what would be.
    pub dry_run: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Done, Unknown>>,
}

impl Ask {
    /// Nothing is done, for this reason.
    pub(super) fn refuse(self, why: &str) {
        let _ = self.reply.send(Err(Unknown(format!("{why}; nothing was changed"))));
    }
}

/// Nothing is called so; in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// One for each virtual server that has the real server.
    pub rows: Vec<DoneRow>,
    /// It is in force, but could not be written down; with the mend.
    pub forgetful: Option<String>,
}

/// What came of it in one virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRow {
    /// Name of the virtual server.
    pub service: String,
    /// The real server: `10.0.0.2:80`.
    pub server: String,
    /// Weight in force before.
    pub before: u16,
    /// Weight in force now.
    pub now: u16,
    /// It can take connections.
    pub up: bool,
    /// The virtual server has its quorum, now.
    pub quorum: bool,
    /// It had it before.
    pub had_quorum: bool,
}

impl<L: Looks> Desk<L> {
    /// Does what an operator asks, or says what it would do.
    pub(super) fn ask(&mut self, ask: Ask) {
        let answer = self.found(&ask.server, &ask.service).map(|places| {
            let now = SystemTime::now();
            let order = ask.weight.map(|weight| Order {
                weight,
                by: ask.by.clone(),
                reason: ask.reason.clone(),
                since: now,
                until: ask.limit.and_then(|limit| now.checked_add(limit)),
            });
            let led = ask.trail.map(|trail| Led { trail, name: "lvs.order" });
            let row = |at: &(usize, usize)| self.order(*at, order.as_ref(), (ask.dry_run, led));
            let rows = places.iter().map(row).collect();
            let saved = if ask.dry_run { Ok(()) } else { self.orders.save() };
            self.settle();
            Done { rows, forgetful: saved.err() }
        });
        let _ = ask.reply.send(answer);
    }

    fn order(
        &mut self,
        (service, server): (usize, usize),
        order: Option<&Order>,
        (dry_run, led): (bool, Option<Led>),
    ) -> DoneRow {
        let live = &mut self.services[service];
        let place = Place { service: live.config.name.clone(), server: live.config.servers[server].to };
        let mut tried = live.clone();
        tried.order(server, order.cloned());
        tried.state.settle();
        let of =
            |live: &Live| live.state.servers().get(server).map_or((0, false), |of| (of.weight(), of.is_up()));
        let row = DoneRow {
            service: place.service.clone(),
            server: server_name(&live.config, place.server),
            before: of(live).0,
            now: of(&tried).0,
            up: of(&tried).1,
            quorum: tried.state.has_quorum(),
            had_quorum: live.state.has_quorum(),
        };
        if !dry_run {
            live.order(server, order.cloned());
            self.orders.set(&place, order.cloned());
            self.touch(service, led);
        }
        row
    }

    /// Every real server that `server` names, of the virtual servers that `service` names.
    fn found(&self, server: &str, service: &str) -> Result<Vec<(usize, usize)>, Unknown> {
        let typed = server.trim();
        let Some(wanted) = parse(typed) else {
            return Err(Unknown(format!(
                "`{typed}` is no real server: write its address, with or without port: 10.0.0.2, 10.0.0.2:80"
            )));
        };
        let services: Vec<usize> = (0..self.services.len())
            .filter(|number| {
                service.is_empty() || self.views.get(*number).is_some_and(|of| is_called(&of.load(), service))
            })
            .collect();
        if services.is_empty() {
            let known: Vec<_> = self.services.iter().map(|live| live.config.name.as_str()).collect();
            return Err(Unknown(match known.len() {
                0 => "no virtual server is configured on this node".to_owned(),
                _ => format!("no virtual server is called `{service}`; there are {}", some(&known)),
            }));
        }
        let mut found = Vec::new();
        let mut known = Vec::new();
        for number in services {
            let config = &self.services[number].config;
            for (position, of) in config.servers.iter().enumerate() {
                if of.to.ip() == wanted.0 && wanted.1.is_none_or(|port| has_port(config, of, port)) {
                    found.push((number, position));
                }
                known.push(server_name(config, of.to));
            }
        }
        known.sort();
        known.dedup();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        match (found.is_empty(), known.is_empty()) {
            (false, _) => Ok(found),
            (true, true) => Err(Unknown("there are no real servers".to_owned())),
            (true, false) => {
                Err(Unknown(format!("no real server is at {typed}; there are {}", some(&known))))
            }
        }
    }

    /// Orders whose time is up are over.
    pub(super) fn expire(&mut self) {
        let over = self.orders.expire(SystemTime::now());
        if over.is_empty() {
            return;
        }
        for (place, order) in over {
            for number in 0..self.services.len() {
                let live = &mut self.services[number];
                let at = live.config.servers.iter().position(|server| server.to == place.server);
                let Some(server) = at.filter(|_| live.config.name == place.service) else { continue };
                live.order(server, None);
                let label = ServiceView::label(&live.config);
                self.touch(number, None);
                let text = format!(
                    "{label}: the time of {}'s order for real server {} is up ({})",
                    order.by, place.server, order.reason
                );
                self.say(Notice::plain(false, text));
            }
        }
        self.keep_orders();
    }
}

/// Whether `port` is the server's, as it is written, or in the kernel's table.
fn has_port(service: &VirtualServer, of: &RealServer, port: u16) -> bool {
    let placed = |frontend: &Frontend| server_key(frontend, of.to, of.forwarding).port;
    port == of.to.port() || service.frontends.iter().any(|frontend| port == placed(frontend))
}

/// `10.0.0.2`, `10.0.0.2:80`, `2001:db8::2`, `[2001:db8::2]:80`, `10.0.0.2 80`.
fn parse(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Ok(to) = text.parse::<SocketAddr>() {
        return Some((to.ip(), Some(to.port())));
    }
    let (ip, port) = text.split_once(' ')?;
    Some((ip.parse().ok()?, Some(port.trim().parse().ok()?)))
}

fn some(names: &[&str]) -> String {
    let mut text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_servers_as_people_write_them() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, expected) in [
            ("10.0.0.2", (ip("10.0.0.2"), None)),
            ("10.0.0.2:80", (ip("10.0.0.2"), Some(80))),
            ("10.0.0.2 80", (ip("10.0.0.2"), Some(80))),
            ("2001:db8::2", (ip("2001:db8::2"), None)),
            ("[2001:db8::2]:443", (ip("2001:db8::2"), Some(443))),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "web1", "10.0.0.2:", "10.0.0.2:http", "10.0.0", "10.0.0.2:99999"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(some(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
