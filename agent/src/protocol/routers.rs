//! Which routers run, and what they run on: the supervisor's commands and the kernel thread's
//! reports.

use super::Command;
use super::engine::{Engine, FIRST_PORT};
use super::port::Port;
use super::router::{Router, source_of};
use crate::event::{Event, Place};
use crate::fact::Fact;
use crate::kernel::{Definition, InterfaceNow, Order, Report, RouterId};
use crate::orders::Orders;
use hacluster_conf::model::VirtualRouter;
use hacluster_core::machine::{Fault, Input};
use hacluster_core::time::Duration;
use hacluster_net::clock;
use std::sync::Arc;

/// How long the kernel thread may take to remove all addresses at the end.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Add { id, router, fast_takeover, orders, waits } => {
                self.add(id, *router, fast_takeover, orders, waits);
            }
            Command::Change { id, router, fast_takeover, orders } => {
                self.change(id, *router, fast_takeover, orders);
            }
            Command::Remove { id } => self.remove(id),
            Command::Groups(definitions) => self.define_groups(definitions),
            Command::Tracked { place, tracked, verdict } => self.tracked(place, tracked, verdict.as_ref()),
            Command::Orders { place, orders } => self.order(&place, orders),
            Command::TakeOver { place, from, lead, ticket, trail } => {
                self.take_over(&place, from, lead, (ticket, trail));
            }
            Command::YieldTo { place, to, ticket, trail } => self.yield_to(&place, to, (ticket, trail)),
            Command::Resign { place, ticket, trail } => self.resign(&place, (ticket, trail)),
            Command::Lead { place, lead, ticket } => self.lead(&place, lead, ticket),
            Command::Pulse(pulse) => pulse.answer(),
            Command::Retell => self.retell(),
            Command::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        let ids: Vec<_> = self.routers.keys().copied().collect();
        for id in ids {
            self.remove(id);
        }
        self.outbox.put(Order::Shutdown);
        self.stop_by = Some(clock::now() + FAREWELL_MAX);
    }

    fn retell(&mut self) {
        let events = &self.queues.events;
        events.send_or_drop(Event::now(None, Fact::Retelling));
        for router in self.routers.values_mut() {
            router.retell(clock::now(), events);
        }
        events.send_or_drop(Event::now(None, Fact::Retold));
        self.outbox.put(Order::Retell);
    }

    fn add(
        &mut self,
        id: RouterId,
        configured: VirtualRouter,
        fast_takeover: bool,
        orders: Orders,
        waits: bool,
    ) {
        let number = self.port_number(&configured.interface).unwrap_or_else(|| {
            let now = self.links.get(&configured.interface).copied().flatten();
            self.ports.push(Port::new(&configured.interface, now));
            self.ports.len() - 1
        });
        let port = &mut self.ports[number];
        let attached = port.attach(configured.vrid, id, configured.mcast_group);
        self.stale.push(number);
        let interface_source = port.now.and_then(|now| now.source);
        let source = source_of(&configured, interface_source);
        let place = Place { interface: configured.interface.clone(), vrid: configured.vrid };
        let mut router = Router::new(id, number, configured, fast_takeover, orders, waits, source);
        router.watched.know(self.told.get(&router.identity.place()));
        let definition = definition(id, &router);
        router.retell(clock::now(), &self.queues.events);
        self.routers.insert(id, router);
        self.outbox.put(Order::Define(definition));
        if let Some(lead) = orders.lead_in_force() {
            self.feed(id, clock::now(), Input::Lead(Some(lead)));
        }
        self.or_trouble(attached);
        self.regroup_at(&place);
    }

    fn change(&mut self, id: RouterId, configured: VirtualRouter, fast_takeover: bool, orders: Orders) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let port = &mut self.ports[router.port];
        let attached = port.attach(configured.vrid, id, configured.mcast_group);
        self.stale.push(router.port);
        let source = source_of(&configured, port.now.and_then(|now| now.source));
        router.reconfigure(configured, fast_takeover, source);
        router.retell(clock::now(), &self.queues.events);
        let definition = definition(id, router);
        self.outbox.put(Order::Define(definition));
        self.obey(id, orders);
        self.weigh(id, None);
        self.apply_interface(id);
        self.or_trouble(attached);
    }

    fn remove(&mut self, id: RouterId) {
        self.feed(id, clock::now(), Input::Stop);
        self.flush(); // priority 0 leaves before the socket forgets the router
        let Some(router) = self.routers.remove(&id) else { return };
        router.tell(&self.queues.events, Fact::Removed);
        self.schedule.set(id, None);
        self.outbox.put(Order::Forget { id });
        let port = &mut self.ports[router.port];
        let detached = port.detach(router.identity.vrid);
        self.stale.push(router.port);
        if port.is_unused() {
            self.close_port(router.port);
        }
        self.or_trouble(detached);
        self.regroup_at(&router.identity.place());
    }

    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Interface { name, now } => self.interface(&name, now),
            Report::Defined { id, adopted } => self.start(id, adopted),
            Report::AddressInterfaces { id, usable } => self.set_fault(id, Fault::AddressInterface, !usable),
            Report::Claimed { id, claim, at } if self.is_latest(id, claim) => self.claimed(id, at),
            Report::Refused { id, claim } if self.is_latest(id, claim) => self.claim_refused(id),
            Report::Claimed { .. } | Report::Refused { .. } => {} // of a claim given up or replaced
            Report::Finished => self.finished = true,
        }
    }

    fn is_latest(&self, id: RouterId, claim: u64) -> bool {
        self.routers.get(&id).is_some_and(|router| router.claim == claim)
    }

    fn start(&mut self, id: RouterId, adopt: bool) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        router.adopts.get_or_insert(adopt);
        self.weigh(id, None);
    }

    /// Starts the router once the kernel thread knows its addresses and all is known that could keep
    /// it from ruling.
    pub(super) fn start_when_ready(&mut self, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let Some(adopt) = router.adopts.filter(|_| !router.started && !router.watched.waits()) else {
            return;
        };
        router.started = true;
        self.open_port_of(id);
        self.apply_interface(id);
        self.feed(id, clock::now(), Input::Start { adopt });
    }

    fn interface(&mut self, name: &str, now: Option<InterfaceNow>) {
        self.links.insert(name.to_owned(), now);
        self.weigh_users_of(name);
        let Some(number) = self.port_number(name) else { return };
        let port = &mut self.ports[number];
        let index_changed = port.now.map(|now| now.index) != now.map(|now| now.index);
        port.now = now;
        if index_changed {
            self.close_port(number);
        }
        for id in self.ports[number].routers() {
            if self.routers.get(&id).is_some_and(|router| router.started) {
                self.open_port_of(id);
                self.apply_interface(id);
            }
        }
    }

    /// Opens the socket of the router's port if it is not open and can be.
    fn open_port_of(&mut self, id: RouterId) {
        let Some(number) = self.routers.get(&id).map(|router| router.port) else { return };
        let port = &mut self.ports[number];
        let (None, Some(now)) = (&port.socket, port.now) else { return };
        let opened = port.open(now.index);
        let added = match &port.socket {
            Some(socket) => self.waiter.add(socket, FIRST_PORT + number as u64),
            None => Ok(()),
        };
        self.or_trouble(opened.and(added));
    }

    fn close_port(&mut self, number: usize) {
        if let Some(socket) = self.ports[number].socket.take() {
            let removed = self.waiter.remove(&socket);
            self.or_trouble(removed);
        }
    }

    /// Draws the conclusions from the state of the router's interface.
    fn apply_interface(&mut self, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let port = &self.ports[router.port];
        let exists = port.now.is_some() && port.socket.is_some();
        let running = port.now.is_none_or(|now| now.running) || router.configured.dont_track_primary;
        let source = router.source(port.now.and_then(|now| now.source));
        if let Some(source) = source {
            router.set_source(source);
            self.feed(id, clock::now(), Input::Source(source));
        }
        self.set_fault(id, Fault::Interface, !exists);
        self.set_fault(id, Fault::Link, exists && !running);
        self.set_fault(id, Fault::Source, exists && source.is_none());
    }

    pub(super) fn port_number(&self, name: &str) -> Option<usize> {
        self.ports.iter().position(|port| port.name == name)
    }

    pub(super) fn set_fault(&mut self, id: RouterId, fault: Fault, present: bool) {
        let known = self.routers.get(&id).is_some_and(|router| router.machine.faults().contains(fault));
        if known != present {
            let input = if present { Input::Fault(fault) } else { Input::FaultCleared(fault) };
            self.feed(id, clock::now(), input);
        }
    }
}

fn definition(id: RouterId, router: &Router) -> Definition {
    let configured = &router.configured;
    Definition {
        id,
        identity: Arc::clone(&router.identity),
        addresses: configured.addresses.iter().chain(&configured.excluded).cloned().collect(),
        routes: configured.routes.clone(),
        rules: configured.rules.clone(),
        promote_secondaries: configured.promote_secondaries,
        owner: configured.priority.is_owner(),
        tracked: super::tracking::interfaces(configured).cloned().collect(),
        garp_interval: configured.garp.interval,
        drops: configured.is_filtered(),
    }
}
