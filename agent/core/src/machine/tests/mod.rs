//! The machine, ring one: tables, timers, the RFC's clauses, properties.

mod handover;
mod lowered;
mod prop;
mod rfc;
mod table;
mod takeover;

use super::*;
use crate::interval::Seconds;
use alloc::vec::Vec;

pub(super) const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(super) const LOWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(super) const HIGHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

pub(super) fn parameters(priority: u8) -> Parameters {
    Parameters {
        priority: Priority::from_wire(priority),
        interval: Seconds::ONE,
        down_adverts: 3,
        start_as_master: false,
        preemption: Preemption::After(Duration::ZERO),
        fast_takeover: true,
        lower_prio_no_advert: false,
        higher_prio_send_advert: true,
        lowered_advert_delay: Duration::ZERO,
        phase: Duration::ZERO,
        announce: Announce {
            master_rounds: 5,
            master_delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_rounds: 1,
            lower_prio_rounds: 3,
            lower_prio_delay: Duration::from_secs(2),
        },
    }
}

pub(super) fn heard(sender: Ipv4Addr, priority: u8) -> Input {
    Input::Heard(Heard { sender, priority: Priority::from_wire(priority) })
}

/// A machine with a clock of its own.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new(parameters: Parameters) -> Self {
        Self { machine: Machine::new(parameters, US), now: Instant::from_micros(1_000_000_000) }
    }

    pub(super) fn backup(parameters: Parameters) -> Self {
        let mut bench = Self::new(parameters);
        bench.give(Input::Start { adopt: false });
        bench
    }

    pub(super) fn master(parameters: Parameters) -> Self {
        let mut bench = Self::backup(parameters);
        if bench.kind() != StateKind::Master {
            bench.tick();
        }
        assert_eq!(bench.kind(), StateKind::Master);
        bench
    }

    pub(super) fn kind(&self) -> StateKind {
        self.machine.state().kind()
    }

    pub(super) fn is_preparing(&self) -> bool {
        matches!(self.machine.state(), State::Backup(backup) if backup.preparing.is_some())
    }

    pub(super) fn give(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(self.now, input);
        core::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    pub(super) fn wait(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
    }

    /// Jumps to the deadline and serves it; returns what is owed.
    pub(super) fn tick(&mut self) -> Vec<Action> {
        self.now = self.machine.next_deadline().expect("a deadline");
        self.give(Input::Tick)
    }

    pub(super) fn micros_to_deadline(&self) -> u64 {
        self.machine.next_deadline().expect("a deadline").since(self.now).as_micros()
    }

    pub(super) fn reason(actions: &[Action]) -> Option<Reason> {
        actions.iter().find_map(|action| match action {
            Action::Transition(transition) => Some(transition.reason),
            _ => None,
        })
    }
}
