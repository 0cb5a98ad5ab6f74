//! The world: nodes, segment and clock, and the shell around each core.
//!
//! The shell here does what the agent's does: packets pass `parse` and `check` before the machine
//! hears of them, packets that have arrived come before deadlines, actions are carried out in
//! order, and addresses are announced only once the kernel has confirmed them.

use super::clock::Clock;
use super::groups;
use super::kernel::Request;
use super::moves::{Desk, Message};
use super::net::Net;
use super::node::{Life, Node, Packet};
use super::plan::Plan;
use super::rng::Rng;
use super::sabotage::Sabotage;
use super::trace::{Garbage, Record, Stimulus, What};
use hacluster_core::machine::{Action, Fault, Input, Machine, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::receive::{self, Heard};
use hacluster_core::time::{Duration, Instant};
use hacluster_core::wire::v2;
use std::iter;
use std::net::Ipv4Addr;

/// A process without time answers its kernel this much later.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Something to come.
pub(super) enum Event {
    /// A packet reaches a node.
    Arrive { to: usize, packet: Packet },
    /// A timer of a process fires.
    Wake { node: usize, vr: usize, process: u32 },
    /// The kernel finishes a request.
    KernelDone { node: usize },
    /// A router whose claim was refused tries again.
    ClaimRetry { node: usize, vr: usize, process: u32 },
    /// The sync group of a process wanted to be asked again.
    GroupDue { node: usize, process: u32 },
    /// A process notices its link.
    LinkNoticed { node: usize },
    /// A process gets time again.
    StallOver { node: usize, process: u32 },
    /// The next fault is due.
    Fault,
    /// An operator wants something.
    Order,
    /// The shell of a router on a node hears from another.
    Message { to: (usize, usize), message: Message },
    /// Somebody who takes part in a move is killed.
    Kill { node: usize },
    /// A move should be over.
    MoveLate { place: (usize, usize), serial: u64 },
}

/// A running simulation.
pub struct World {
    /// What was drawn at the beginning.
    pub plan: Plan,
    /// Chance.
    pub(super) rng: Rng,
    pub(super) clock: Clock<Event>,
    /// The segment.
    pub net: Net,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Claims refused by kernels, per mille.
    pub(super) refuse_permille: u64,
    /// Faults go on.
    pub(super) faulty: bool,
    pub(super) desk: Desk,
    pub(super) sabotage: Sabotage,
    /// All virtual routers of a node are one sync group.
    pub(super) grouped: bool,
    claims: u64,
    trace: Vec<Record>,
}

impl World {
    /// The world of `seed`, with all processes started; without `moves` nobody moves routers.
    pub fn new(seed: u64, sabotage: Sabotage, moves: bool) -> Self {
        let mut world = Self::with(seed, sabotage, Plan::draw, false);
        world.desk.plan = world.desk.plan.filter(|_| moves);
        world
    }

    /// As [`new`](Self::new), from what `draw` draws.
    pub(super) fn with(
        seed: u64,
        sabotage: Sabotage,
        draw: impl FnOnce(&mut Rng) -> Plan,
        grouped: bool,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let plan = draw(&mut rng);
        let node =
            |(index, parameters): (usize, &Vec<_>)| Node::new(index, &plan.virtual_routers, parameters);
        let nodes: Vec<_> = plan.routers.iter().enumerate().map(node).collect();
        let net = Net::calm(plan.latency_max);
        let clock = Clock::new(Instant::from_micros(1_000_000));
        let mut world = Self {
            plan,
            rng,
            clock,
            net,
            nodes,
            refuse_permille: 0,
            faulty: true,
            desk: Desk::new(Rng::new(!seed)),
            sabotage,
            grouped,
            claims: 0,
            trace: Vec::new(),
        };
        world.desk.plan = world.desk.plan.filter(|_| !grouped);
        world.clock.after(Duration::ZERO, Event::Fault);
        world.clock.after(Duration::ZERO, Event::Order);
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Everything that happened.
    pub fn trace(&self) -> &[Record] {
        &self.trace
    }

    /// Lets the next thing up to `limit` happen; false when there is none.
    pub fn step(&mut self, limit: Instant) -> bool {
        let Some(event) = self.clock.next(limit) else { return false };
        match event {
            Event::Arrive { to, packet } => self.arrive(to, packet),
            Event::Wake { node, vr, process } => self.wake(node, vr, process),
            Event::KernelDone { node } => self.kernel_done(node),
            Event::ClaimRetry { node, vr, process } => self.claim_retry(node, vr, process),
            Event::GroupDue { node, process } => self.group_due(node, process),
            Event::LinkNoticed { node } => self.notice_link(node),
            Event::StallOver { node, process } if self.nodes[node].process == process => {
                self.stall_over(node)
            }
            Event::StallOver { .. } => {}
            Event::Fault => self.next_fault(),
            Event::Order => self.next_order(),
            Event::Kill { node } => self.kill(node),
            Event::Message { to, message } => self.take_message(to, message),
            Event::MoveLate { place, serial } => self.move_late(place, serial),
        }
        true
    }

    pub(super) fn record(&mut self, node: Option<usize>, vr: Option<usize>, what: What) {
        self.trace.push(Record { at: self.clock.now(), node, vr, what });
    }

    pub(super) fn remark(&mut self, node: Option<usize>, text: String) {
        self.record(node, None, What::World(text));
    }

    // Processes.

    pub(super) fn start(&mut self, index: usize) {
        let claimable = self.rng.chance(100);
        let node = &mut self.nodes[index];
        node.life = Life::Running;
        node.process += 1;
        node.stalled = false;
        node.inbox.clear();
        self.desk.forget(index);
        self.remark(Some(index), "starts".to_owned());
        let node = &mut self.nodes[index];
        node.group = groups::fresh(self.grouped);
        for router in &mut node.routers {
            router.machine = Machine::new(self.sabotage.parameters(router.in_force()), node.address);
            (router.claim, router.armed) = (None, None);
        }
        if self.grouped {
            (0..self.plan.virtual_routers.len()).for_each(|vr| self.tell(index, vr, Input::Bind(true)));
        }
        for vr in 0..self.plan.virtual_routers.len() {
            let node = &self.nodes[index];
            let adopt = node.kernel.holds(vr) || claimable;
            let (link_up, router) = (node.link_up, &node.routers[vr]);
            if router.lead.is_some() {
                let lead = router.lead;
                self.tell(index, vr, Input::Lead(lead));
            }
            if !link_up {
                self.tell(index, vr, Input::Fault(Fault::Link));
            }
            self.tell(index, vr, Input::Start { adopt });
        }
    }

    pub(super) fn stop(&mut self, index: usize) {
        self.remark(Some(index), "stops".to_owned());
        for vr in 0..self.plan.virtual_routers.len() {
            self.tell(index, vr, Input::Stop);
        }
        self.nodes[index].life = Life::Stopped;
    }

    pub(super) fn crash(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.life = Life::Crashed;
        node.process += 1;
        node.kernel.forget_requests();
        self.desk.forget(index);
        self.remark(Some(index), "crashes".to_owned());
    }

    pub(super) fn stall_over(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.stalled = false;
        for (arrived, packet) in std::mem::take(&mut node.inbox) {
            self.receive(index, arrived, &packet);
        }
        self.notice_link(index);
        for vr in 0..self.plan.virtual_routers.len() {
            self.serve_deadline(index, vr);
        }
    }

    /// A link that comes or goes is a fault of every router on it.
    pub(super) fn notice_link(&mut self, index: usize) {
        for vr in 0..self.plan.virtual_routers.len() {
            let node = &self.nodes[index];
            let known = node.routers[vr].machine.faults().contains(Fault::Link);
            if node.is_awake() && known == node.link_up {
                let link_up = node.link_up;
                let input = if link_up { Input::FaultCleared } else { Input::Fault };
                self.tell(index, vr, input(Fault::Link));
            }
        }
    }

    // Timers.

    fn wake(&mut self, index: usize, vr: usize, process: u32) {
        let node = &self.nodes[index];
        if node.process == process && node.is_awake() {
            self.serve_deadline(index, vr);
        }
    }

    fn serve_deadline(&mut self, index: usize, vr: usize) {
        let router = &mut self.nodes[index].routers[vr];
        router.armed = None;
        if router.machine.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
            self.tell(index, vr, Input::Tick);
        } else {
            self.arm(index, vr);
        }
    }

    fn arm(&mut self, index: usize, vr: usize) {
        let node = &mut self.nodes[index];
        let (process, router) = (node.process, &mut node.routers[vr]);
        let deadline = router.machine.next_deadline();
        if let (Some(at), true) = (deadline, deadline != router.armed) {
            let late = Duration::from_micros(self.rng.between(0, self.plan.late_max.as_micros()));
            self.clock.at(at + late, Event::Wake { node: index, vr, process });
        }
        router.armed = deadline;
    }

    // Packets in.

    fn arrive(&mut self, to: usize, packet: Packet) {
        let now = self.now();
        let node = &mut self.nodes[to];
        if node.life != Life::Running || !node.link_up {
            return;
        }
        if node.is_awake() {
            self.receive(to, now, &packet);
        } else {
            node.inbox.push((now, packet));
        }
    }

    fn receive(&mut self, to: usize, arrived: Instant, packet: &Packet) {
        let claimed = v2::claimed_vrid(&packet.bytes);
        let known = self.plan.virtual_routers.iter().position(|shared| Some(shared.vrid) == claimed);
        let Some(vr) = known else { return };
        let at = if self.plan.stamp_arrival { arrived } else { self.now() };
        let expectation = &self.nodes[to].routers[vr].expectation;
        let verdict = v2::parse(&packet.bytes).map_err(receive::Discard::from);
        match verdict.and_then(|advert| receive::check(&advert, expectation)) {
            Ok(accepted) => {
                self.meet(to, vr, at, Stimulus::Told(Input::Heard(accepted.heard)), packet.injected)
            }
            Err(_) if self.sabotage == Sabotage::BelieveGarbage => {
                let sender = Ipv4Addr::new(192, 0, 2, 254);
                let heard = Heard { sender, priority: Priority::OWNER };
                self.meet(to, vr, at, Stimulus::Told(Input::Heard(heard)), packet.injected);
            }
            Err(discard) => self.meet(to, vr, at, Stimulus::Discarded(discard.kind()), packet.injected),
        }
    }

    // The machine.

    pub(super) fn tell(&mut self, node: usize, vr: usize, input: Input) {
        self.meet(node, vr, self.now(), Stimulus::Told(input), None);
    }

    fn meet(&mut self, index: usize, vr: usize, at: Instant, stimulus: Stimulus, injected: Option<Garbage>) {
        self.meet_alone(index, vr, at, stimulus, injected);
        self.settle_group(index);
    }

    /// The others of its sync group learn of it later.
    pub(super) fn meet_alone(
        &mut self,
        index: usize,
        vr: usize,
        at: Instant,
        stimulus: Stimulus,
        injected: Option<Garbage>,
    ) {
        let machine = &mut self.nodes[index].routers[vr].machine;
        let before = machine.state().clone();
        if let Stimulus::Told(input) = stimulus
            && let Some(input) = self.sabotage.distort(before.kind(), input)
        {
            machine.handle(at, input);
        }
        let actions: Vec<_> = iter::from_fn(|| machine.poll_action()).collect();
        let after = machine.state().clone();
        let owed = actions.clone();
        let was = before.kind();
        self.record(
            Some(index),
            Some(vr),
            What::Met { stimulus, stamp: at, injected, before, after, actions },
        );
        for action in &owed {
            self.perform(index, vr, *action);
        }
        self.arm(index, vr);
        self.conclude((index, vr), was, &owed);
    }

    // Actions out.

    fn perform(&mut self, index: usize, vr: usize, action: Action) {
        match action {
            Action::Advertise(priority) => self.advertise(index, vr, priority),
            Action::Claim { rounds } => {
                self.claims += 1;
                let claim = self.claims;
                self.nodes[index].routers[vr].claim = Some(claim);
                self.ask_kernel(index, Request::Claim { vr, claim, rounds });
                if self.sabotage == Sabotage::AnnounceEarly {
                    self.announce(index, vr);
                }
            }
            Action::Release => {
                self.nodes[index].routers[vr].claim = None;
                if self.sabotage != Sabotage::ForgetRelease {
                    self.ask_kernel(index, Request::Release { vr });
                }
            }
            Action::Announce { .. } => {
                let kernel = &self.nodes[index].kernel;
                if kernel.holds(vr) && !kernel.is_busy(vr) {
                    self.announce(index, vr);
                }
            }
            Action::Transition(_) | Action::Note(_) => {}
        }
    }

    fn advertise(&mut self, index: usize, vr: usize, priority: Priority) {
        self.record(Some(index), Some(vr), What::Sent(priority.get()));
        if !self.nodes[index].link_up {
            return;
        }
        let bytes = self.nodes[index].routers[vr].template.with_priority(priority).to_vec();
        for to in (0..self.nodes.len()).filter(|to| *to != index) {
            for delay in self.net.deliver(&mut self.rng, index, to) {
                let packet = Packet { bytes: bytes.clone(), injected: None };
                self.clock.after(delay, Event::Arrive { to, packet });
            }
        }
    }

    fn announce(&mut self, index: usize, vr: usize) {
        let node = &self.nodes[index];
        let announced =
            What::Announced { held: node.kernel.holds(vr), entitled: node.rules(vr) || node.prepares(vr) };
        self.record(Some(index), Some(vr), announced);
    }

    // The kernel.

    fn ask_kernel(&mut self, index: usize, request: Request) {
        if self.nodes[index].kernel.ask(request) {
            self.serve_kernel(index);
        }
    }

    fn serve_kernel(&mut self, index: usize) {
        let delay = Duration::from_micros(self.rng.between(1, self.plan.kernel_max.as_micros()));
        self.clock.after(delay, Event::KernelDone { node: index });
    }

    fn kernel_done(&mut self, index: usize) {
        let refuse = self.rng.chance(self.refuse_permille);
        if self.nodes[index].stalled {
            return self.clock.after(RETRY, Event::KernelDone { node: index });
        }
        let Some((request, granted)) = self.nodes[index].kernel.finish(refuse) else { return };
        if self.nodes[index].kernel.has_work() {
            self.serve_kernel(index);
        }
        match request {
            Request::Release { vr } => self.record(Some(index), Some(vr), What::Released),
            Request::Claim { vr, claim, .. } => {
                self.record(Some(index), Some(vr), What::Claimed { granted });
                self.claim_answered(index, vr, claim, granted);
            }
        }
    }

    fn claim_answered(&mut self, index: usize, vr: usize, claim: u64, granted: bool) {
        let node = &self.nodes[index];
        if node.life != Life::Running || node.routers[vr].claim != Some(claim) {
            return;
        }
        if granted {
            self.announce(index, vr);
            return self.tell(index, vr, Input::Claimed);
        }
        let process = node.process;
        self.tell(index, vr, Input::ClaimRefused);
        let pause = Duration::from_millis(self.rng.between(1_000, 5_000));
        self.clock.after(pause, Event::ClaimRetry { node: index, vr, process });
    }

    pub(super) fn claim_retry(&mut self, index: usize, vr: usize, process: u32) {
        let node = &self.nodes[index];
        if node.stalled {
            return self.clock.after(RETRY, Event::ClaimRetry { node: index, vr, process });
        }
        let refused = node.routers[vr].machine.faults().contains(Fault::Claim);
        if refused && node.life == Life::Running && node.process == process {
            self.tell(index, vr, Input::FaultCleared(Fault::Claim));
        }
    }

    /// The states of all routers that rule `vr`, for messages and references.
    pub fn rulers(&self, vr: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].rules(vr)).collect()
    }

    /// Whether a router is in Fault although its process runs.
    pub fn is_faulty(&self, index: usize, vr: usize) -> bool {
        self.nodes[index].life == Life::Running && self.nodes[index].kind(vr) == StateKind::Fault
    }
}
