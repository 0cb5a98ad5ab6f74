//! Another configuration: what stays keeps its state, and nothing else is touched.

use super::desk::{Desk, is_up};
use super::evidence::{Before, User};
use super::looks::Looks;
use super::notice::Notice;
use super::orders::Place;
use super::service::Live;
use super::table::Table;
use super::view::ServiceView;
use arc_swap::ArcSwap;
use hacluster_conf::model::Config;
use hacluster_conf::model::lvs::{Check, VirtualServer};
use hacluster_core::balance::Look;
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration;
use hacluster_net::netlink::ipvs::Timeouts;
use std::collections::{HashMap, HashSet};
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
        let wanted: HashSet<_> = self.services.iter().flat_map(Live::keys).collect();
        self.table.retain(|key, _| wanted.contains(key));
        self.touched = (0..self.services.len()).map(|number| (number, None)).collect();
        self.flush_on_stop = lvs.flush_on_stop;
        self.fewer_mails = lvs.fewer_mails;
        self.sync.clone_from(&lvs.sync);
        self.parts.follow(lvs.sync.is_some() || lvs.services.iter().any(|of| of.ha_suspend));
        self.listen(lvs.services.iter().any(|of| of.ha_suspend));
        self.look_at_routers();
        self.set_looks();
        let seconds = |of: Option<Duration>| of.map_or(0, |of| (of.as_micros() / 1_000_000) as u32);
        let of = lvs.timeouts;
        let timeouts =
            Timeouts { tcp_s: seconds(of.tcp), tcp_fin_s: seconds(of.tcp_fin), udp_s: seconds(of.udp) };
        self.hands.put_timeouts(timeouts);
        // Who sees the kernel's table sees the view, too.
        self.parts.view.store(Arc::new(self.views.clone()));
        self.settle_and_put(true);
        arrivals.into_iter().for_each(|notice| self.say(notice));
        self.tell_readings();
    }

    /// Each distinct check once, with who uses it; what was known before stays known.
    fn intern(&mut self, services: &[Arc<VirtualServer>], inherited: &Table) {
        let mut users: HashMap<&Check, Vec<User>> = HashMap::new();
        for (service, of) in services.iter().enumerate() {
            for (server, real) in of.servers.iter().enumerate() {
                for (position, check) in real.checks.iter().enumerate() {
                    users.entry(check).or_default().push((service, server, position));
                }
            }
        }
        let before = Before::new(&self.services, &self.checks, &self.orders, inherited);
        let watched = users.into_iter().map(|(check, users)| before.watched(check, users, services));
        self.checks = watched.collect();
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
                let known = &former.config.servers[at].checks;
                let same = known.iter().position(|known| known == check);
                let position = same.or_else(|| known.iter().position(|known| known.is_like(check)))?;
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
