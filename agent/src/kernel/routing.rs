//! Routes and rules of virtual routers, and what is static on the host: put in place, watched, put
//! back, taken away.
//!
//! ```text
//!   a claim's addresses are in place --.             .-> additions, in order      --> kernel
//!   release, before the addresses -----+--> Plan ----+-> removals, backwards      --> kernel
//!   removal heard, link changed, sweep-'  (compare)  '-> "had been removed", who, how often
//! ```
//!
//! Contract: an addition never replaces what another program set, and a removal is of what carries our
//! mark: what takes the place of ours is told, and stays until it goes. The kernel drops routes with a link or an address without a word, so after either it is asked
//! what is left.

mod plan;

pub(super) use plan::{Plan, Thing};

use super::hands::{Hands, process_name};
use super::holding::Want;
use super::{Fixed, RouterId};
use crate::event::{Identity, What};
use hacluster_core::time::{Duration, Instant};
use hacluster_net::netlink::{
    AddressEntry, AddressSpec, Event as Kernel, Group, Monitor, PROTOCOL_MARK, ROUTE_PROTOCOL, RouteSpec,
    RuleEntry, RuleSpec,
};
use hacluster_net::{Errno, NetError, clock};
use plan::{Item, Listing, Spec};
use std::sync::Arc;

/// Notifications taken per round.
const NOTIFICATIONS: usize = 512;
/// At least this long between listings, whoever undoes our work.
const BETWEEN_LISTINGS: Duration = Duration::from_millis(50);

/// The same when more happens than can be heard.
const BETWEEN_OVERRUNS: Duration = Duration::from_secs(1);

/// What the kernel thread keeps for routes and rules beside the routers' own plans.
#[derive(Debug, Default)]
pub(super) struct Routing {
    /// What is the host's own.
    pub(super) fixed: Plan,
    /// What a predecessor recorded and nobody wants any more; until the first listing.
    stale: Plan,
    /// Opened with the first route.
    monitor: Option<Monitor>,
    /// Something may have gone: list soon.
    due: bool,
    not_before: Instant,
    /// Who removed something last, as the kernel tells.
    culprit: Option<u32>,
    /// Routers whose addresses are in place.
    ready: Vec<RouterId>,
}

impl Routing {
    /// When there is something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.then_some(self.not_before)
    }
}

impl Hands {
    /// What is static, and what a predecessor left, is this.
    pub(super) fn fix(&mut self, wanted: Fixed) {
        let stale = wanted.stale_routes.into_iter().map(Thing::Route);
        self.routing.stale = Plan::from_things(stale.chain(wanted.stale_rules.into_iter().map(Thing::Rule)));
        let mut fixed = Plan::of_statics(&wanted.statics);
        let dropped = fixed.succeed(std::mem::take(&mut self.routing.fixed));
        self.withdraw_plan(dropped);
        if fixed.is_empty() && self.routing.stale.is_empty() {
            return;
        }
        self.watch_plan(&fixed);
        let stale = std::mem::take(&mut self.routing.stale);
        self.watch_plan(&stale);
        (self.routing.fixed, self.routing.stale) = (fixed, stale);
        self.list_all();
    }

    /// From now on hears of everything that concerns `plan`.
    pub(super) fn watch_plan(&mut self, plan: &Plan) {
        if plan.is_empty() {
            return;
        }
        for dev in plan.devices() {
            self.interfaces.watch(dev);
        }
        if self.routing.monitor.is_none() {
            match self.open_route_monitor() {
                Ok(monitor) => self.routing.monitor = Some(monitor),
                Err(error) => self.trouble(error),
            }
        }
    }

    fn open_route_monitor(&self) -> Result<Monitor, NetError> {
        let monitor = Monitor::open(&[Group::Ipv4Routes, Group::Ipv4Rules])?;
        monitor.only_losses_of(ROUTE_PROTOCOL)?;
        self.waiter.add(&monitor, super::hands::ROUTES)?;
        Ok(monitor)
    }

    pub(super) fn hear_routes(&mut self) {
        let own = Some(self.requests.port_id());
        let Some(monitor) = &mut self.routing.monitor else { return };
        let plans = self.holdings.values().map(|holding| &holding.plan).chain([&self.routing.fixed]);
        let (mut lost, mut by, mut overrun) = (false, self.routing.culprit, false);
        let heard = monitor.read(NOTIFICATIONS, &mut |event| match event {
            Kernel::RouteRemoved { sender } | Kernel::RouteReplaced { sender, .. } if sender == own => {}
            Kernel::RouteRemoved { sender } => (lost, by) = (true, sender),
            Kernel::RouteReplaced { route, sender } => {
                if plans.clone().any(|plan| plan.has_at(&route)) {
                    (lost, by) = (true, sender);
                }
            }
            _ => overrun = true,
        });
        self.routing.culprit = by;
        self.routing.due |= lost || overrun;
        if overrun {
            // Somebody changes thousands of routes: to list them all the time would make it worse.
            self.routing.not_before = self.routing.not_before.max(clock::now() + BETWEEN_OVERRUNS);
        }
        if let Err(error) = heard {
            self.trouble(error);
        }
    }

    /// The kernel may have dropped routes without a word.
    pub(super) fn doubt_routes(&mut self) {
        self.routing.due |= self.routing.monitor.is_some();
    }

    /// The addresses of router `id` are in place.
    pub(super) fn addresses_in_place(&mut self, id: RouterId) {
        let holding = self.holdings.get(&id);
        if holding.is_some_and(|holding| holding.want == Want::Present && holding.plan.lacks()) {
            self.routing.ready.push(id);
        }
    }

    /// Does what became due.
    pub(super) fn work_on_routes(&mut self) {
        for id in std::mem::take(&mut self.routing.ready) {
            self.complete(id);
        }
        if self.routing.next_due().is_some_and(|due| clock::now() >= due) {
            self.list_routes();
        }
    }

    /// Sets what router `id` lacks.
    fn complete(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        if holding.want != Want::Present || holding.queued || !holding.plan.lacks() {
            return;
        }
        let (mut plan, identity) = (std::mem::take(&mut holding.plan), holding.identity.clone());
        self.set_missing(&mut plan, Some(&identity));
        if let Some(holding) = self.holdings.get_mut(&id) {
            holding.plan = plan;
        }
    }

    /// Sets whatever is missing anywhere.
    pub(super) fn complete_all(&mut self) {
        if self.routing.fixed.lacks() && !self.stopping {
            let mut fixed = std::mem::take(&mut self.routing.fixed);
            self.set_missing(&mut fixed, None);
            self.routing.fixed = fixed;
        }
        let ids: Vec<_> = self.holdings.iter().filter(|(_, holding)| holding.plan.lacks()).collect();
        let ids: Vec<_> = ids.into_iter().map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.complete(id));
    }

    /// Asks the kernel what is there and makes it what shall be.
    pub(super) fn list_routes(&mut self) {
        self.routing.due = false;
        self.routing.not_before = clock::now() + BETWEEN_LISTINGS;
        if self.routing.monitor.is_none() {
            return; // no route, no rule, nothing static
        }
        self.clean_stale();
        let listing = match self.listing() {
            Ok(listing) => listing,
            Err(error) => return self.trouble(error),
        };
        self.routing.fixed.compare(&listing, &self.interfaces, !self.stopping);
        let mut leaving = Vec::new();
        for (id, holding) in &mut self.holdings {
            holding.plan.compare(&listing, &self.interfaces, holding.want == Want::Present);
            if holding.want == Want::Absent && holding.plan.present().any(|present| present) {
                leaving.push(*id);
            }
        }
        leaving.into_iter().for_each(|id| self.withdraw(id));
        self.complete_all();
        self.routing.culprit = None;
    }

    fn listing(&mut self) -> Result<Listing, NetError> {
        let with_addresses = self.routing.fixed.has_addresses();
        Ok(Listing {
            addresses: if with_addresses { self.requests.dump_addresses()? } else { Vec::new() },
            routes: self.requests.dump_routes(ROUTE_PROTOCOL)?,
            rules: self.requests.dump_rules(ROUTE_PROTOCOL)?,
        })
    }

    /// Removes what a predecessor left and nobody wants.
    fn clean_stale(&mut self) {
        let mut stale = std::mem::take(&mut self.routing.stale);
        if stale.is_empty() {
            return;
        }
        match self.listing() {
            Ok(listing) => stale.compare(&listing, &self.interfaces, false),
            Err(error) => return self.trouble(error),
        }
        stale.items.retain(|item| item.present);
        if let Some(first) = stale.items.first() {
            let count = stale.items.len();
            let text = format!("{count} stale route(s) or rule(s) removed (first {})", first.thing);
            self.event(None, What::Routing { warning: false, text });
            self.withdraw_plan(stale);
        }
    }

    /// Takes away what router `id` has set.
    pub(super) fn withdraw(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let mut plan = std::mem::take(&mut holding.plan);
        self.remove_present(&mut plan);
        if let Some(holding) = self.holdings.get_mut(&id) {
            holding.plan = plan;
        }
    }

    /// Takes away what is static: the agent ends.
    pub(super) fn withdraw_fixed(&mut self) {
        let fixed = std::mem::take(&mut self.routing.fixed);
        self.withdraw_plan(fixed);
    }

    /// Takes away all of a plan that is not needed any more.
    pub(super) fn withdraw_plan(&mut self, mut plan: Plan) {
        self.remove_present(&mut plan);
    }

    /// Adds what `plan` lacks and tells what came of it.
    fn set_missing(&mut self, plan: &mut Plan, identity: Option<&Arc<Identity>>) {
        let (mut restored, mut first) = (0, None);
        for item in plan.items.iter_mut().filter(|item| !item.present) {
            if self.another_has(&item.thing, |other| other.present) {
                item.present = true;
                continue;
            }
            let Some(spec) = plan::spec(&item.thing, &self.interfaces, true) else { continue };
            match self.set(&spec) {
                Ok(()) => {
                    item.present = true;
                    item.told = false;
                    if std::mem::take(&mut item.lost) {
                        restored += 1;
                        first.get_or_insert_with(|| item.thing.to_string());
                    }
                }
                Err(error) => {
                    self.look_again();
                    if !std::mem::replace(&mut item.told, true) {
                        self.event(identity.cloned(), refused(item, &error));
                    }
                }
            }
        }
        let Some(first) = first else { return };
        plan.restorations += 1;
        let by = self.routing.culprit.and_then(process_name);
        let by = by.as_deref().unwrap_or("an unknown process, or the kernel with a link or an address");
        let text = format!(
            "{restored} route(s) or rule(s) had been removed (first {first}) and are back in place; by {by}, \
             time {}",
            plan.restorations
        );
        self.event(identity.cloned(), What::Routing { warning: true, text });
    }

    /// Whether the same is wanted by a router that rules, or static. The plan at hand is not among those
    /// that are looked through: whoever works on one holds it in hands.
    fn another_has(&self, thing: &Thing, fits: impl Fn(&Item) -> bool) -> bool {
        let ruling = self.holdings.values().filter(|holding| holding.want == Want::Present);
        let plans =
            ruling.map(|holding| &holding.plan).chain((!self.stopping).then_some(&self.routing.fixed));
        plans.flat_map(|plan| &plan.items).any(|item| item.thing.same_for_kernel(thing) && fits(item))
    }

    fn set(&mut self, spec: &Spec) -> Result<(), NetError> {
        let results = match spec {
            Spec::Address(spec) => self.set_address(spec),
            Spec::Route(spec) => self.requests.add_routes([spec]),
            Spec::Rule(spec) => self.requests.add_rules([spec]),
        };
        results.into_iter().next().unwrap_or(Ok(()))
    }

    /// A static address is the interface's own: adverts may leave from it.
    fn set_address(&mut self, spec: &AddressSpec) -> Vec<Result<(), NetError>> {
        let results = self.requests.add_addresses([spec]);
        if results.iter().all(Result::is_ok) {
            self.interfaces.address_added(AddressEntry {
                index: spec.index,
                ip: spec.ip,
                prefix_len: spec.prefix_len,
                label: spec.label.clone().unwrap_or_default(),
                scope: spec.scope,
                protocol: PROTOCOL_MARK,
                secondary: false,
                broadcast: spec.broadcast,
                peer: spec.peer,
            });
        }
        results
    }

    /// Removes what of `plan` is there, the last one first.
    fn remove_present(&mut self, plan: &mut Plan) {
        let (mut addresses, mut routes, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for item in plan.items.iter_mut().rev().filter(|item| item.present) {
            item.present = false;
            item.lost = false;
            let ours = !item.keep && !self.another_has(&item.thing, |_| true);
            match plan::spec(&item.thing, &self.interfaces, false).filter(|_| ours) {
                Some(Spec::Address(spec)) => addresses.push(spec),
                Some(Spec::Route(spec)) => routes.push(spec),
                Some(Spec::Rule(spec)) => rules.push(spec),
                None => {} // gone with its interface, or not ours
            }
        }
        self.remove_rules(&rules);
        self.remove_routes(&routes);
        self.remove(&addresses);
    }

    fn remove_rules(&mut self, specs: &[RuleSpec]) {
        if specs.is_empty() {
            return;
        }
        let listed = match self.requests.dump_rules(ROUTE_PROTOCOL) {
            Ok(listed) => listed,
            Err(error) => return self.trouble(error),
        };
        let ours = specs.iter().filter_map(|spec| listed.iter().find(|entry| entry.is(spec)));
        let ours: Vec<&RuleEntry> = ours.collect();
        let results = self.requests.remove_rules(ours);
        results.into_iter().filter_map(Result::err).for_each(|error| self.trouble(error));
    }

    fn remove_routes(&mut self, specs: &[RouteSpec]) {
        let results = self.requests.remove_routes(specs);
        results.into_iter().filter_map(Result::err).for_each(|error| self.trouble(error));
    }
}

fn refused(item: &Item, error: &NetError) -> What {
    let thing = &item.thing;
    let text = match (error.errno(), thing) {
        (Errno::EEXIST, Thing::Route(_)) => format!(
            "{thing} is not set: another program has a route to the same destination in this table with the \
             same metric, and it stays. Remove that one, or write another metric"
        ),
        (Errno::EEXIST, _) => {
            format!("{thing} is not set: another program has set the same, and it stays")
        }
        _ => format!("{thing} is not set: {error}"),
    };
    What::Routing { warning: true, text }
}
