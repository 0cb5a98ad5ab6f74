//! The kernel thread's loop: orders and notifications in, batches of requests and announcements
//! out.
//!
//! One round: take what came (notifications: `view`; orders: here), do one batch of address work and
//! send one batch of announcements (`work`). Batches are bounded, so that nothing waits for a router
//! with thousands of addresses; the first batch of a claim is small, so that its first announcement
//! leaves early.

use super::announcer::Announcer;
use super::filter::{Filter, FilterSettings};
use super::holding::{Holding, Want};
use super::interfaces::Interfaces;
use super::promotion::Promoted;
use super::routing::Routing;
use super::view::LISTING;
use super::{Definition, Leftover, Order, Report, RouterId};
use crate::event::{Event, EventSender, Identity, What};
use crate::fact::Fact;
use crate::mailbox::{Receiver, Sender};
use crate::story::{Claim, Release, Trail};
use hacluster_core::time::Instant;
use hacluster_net::netlink::{AddressSpec, Group, Monitor, Requests};
use hacluster_net::poll::Waiter;
use hacluster_net::raw::ArpSocket;
use hacluster_net::{NetError, clock, sched};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

const MONITOR: u64 = 0;
const ORDERS: u64 = 1;
const FILTER: u64 = 2;
pub(super) const ROUTES: u64 = 3;

/// The thread's state.
pub(super) struct Hands {
    pub(super) orders: Receiver<Order>,
    pub(super) reports: Sender<Report>,
    pub(super) events: EventSender,
    pub(super) waiter: Waiter,
    pub(super) monitor: Monitor,
    pub(super) requests: Requests,
    pub(super) arp: ArpSocket,
    pub(super) interfaces: Interfaces,
    pub(super) holdings: BTreeMap<RouterId, Holding>,
    /// Which slot an address of an interface belongs to.
    pub(super) owners: HashMap<(u32, Ipv4Addr), (RouterId, usize)>,
    /// Own removals whose notification is still to come, by interface, address and prefix length. Not
    /// kept with the slot: its router may be gone, or the address another's, when the echo arrives.
    pub(super) farewells: HashMap<(u32, Ipv4Addr, u8), u32>,
    /// Routers with work left, and how far it got.
    pub(super) work: VecDeque<(RouterId, usize)>,
    pub(super) announcer: Announcer,
    pub(super) filter: Filter,
    pub(super) routing: Routing,
    pub(super) leftovers: Vec<Leftover>,
    promoted: Promoted,
    /// Definitions that wait for the next listing.
    pub(super) defined: Vec<RouterId>,
    pub(super) next_sweep: Instant,
    pub(super) next_listing: Instant,
    pub(super) early: bool,
    pub(super) stopping: bool,
}

impl Hands {
    pub(super) fn new(
        orders: Receiver<Order>,
        reports: Sender<Report>,
        events: EventSender,
        leftovers: Vec<Leftover>,
        filter: FilterSettings,
    ) -> Result<Self, NetError> {
        let requests = Requests::open()?;
        let monitor = Monitor::open(&[Group::Links, Group::Ipv4Addresses])?;
        monitor.ignore_additions_by(requests.port_id())?; // their results say as much, and sooner
        let waiter = Waiter::new()?;
        waiter.add(&monitor, MONITOR)?;
        waiter.add(orders.wake(), ORDERS)?;
        Ok(Self {
            filter: Filter::new(filter, events.clone()),
            orders,
            reports,
            events,
            waiter,
            monitor,
            requests,
            arp: ArpSocket::open()?,
            interfaces: Interfaces::default(),
            holdings: BTreeMap::new(),
            owners: HashMap::new(),
            farewells: HashMap::new(),
            work: VecDeque::new(),
            announcer: Announcer::default(),
            routing: Routing::default(),
            leftovers,
            promoted: Promoted::default(),
            defined: Vec::new(),
            next_sweep: clock::now() + LISTING,
            next_listing: clock::now() + LISTING,
            early: false,
            stopping: false,
        })
    }

    /// Runs until [`Order::Shutdown`] is carried out.
    pub(super) fn run(mut self) {
        // On a busy machine addresses come as soon as adverts do; who is refused that works all the same, and
        // the protocol thread has said so.
        let _ = sched::set_short_turns();
        loop {
            self.wait();
            self.hear_kernel();
            self.filter.hear();
            self.hear_routes();
            self.orders.wake().clear();
            while let Some(order) = self.orders.pop() {
                self.obey(order);
            }
            self.settle_definitions();
            self.work_one_batch();
            self.settle_filter();
            self.announce_one_batch();
            self.work_on_routes();
            self.report_claimed();
            self.report_interfaces();
            self.tell_held();
            if clock::now() >= self.next_sweep {
                self.sweep();
            }
            if self.stopping && self.work.is_empty() {
                self.filter.close();
                self.withdraw_fixed();
                self.promoted.restore();
                self.reports.send_patiently(Report::Finished);
                return;
            }
        }
    }

    fn wait(&mut self) {
        let now = clock::now();
        let due = [self.announcer.next_due(), self.filter.next_look(), self.routing.next_due()];
        let due = due.into_iter().flatten().fold(self.next_sweep, Instant::min);
        let deadline = if self.work.is_empty() && !self.stopping { due } else { now };
        let waited = self.waiter.wait_until(Some(deadline)).map(drop);
        if let Err(error) = waited {
            self.trouble(error);
            std::thread::sleep(std::time::Duration::from_millis(10)); // never spin on a broken poll
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Define(definition) => self.define(&definition),
            Order::Claim { id, rounds, claim, trail } => self.claim(id, rounds, (claim, trail)),
            Order::Announce { id, rounds } => self.announce(id, rounds),
            Order::Release { id, trail } => {
                self.release(id, false);
                self.note_release(id, trail);
            }
            Order::Forget { id } => self.release(id, true),
            Order::Fix(fixed) => self.fix(fixed),
            Order::Pulse(pulse) => pulse.answer(),
            Order::Retell => self.holdings.values_mut().for_each(|holding| holding.told = None),
            Order::Abandon => {
                let ids: Vec<_> = self.holdings.keys().copied().collect();
                for id in ids {
                    self.release(id, true);
                }
                self.stopping = true;
            }
            Order::Shutdown => self.stopping = true,
        }
    }

    fn define(&mut self, definition: &Definition) {
        let id = definition.id;
        let mut holding = Holding::new(definition);
        self.watch_plan(&holding.plan);
        self.interfaces.watch(&definition.identity.interface);
        for slot in &holding.slots {
            self.interfaces.watch(&slot.dev);
        }
        for name in &definition.tracked {
            self.interfaces.watch(name);
        }
        if let Some(before) = self.holdings.remove(&id) {
            self.replace(before, &mut holding);
        }
        for slot in &mut holding.slots {
            slot.spec.index = self.interfaces.link(&slot.dev).map_or(0, |link| link.index);
        }
        self.holdings.insert(id, holding);
        self.index_slots(id);
        self.defined.push(id);
        if definition.promote_secondaries {
            let promoted = self.promoted.set(&definition.identity.interface);
            promoted.unwrap_or_else(|error| self.trouble(error));
        }
    }

    /// One listing of the kernel's state answers all definitions that came together.
    fn settle_definitions(&mut self) {
        if self.defined.is_empty() {
            return;
        }
        self.list_all();
        self.filter.due = true;
        self.report_interfaces();
        for id in std::mem::take(&mut self.defined) {
            self.report_usable(id);
            let Some(holding) = self.holdings.get_mut(&id) else { continue };
            if std::mem::replace(&mut holding.settled, true) {
                self.enqueue(id);
            } else {
                self.report_defined(id);
            }
        }
    }

    /// Takes over what stays from the former definition and removes what does not.
    fn replace(&mut self, before: Holding, holding: &mut Holding) {
        (holding.want, holding.rounds, holding.usable) = (before.want, before.rounds, before.usable);
        (holding.restorations, holding.settled) = (before.restorations, before.settled);
        (holding.claim, holding.claiming) = (before.claim, before.claiming);
        let gone = holding.plan.succeed(before.plan);
        self.withdraw_plan(gone);
        let mut dropped = Vec::new();
        for old in before.slots {
            let anothers = !self.disown(before.id, &old.spec);
            let same = |new: &super::holding::Slot| {
                new.dev == old.dev && AddressSpec { index: old.spec.index, ..new.spec.clone() } == old.spec
            };
            match holding.slots.iter_mut().find(|new| same(new)) {
                Some(new) => *new = old,
                None if old.present && !old.keep && !anothers => dropped.push(old.spec),
                None => {}
            }
        }
        for spec in &dropped {
            self.announcer.remove(spec.index, spec.ip);
        }
        self.remove(&dropped);
    }

    pub(super) fn remove(&mut self, specs: &[AddressSpec]) {
        for (spec, result) in specs.iter().zip(self.requests.remove_addresses(specs)) {
            match result {
                Ok(()) => self.expect_farewell(spec),
                Err(error) => self.trouble(error),
            }
        }
    }

    /// The kernel will tell us of a removal that we asked for.
    pub(super) fn expect_farewell(&mut self, spec: &AddressSpec) {
        *self.farewells.entry((spec.index, spec.ip, spec.prefix_len)).or_default() += 1;
    }

    /// Router `id` has no claim to the address any more; false when it is another router's by now.
    pub(super) fn disown(&mut self, id: RouterId, spec: &AddressSpec) -> bool {
        let key = (spec.index, spec.ip);
        let ours = self.owners.get(&key).is_none_or(|(owner, _)| *owner == id);
        if ours {
            self.owners.remove(&key);
        }
        ours
    }

    pub(super) fn index_slots(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get(&id) else { return };
        for (number, slot) in holding.slots.iter().enumerate() {
            if slot.spec.index != 0 {
                self.owners.insert((slot.spec.index, slot.spec.ip), (id, number));
            }
        }
    }

    fn report_defined(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get(&id) else { return };
        let count = holding.present();
        if count > 0 {
            self.event(Some(holding.identity.clone()), What::Adopted { count });
        }
        self.reports.send_patiently(Report::Defined { id, adopted: count > 0 });
    }

    fn claim(&mut self, id: RouterId, rounds: u32, (claim, trail): (u64, Trail)) {
        self.early |= self.work.is_empty();
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.begin_claim(rounds, claim);
        holding.claiming = Some((trail, Claim::new(clock::now(), holding.slots.len())));
        for slot in holding.slots.iter().filter(|slot| slot.present) {
            self.announcer.add(slot.spec.index, slot.spec.ip, rounds, holding.gap);
        }
        self.enqueue(id);
    }

    fn announce(&mut self, id: RouterId, rounds: u32) {
        let Some(holding) = self.holdings.get(&id).filter(|holding| holding.want == Want::Present) else {
            return;
        };
        for slot in holding.slots.iter().filter(|slot| slot.present) {
            self.announcer.add(slot.spec.index, slot.spec.ip, rounds, holding.gap);
        }
    }

    pub(super) fn release(&mut self, id: RouterId, forget: bool) {
        self.withdraw(id);
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.want = Want::Absent;
        holding.claim = None;
        holding.claiming = None;
        holding.vanished = None;
        holding.forget |= forget;
        for slot in &holding.slots {
            self.announcer.remove(slot.spec.index, slot.spec.ip);
        }
        self.enqueue(id);
    }

    /// Its addresses go now: says so when they are gone, if there are any.
    fn note_release(&mut self, id: RouterId, trail: Trail) {
        if let Some(holding) = self.holdings.get_mut(&id).filter(|holding| holding.present() > 0) {
            holding.releasing = Some((trail, Release { begun: clock::now(), removed: 0 }));
        }
    }

    /// Lets the filter follow what is in place, once nothing is being changed.
    fn settle_filter(&mut self) {
        if self.filter.due && self.work.is_empty() && !self.stopping {
            let any = self.holdings.values().any(|holding| holding.drops);
            let wanted = || self.holdings.values().flat_map(Holding::unserved).collect();
            self.filter.settle(any.then(wanted), &self.waiter, FILTER);
        }
        self.filter.look();
    }

    /// Tells which addresses are there, of routers whose work is done for now.
    fn tell_held(&mut self) {
        for holding in self.holdings.values_mut().filter(|holding| !holding.queued) {
            if let Some(held) = holding.held_news(self.filter.is_missing()) {
                self.events.send_or_drop(Event::now(Some(holding.identity.clone()), Fact::Held(held)));
            }
        }
    }

    pub(super) fn event(&self, router: Option<Arc<Identity>>, what: What) {
        self.events.send_or_drop(Event::now(router, what));
    }

    pub(super) fn trouble(&self, error: NetError) {
        self.event(None, What::Trouble { error });
    }
}

/// A netlink port is usually the process that opened it; its name, if it still runs.
pub(super) fn process_name(port: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some(format!("{} (pid {port})", name.trim_end()))
}
