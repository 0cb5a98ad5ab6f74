//! The protocol thread's loop.

use super::outbox::Outbox;
use super::port::Port;
use super::router::{Router, source_of};
use super::schedule::Schedule;
use super::{Command, Notice, Queues, Refusal};
use crate::event::{Event, EventSender, What};
use crate::fact::Fact;
use crate::kernel::{Definition, InterfaceNow, Order, Report, RouterId};
use crate::translate;
use hacluster_conf::model::{Agent, VirtualRouter};
use hacluster_core::machine::{Action, Fault, Input, StateKind};
use hacluster_core::receive;
use hacluster_core::time::{Duration, Instant};
use hacluster_core::wire::v2;
use hacluster_net::poll::Waiter;
use hacluster_net::raw::RecvBuffers;
use hacluster_net::{NetError, clock, sched};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many batches of packets are read for one port before timers get their turn.
const BATCHES_PER_ROUND: usize = 1;
/// How many before a backup's timer is believed: more than a full socket buffer holds.
const BATCHES_BEFORE_TAKEOVER: usize = 128;
/// Adverts that follow each other faster than this are left to gather as long and are read together:
/// many neighbours, or a flood, then cost a fraction. Less than a step of priority delays a takeover.
const GATHER: Duration = Duration::from_millis(2);
/// How long the kernel thread may take to remove all addresses at the end.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
const KNOCK: u64 = 0;
const FIRST_PORT: u64 = 1;

/// The thread's state.
pub(super) struct Engine {
    queues: Queues,
    waiter: Waiter,
    routers: BTreeMap<RouterId, Router>,
    /// Never shrinks: a port's place is its token.
    ports: Vec<Port>,
    schedule: Schedule,
    outbox: Outbox,
    /// Taken out while packets in it are being served.
    buffers: Option<RecvBuffers>,
    /// Packets read in this round.
    received: usize,
    /// When the last round with packets ended.
    last_received: Instant,
    stop_by: Option<Instant>,
    finished: bool,
}

impl Engine {
    pub(super) fn new(queues: Queues) -> Result<Self, NetError> {
        let waiter = Waiter::new()?;
        waiter.add(queues.commands.wake(), KNOCK)?;
        let outbox = Outbox::new(queues.orders.clone());
        Ok(Self {
            queues,
            waiter,
            routers: BTreeMap::new(),
            ports: Vec::new(),
            schedule: Schedule::default(),
            outbox,
            buffers: Some(RecvBuffers::new()),
            received: 0,
            last_received: Instant::ZERO,
            stop_by: None,
            finished: false,
        })
    }

    /// Runs until [`Command::Stop`] is carried out.
    pub(super) fn run(mut self, settings: &Agent) {
        self.prepare_thread(settings);
        while !self.finished {
            self.round();
        }
    }

    /// Wishes, not conditions: an agent without real-time priority is still an agent.
    fn prepare_thread(&mut self, settings: &Agent) {
        let mut wishes = vec![sched::set_exact_timers()];
        if let Some(priority) = settings.realtime_priority {
            wishes.push(sched::set_realtime(priority));
        }
        if !settings.cpu_affinity.is_empty() {
            wishes.push(sched::set_affinity(&settings.cpu_affinity));
        }
        if settings.lock_memory {
            wishes.push(sched::lock_memory());
        }
        for error in wishes.into_iter().filter_map(Result::err) {
            self.trouble(error);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.schedule.next().into_iter().chain(self.stop_by).min()
    }

    fn round(&mut self) {
        let deadline = self.deadline();
        let waited = self.waiter.wait_until(deadline).map(|ready| ready.collect::<Vec<u64>>());
        let ready = match waited {
            Ok(ready) => ready,
            Err(error) => {
                self.trouble(error);
                std::thread::sleep(std::time::Duration::from_millis(1)); // never spin on a broken poll
                return;
            }
        };
        if self.stop_by.is_some_and(|stop_by| clock::now() >= stop_by) {
            self.finished = true; // the kernel does not answer; systemd would kill us soon anyway
        }
        for token in ready {
            if token == KNOCK {
                self.answer_knock();
            } else {
                self.read_port((token - FIRST_PORT) as usize, BATCHES_PER_ROUND);
            }
        }
        self.serve_deadlines();
        self.flush();
        self.refresh_filters();
        self.gather();
    }

    /// See [`GATHER`]. Not when a batch was full: more is waiting already.
    fn gather(&mut self) {
        let received = std::mem::take(&mut self.received);
        if received == 0 {
            return;
        }
        let now = clock::now();
        let dense = now.since(self.last_received) < GATHER;
        self.last_received = now;
        if dense && received < RecvBuffers::CAPACITY {
            let until = now + GATHER;
            self.last_received = self.deadline().map_or(until, |deadline| deadline.min(until));
            clock::sleep_until(self.last_received);
        }
    }

    // ---- packets ------------------------------------------------------------------------------

    /// Reads at most `batches` from one port.
    fn read_port(&mut self, number: usize, batches: usize) {
        let Some(mut buffers) = self.buffers.take() else { return };
        for _ in 0..batches {
            let Some(socket) = self.ports.get_mut(number).and_then(|port| port.socket.as_mut()) else {
                break;
            };
            let received = match socket.recv(&mut buffers) {
                Ok(received) => received,
                // The interface went down; the kernel thread will tell.
                Err(_) => break,
            };
            self.received += received;
            let now = clock::now();
            for packet in buffers.packets() {
                self.packet(number, now, packet);
            }
            if received < RecvBuffers::CAPACITY {
                break;
            }
        }
        self.buffers = Some(buffers);
    }

    fn packet(&mut self, port: usize, now: Instant, packet: &[u8]) {
        let claimed = v2::claimed_vrid(packet).and_then(|vrid| self.ports.get(port)?.router(vrid));
        let Some((id, router)) = claimed.and_then(|id| Some((id, self.routers.get_mut(&id)?))) else {
            return;
        };
        let advert = match v2::parse(packet) {
            Ok(advert) => advert,
            Err(error) => return router.discarded(now, None, error.into(), &self.queues.events),
        };
        match receive::check(&advert, &router.expected) {
            Ok(accepted) => {
                if accepted.addresses_differ {
                    router.addresses_differ(now, advert.source, &self.queues.events);
                }
                router.tally.accepted.add_one();
                self.feed(id, now, Input::Heard(accepted.heard));
            }
            Err(why) => router.discarded(now, Some(advert.source), why, &self.queues.events),
        }
    }

    // ---- timers -------------------------------------------------------------------------------

    fn serve_deadlines(&mut self) {
        let mut due = self.schedule.due(clock::now());
        if due.is_empty() {
            return;
        }
        // An advert that is already here must not lose against a timer that is served earlier.
        let mut ports: Vec<usize> = due
            .iter()
            .filter_map(|id| self.routers.get(id))
            .filter(|router| router.machine.state().kind() == StateKind::Backup)
            .map(|router| router.port)
            .collect();
        if !ports.is_empty() {
            ports.sort_unstable();
            ports.dedup();
            for port in ports {
                self.read_port(port, BATCHES_BEFORE_TAKEOVER);
            }
            due = self.schedule.due(clock::now());
        }
        for id in due {
            self.feed(id, clock::now(), Input::Tick);
        }
    }

    // ---- the machine --------------------------------------------------------------------------

    fn feed(&mut self, id: RouterId, now: Instant, input: Input) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        router.machine.handle(now, input);
        while let Some(action) = router.machine.poll_action() {
            match action {
                Action::Advertise(priority) => {
                    let destination = router.template.destination();
                    let packet = router.template.with_priority(priority);
                    self.ports[router.port].queue(id, destination, packet);
                    router.tally.sent.add_one();
                }
                Action::Claim { rounds } => {
                    router.claim += 1;
                    let claim = router.claim;
                    self.outbox.put(Order::Claim { id, rounds, claim });
                }
                Action::Announce { rounds } => {
                    self.outbox.put(Order::Announce { id, rounds });
                }
                Action::Release => self.outbox.put(Order::Release { id }),
                Action::Transition(transition) => {
                    router.changed(now, transition, &self.queues.events);
                }
                Action::Note(note) => router.note(now, note, &self.queues.events),
            }
        }
        router.tell_standing(now, &self.queues.events);
        self.schedule.set(id, router.machine.next_deadline());
    }

    fn set_fault(&mut self, id: RouterId, fault: Fault, present: bool) {
        let known = self.routers.get(&id).is_some_and(|router| router.machine.faults().contains(fault));
        if known != present {
            let input = if present { Input::Fault(fault) } else { Input::FaultCleared(fault) };
            self.feed(id, clock::now(), input);
        }
    }

    fn refresh_filters(&mut self) {
        for number in 0..self.ports.len() {
            let refreshed = self.ports[number].refresh_filter();
            self.or_trouble(refreshed);
        }
    }

    /// Sends adverts of this round, then orders.
    fn flush(&mut self) {
        for port in &mut self.ports {
            for (id, error) in port.flush() {
                if let Some(router) = self.routers.get_mut(&id) {
                    router.send_failed(clock::now(), error, &self.queues.events);
                }
            }
        }
        self.outbox.flush();
    }

    // ---- commands and reports -----------------------------------------------------------------

    fn answer_knock(&mut self) {
        self.queues.commands.wake().clear();
        while let Some(report) = self.queues.reports.pop() {
            self.report(report);
        }
        while let Some(command) = self.queues.commands.pop() {
            self.command(command);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Add { id, router, fast_takeover, .. } => self.add(id, *router, fast_takeover),
            Command::Change { id, router, fast_takeover, .. } => self.change(id, *router, fast_takeover),
            Command::Remove { id } => self.remove(id),
            Command::Orders { .. } => {}
            Command::TakeOver { ticket, .. }
            | Command::YieldTo { ticket, .. }
            | Command::Resign { ticket, .. }
            | Command::Lead { ticket, .. } => {
                let answer = Err(Refusal::Busy);
                self.queues.notices.send_or_drop(Notice::Answer { ticket, answer });
            }
            Command::Retell => self.retell(),
            Command::Stop => {
                let ids: Vec<_> = self.routers.keys().copied().collect();
                for id in ids {
                    self.remove(id);
                }
                self.outbox.put(Order::Shutdown);
                self.stop_by = Some(clock::now() + FAREWELL_MAX);
            }
        }
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

    fn add(&mut self, id: RouterId, configured: VirtualRouter, fast_takeover: bool) {
        let number = self.port_number(&configured.interface).unwrap_or_else(|| {
            self.ports.push(Port::new(&configured.interface));
            self.ports.len() - 1
        });
        let port = &mut self.ports[number];
        let attached = port.attach(configured.vrid, id, configured.mcast_group);
        let interface_source = port.now.and_then(|now| now.source);
        let source = source_of(&configured, interface_source);
        let mut router = Router::new(number, configured, fast_takeover, source);
        let definition = definition(id, &router);
        router.retell(clock::now(), &self.queues.events);
        self.routers.insert(id, router);
        self.outbox.put(Order::Define(definition));
        self.or_trouble(attached);
    }

    fn change(&mut self, id: RouterId, configured: VirtualRouter, fast_takeover: bool) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let port = &mut self.ports[router.port];
        let attached = port.attach(configured.vrid, id, configured.mcast_group);
        let source = source_of(&configured, port.now.and_then(|now| now.source));
        router.reconfigure(configured, source);
        router.retell(clock::now(), &self.queues.events);
        let definition = definition(id, router);
        let parameters = translate::parameters(&router.configured, fast_takeover);
        self.outbox.put(Order::Define(definition));
        self.feed(id, clock::now(), Input::Parameters(parameters));
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
        if port.is_unused() {
            self.close_port(router.port);
        }
        self.or_trouble(detached);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Interface { name, now } => self.interface(&name, now),
            Report::Defined { id, adopted } => self.start(id, adopted),
            Report::AddressInterfaces { id, usable } => self.set_fault(id, Fault::AddressInterface, !usable),
            Report::Refused { id, claim } => {
                if self.routers.get(&id).is_some_and(|router| router.claim == claim) {
                    self.feed(id, clock::now(), Input::ClaimRefused);
                }
            }
            Report::Finished => self.finished = true,
        }
    }

    fn start(&mut self, id: RouterId, adopt: bool) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        if !std::mem::replace(&mut router.started, true) {
            self.open_port_of(id);
            self.apply_interface(id);
            self.feed(id, clock::now(), Input::Start { adopt });
        }
    }

    fn interface(&mut self, name: &str, now: Option<InterfaceNow>) {
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

    fn port_number(&self, name: &str) -> Option<usize> {
        self.ports.iter().position(|port| port.name == name)
    }

    fn or_trouble(&self, result: Result<(), NetError>) {
        if let Err(error) = result {
            self.trouble(error);
        }
    }

    fn trouble(&self, error: NetError) {
        tell(&self.queues.events, error);
    }
}

fn tell(events: &EventSender, error: NetError) {
    events.send_or_drop(Event::now(None, What::Trouble { error }));
}

fn definition(id: RouterId, router: &Router) -> Definition {
    let configured = &router.configured;
    Definition {
        id,
        identity: Arc::clone(&router.identity),
        addresses: configured.addresses.iter().chain(&configured.excluded).cloned().collect(),
        promote_secondaries: configured.promote_secondaries,
        owner: configured.priority.is_owner(),
        garp_interval: configured.garp.interval,
    }
}
