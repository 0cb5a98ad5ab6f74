//! Groups: the rules one by one, and random lives of two nodes on two networks.

mod life;
mod rules;

use super::*;
use crate::machine::{Action, Announce, Parameters, Preemption, Transition};
use crate::priority::Priority;
use crate::receive::Heard;
use core::net::Ipv4Addr;

pub(super) fn parameters(priority: u8) -> Parameters {
    Parameters {
        priority: Priority::from_wire(priority),
        interval: crate::interval::Seconds::ONE,
        down_adverts: 3,
        start_as_master: false,
        preemption: Preemption::After(Duration::ZERO),
        fast_takeover: true,
        lower_prio_no_advert: false,
        higher_prio_send_advert: false,
        lowered_advert_delay: Duration::ZERO,
        phase: Duration::ZERO,
        announce: Announce {
            master_rounds: 1,
            master_delay: Duration::ZERO,
            refresh: Duration::ZERO,
            refresh_rounds: 1,
            lower_prio_rounds: 1,
            lower_prio_delay: Duration::ZERO,
        },
    }
}

/// A node with one group, member by member on networks 0, 1, ...: what a shell does, no more.
pub(super) struct Node {
    pub(super) machines: Vec<Machine>,
    pub(super) group: Group,
    pub(super) transitions: Vec<(usize, Transition)>,
}

impl Node {
    pub(super) fn new(host: u8, members: impl IntoIterator<Item = Parameters>) -> Self {
        let machine = |(network, parameters): (usize, Parameters)| {
            Machine::new(parameters, Ipv4Addr::new(10, 0, network as u8, host))
        };
        let machines = members.into_iter().enumerate().map(machine).collect();
        Self { machines, group: Group::default(), transitions: Vec::new() }
    }

    pub(super) fn start(&mut self, now: Instant) {
        for member in 0..self.machines.len() {
            self.give(now, member, Input::Bind(true));
            self.give(now, member, Input::Start { adopt: false });
        }
    }

    pub(super) fn members(&self, now: Instant) -> Vec<Member> {
        self.machines.iter().map(|machine| Member::of(machine, now)).collect()
    }

    /// Feeds one member and lets the group draw its conclusions; returns the adverts.
    pub(super) fn give(&mut self, now: Instant, member: usize, input: Input) -> Vec<(usize, Priority)> {
        self.machines[member].handle(now, input);
        self.settle(now)
    }

    pub(super) fn settle(&mut self, now: Instant) -> Vec<(usize, Priority)> {
        for _ in 0..8 {
            let told = self.group.step(now, &self.members(now));
            if told.is_empty() {
                return self.actions();
            }
            for (member, input) in told {
                self.machines[member].handle(now, input);
            }
        }
        panic!("the group does not come to rest");
    }

    fn actions(&mut self) -> Vec<(usize, Priority)> {
        let mut adverts = Vec::new();
        for (member, machine) in self.machines.iter_mut().enumerate() {
            while let Some(action) = machine.poll_action() {
                match action {
                    Action::Advertise(priority) => adverts.push((member, priority)),
                    Action::Transition(transition) => self.transitions.push((member, transition)),
                    _ => {}
                }
            }
        }
        adverts
    }

    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let members = self.machines.iter().filter_map(Machine::next_deadline);
        members.chain(self.group.next_deadline(now)).min()
    }

    /// Serves whatever is due at `now`.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<(usize, Priority)> {
        for machine in &mut self.machines {
            if machine.next_deadline().is_some_and(|at| at <= now) {
                machine.handle(now, Input::Tick);
            }
        }
        self.settle(now)
    }

    pub(super) fn kinds(&self) -> Vec<StateKind> {
        self.machines.iter().map(|machine| machine.state().kind()).collect()
    }

    pub(super) fn heard(network: usize, host: u8, priority: u8) -> Input {
        let sender = Ipv4Addr::new(10, 0, network as u8, host);
        Input::Heard(Heard { sender, priority: Priority::from_wire(priority) })
    }
}
