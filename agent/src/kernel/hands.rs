//! The kernel thread's loop: orders and notifications in, batches of requests and announcements
//! out.
//!
//! One round: take what came (notifications, orders), do one batch of address work, send one batch
//! of announcements. Batches are bounded, so that nothing waits for a router with thousands of
//! addresses; the first batch of a claim is small, so that its first announcement leaves early.

use super::announcer::Announcer;
use super::holding::{Holding, Step, Vanished, Want};
use super::interfaces::Interfaces;
use super::{Definition, Leftover, Order, Report, RouterId};
use crate::event::{Event, EventSender, Identity, InterfaceState, What};
use crate::mailbox::{Receiver, Sender};
use hacluster_core::time::{Duration, Instant};
use hacluster_core::wire::neighbor::gratuitous_arp;
use hacluster_net::netlink::{AddressEntry, AddressSpec, Change, Group, Monitor, PROTOCOL_MARK, Requests};
use hacluster_net::poll::Waiter;
use hacluster_net::raw::ArpSocket;
use hacluster_net::{NetError, clock, sysctl};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Addresses per batch: about 10 ms of kernel time.
const BATCH: usize = 128;
/// Addresses in the first batch of a claim: the first announcement leaves after these.
const FIRST_BATCH: usize = 8;
/// Frames per batch.
const FRAMES: usize = 64;
/// Notifications taken per round.
const NOTIFICATIONS: usize = 512;
/// How often what is there is compared with what shall be, notification or not.
const SWEEP: Duration = Duration::from_secs(1);
/// How many sweeps go by before addresses and links are listed anew.
const SWEEPS_PER_LISTING: u32 = 30;
const MONITOR: u64 = 0;
const ORDERS: u64 = 1;

/// The thread's state.
pub(super) struct Hands {
    orders: Receiver<Order>,
    reports: Sender<Report>,
    events: EventSender,
    waiter: Waiter,
    monitor: Monitor,
    requests: Requests,
    arp: ArpSocket,
    interfaces: Interfaces,
    holdings: BTreeMap<RouterId, Holding>,
    /// Which slot an address of an interface belongs to.
    owners: HashMap<(u32, Ipv4Addr), (RouterId, usize)>,
    /// Routers with work left, and how far it got.
    work: VecDeque<(RouterId, usize)>,
    announcer: Announcer,
    leftovers: Vec<Leftover>,
    /// Definitions that wait for the next listing.
    defined: Vec<RouterId>,
    next_sweep: Instant,
    sweeps: u32,
    early: bool,
    stopping: bool,
}

impl Hands {
    pub(super) fn new(
        orders: Receiver<Order>,
        reports: Sender<Report>,
        events: EventSender,
        leftovers: Vec<Leftover>,
    ) -> Result<Self, NetError> {
        let requests = Requests::open()?;
        let monitor = Monitor::open(&[Group::Links, Group::Ipv4Addresses])?;
        monitor.ignore_additions_by(requests.port_id())?; // their results say as much, and sooner
        let waiter = Waiter::new()?;
        waiter.add(&monitor, MONITOR)?;
        waiter.add(orders.wake(), ORDERS)?;
        Ok(Self {
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
            work: VecDeque::new(),
            announcer: Announcer::default(),
            leftovers,
            defined: Vec::new(),
            next_sweep: clock::now() + SWEEP,
            sweeps: 0,
            early: false,
            stopping: false,
        })
    }

    /// Runs until [`Order::Shutdown`] is carried out.
    pub(super) fn run(mut self) {
        loop {
            self.wait();
            self.hear_kernel();
            self.orders.wake().clear();
            while let Some(order) = self.orders.pop() {
                self.obey(order);
            }
            self.settle_definitions();
            self.work_one_batch();
            self.announce_one_batch();
            self.report_interfaces();
            if clock::now() >= self.next_sweep {
                self.sweep();
            }
            if self.stopping && self.work.is_empty() {
                self.reports.send_patiently(Report::Finished);
                return;
            }
        }
    }

    fn wait(&mut self) {
        let now = clock::now();
        let due = self.announcer.next_due().map_or(self.next_sweep, |due| due.min(self.next_sweep));
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
            Order::Claim { id, rounds, claim } => self.claim(id, rounds, claim),
            Order::Announce { id, rounds } => self.announce(id, rounds),
            Order::Release { id } => self.release(id, false),
            Order::Forget { id } => self.release(id, true),
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
        self.interfaces.watch(&definition.identity.interface);
        for slot in &holding.slots {
            self.interfaces.watch(&slot.dev);
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
            let written = sysctl::write(&definition.identity.interface, "promote_secondaries", 1);
            written.unwrap_or_else(|error| self.trouble(error));
        }
    }

    /// One listing of the kernel's state answers all definitions that came together.
    fn settle_definitions(&mut self) {
        if self.defined.is_empty() {
            return;
        }
        self.list_all();
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
        let mut dropped = Vec::new();
        for old in before.slots {
            self.owners.remove(&(old.spec.index, old.spec.ip));
            let same = |new: &super::holding::Slot| {
                new.dev == old.dev && AddressSpec { index: old.spec.index, ..new.spec.clone() } == old.spec
            };
            match holding.slots.iter_mut().find(|new| same(new)) {
                Some(new) => *new = old,
                None if old.present && !old.keep => dropped.push(old.spec),
                None => {}
            }
        }
        for spec in &dropped {
            self.announcer.remove(spec.index, spec.ip);
        }
        self.remove(&dropped);
    }

    fn remove(&mut self, specs: &[AddressSpec]) {
        for error in self.requests.remove_addresses(specs).into_iter().filter_map(Result::err) {
            self.trouble(error);
        }
    }

    fn index_slots(&mut self, id: RouterId) {
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

    fn claim(&mut self, id: RouterId, rounds: u32, claim: u64) {
        self.early |= self.work.is_empty();
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.begin_claim(rounds, claim);
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

    fn release(&mut self, id: RouterId, forget: bool) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.want = Want::Absent;
        holding.claim = None;
        holding.vanished = None;
        holding.forget |= forget;
        for slot in &holding.slots {
            self.announcer.remove(slot.spec.index, slot.spec.ip);
        }
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        if holding.queued {
            // Begin again: what was passed over may have changed.
            self.work.iter_mut().filter(|(other, _)| *other == id).for_each(|(_, cursor)| *cursor = 0);
        } else {
            holding.queued = true;
            self.work.push_back((id, 0));
        }
    }

    /// Collects up to a batch of steps, over several routers if need be, and carries them out.
    fn work_one_batch(&mut self) {
        let limit = if std::mem::take(&mut self.early) { FIRST_BATCH } else { BATCH };
        let mut steps = Vec::new();
        let mut finished = Vec::new();
        while let Some((id, cursor)) = self.work.front_mut() {
            let Some(holding) = self.holdings.get(id) else {
                self.work.pop_front();
                continue;
            };
            while *cursor < holding.slots.len() && steps.len() < limit {
                steps.extend(holding.step(*cursor).map(|step| (*id, *cursor, step)));
                *cursor += 1;
            }
            if *cursor < holding.slots.len() {
                break;
            }
            finished.push(*id);
            self.work.pop_front();
        }
        self.carry_out(&steps);
        for id in finished {
            self.finish(id);
        }
    }

    fn carry_out(&mut self, steps: &[(RouterId, usize, Step)]) {
        if steps.is_empty() {
            return;
        }
        let holdings = &self.holdings;
        let spec = |id: &RouterId, number: usize| {
            holdings.get(id).and_then(|h| h.slots.get(number)).map(|s| &s.spec)
        };
        let changes = steps.iter().filter_map(|(id, number, step)| {
            let spec = spec(id, *number)?;
            Some(match step {
                Step::Add => Change::Add(spec),
                Step::Remove => Change::Remove(spec),
            })
        });
        let results = self.requests.change_addresses(&changes.collect::<Vec<_>>());
        for ((id, number, step), result) in steps.iter().zip(results) {
            self.note_result(*id, *number, *step, result);
        }
    }

    fn note_result(&mut self, id: RouterId, number: usize, step: Step, result: Result<(), NetError>) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let Some(slot) = holding.slots.get_mut(number) else { return };
        match (step, result) {
            (Step::Add, Ok(())) => {
                slot.present = true;
                self.announcer.add(slot.spec.index, slot.spec.ip, holding.rounds.max(1), holding.gap);
            }
            (Step::Add, Err(error)) => {
                slot.refused = true;
                holding.refusals.push(error);
            }
            (Step::Remove, Ok(())) => {
                slot.present = false;
                slot.farewells += 1;
            }
            (Step::Remove, Err(error)) => holding.refusals.push(error),
        }
    }

    /// A router's work is done for now: tell what came of it.
    fn finish(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        holding.queued = false;
        let (count, of) = (holding.refusals.len(), holding.slots.len());
        let first_refusal = holding.refusals.drain(..).next();
        let claim = holding.claim.take();
        let identity = holding.identity.clone();
        let forget = holding.forget;
        let vanished = holding.vanished.take();
        let intruders = holding.intruders.take();
        holding.restorations += u64::from(vanished.is_some());
        let times = holding.restorations;
        let all_refused = holding.want == Want::Present && of > 0 && holding.present() == 0;
        if let Some(error) = first_refusal {
            self.event(Some(identity.clone()), What::Refused { error, count, of });
        }
        if let (true, Some(claim)) = (all_refused, claim) {
            self.reports.send_patiently(Report::Refused { id, claim });
        }
        if let Some(Vanished { address, count, sender }) = vanished {
            let by = sender.and_then(process_name);
            self.event(Some(identity.clone()), What::Restored { address, count, by, times });
        }
        if let Some((address, count)) = intruders {
            self.event(Some(identity), What::Evicted { address, count });
        }
        if forget {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: RouterId) {
        if let Some(holding) = self.holdings.remove(&id) {
            for slot in holding.slots {
                self.owners.remove(&(slot.spec.index, slot.spec.ip));
            }
        }
    }

    /// First announcements as long as claims are being worked on, further rounds when there is time.
    fn announce_one_batch(&mut self) {
        let due = self.announcer.take(clock::now(), FRAMES, !self.work.is_empty());
        if due.is_empty() {
            return;
        }
        let frames: Vec<_> = due
            .iter()
            .filter_map(|(index, ip)| Some((*index, gratuitous_arp(*ip, self.interfaces.mac(*index)?))))
            .collect();
        let borrowed: Vec<(u32, &[u8])> = frames.iter().map(|(index, frame)| (*index, &frame[..])).collect();
        // A frame that cannot leave (link down) is not repeated: the router will be in Fault.
        self.arp.send(&borrowed, &mut |_, _| ());
    }

    fn hear_kernel(&mut self) {
        let mut notifications = Vec::new();
        if let Err(error) = self.monitor.read(NOTIFICATIONS, &mut |event| notifications.push(event)) {
            self.trouble(error);
        }
        for notification in notifications {
            self.notified(notification);
        }
    }

    fn notified(&mut self, notification: hacluster_net::netlink::Event) {
        use hacluster_net::netlink::Event as Kernel;
        match notification {
            Kernel::Link(link) => {
                let (index, name) = (link.index, link.name.clone());
                if let Some(lost) = self.interfaces.link_changed(link) {
                    self.interface_lost(lost);
                }
                self.resolve(&name, index);
                self.report_all_usable();
            }
            Kernel::LinkGone { index, .. } => {
                self.interfaces.link_gone(index);
                self.interface_lost(index);
                self.report_all_usable();
            }
            Kernel::AddressAdded { address, .. } => {
                if let Some((id, number)) = self.owners.get(&(address.index, address.ip))
                    && let Some(holding) = self.holdings.get_mut(id)
                {
                    holding.intruded(*number);
                }
                self.address_added(address);
            }
            Kernel::AddressRemoved { address, sender } => self.address_removed(&address, sender),
            Kernel::Overrun => self.list_all(),
        }
    }

    fn address_added(&mut self, address: AddressEntry) {
        match self.owners.get(&(address.index, address.ip)) {
            Some((id, number)) => {
                if let Some(holding) = self.holdings.get_mut(id) {
                    holding.found(*number, &address);
                }
            }
            None => self.interfaces.address_added(address),
        }
    }

    fn address_removed(&mut self, address: &AddressEntry, sender: Option<u32>) {
        let Some((id, number)) = self.owners.get(&(address.index, address.ip)).copied() else {
            return self.interfaces.address_removed(address.index, address.ip);
        };
        let ours = sender == Some(self.requests.port_id());
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let want = holding.want;
        let Some(slot) = holding.slots.get_mut(number) else { return };
        if slot.spec.prefix_len != address.prefix_len {
            return;
        }
        if ours && slot.farewells > 0 {
            slot.farewells -= 1; // the echo of our own removal
            return;
        }
        if std::mem::take(&mut slot.present) && want == Want::Present {
            let vanished = holding.vanished.get_or_insert(Vanished { address: address.ip, count: 0, sender });
            vanished.count += 1;
            self.enqueue(id);
        }
    }

    /// An interface number means nothing any more: whatever was on it is gone.
    fn interface_lost(&mut self, index: u32) {
        self.announcer.forget(index);
        self.owners.retain(|(of, _), _| *of != index);
        for holding in self.holdings.values_mut() {
            for slot in holding.slots.iter_mut().filter(|slot| slot.spec.index == index) {
                (slot.spec.index, slot.present, slot.keep, slot.farewells) = (0, false, false, 0);
            }
        }
    }

    /// Interface `name` has number `index` now.
    fn resolve(&mut self, name: &str, index: u32) {
        if self.interfaces.link(name).is_none_or(|link| link.index != index) {
            return;
        }
        let mut touched = Vec::new();
        for (id, holding) in &mut self.holdings {
            let mut changed = false;
            for slot in holding.slots.iter_mut().filter(|slot| slot.dev == name && slot.spec.index != index) {
                slot.spec.index = index;
                changed = true;
            }
            touched.extend(changed.then_some(*id));
        }
        for id in touched {
            self.index_slots(id);
            self.enqueue(id);
        }
    }

    /// Lists links and addresses anew and compares.
    fn list_all(&mut self) {
        let listing =
            self.requests.dump_links().and_then(|links| Ok((links, self.requests.dump_addresses()?)));
        let (links, addresses) = match listing {
            Ok(listing) => listing,
            Err(error) => return self.trouble(error),
        };
        self.interfaces.clear();
        for link in links {
            self.interfaces.link_changed(link);
        }
        self.resolve_all();
        let before: Vec<_> = self.missing_slots();
        for holding in self.holdings.values_mut() {
            for slot in &mut holding.slots {
                (slot.present, slot.farewells) = (false, 0);
            }
        }
        for address in &addresses {
            self.address_added(address.clone());
        }
        self.note_vanished(&before);
        self.clean_leftovers(&addresses);
    }

    /// Gives every slot the present number of its interface.
    fn resolve_all(&mut self) {
        self.owners.clear();
        for (id, holding) in &mut self.holdings {
            for (number, slot) in holding.slots.iter_mut().enumerate() {
                slot.spec.index = self.interfaces.link(&slot.dev).map_or(0, |link| link.index);
                if slot.spec.index != 0 {
                    self.owners.insert((slot.spec.index, slot.spec.ip), (*id, number));
                }
            }
        }
    }

    /// Slots that are wanted, as far as known present.
    fn missing_slots(&self) -> Vec<(RouterId, usize)> {
        let wanted = self.holdings.values().filter(|holding| holding.want == Want::Present);
        let slots = |holding: &Holding| {
            let present = holding.slots.iter().enumerate().filter(|(_, slot)| slot.present);
            present.map(|(number, _)| (holding.id, number)).collect::<Vec<_>>()
        };
        wanted.flat_map(slots).collect()
    }

    /// Of the slots that were there `before`, those a listing does not show are put back.
    fn note_vanished(&mut self, before: &[(RouterId, usize)]) {
        for (id, number) in before {
            let Some(holding) = self.holdings.get_mut(id) else { continue };
            let Some(slot) = holding.slots.get(*number).filter(|slot| !slot.present) else { continue };
            let address = slot.spec.ip;
            holding.vanished.get_or_insert(Vanished { address, count: 0, sender: None }).count += 1;
            self.enqueue(*id);
        }
    }

    /// Removes what a predecessor recorded and no router has any more.
    fn clean_leftovers(&mut self, addresses: &[AddressEntry]) {
        let leftovers = std::mem::take(&mut self.leftovers);
        let stale: Vec<AddressSpec> = leftovers
            .iter()
            .filter_map(|leftover| {
                let found = addresses.iter().find(|address| {
                    address.ip == leftover.ip
                        && address.prefix_len == leftover.prefix_len
                        && address.protocol == PROTOCOL_MARK
                        && address.label.split(':').next() == Some(&leftover.interface)
                })?;
                (!self.owners.contains_key(&(found.index, found.ip))).then(|| AddressSpec::of(found))
            })
            .collect();
        if let Some(first) = stale.first() {
            self.event(None, What::Cleaned { address: first.ip, count: stale.len() });
            self.remove(&stale);
        }
    }

    fn sweep(&mut self) {
        self.next_sweep = clock::now() + SWEEP;
        self.sweeps = self.sweeps.wrapping_add(1);
        if self.sweeps.is_multiple_of(SWEEPS_PER_LISTING) {
            self.list_all();
        }
        let mut differing = Vec::new();
        for (id, holding) in &mut self.holdings {
            if !holding.queued {
                holding.slots.iter_mut().for_each(|slot| slot.refused = false);
                differing.extend(holding.differs().then_some(*id));
            }
        }
        for id in differing {
            self.enqueue(id);
        }
    }

    fn report_interfaces(&mut self) {
        for (name, now) in self.interfaces.take_changes() {
            let state = match now {
                None => InterfaceState::Missing,
                Some(now) if !now.running => InterfaceState::Down,
                Some(now) => InterfaceState::Up(now.source),
            };
            self.event(None, What::Interface { name: name.clone(), now: state });
            self.reports.send_patiently(Report::Interface { name, now });
        }
    }

    fn report_all_usable(&mut self) {
        let ids: Vec<_> = self.holdings.keys().copied().collect();
        for id in ids {
            self.report_usable(id);
        }
    }

    /// Tells whether the interfaces of a router's addresses, other than its own, can carry them.
    fn report_usable(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let own = &holding.identity.interface;
        let mut others = holding.slots.iter().filter(|slot| slot.dev != *own && !slot.no_track);
        let usable = others.all(|slot| self.interfaces.usable(&slot.dev));
        if holding.usable.replace(usable).unwrap_or(true) != usable {
            self.reports.send_patiently(Report::AddressInterfaces { id, usable });
        }
    }

    fn event(&self, router: Option<Arc<Identity>>, what: What) {
        self.events.send_or_drop(Event { router, what });
    }

    fn trouble(&self, error: NetError) {
        self.event(None, What::Trouble { error });
    }
}

/// A netlink port is usually the process that opened it; its name, if it still runs.
fn process_name(port: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some(format!("{} (pid {port})", name.trim_end()))
}
