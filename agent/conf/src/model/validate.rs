//! What is wrong between settings that are right one by one: rules over the finished model.
//!
//! ```text
//!   [VirtualRouter] -> check -> [Remark { router, about, .. }] -> a front end marks where that is written
//! ```
//!
//! Pure, and linear in the number of routers and addresses. Nothing is corrected here: a front end
//! takes out the routers whose remark says why they cannot run.

pub(crate) mod lvs;

use super::{InitialState, VirtualRouter};
use crate::diag::{Diagnostic, Severity};
use crate::findings::show;
use hacluster_core::{interval::master_down_v2, time::Duration};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

/// Addresses that one advert can carry.
pub(crate) const ADDRESSES_MAX: usize = 255;
/// A crash that stays unnoticed for longer is worth a word.
const SLOW_DEAD_TIME: Duration = Duration::from_secs(90);
/// Announcements a second that switches and neighbours begin to feel.
const REFRESH_MAX_PER_SECOND: f64 = 1000.0;

/// What of a virtual router a remark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Router,
    Accept,
    Vrid,
    State,
    Priority,
    Interval,
    DownTimer,
    Source,
    Group,
    GarpRefresh,
    Addresses,
    /// One address: its place in `addresses` followed by `excluded`.
    Address(usize),
}

/// Something to be said about a virtual router.
#[derive(Clone, Debug)]
pub(crate) struct Remark {
    /// Its place in the list that was checked.
    pub(crate) router: usize,
    pub(crate) about: About,
    /// Without a place: the front end knows where `about` is written.
    pub(crate) finding: Diagnostic,
    /// Why it cannot run; `None` leaves it running.
    pub(crate) refusal: Option<String>,
}

/// Everything to be said about `routers`, rule by rule.
pub(crate) fn check(routers: &[VirtualRouter]) -> Vec<Remark> {
    let mut checker = Checker::default();
    for (at, router) in routers.iter().enumerate() {
        checker.can_run(at, router);
    }
    let refused: HashSet<usize> = checker.remarks.iter().map(|remark| remark.router).collect();
    let running: Vec<(usize, &VirtualRouter)> =
        routers.iter().enumerate().filter(|(at, _)| !refused.contains(at)).collect();
    let prefixes = Prefixes::of(&running);
    for &(at, router) in &running {
        checker.name(at, router);
        checker.addresses(at, router);
        checker.filtered(at, router);
        checker.prefixes(at, router, &prefixes);
        checker.group(at, router);
        checker.timers(at, router);
        checker.owner(at, router);
        checker.source(at, router);
    }
    checker.refresh(&running);
    checker.remarks
}

/// BACKUP and 255 contradict each other, whoever resolves it.
pub(crate) fn owner_as_backup() -> Diagnostic {
    let message = "BACKUP with priority 255 starts as MASTER: the owner of the addresses always rules";
    Diagnostic::new(Severity::Warning, "owner-backup", message)
        .note("write a priority below 255 for a backup")
}

/// Remarks so far, and what neighbours share.
#[derive(Default)]
struct Checker<'a> {
    remarks: Vec<Remark>,
    vrids: HashMap<(&'a str, u8), &'a str>,
    names: HashMap<String, &'a str>,
    owners: HashMap<Ipv4Addr, &'a str>,
    groups: HashSet<Ipv4Addr>,
}

impl<'a> Checker<'a> {
    fn remark(&mut self, router: usize, about: About, finding: Diagnostic) {
        self.remarks.push(Remark { router, about, finding, refusal: None });
    }

    fn warn(&mut self, router: usize, about: About, code: &'static str, message: String, note: &str) {
        self.remark(router, about, Diagnostic::new(Severity::Warning, code, message).note(note));
    }

    fn hint(&mut self, router: usize, about: About, code: &'static str, message: String, note: &str) {
        self.remark(router, about, Diagnostic::new(Severity::Hint, code, message).note(note));
    }

    fn refuse(
        &mut self,
        at: usize,
        router: &VirtualRouter,
        about: About,
        code: &'static str,
        why: (String, &str),
    ) {
        let (reason, note) = why;
        let message = format!("virtual router `{}` is not run: {reason}", show(&router.name));
        let finding = Diagnostic::new(Severity::Error, code, message).note(note);
        self.remarks.push(Remark { router: at, about, finding, refusal: Some(reason) });
    }

    fn can_run(&mut self, at: usize, router: &'a VirtualRouter) {
        let count = router.addresses.len();
        if count > ADDRESSES_MAX {
            let why = (
                format!("an advert carries {ADDRESSES_MAX} addresses, not {count}"),
                "exclude some from the advert",
            );
            return self.refuse(at, router, About::Addresses, "too-many-addresses", why);
        }
        let key = (router.interface.as_str(), router.vrid.get());
        match self.vrids.get(&key) {
            None => {
                self.vrids.insert(key, &router.name);
            }
            Some(other) => {
                let reason =
                    format!("VRID {} on {} belongs to `{}` already", key.1, show(key.0), show(other));
                let note = "a VRID names one virtual router on a network";
                self.refuse(at, router, About::Vrid, "duplicate-vrid", (reason, note));
            }
        }
    }

    fn name(&mut self, at: usize, router: &'a VirtualRouter) {
        let first = *self.names.entry(router.name.to_lowercase()).or_insert(&router.name);
        if first != router.name {
            let message = format!("`{}` and `{}` differ in case only", show(&router.name), show(first));
            let note = "both run; commands take names without regard to case, so rename one";
            self.warn(at, About::Router, "alike-names", message, note);
        }
    }

    fn addresses(&mut self, at: usize, router: &'a VirtualRouter) {
        let mut shared = None;
        for (place, address) in router.addresses.iter().chain(&router.excluded).enumerate() {
            let owner = *self.owners.entry(address.ip).or_insert(&router.name);
            if owner != router.name {
                shared.get_or_insert((place, address.ip, owner));
            }
        }
        if let Some((place, ip, owner)) = shared {
            let message = format!("{ip} is an address of `{}` and of `{}`", show(owner), show(&router.name));
            let note = "when the two have different masters, two nodes hold the address";
            self.warn(at, About::Address(place), "shared-address", message, note);
        } else if router.addresses.is_empty() && router.excluded.is_empty() {
            let message = format!("`{}` has no virtual address", show(&router.name));
            let note = "it takes part in the election and holds nothing";
            self.warn(at, About::Addresses, "no-address", message, note);
        }
    }

    /// An address that is there and does not answer puzzles whoever has not asked for it.
    fn filtered(&mut self, at: usize, router: &VirtualRouter) {
        if !router.is_filtered() {
            return;
        }
        let message = format!(
            "`{}` drops packets to its virtual addresses: ping and services on them get no answer",
            show(&router.name)
        );
        if router.strict {
            let note = "strict mode asks for it, as with keepalived; write `accept` in the virtual router to \
                        serve them (`accept = true` in agent.toml)";
            self.warn(at, About::Accept, "filtered-addresses", message, note);
        } else {
            self.hint(at, About::Accept, "filtered-addresses", message, "as `no_accept` asks for");
        }
    }

    fn prefixes(&mut self, at: usize, router: &VirtualRouter, prefixes: &Prefixes<'_>) {
        let all = router.addresses.iter().chain(&router.excluded).enumerate();
        let found = all.filter(|(_, address)| address.peer.is_none()).find_map(|(place, address)| {
            let dev = address.dev.as_deref().unwrap_or(&router.interface);
            Some((place, address, prefixes.wider(dev, address.ip, address.prefix_len)?))
        });
        if let Some((place, address, (other, length))) = found {
            let message =
                format!("{address} lies in the subnet of {other}/{length}, with another prefix length");
            let note = "each brings a route of its own, and some hosts are reached by one of them only; \
                        write the subnet's length, or /32 for an address that needs no route";
            self.hint(at, About::Address(place), "prefix-mismatch", message, note);
        }
    }

    /// Once for each group: most files set it for all routers.
    fn group(&mut self, at: usize, router: &VirtualRouter) {
        let group = router.mcast_group;
        let local = group.octets()[..3] == [224, 0, 0];
        if !local && self.groups.insert(group) {
            let message = format!("adverts to {group} may leave the network, or be held back by a switch");
            let note = "only 224.0.0.0/24 stays local and passes IGMP snooping unasked; for other groups a \
                        querier must be on the network";
            self.hint(at, About::Group, "routed-group", message, note);
        }
    }

    fn timers(&mut self, at: usize, router: &VirtualRouter) {
        let adverts = router.down_timer_adverts;
        let dead_time = master_down_v2(router.advert_interval, router.priority, adverts);
        let seconds = dead_time.as_secs_f64();
        let every = router.advert_interval.get();
        if adverts == 1 {
            let note = format!(
                "adverts come every {every} s, and the master counts as dead after {seconds:.3} s; allow at least \
                 2 to be missed, the same on all nodes"
            );
            let message = "one lost advert is enough for two masters".to_owned();
            self.warn(at, About::DownTimer, "short-dead-time", message, &note);
        } else if dead_time >= SLOW_DEAD_TIME {
            let about = if every > 1 { About::Interval } else { About::DownTimer };
            let message = format!("a dead master is noticed only after {seconds:.0} seconds");
            let note = format!("{adverts} adverts, one every {every} s, must be missed first");
            self.hint(at, about, "slow-failover", message, &note);
        }
    }

    fn owner(&mut self, at: usize, router: &VirtualRouter) {
        if !router.priority.is_owner() {
            return;
        }
        if router.initial_state == InitialState::Backup {
            return self.remark(at, About::State, owner_as_backup());
        }
        let elsewhere = |dev: &String| *dev != router.interface;
        let added = router
            .addresses
            .iter()
            .find(|address| address.label.is_some() || address.dev.iter().any(elsewhere));
        let why = match (router.source, added) {
            (Some(source), _) if router.addresses.iter().all(|address| address.ip != source) => {
                format!("adverts come from {source}")
            }
            (_, Some(address)) => format!("{} has a label or interface of its own", address.ip),
            _ => return,
        };
        let message = format!("priority 255 says that the addresses are the interface's own, but {why}");
        let note = "an owner rules whatever its neighbours, nopreempt and trackers say; for addresses that \
                    move write 254 at most";
        self.hint(at, About::Priority, "not-an-owner", message, note);
    }

    /// An owner's addresses are its interface's own: they may be the source.
    fn source(&mut self, at: usize, router: &VirtualRouter) {
        let Some(source) = router.source.filter(|_| !router.priority.is_owner()) else { return };
        if router.addresses.iter().chain(&router.excluded).any(|address| address.ip == source) {
            let message =
                format!("the source {source} is one of the virtual addresses: a backup does not have it");
            let note = "write an address that always stays on this node";
            self.warn(at, About::Source, "virtual-source", message, note);
        }
    }

    /// Once for the node, where most of the announcements come from.
    fn refresh(&mut self, running: &[(usize, &VirtualRouter)]) {
        let rates = running.iter().map(|(at, router)| (refresh_per_second(router), *at));
        let total: f64 = rates.clone().map(|(rate, _)| rate).sum();
        let most = rates.max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, at)) = most.filter(|_| total > REFRESH_MAX_PER_SECOND) {
            let message =
                format!("refreshing sends up to {total:.0} gratuitous ARP packets a second, without end");
            let note = "a minute between refreshes is plenty, and without one neighbours learn of every move all the same";
            self.hint(at, About::GarpRefresh, "announce-flood", message, note);
        }
    }
}

fn refresh_per_second(router: &VirtualRouter) -> f64 {
    let garp = &router.garp;
    if garp.master_refresh.is_zero() {
        return 0.0;
    }
    let rounds = f64::from(garp.master_refresh_repeat);
    let packets = (router.addresses.len() + router.excluded.len()) as f64 * rounds;
    let rate = packets / garp.master_refresh.as_secs_f64();
    if garp.interval.is_zero() { rate } else { rate.min(1.0 / garp.interval.as_secs_f64()) }
}

/// The subnets that virtual addresses bring along, by interface.
struct Prefixes<'a> {
    lengths: BTreeSet<u8>,
    subnets: HashMap<(&'a str, u8, u32), Ipv4Addr>,
}

impl<'a> Prefixes<'a> {
    fn of(running: &[(usize, &'a VirtualRouter)]) -> Self {
        let mut prefixes = Self { lengths: BTreeSet::new(), subnets: HashMap::new() };
        for (_, router) in running {
            let all = router.addresses.iter().chain(&router.excluded);
            for address in all.filter(|address| is_subnet(address.prefix_len) && address.peer.is_none()) {
                let dev = address.dev.as_deref().unwrap_or(&router.interface);
                let network = network(address.ip, address.prefix_len);
                prefixes.lengths.insert(address.prefix_len);
                prefixes.subnets.entry((dev, address.prefix_len, network)).or_insert(address.ip);
            }
        }
        prefixes
    }

    /// An address whose subnet is wider than that of `ip/length`, and holds it.
    fn wider(&self, dev: &'a str, ip: Ipv4Addr, length: u8) -> Option<(Ipv4Addr, u8)> {
        let wider = self.lengths.range(..length).filter(|_| is_subnet(length));
        wider.copied().find_map(|wide| Some((*self.subnets.get(&(dev, wide, network(ip, wide)))?, wide)))
    }
}

/// An address alone has no subnet, and everything is none either.
fn is_subnet(length: u8) -> bool {
    (1..32).contains(&length)
}

/// The network bits of `ip`; `length` is 1 to 31.
fn network(ip: Ipv4Addr, length: u8) -> u32 {
    ip.to_bits() & (u32::MAX << (32 - length))
}

#[cfg(test)]
mod tests;
