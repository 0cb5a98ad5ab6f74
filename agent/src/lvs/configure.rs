//! Another configuration: what stays keeps its state, and nothing else is touched.

use super::desk::{Desk, Watched, is_up};
use super::looks::Looks;
use super::notice::Notice;
use super::orders::Place;
use super::service::Live;
use super::table::{self, Table};
use super::view::ServiceView;
use arc_swap::ArcSwap;
use hacluster_conf::model::Config;
use hacluster_conf::model::lvs::{Check, CheckKind, VirtualServer};
use hacluster_core::balance::{Adjust, Look};
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration;
use hacluster_net::netlink::ipvs::Timeouts;
use std::collections::HashMap;
use std::sync::Arc;

impl<L: Looks> Desk<L> {
    /// Puts `config` in force. `inherited` is what a predecessor left in the kernel; known at start only.
    pub(super) fn configure(&mut self, config: &Config, inherited: Option<Table>) {
        let lvs = &config.lvs;
        let inherited = inherited.unwrap_or_default();
        let services: Vec<Arc<VirtualServer>> = lvs.services.iter().cloned().map(Arc::new).collect();
        let is_configured = |place: &Place| {
            services.iter().any(|of| {
                of.name == place.service && of.servers.iter().any(|server| server.to == place.server)
            })
        };
        if self.orders.keep_only(is_configured) {
            self.keep_orders();
        }
        self.looks.configure(config);
        self.intern(&services, &inherited);
        let before = std::mem::take(&mut self.services);
        let index: HashMap<&str, usize> =
            before.iter().enumerate().map(|(number, live)| (live.config.name.as_str(), number)).collect();
        for of in services {
            let former = index.get(of.name.as_str()).and_then(|number| before.get(*number));
            let live = self.live(of, former);
            self.services.push(live);
        }
        let is_known = |live: &Live, number: usize| {
            let former = index.get(live.config.name.as_str()).and_then(|number| before.get(*number));
            former.is_some_and(|former| {
                former.config.servers.iter().any(|of| of.to == live.config.servers[number].to)
            })
        };
        let mut arrivals = Vec::new();
        for live in &self.services {
            let fresh = (0..live.config.servers.len()).filter(|number| !is_known(live, *number));
            arrivals.extend(fresh.filter(|_| lvs.tell_at_start).filter_map(|number| live.arrival(number)));
            if !index.contains_key(live.config.name.as_str()) && live.state.has_quorum() {
                arrivals.push(live.beginning());
            }
        }
        drop(index);
        let view = |live| Arc::new(ArcSwap::from_pointee(self.view_of(live)));
        self.views = self.services.iter().map(view).collect();
        self.table =
            self.services.iter().flat_map(Live::rows).map(|(key, row)| (key, Arc::new(row))).collect();
        self.touched = (0..self.services.len()).map(|number| (number, None)).collect();
        self.flush_on_stop = lvs.flush_on_stop;
        self.fewer_mails = lvs.fewer_mails;
        self.sync.clone_from(&lvs.sync);
        self.parts.follow(lvs.sync.is_some() || lvs.services.iter().any(|of| of.ha_suspend));
        self.listen(lvs.services.iter().any(|of| of.ha_suspend));
        self.look_at_routers();
        self.set_looks();
        self.hands.put(self.table.clone());
        let seconds = |of: Option<Duration>| of.map_or(0, |of| (of.as_micros() / 1_000_000) as u32);
        let of = lvs.timeouts;
        let timeouts =
            Timeouts { tcp_s: seconds(of.tcp), tcp_fin_s: seconds(of.tcp_fin), udp_s: seconds(of.udp) };
        if timeouts != self.timeouts && timeouts != Timeouts::default() {
            self.hands.put_timeouts(timeouts);
        }
        self.timeouts = timeouts;
        self.settle();
        arrivals.into_iter().for_each(|notice| self.say(notice));
        self.parts.view.store(Arc::new(self.views.clone()));
        self.tell_readings();
    }

    /// Each distinct check once, with who uses it; those known before keep what is known.
    fn intern(&mut self, services: &[Arc<VirtualServer>], inherited: &Table) {
        let mut former = std::mem::take(&mut self.checks);
        for (service, of) in services.iter().enumerate() {
            for (server, real) in of.servers.iter().enumerate() {
                for (position, check) in real.checks.iter().enumerate() {
                    let user = (service, server, position);
                    if let Some(watched) = self.checks.get_mut(check) {
                        watched.users.push(user);
                        continue;
                    }
                    let (key, mut watched) = match former.remove_entry(check) {
                        Some(known) => known,
                        None => (Arc::new(check.clone()), first(check, of, server, inherited)),
                    };
                    watched.users = vec![user];
                    self.checks.insert(key, watched);
                }
            }
        }
    }

    /// One that begins or goes on.
    fn live(&self, of: Arc<VirtualServer>, former: Option<&Live>) -> Live {
        let suspended = former.is_some_and(|former| former.state.is_suspended());
        let mut looks = Vec::new();
        let mut orders = Vec::new();
        for server in &of.servers {
            let latest = |check: &Check| {
                let known = self.checks.get(check).map(|watched| watched.look);
                known.unwrap_or(Look { up: is_up(check, Verdict::Unknown), adjust: None })
            };
            let frozen = |check: &Check| {
                let former = former.filter(|_| suspended)?;
                let at = former.config.servers.iter().position(|known| known.to == server.to)?;
                let position = former.config.servers[at].checks.iter().position(|known| known == check)?;
                former.state.servers().get(at)?.counted().get(position).copied()
            };
            let look = |check: &Check| frozen(check).unwrap_or_else(|| latest(check));
            looks.push(server.checks.iter().map(look).collect());
            let place = Place { service: of.name.clone(), server: server.to };
            orders.push(self.orders.of(&place).cloned());
        }
        let mut live = Live::new(of, former, looks, orders);
        if suspended && !live.addresses.is_empty() {
            live.state.suspend(true);
        }
        live
    }

    pub(super) fn keep_orders(&self) {
        if let Err(error) = self.orders.save() {
            self.say(Notice::plain(true, error));
        }
    }
}

/// What holds before the first look: what a predecessor's table says, where there is one. A server that it
/// had taken out is out until a check is good; one that it had in keeps its connections, alpha or not.
fn first(check: &Check, of: &VirtualServer, server: usize, inherited: &Table) -> Watched {
    let real = &of.servers[server];
    let mut verdict = Verdict::Unknown;
    let mut adjust = None;
    for frontend in &of.frontends {
        let Some(row) = inherited.get(&table::service_key(frontend)) else { continue };
        let found = row.servers.get(&table::server_key(frontend, real.to));
        let is_out = match found {
            None => true,
            Some(found) => found.weight == 0 && real.inhibit_on_failure && real.weight > 0,
        };
        verdict = if is_out { Verdict::Bad } else { Verdict::Good };
        let is_dynamic = matches!(check.kind, CheckKind::Misc { dynamic: true, .. });
        if let Some(found) = found.filter(|found| is_dynamic && found.weight != u32::from(real.weight)) {
            adjust = Some(Adjust::Set(u16::try_from(found.weight).unwrap_or(u16::MAX)));
        }
    }
    let look = Look { up: is_up(check, verdict), adjust };
    Watched { users: Vec::new(), verdict, look, seen: None }
}

/// Whether `typed` means this virtual server: its name, a group's, or what it balances.
pub(crate) fn is_called(view: &ServiceView, typed: &str) -> bool {
    let of = &view.config;
    let bare = typed.trim();
    of.name.eq_ignore_ascii_case(bare)
        || of.name.strip_prefix("group ").is_some_and(|name| name.eq_ignore_ascii_case(bare))
        || of.frontends.iter().any(|frontend| {
            let text = frontend.to_string();
            text.eq_ignore_ascii_case(bare)
                || text.split_once(' ').is_some_and(|(_, to)| to == bare || to == bare.replacen(' ', ":", 1))
        })
}
