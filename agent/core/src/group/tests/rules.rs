//! The table of the module, row by row.

use super::*;
use crate::machine::{ANYBODY, Reason};
use StateKind::{Backup, Master};
use alloc::vec;

const ALL_FAULT: [StateKind; 2] = [StateKind::Fault; 2];

/// A node with the address 2 and a clock.
struct Bench {
    node: Node,
    now: Instant,
}

impl Bench {
    fn new<const N: usize>(priorities: [u8; N]) -> Self {
        Self::of(priorities.map(parameters))
    }

    fn of<const N: usize>(members: [Parameters; N]) -> Self {
        let (mut node, now) = (Node::new(2, members), Instant::from_micros(1_000_000_000));
        node.start(now);
        Self { node, now }
    }

    fn master<const N: usize>(priorities: [u8; N]) -> Self {
        let mut bench = Self::new(priorities);
        bench.wait(4_000);
        assert_eq!(bench.node.kinds(), [Master; N]);
        bench
    }

    fn give(&mut self, member: usize, input: Input) -> Vec<(usize, u8)> {
        told(self.node.give(self.now, member, input))
    }

    /// An advert on the member's network from host 9.
    fn hear(&mut self, member: usize, priority: u8) -> Vec<(usize, u8)> {
        self.give(member, Node::heard(member, 9, priority))
    }

    /// Lets time pass; returns the adverts.
    fn wait(&mut self, millis: u64) -> Vec<(usize, u8)> {
        let until = self.now + Duration::from_millis(millis);
        let mut adverts = Vec::new();
        while let Some(at) = self.node.deadline(self.now).filter(|at| *at <= until) {
            self.now = at;
            adverts.extend(told(self.node.tick(at)));
        }
        self.now = until;
        adverts
    }

    /// Hears both masters for a while.
    fn follow(&mut self, priorities: [u8; 2], seconds: u64) {
        for _ in 0..seconds {
            for (member, priority) in priorities.into_iter().enumerate() {
                self.hear(member, priority);
            }
            self.wait(1_000);
        }
    }

    fn reason(&self, member: usize) -> Reason {
        let of_member = |(number, _): &&(usize, Transition)| *number == member;
        self.node.transitions.iter().rev().find(of_member).expect("a transition").1.reason
    }

    fn state(&self) -> StateKind {
        self.node.group.state(&self.node.members(self.now))
    }
}

fn told(adverts: Vec<(usize, Priority)>) -> Vec<(usize, u8)> {
    adverts.into_iter().map(|(member, priority)| (member, priority.get())).collect()
}

#[test]
fn all_take_over_in_the_same_instant_although_their_timers_differ() {
    let mut bench = Bench::new([200, 100]);
    assert_eq!(bench.wait(3_500), [], "the first timer alone decides nothing");
    assert_eq!(bench.node.kinds(), [Backup; 2]);
    assert_eq!(bench.wait(120), [(0, 200), (1, 100)]);
    assert_eq!((bench.node.kinds(), bench.state()), (vec![Master; 2], Master));
}

#[test]
fn a_fault_of_one_resigns_for_all_and_ends_with_it() {
    let mut bench = Bench::master([100, 100]);
    assert_eq!(bench.give(0, Input::Fault(Fault::Link)), [(0, 0), (1, 0)]);
    assert_eq!((bench.node.kinds(), bench.state()), (ALL_FAULT.to_vec(), StateKind::Fault));
    assert_eq!(bench.reason(1), Reason::Fault(Fault::Group));
    assert!(!bench.node.machines[0].faults().contains(Fault::Group), "its fault is its own");
    assert_eq!(bench.wait(10_000), []);
    bench.give(0, Input::FaultCleared(Fault::Link));
    assert_eq!(bench.node.kinds(), [Backup; 2]);
    assert_eq!(bench.reason(1), Reason::Recovered(Fault::Group));
    bench.wait(4_000);
    assert_eq!(bench.node.kinds(), [Master; 2]);
}

/// Trap: two members that are in Fault only because of each other never get out.
#[test]
fn two_faulty_members_do_not_hold_each_other() {
    let mut bench = Bench::master([100, 100]);
    bench.give(0, Input::Fault(Fault::Link));
    bench.give(1, Input::Fault(Fault::Tracked));
    bench.give(0, Input::FaultCleared(Fault::Link));
    assert_eq!(bench.node.kinds(), ALL_FAULT);
    bench.give(1, Input::FaultCleared(Fault::Tracked));
    assert_eq!(bench.node.kinds(), [Backup; 2]);
}

#[test]
fn a_member_that_starts_with_a_fault_faults_the_others() {
    let mut node = Node::new(2, [parameters(100), parameters(100)]);
    let now = Instant::from_micros(1_000_000);
    node.machines[0].handle(now, Input::Fault(Fault::Source));
    node.start(now);
    assert_eq!(node.kinds(), ALL_FAULT);
}

#[test]
fn one_yields_to_a_better_master_and_the_others_resign() {
    let mut bench = Bench::master([100, 100]);
    bench.wait(5_000);
    assert_eq!(bench.hear(0, 150), [(1, 0)], "the peer need not wait for three adverts");
    assert_eq!((bench.node.kinds(), bench.reason(1)), (vec![Backup; 2], Reason::GroupYielded));
}

#[test]
fn nobody_rules_while_one_follows_a_better_master() {
    let mut bench = Bench::new([100, 100]);
    for _ in 0..20 {
        bench.hear(0, 150);
        assert_eq!(bench.wait(1_000), []);
    }
    assert_eq!(bench.state(), Backup);
    bench.wait(4_000);
    assert_eq!(bench.node.kinds(), [Master; 2], "it fell silent");
}

/// The peer better on one network only is left to rule both, whoever came first.
#[test]
fn a_group_preempts_only_as_a_whole() {
    let mut bench = Bench::new([150, 100]);
    bench.follow([100, 150], 10);
    assert_eq!(bench.node.kinds(), [Backup; 2]);
    let mut bench = Bench::new([150, 150]);
    bench.follow([100, 100], 1);
    assert_eq!(bench.node.kinds(), [Master; 2]);
}

#[test]
fn a_member_that_may_not_preempt_keeps_all_from_it() {
    let never = Parameters { preemption: Preemption::Never, ..parameters(150) };
    let mut bench = Bench::of([parameters(150), never]);
    bench.follow([100, 100], 10);
    assert_eq!(bench.node.kinds(), [Backup; 2]);
    bench.hear(0, 0);
    bench.hear(1, 0);
    bench.wait(1_000);
    assert_eq!(bench.node.kinds(), [Master; 2]);
}

#[test]
fn the_longest_preempt_delay_is_that_of_the_group() {
    let late = Parameters { preemption: Preemption::After(Duration::from_secs(8)), ..parameters(150) };
    let mut bench = Bench::of([parameters(150), late]);
    bench.follow([100, 100], 7);
    assert_eq!(bench.node.kinds(), [Backup; 2]);
    bench.follow([100, 100], 3);
    assert_eq!(bench.node.kinds(), [Master; 2]);
}

/// The link of one network is cut at the peer: there it cannot say so.
#[test]
fn a_master_that_left_one_network_is_not_waited_for_on_the_other() {
    let mut bench = Bench::new([100, 100]);
    bench.follow([150, 150], 3);
    bench.hear(0, 150);
    bench.hear(1, 150);
    bench.wait(300);
    bench.hear(1, 0);
    assert_eq!(bench.wait(600), [], "an advert of the other is not late yet");
    bench.wait(800);
    assert_eq!(bench.node.kinds(), [Master; 2]);
}

#[test]
fn a_master_that_lives_on_is_not_replaced_because_another_left() {
    let mut bench = Bench::new([100, 100]);
    bench.follow([150, 150], 3);
    bench.hear(1, 0);
    for _ in 0..10 {
        bench.hear(0, 150);
        assert_eq!(bench.wait(1_000), []);
    }
}

#[test]
fn a_new_member_joins_without_unseating_the_others() {
    let mut bench = Bench::master([100, 100]);
    bench.node.machines.push(Machine::new(parameters(100), Ipv4Addr::new(10, 0, 2, 2)));
    bench.give(2, Input::Bind(true));
    bench.give(2, Input::Start { adopt: false });
    assert_eq!((bench.node.kinds(), bench.state()), (vec![Master, Master, Backup], Master));
    bench.wait(4_000);
    assert_eq!(bench.node.kinds(), [Master; 3]);
}

#[test]
fn a_new_member_that_must_follow_makes_all_follow() {
    let mut bench = Bench::master([100, 100]);
    bench.node.machines.push(Machine::new(parameters(100), Ipv4Addr::new(10, 0, 2, 2)));
    bench.give(2, Input::Bind(true));
    bench.give(2, Input::Start { adopt: false });
    assert_eq!(bench.hear(2, 150), [(0, 0), (1, 0)]);
    assert_eq!(bench.node.kinds(), [Backup; 3]);
}

#[test]
fn a_member_that_is_stopped_unseats_nobody() {
    let mut bench = Bench::master([100, 100]);
    assert_eq!(bench.give(0, Input::Stop), [(0, 0)]);
    assert_eq!(bench.node.kinds(), [StateKind::Initialize, Master]);
    assert_eq!(bench.state(), Master);
}

#[test]
fn a_member_without_group_is_itself_again() {
    let mut bench = Bench::new([200, 100]);
    bench.hear(1, 150);
    bench.wait(3_500);
    assert_eq!(bench.node.machines[0].would_rule(bench.now), Some(TakeoverCause::Silence));
    bench.node.machines[0].handle(bench.now, Input::Bind(false));
    bench.node.machines[0].handle(bench.now, Input::Tick);
    assert_eq!(bench.node.machines[0].state().kind(), Master);
}

/// Make before break, for all: nobody advertises before the addresses of the last one are in place.
#[test]
fn a_move_waits_for_the_addresses_of_all() {
    let from = |network| Input::TakeOver { from: Ipv4Addr::new(10, 0, network, 9), lead: None };
    let mut bench = Bench::new([100, 100]);
    bench.follow([150, 150], 2);
    bench.give(0, from(0));
    bench.give(1, from(1));
    assert_eq!(bench.give(1, Input::Claimed), []);
    assert_eq!(bench.give(0, Input::Claimed), [(0, 100), (1, 100)]);
    assert!(matches!(bench.reason(0), Reason::TookOver(TakeoverCause::HandedOver(_))));
}

#[test]
fn a_move_that_one_member_cannot_make_is_given_up_by_all() {
    let from = |network| Input::TakeOver { from: Ipv4Addr::new(10, 0, network, 9), lead: None };
    let mut bench = Bench::new([100, 100]);
    bench.follow([150, 150], 1);
    bench.hear(0, 150);
    bench.hear(1, 150);
    bench.give(0, from(0));
    bench.give(1, from(1));
    bench.give(0, Input::Claimed);
    bench.give(1, Input::ClaimRefused);
    assert_eq!(bench.wait(1_100), []);
    assert!(bench.node.machines.iter().all(|machine| machine.would_rule(bench.now).is_none()));
}

#[test]
fn whoever_hands_over_yields_on_every_network() {
    let mut bench = Bench::master([150, 150]);
    bench.wait(5_000);
    bench.give(0, Input::YieldTo(Some(Ipv4Addr::new(10, 0, 0, 9))));
    bench.give(1, Input::YieldTo(Some(ANYBODY)));
    assert_eq!(bench.hear(1, 100), [(0, 0)], "lower, and yielded to");
    assert_eq!(bench.node.kinds(), [Backup; 2]);
}

#[test]
fn who_is_told_to_resign_resigns_for_all() {
    let mut bench = Bench::master([150, 150]);
    assert_eq!(bench.give(1, Input::Resign), [(0, 0), (1, 0)]);
}

#[test]
fn an_owner_waits_for_its_group() {
    let mut bench = Bench::new([255, 100]);
    assert_eq!(bench.wait(3_500), []);
    assert_eq!(bench.wait(200), [(0, 255), (1, 100)]);
}

/// The winner of a healed split hears the farewell, and announces again.
#[test]
fn a_farewell_is_answered_with_announcements() {
    let mut bench = Bench::master([150, 150]);
    bench.wait(5_000);
    let machine = &mut bench.node.machines[0];
    let heard = Heard { sender: Ipv4Addr::new(10, 0, 0, 9), priority: Priority::RESIGN };
    machine.handle(bench.now, Input::Heard(heard));
    let actions: Vec<Action> = core::iter::from_fn(|| machine.poll_action()).collect();
    assert_eq!(actions, [Action::Advertise(Priority::from_wire(150)), Action::Announce { rounds: 1 }]);
}

/// For whom it waits, and why: nobody while it rules or all follow.
#[test]
fn a_group_that_waits_says_for_whom() {
    let waits = |bench: &Bench| bench.node.group.waits_for(&bench.node.members(bench.now));
    let mut bench = Bench::new([200, 100]);
    assert_eq!(waits(&bench), None, "all listen");
    bench.hear(1, 150);
    bench.wait(3_500);
    assert_eq!(waits(&bench), Some((1, Hindrance::Follows)), "it has lost its own master only");
    bench.give(0, Input::Fault(Fault::Link));
    assert_eq!(waits(&bench), Some((0, Hindrance::Fault(Fault::Link))));
    bench.give(0, Input::FaultCleared(Fault::Link));
    bench.follow([250, 150], 4);
    assert_eq!(waits(&bench), None, "all follow");
    bench.give(0, Input::TakeOver { from: ANYBODY, lead: None });
    bench.give(1, Input::TakeOver { from: ANYBODY, lead: None });
    bench.give(0, Input::Claimed);
    assert_eq!(waits(&bench), Some((1, Hindrance::Prepares)));
    bench.give(1, Input::Claimed);
    assert_eq!((bench.node.kinds(), waits(&bench)), (vec![Master; 2], None));
}

#[test]
fn a_member_that_does_not_run_is_waited_for() {
    let mut node = Node::new(2, [parameters(100), parameters(100)]);
    let start = Instant::from_micros(1_000_000);
    node.give(start, 0, Input::Bind(true));
    node.give(start, 0, Input::Start { adopt: false });
    let later = start + Duration::from_secs(4);
    node.tick(later);
    assert_eq!(node.group.waits_for(&node.members(later)), Some((1, Hindrance::NotRunning)));
}
