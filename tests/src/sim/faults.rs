//! What goes wrong, and how it heals.

use super::net::Net;
use super::node::{GROUP, Life, Packet};
use super::plan::FAULT_KINDS;
use super::trace::Garbage;
use super::world::{Event, World};
use hacluster_core::interval::Seconds;
use hacluster_core::machine::{Fault, Input, Parameters, Preemption};
use hacluster_core::priority::Priority;
use hacluster_core::time::Duration;
use hacluster_core::wire::Auth;
use hacluster_core::wire::v2::Template;
use std::net::Ipv4Addr;

/// A healed kernel works off its backlog this fast per request.
const KERNEL_MAX_HEALED: Duration = Duration::from_millis(10);

/// The kinds of faults, in the order of the plan's weights.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Crash,
    Stop,
    Start,
    Priority,
    Link,
    CutOneWay,
    Cut,
    HealCuts,
    Weather,
    Stall,
    Inject,
    Refusals,
}

const KINDS: [Kind; FAULT_KINDS] = [
    Kind::Crash,
    Kind::Stop,
    Kind::Start,
    Kind::Priority,
    Kind::Link,
    Kind::CutOneWay,
    Kind::Cut,
    Kind::HealCuts,
    Kind::Weather,
    Kind::Stall,
    Kind::Inject,
    Kind::Refusals,
];

impl World {
    pub(super) fn next_fault(&mut self) {
        if !self.faulty {
            return;
        }
        let pause = self.rng.between(1, self.plan.calm_max.as_micros());
        self.clock.after(Duration::from_micros(pause), Event::Fault);
        let total: u64 = self.plan.weights.iter().sum();
        let mut drawn = self.rng.between(1, total.max(1));
        for (kind, weight) in KINDS.into_iter().zip(self.plan.weights) {
            if drawn <= weight {
                return self.strike(kind);
            }
            drawn -= weight;
        }
    }

    fn strike(&mut self, kind: Kind) {
        let node = self.rng.index(self.nodes.len());
        let other = self.rng.index(self.nodes.len());
        let life = self.nodes[node].life;
        let awake = self.nodes[node].is_awake();
        match kind {
            Kind::Crash if life == Life::Running => self.crash(node),
            Kind::Stop if awake => self.stop(node),
            Kind::Start if life != Life::Running => self.start(node),
            Kind::Priority if awake => self.change_priority(node),
            Kind::Link if self.grouped && awake && self.rng.chance(500) => self.flip_tracked(node),
            Kind::Link => self.flip_link(node),
            Kind::CutOneWay => {
                self.net.set_cut(node, other, node != other);
                self.remark(None, format!("{other} no longer hears {node}"));
            }
            Kind::Cut => {
                let groups: Vec<_> = self.nodes.iter().map(|_| self.rng.index(2)).collect();
                self.net.split(&groups);
                self.remark(None, format!("the segment is split into groups {groups:?}"));
            }
            Kind::HealCuts => {
                self.net.split(&vec![0; self.nodes.len()]);
                self.remark(None, "all cuts are healed".to_owned());
            }
            Kind::Weather => self.change_weather(),
            Kind::Stall if awake => {
                let span = Duration::from_millis(self.rng.between(10, 6_000));
                self.nodes[node].stalled = true;
                let process = self.nodes[node].process;
                self.remark(Some(node), format!("gets no time for {} s", span.as_secs_f64()));
                self.clock.after(span, Event::StallOver { node, process });
            }
            Kind::Inject => self.inject(node),
            Kind::Refusals => {
                self.refuse_permille = self.rng.pick(&[0, 300, 1000]);
                self.remark(None, format!("kernels refuse {} per mille", self.refuse_permille));
            }
            Kind::Crash | Kind::Stop | Kind::Start | Kind::Priority | Kind::Stall => {}
        }
    }

    fn change_priority(&mut self, node: usize) {
        let vr = self.rng.index(self.plan.virtual_routers.len());
        let parameters = self.nodes[node].routers[vr].parameters;
        let highest = if parameters.preemption == Preemption::Never { 254 } else { 255 };
        let near = u64::from(parameters.priority.get().saturating_sub(20).max(1));
        let number = if self.rng.chance(500) { self.rng.between(1, highest) } else { near };
        let parameters = Parameters { priority: Priority::from_wire(number as u8), ..parameters };
        let router = &mut self.nodes[node].routers[vr];
        router.parameters = parameters;
        let in_force = router.in_force();
        self.tell(node, vr, Input::Parameters(in_force));
    }

    fn flip_link(&mut self, node: usize) {
        self.nodes[node].link_up = !self.nodes[node].link_up;
        let up = self.nodes[node].link_up;
        self.remark(Some(node), format!("its link is {}", if up { "up" } else { "down" }));
        let noticed = Duration::from_micros(self.rng.between(100, 200_000));
        self.clock.after(noticed, Event::LinkNoticed { node });
    }

    fn change_weather(&mut self) {
        let bad = self.plan.loss_permille;
        self.net.loss_permille = self.rng.pick(&[0, 0, bad]);
        self.net.duplicate_permille = self.rng.pick(&[0, 200]);
        self.net.spike_permille = self.rng.pick(&[0, 0, 100]);
        let weather = (self.net.loss_permille, self.net.duplicate_permille, self.net.spike_permille);
        self.remark(None, format!("per mille lost, doubled, held back: {weather:?}"));
    }

    /// A packet that nobody on this segment should believe.
    fn inject(&mut self, to: usize) {
        use Garbage::{BadChecksum, BadTtl, Cut, Noise, Reflection, WrongAuth, WrongInterval};
        let garbage = self.rng.pick(&[Noise, BadChecksum, BadTtl, Cut, WrongAuth, WrongInterval, Reflection]);
        let vr = self.rng.index(self.plan.virtual_routers.len());
        let shared = &self.plan.virtual_routers[vr];
        let mut outgoing = shared.outgoing(Ipv4Addr::new(192, 0, 2, 200));
        let mut priority = Priority::OWNER;
        match garbage {
            WrongAuth => {
                outgoing.auth = if self.rng.chance(500) { Auth::pass(b"friend") } else { other(shared.auth) };
            }
            WrongInterval => {
                outgoing.interval = Seconds::new(shared.interval.get() + 1).unwrap_or(Seconds::ONE)
            }
            Reflection => {
                outgoing.source = self.nodes[to].address;
                let ours = self.nodes[to].routers[vr].parameters.priority;
                priority = self.rng.pick(&[Priority::RESIGN, ours]);
            }
            Noise | BadChecksum | BadTtl | Cut => {}
        }
        debug_assert_eq!(outgoing.destination, GROUP);
        let mut bytes = Template::new(&outgoing).with_priority(priority).to_vec();
        let last = bytes.len() - 1;
        match garbage {
            BadChecksum => bytes[last - 8] ^= 1 << self.rng.index(8),
            BadTtl => bytes[8] = self.rng.index(255) as u8,
            Cut => bytes.truncate(self.rng.index(last)),
            // The first bytes stay, so that it reaches the parser of a router.
            Noise => (0..bytes.len()).filter(|at| *at != 0 && *at != 21).for_each(|at| {
                bytes[at] = self.rng.bits() as u8;
            }),
            WrongAuth | WrongInterval | Reflection => {}
        }
        let packet = Packet { bytes, injected: Some(garbage) };
        self.clock.after(Duration::ZERO, Event::Arrive { to, packet });
    }

    /// Ends all faults. Processes that do not run may stay so, and the segment may stay split into
    /// groups; the groups are returned, one number per node.
    pub fn heal(&mut self) -> Vec<usize> {
        self.faulty = false;
        self.refuse_permille = 0;
        self.plan.kernel_max = self.plan.kernel_max.min(KERNEL_MAX_HEALED);
        self.net = Net::calm(self.plan.latency_max);
        let parted = self.rng.chance(250);
        let groups: Vec<_> = self.nodes.iter().map(|_| if parted { self.rng.index(2) } else { 0 }).collect();
        self.net.split(&groups);
        self.remark(None, format!("HEALED, groups {groups:?}"));
        for node in 0..self.nodes.len() {
            self.nodes[node].link_up = true;
            if self.nodes[node].life == Life::Running {
                self.stall_over(node);
                self.heal_tracked(node);
            } else if self.rng.chance(700) {
                self.start(node);
            }
            for vr in 0..self.plan.virtual_routers.len() {
                let router = &self.nodes[node].routers[vr];
                if self.nodes[node].life == Life::Running && router.machine.faults().contains(Fault::Claim) {
                    self.tell(node, vr, Input::FaultCleared(Fault::Claim));
                }
            }
        }
        groups
    }
}

fn other(auth: Auth) -> Auth {
    match auth {
        Auth::None => Auth::pass(b"mellon"),
        Auth::Pass(_) => Auth::None,
    }
}
