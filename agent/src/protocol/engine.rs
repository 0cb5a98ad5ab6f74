//! The protocol thread's loop.

use super::groups::Companies;
use super::outbox::Outbox;
use super::port::Port;
use super::router::Router;
use super::schedule::Schedule;
use super::takeover::Takeover;
use super::tracking::Links;
use super::urgency::Urgency;
use super::{Notice, Queues};
use crate::event::{Event, EventSender, Place, What};
use crate::fact::Fact;
use crate::kernel::{Order, RouterId};
use crate::story::{Said, Trail};
use crate::tally::Queue;
use crate::watch::Tracked;
use hacluster_conf::model::Agent;
use hacluster_core::machine::{Action, Input, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::receive;
use hacluster_core::time::{Duration, Instant};
use hacluster_core::wire::v2;
use hacluster_net::poll::Waiter;
use hacluster_net::raw::RecvBuffers;
use hacluster_net::{NetError, clock, sched};
use std::collections::BTreeMap;

/// How many batches of packets are read for one port before timers get their turn.
const BATCHES_PER_ROUND: usize = 1;
/// How many before a backup's timer is believed: more than a full socket buffer holds.
const BATCHES_BEFORE_TAKEOVER: usize = 128;
/// Adverts that follow each other faster than this are left to gather as long and are read together:
/// many neighbours, or a flood, then cost a fraction. A knock ends it, and while a router changes hands
/// by agreement nothing is left to gather: there every advert counts at once.
const GATHER: Duration = Duration::from_millis(2);
const KNOCK: u64 = 0;
pub(super) const FIRST_PORT: u64 = 1;

/// The thread's state.
pub(super) struct Engine {
    pub(super) queues: Queues,
    pub(super) waiter: Waiter,
    /// Hears the knock alone, while packets gather.
    knocks: Waiter,
    pub(super) routers: BTreeMap<RouterId, Router>,
    /// Sync groups.
    pub(super) groups: Companies,
    /// Every interface that was reported.
    pub(super) links: Links,
    /// What the watching thread said last, also of places where no router runs yet, or for a moment.
    pub(super) told: BTreeMap<Place, Tracked>,
    /// Never shrinks: a port's place is its token.
    pub(super) ports: Vec<Port>,
    /// Ports whose filter does not know the latest of their routers.
    pub(super) stale: Vec<usize>,
    /// Ports with adverts of this round.
    speaking: Vec<usize>,
    pub(super) schedule: Schedule,
    pub(super) outbox: Outbox,
    /// Takeovers somebody waits for, at most one per router.
    pub(super) takeovers: BTreeMap<RouterId, Takeover>,
    /// Told at the end of the round, when what they speak of has left.
    pub(super) notices: Vec<Notice>,
    /// Adverts of this round that tell a change of state.
    spoken: Vec<(RouterId, Trail, Priority)>,
    /// A router changes hands, or may, until then.
    pub(super) busy_until: Instant,
    /// Room for routers whose deadline has come, kept for the next round.
    due: Vec<RouterId>,
    /// Taken out while packets in it are being served.
    buffers: Option<RecvBuffers>,
    /// Packets read in this round.
    received: usize,
    /// When the last round with packets ended.
    last_received: Instant,
    urgency: Urgency,
    pub(super) stop_by: Option<Instant>,
    pub(super) finished: bool,
}

impl Engine {
    pub(super) fn new(queues: Queues) -> Result<Self, NetError> {
        let (waiter, knocks) = (Waiter::new()?, Waiter::new()?);
        waiter.add(queues.commands.wake(), KNOCK)?;
        knocks.add(queues.commands.wake(), KNOCK)?;
        let outbox = Outbox::new(queues.orders.clone());
        Ok(Self {
            queues,
            waiter,
            knocks,
            routers: BTreeMap::new(),
            groups: Companies::default(),
            links: Links::new(),
            told: BTreeMap::new(),
            ports: Vec::new(),
            stale: Vec::new(),
            speaking: Vec::new(),
            schedule: Schedule::default(),
            outbox,
            takeovers: BTreeMap::new(),
            notices: Vec::new(),
            spoken: Vec::new(),
            busy_until: Instant::ZERO,
            due: Vec::new(),
            buffers: Some(RecvBuffers::new()),
            received: 0,
            last_received: Instant::ZERO,
            urgency: Urgency::default(),
            stop_by: None,
            finished: false,
        })
    }

    /// Runs until [`Command::Stop`](super::Command::Stop) is carried out.
    pub(super) fn run(mut self, settings: &Agent) {
        self.prepare_thread(settings);
        while !self.finished {
            self.round();
        }
    }

    /// Wishes, not conditions: an agent without real-time priority is still an agent.
    fn prepare_thread(&mut self, settings: &Agent) {
        let mut wishes = vec![sched::set_exact_timers(), sched::set_short_turns()];
        if let Some(priority) = settings.realtime_priority {
            wishes.push(sched::set_realtime(priority));
        }
        self.urgency = Urgency::new(settings);
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

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.next().into_iter().chain(self.stop_by).chain(self.groups.deadline()).min()
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
        if let Some(priority) = deadline.and_then(|deadline| self.urgency.rise(deadline)) {
            self.raise_priority(priority);
        }
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

    /// Timers run late: the thread becomes more urgent.
    fn raise_priority(&mut self, priority: u8) {
        match sched::set_realtime(priority) {
            Ok(()) => self.queues.events.send_or_drop(Event::now(None, What::Hurried { priority })),
            Err(error) => {
                self.urgency = Urgency::default(); // refused once is refused for ever
                self.trouble(error);
            }
        }
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
        if dense && received < RecvBuffers::CAPACITY && now >= self.busy_until {
            self.leave_alone(now + GATHER);
            self.last_received = clock::now();
        }
    }

    /// Lets packets wait until then, or until a deadline or a knock.
    pub(super) fn leave_alone(&mut self, until: Instant) {
        let until = self.deadline().map_or(until, |deadline| deadline.min(until));
        let waited = self.knocks.wait_until(Some(until)).map(drop);
        self.or_trouble(waited);
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
                self.packet(number, now, packet.bytes, packet.waited);
            }
            if received < RecvBuffers::CAPACITY {
                break;
            }
        }
        self.buffers = Some(buffers);
    }

    fn packet(&mut self, port: usize, now: Instant, packet: &[u8], waited: Option<std::time::Duration>) {
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
                router.accepted(now, accepted.heard, waited);
                self.feed(id, now, Input::Heard(accepted.heard));
            }
            Err(why) => router.discarded(now, Some(advert.source), why, &self.queues.events),
        }
    }

    // ---- timers -------------------------------------------------------------------------------

    pub(super) fn serve_deadlines(&mut self) {
        self.serve_groups();
        let mut due = std::mem::take(&mut self.due);
        self.schedule.due(clock::now(), &mut due);
        if !due.is_empty() {
            self.serve_due(&mut due);
        }
        self.due = due;
    }

    fn serve_due(&mut self, due: &mut Vec<RouterId>) {
        // An advert that is already here must not lose against a timer that is served earlier.
        let mut ports: Vec<usize> = due
            .iter()
            .flat_map(|id| std::iter::once(*id).chain(self.companions(*id)))
            .filter_map(|id| self.routers.get(&id))
            .filter(|router| router.machine.state().kind() == StateKind::Backup)
            .map(|router| router.port)
            .collect();
        if !ports.is_empty() {
            ports.sort_unstable();
            ports.dedup();
            for port in ports {
                self.read_port(port, BATCHES_BEFORE_TAKEOVER);
            }
            self.schedule.due(clock::now(), due);
        }
        for id in due {
            let now = clock::now();
            let router = self.routers.get(id);
            if let Some((router, deadline)) = router.and_then(|it| Some((it, it.machine.next_deadline()?))) {
                router.tally.lateness.add(now.since(deadline));
            }
            self.feed(*id, now, Input::Tick);
        }
    }

    // ---- the machine --------------------------------------------------------------------------

    /// Feeds a router, and draws the conclusions for its sync group.
    pub(super) fn feed(&mut self, id: RouterId, now: Instant, input: Input) {
        self.feed_alone(id, now, input);
        self.settle_group_of(id);
    }

    pub(super) fn feed_alone(&mut self, id: RouterId, now: Instant, input: Input) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let (mut own, before) = router.beginnings(now, &input);
        let (mut changed, mut spoke) = (false, None);
        router.machine.handle(now, input);
        while let Some(action) = router.machine.poll_action() {
            match action {
                Action::Advertise(priority) => {
                    let destination = router.template.destination();
                    let packet = router.template.with_priority(priority);
                    if self.ports[router.port].queue(id, destination, packet) {
                        self.speaking.push(router.port);
                    }
                    router.tally.sent.add_one();
                    if priority.is_resign() {
                        router.tally.resigned.add_one();
                    }
                    spoke = Some(priority);
                    if let Some(takeover) = self.takeovers.get_mut(&id) {
                        takeover.speaks = !priority.is_resign();
                    }
                }
                Action::Claim { rounds } => {
                    router.claim += 1;
                    let claim = router.claim;
                    let trail = *own.get_or_insert_with(Trail::begin);
                    self.outbox.put(Order::Claim { id, rounds, claim, trail });
                }
                Action::Announce { rounds } => {
                    self.outbox.put(Order::Announce { id, rounds });
                }
                Action::Release => {
                    router.claim += 1; // whatever is still reported of the one given up is void
                    let trail = *own.get_or_insert_with(Trail::begin);
                    self.outbox.put(Order::Release { id, trail });
                }
                Action::Transition(transition) => {
                    changed = true;
                    let trail = *own.get_or_insert_with(Trail::begin);
                    router.changed(now, transition, (trail, before), &self.queues.events);
                    self.notices.push(router.notice(now, transition, trail));
                }
                Action::Note(note) => router.note(now, note, &self.queues.events),
            }
        }
        if changed {
            router.story = None;
            self.spoken.extend(own.zip(spoke).map(|(trail, priority)| (id, trail, priority)));
        }
        router.tell_standing(now, &self.queues.events);
        self.schedule.set(id, router.machine.next_deadline());
    }

    pub(super) fn refresh_filters(&mut self) {
        while let Some(number) = self.stale.pop() {
            let refreshed = self.ports[number].refresh_filter();
            self.or_trouble(refreshed);
        }
    }

    /// Sends adverts of this round, then orders, then word of both.
    pub(super) fn flush(&mut self) {
        let begun = clock::now();
        for number in self.speaking.drain(..) {
            for (id, error) in self.ports[number].flush() {
                if let Some(router) = self.routers.get_mut(&id) {
                    router.send_failed(clock::now(), error, &self.queues.events);
                }
                if let Some(takeover) = self.takeovers.get_mut(&id) {
                    takeover.speaks = false;
                }
            }
        }
        for (id, trail, priority) in self.spoken.drain(..) {
            if let Some(router) = self.routers.get(&id) {
                let said = Fact::Said(Said { priority, begun });
                self.queues.events.send_or_drop(Event::now(Some(router.identity.clone()), said).on(trail));
            }
        }
        self.outbox.flush();
        self.settle_takeovers();
        for notice in self.notices.drain(..) {
            if self.queues.notices.try_send(notice).is_err() {
                Queue::Notices.dropped(1);
            }
        }
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

    pub(super) fn or_trouble(&self, result: Result<(), NetError>) {
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
