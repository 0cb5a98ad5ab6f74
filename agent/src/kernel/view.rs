//! What the kernel thread knows of the kernel: notifications, listings, and the slow sweep that
//! compares what is there with what shall be.

use super::hands::Hands;
use super::holding::{Holding, Vanished, Want};
use super::{Report, RouterId};
use crate::event::{InterfaceState, What};
use hacluster_core::time::Duration;
use hacluster_net::clock;
use hacluster_net::netlink::{AddressEntry, AddressSpec, Event as Kernel};

/// Notifications taken per round.
const NOTIFICATIONS: usize = 512;
/// When to look again at what could not be done, or what somebody else did.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often links and addresses are listed anew, notification or not. In between the thread sleeps.
pub(super) const LISTING: Duration = Duration::from_secs(30);

impl Hands {
    pub(super) fn hear_kernel(&mut self) {
        let mut notifications = Vec::new();
        if let Err(error) = self.monitor.read(NOTIFICATIONS, &mut |event| notifications.push(event)) {
            self.trouble(error);
        }
        for notification in notifications {
            self.notified(notification);
        }
    }

    pub(super) fn notified(&mut self, notification: Kernel) {
        match notification {
            Kernel::Link(link) => {
                let (index, name) = (link.index, link.name.clone());
                if let Some(lost) = self.interfaces.link_changed(link) {
                    self.interface_lost(lost);
                }
                self.resolve(&name, index);
                self.doubt_routes();
                self.report_all_usable();
            }
            Kernel::LinkGone { index, .. } => {
                self.interfaces.link_gone(index);
                self.interface_lost(index);
                self.doubt_routes();
                self.report_all_usable();
            }
            Kernel::AddressAdded { address, .. } => {
                if let Some((id, number)) = self.owners.get(&(address.index, address.ip))
                    && let Some(holding) = self.holdings.get_mut(id)
                {
                    holding.intruded(*number);
                    self.look_again();
                }
                self.address_added(address);
            }
            Kernel::AddressRemoved { address, sender } => self.address_removed(&address, sender),
            Kernel::RouteRemoved { .. } | Kernel::RouteReplaced { .. } => {} // heard elsewhere
            Kernel::Overrun => {
                self.farewells.clear(); // their echoes are lost
                self.list_all();
            }
        }
    }

    pub(super) fn address_added(&mut self, address: AddressEntry) {
        match self.owners.get(&(address.index, address.ip)) {
            Some((id, number)) => {
                if let Some(holding) = self.holdings.get_mut(id) {
                    holding.found(*number, &address);
                }
            }
            None => self.interfaces.address_added(address),
        }
    }

    pub(super) fn address_removed(&mut self, address: &AddressEntry, sender: Option<u32>) {
        let ours = sender == Some(self.requests.port_id());
        let is_echo = ours && self.take_farewell(address);
        if !is_echo {
            self.doubt_routes();
        }
        let Some((id, number)) = self.owners.get(&(address.index, address.ip)).copied() else {
            return self.interfaces.address_removed(address.index, address.ip);
        };
        if is_echo {
            return;
        }
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let want = holding.want;
        let Some(slot) = holding.slots.get_mut(number) else { return };
        if slot.spec.prefix_len != address.prefix_len {
            return;
        }
        if std::mem::take(&mut slot.present) && want == Want::Present {
            let vanished = holding.vanished.get_or_insert(Vanished { address: address.ip, count: 0, sender });
            vanished.count += 1;
            self.enqueue(id);
        }
    }

    /// Whether this is the notification of a removal that we asked for.
    fn take_farewell(&mut self, address: &AddressEntry) -> bool {
        let key = (address.index, address.ip, address.prefix_len);
        let Some(count) = self.farewells.get_mut(&key) else { return false };
        *count -= 1;
        if *count == 0 {
            self.farewells.remove(&key);
        }
        true
    }

    /// An interface number means nothing any more: whatever was on it is gone.
    pub(super) fn interface_lost(&mut self, index: u32) {
        self.announcer.forget(index);
        self.owners.retain(|(of, _), _| *of != index);
        self.farewells.retain(|(of, _, _), _| *of != index);
        for holding in self.holdings.values_mut() {
            for slot in holding.slots.iter_mut().filter(|slot| slot.spec.index == index) {
                (slot.spec.index, slot.present, slot.keep) = (0, false, false);
            }
        }
    }

    /// Interface `name` has number `index` now.
    pub(super) fn resolve(&mut self, name: &str, index: u32) {
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
    pub(super) fn list_all(&mut self) {
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
                slot.present = false;
            }
        }
        for address in &addresses {
            self.address_added(address.clone());
        }
        self.note_vanished(&before);
        self.clean_leftovers(&addresses);
        self.filter.due = true;
        self.filter.look_soon();
        self.list_routes();
        self.look_again();
    }

    /// Gives every slot the present number of its interface.
    pub(super) fn resolve_all(&mut self) {
        // Who had an address keeps it: two routers name the same one while it moves between them.
        let before = std::mem::take(&mut self.owners);
        for (id, holding) in &mut self.holdings {
            for (number, slot) in holding.slots.iter_mut().enumerate() {
                slot.spec.index = self.interfaces.link(&slot.dev).map_or(0, |link| link.index);
                if slot.spec.index != 0 {
                    let key = (slot.spec.index, slot.spec.ip);
                    if before.get(&key).is_some_and(|(owner, _)| owner == id) {
                        self.owners.insert(key, (*id, number));
                    } else {
                        self.owners.entry(key).or_insert((*id, number));
                    }
                }
            }
        }
    }

    /// Slots that are wanted, as far as known present.
    pub(super) fn missing_slots(&self) -> Vec<(RouterId, usize)> {
        let wanted = self.holdings.values().filter(|holding| holding.want == Want::Present);
        let slots = |holding: &Holding| {
            let present = holding.slots.iter().enumerate().filter(|(_, slot)| slot.present);
            present.map(|(number, _)| (holding.id, number)).collect::<Vec<_>>()
        };
        wanted.flat_map(slots).collect()
    }

    /// Of the slots that were there `before`, those a listing does not show are put back.
    pub(super) fn note_vanished(&mut self, before: &[(RouterId, usize)]) {
        for (id, number) in before {
            let Some(holding) = self.holdings.get_mut(id) else { continue };
            let Some(slot) = holding.slots.get(*number).filter(|slot| !slot.present) else { continue };
            let address = slot.spec.ip;
            let owner = self.owners.get(&(slot.spec.index, address));
            if owner.is_some_and(|(owner, _)| owner != id) {
                continue; // not gone: another router's by now
            }
            holding.vanished.get_or_insert(Vanished { address, count: 0, sender: None }).count += 1;
            self.enqueue(*id);
        }
    }

    /// Removes what a predecessor recorded and no router has any more.
    pub(super) fn clean_leftovers(&mut self, addresses: &[AddressEntry]) {
        let leftovers = std::mem::take(&mut self.leftovers);
        let stale: Vec<AddressSpec> = leftovers
            .iter()
            .filter_map(|leftover| {
                let found = addresses.iter().find(|address| leftover.is_at(address))?;
                let owner = self.owners.get(&(found.index, found.ip));
                let slot = owner.and_then(|(id, number)| self.holdings.get(id)?.slots.get(*number));
                let wanted = slot.is_some_and(|slot| slot.spec.prefix_len == found.prefix_len);
                (!wanted).then(|| AddressSpec::of(found))
            })
            .collect();
        if let Some(first) = stale.first() {
            self.event(None, What::Cleaned { address: first.ip, count: stale.len() });
            self.remove(&stale);
        }
    }

    /// Soon, not at once: whoever undoes our work as fast as we do it must not keep us busy.
    pub(super) fn look_again(&mut self) {
        self.next_sweep = self.next_sweep.min(clock::now() + LOOK_AGAIN);
    }

    /// Compares what is there with what shall be.
    pub(super) fn sweep(&mut self) {
        let now = clock::now();
        if now >= self.next_listing {
            self.next_listing = now + LISTING;
            if self.work.is_empty() {
                self.farewells.clear(); // whoever has not been heard of by now had gone before we asked
            }
            self.list_all();
        }
        self.next_sweep = self.next_listing;
        self.complete_all();
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

    pub(super) fn report_interfaces(&mut self) {
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

    pub(super) fn report_all_usable(&mut self) {
        let ids: Vec<_> = self.holdings.keys().copied().collect();
        for id in ids {
            self.report_usable(id);
        }
    }

    /// Tells whether the interfaces of a router's addresses, other than its own, can carry them.
    pub(super) fn report_usable(&mut self, id: RouterId) {
        let Some(holding) = self.holdings.get_mut(&id) else { return };
        let own = &holding.identity.interface;
        let mut others = holding.slots.iter().filter(|slot| slot.dev != *own && !slot.no_track);
        let mut routes = holding.plan.tracked_devices().filter(|dev| dev != own);
        let usable = others.all(|slot| self.interfaces.usable(&slot.dev))
            && routes.all(|dev| self.interfaces.usable(dev));
        if holding.usable.replace(usable).unwrap_or(true) != usable {
            self.reports.send_patiently(Report::AddressInterfaces { id, usable });
        }
    }
}
