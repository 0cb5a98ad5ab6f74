//! A move between two nodes that agree on it, and everything that can go wrong on the way.

use super::*;

/// Who asks us to take over; its address decides ties in its favour.
const A: Ipv4Addr = HIGHER;
/// Whom we hand over to; its address decides ties in our favour.
const B: Ipv4Addr = LOWER;

fn wire(number: u8) -> Priority {
    Priority::from_wire(number)
}

fn take_over(lead: u8) -> Input {
    Input::TakeOver { from: A, lead: Some(wire(lead)) }
}

/// A backup of priority 98 that follows A, of priority 100, and was asked to lead with 100.
fn prepared() -> Bench {
    let mut bench = Bench::backup(parameters(98));
    bench.give(heard(A, 100));
    bench.wait(100_000);
    assert_eq!(bench.give(take_over(100)), [Action::Claim { rounds: 1 }]);
    bench
}

fn leading() -> Bench {
    let mut bench = prepared();
    bench.wait(5_000);
    bench.give(Input::Claimed);
    assert_eq!(bench.kind(), StateKind::Master);
    bench
}

/// A master of priority 100 that waits for B.
fn yielding() -> Bench {
    let mut bench = Bench::master(Parameters { preemption: Preemption::Never, ..parameters(100) });
    assert_eq!(bench.give(Input::YieldTo(Some(B))), []);
    bench
}

#[test]
fn who_is_asked_claims_as_backup_and_rules_when_that_is_announced() {
    let mut bench = prepared();
    assert_eq!((bench.kind(), bench.is_preparing()), (StateKind::Backup, true));
    let actions = bench.give(Input::Claimed);
    assert_eq!(actions[..2], [Action::Advertise(Priority::DEFAULT), Action::Claim { rounds: 5 }]);
    assert_eq!(Bench::reason(&actions), Some(Reason::TookOver(TakeoverCause::HandedOver(A))));
    assert_eq!(bench.machine.priority(), wire(100));
}

#[test]
fn a_lead_is_advertised_while_it_rules() {
    let mut bench = leading();
    bench.tick();
    assert_eq!(bench.tick(), [Action::Advertise(wire(100))]);
    assert_eq!(bench.give(heard(B, 0))[0], Action::Advertise(wire(100)));
}

#[test]
fn a_lead_below_the_own_priority_changes_nothing() {
    let mut bench = Bench::backup(Parameters { preemption: Preemption::Never, ..parameters(150) });
    bench.give(heard(A, 100));
    bench.give(take_over(100));
    assert_eq!(bench.give(Input::Claimed)[0], Action::Advertise(wire(150)));
}

#[test]
fn nobody_leads_with_0_or_255() {
    for odd in [0, 255] {
        let mut bench = Bench::backup(parameters(98));
        bench.give(take_over(odd));
        assert_eq!(bench.give(Input::Claimed)[0], Action::Advertise(wire(98)));
        assert_eq!(bench.give(Input::Lead(Some(wire(odd)))), []);
        assert_eq!(bench.machine.lead(), None);
    }
}

#[test]
fn after_a_handover_it_is_said_and_announced_once_more() {
    let mut bench = leading();
    assert_eq!(bench.micros_to_deadline(), 100_000);
    assert_eq!(bench.tick(), [Action::Advertise(wire(100)), Action::Announce { rounds: 3 }]);
    assert_eq!(bench.micros_to_deadline(), 1_000_000, "once");
}

/// The last adverts of A were under way when it heard ours. Without a lead they are even better.
#[test]
fn the_former_masters_last_adverts_unseat_nobody() {
    for lead in [None, Some(wire(100))] {
        let mut bench = Bench::backup(parameters(98));
        bench.give(Input::TakeOver { from: A, lead });
        bench.give(Input::Claimed);
        for last in [heard(A, 100), heard(A, 0), heard(A, 100)] {
            bench.wait(2_000);
            bench.give(last);
            assert_eq!(bench.kind(), StateKind::Master);
        }
    }
}

/// It did not hear us, or thought better of it.
#[test]
fn a_former_master_that_goes_on_is_yielded_to() {
    let mut bench = leading();
    bench.wait(600_000);
    bench.give(heard(A, 100));
    assert_eq!((bench.kind(), bench.machine.lead()), (StateKind::Backup, None));
}

#[test]
fn another_better_master_is_yielded_to_at_once() {
    let mut bench = leading();
    bench.give(heard(B, 101));
    assert_eq!(bench.kind(), StateKind::Backup);
}

/// A bystander between our own priority and the lead would take the drop for its chance.
#[test]
fn the_last_word_of_a_lead_has_its_priority() {
    let actions = leading().give(heard(B, 101));
    assert_eq!(actions[..2], [Action::Advertise(wire(100)), Action::Release]);
}

#[test]
fn a_lead_ends_with_the_rule() {
    for end in [Input::Fault(Fault::Link), Input::Stop, Input::Resign, heard(B, 200)] {
        let mut bench = leading();
        bench.give(end);
        assert_eq!((bench.machine.lead(), bench.machine.priority()), (None, wire(98)), "{end:?}");
    }
}

#[test]
fn the_end_of_a_lead_is_told_at_once_and_its_giver_may_rule_again() {
    let mut bench = leading();
    assert_eq!(bench.give(Input::Lead(None)), [Action::Advertise(wire(98))]);
    bench.give(heard(A, 100));
    assert_eq!(bench.kind(), StateKind::Backup);
    assert_eq!(bench.give(Input::Lead(None)), []);
}

/// Killed and started again: it leads as before if nobody took over meanwhile.
#[test]
fn a_restarted_lead_goes_on() {
    let mut bench = Bench::new(parameters(98));
    bench.give(Input::Lead(Some(wire(100))));
    bench.give(Input::Start { adopt: true });
    assert_eq!(bench.machine.priority(), wire(98), "not as backup");
    assert_eq!(bench.tick()[0], Action::Advertise(wire(100)));
}

#[test]
fn a_backup_that_hears_another_master_leads_no_more() {
    let never = Parameters { preemption: Preemption::Never, ..parameters(98) };
    for (parameters, other) in [(parameters(98), 99), (parameters(98), 98), (parameters(98), 97), (never, 1)]
    {
        let mut bench = Bench::new(parameters);
        bench.give(Input::Lead(Some(wire(100))));
        bench.give(Input::Start { adopt: true });
        bench.give(heard(US, 100));
        assert_eq!(bench.machine.lead(), Some(wire(100)), "a reflection is nobody else");
        bench.give(heard(B, other));
        assert_eq!(bench.machine.lead(), None, "{other}");
    }
}

#[test]
fn a_claim_that_takes_too_long_is_given_up() {
    let mut bench = prepared();
    bench.wait(500_000);
    assert_eq!(bench.give(take_over(100)), [], "a second request starts nothing anew");
    assert_eq!(bench.micros_to_deadline(), 500_000);
    assert_eq!(bench.tick(), [Action::Release, Action::Note(Note::TakeOverTooSlow(A))]);
    assert_eq!((bench.kind(), bench.is_preparing()), (StateKind::Backup, false));
    assert_eq!(bench.micros_to_deadline(), 3_617_187 - 1_100_000, "its timer ran on");
    assert_eq!(bench.give(Input::Claimed), [], "an answer that comes too late");
    assert_eq!(bench.kind(), StateKind::Backup);
}

#[test]
fn a_refused_claim_is_given_up_and_no_fault() {
    let mut bench = prepared();
    let gave_up = [Action::Release, Action::Note(Note::TakeOverRefused(A))];
    assert_eq!(bench.give(Input::ClaimRefused), gave_up);
    assert_eq!((bench.kind(), bench.micros_to_deadline()), (StateKind::Backup, 3_517_187));
    assert!(bench.machine.faults().is_empty());
    assert_eq!(bench.give(take_over(100)), [Action::Claim { rounds: 1 }], "it may be asked again");
}

#[test]
fn who_prepares_and_fails_releases() {
    for failure in [Input::Fault(Fault::Link), Input::Stop] {
        let mut bench = prepared();
        assert!(bench.give(failure).contains(&Action::Release));
    }
}

#[test]
fn the_masters_adverts_disturb_no_preparation() {
    let mut bench = prepared();
    assert_eq!(bench.give(heard(A, 100)), []);
    bench.give(Input::Claimed);
    assert_eq!(bench.machine.priority(), wire(100));
}

/// The addresses of a killed predecessor are still there when we are asked: they are ours now.
#[test]
fn adopted_addresses_stay_while_a_takeover_is_prepared() {
    let mut bench = Bench::new(parameters(98));
    bench.give(Input::Start { adopt: true });
    bench.give(take_over(100));
    assert_eq!(bench.give(heard(A, 100)), []);
    bench.wait(1_000_000);
    assert!(bench.give(Input::Tick).contains(&Action::Release));
}

/// The master died before we were ready: nothing to wait for, and it leads as was agreed.
#[test]
fn silence_during_the_preparation_is_a_takeover_as_usual() {
    let mut bench = Bench::backup(parameters(98));
    bench.give(heard(A, 100));
    bench.wait(3_000_000);
    bench.give(take_over(100));
    let actions = bench.tick();
    assert_eq!(actions[..2], [Action::Advertise(wire(100)), Action::Claim { rounds: 5 }]);
    assert_eq!(Bench::reason(&actions), Some(Reason::TookOver(TakeoverCause::MasterSilent(A))));
    assert_eq!(bench.give(Input::Claimed), [], "that was the first claim");
}

#[test]
fn only_a_backup_takes_over_on_request() {
    let mut fault = Bench::backup(parameters(98));
    fault.give(Input::Fault(Fault::Link));
    for mut bench in [Bench::new(parameters(98)), Bench::master(parameters(98)), fault] {
        let before = bench.machine.state().clone();
        assert_eq!(bench.give(take_over(100)), []);
        assert_eq!(bench.give(Input::Claimed), []);
        assert_eq!(*bench.machine.state(), before);
    }
}

#[test]
fn a_master_yields_to_its_successor_whatever_the_priority_and_silently() {
    for priority in [1, 98, 100, 150] {
        let mut bench = yielding();
        let actions = bench.give(heard(B, priority));
        let gave = Reason::GaveAway(Heard { sender: B, priority: wire(priority) });
        assert_eq!((actions[0], Bench::reason(&actions)), (Action::Release, Some(gave)));
        assert_eq!(bench.kind(), StateKind::Backup);
        assert_eq!(bench.micros_to_deadline(), 3_609_375);
    }
}

#[test]
fn a_successor_that_leaves_is_no_successor() {
    let mut bench = yielding();
    bench.give(heard(B, 0));
    assert_eq!(bench.kind(), StateKind::Master);
}

#[test]
fn others_than_the_successor_are_rivals_as_ever() {
    let mut bench = yielding();
    bench.give(heard(A, 99));
    assert_eq!(bench.kind(), StateKind::Master);
}

#[test]
fn a_promise_to_yield_can_be_taken_back() {
    let mut bench = yielding();
    bench.give(Input::YieldTo(None));
    bench.give(heard(B, 98));
    assert_eq!(bench.kind(), StateKind::Master);
}

/// Its would-be successor claims and announces before it advertises, and may fail in between.
#[test]
fn a_promise_taken_back_is_followed_by_announcements() {
    let mut bench = yielding();
    let actions = bench.give(Input::YieldTo(None));
    assert!(matches!(actions[..], [Action::Advertise(_), Action::Announce { .. }]), "{actions:?}");
    let later = bench.tick();
    assert!(matches!(later[..], [Action::Advertise(_), Action::Announce { .. }]), "{later:?}");
    assert_eq!(bench.give(Input::YieldTo(None)), [], "nothing was promised");
}

#[test]
fn a_promise_to_yield_does_not_outlive_the_rule() {
    let mut bench = yielding();
    bench.give(Input::Resign);
    bench.tick();
    assert_eq!(bench.kind(), StateKind::Master);
    bench.give(heard(B, 98));
    assert_eq!(bench.kind(), StateKind::Master);
}

/// A shell that forgot about its move must not decide an election much later.
#[test]
fn a_promise_to_yield_ends_by_itself() {
    let mut bench = yielding();
    bench.wait(5_000_000);
    bench.give(heard(B, 98));
    assert_eq!(bench.kind(), StateKind::Master);
}

#[test]
fn a_backup_promises_nothing() {
    let mut bench = Bench::backup(parameters(100));
    bench.give(Input::YieldTo(Some(B)));
    bench.tick();
    bench.give(heard(B, 98));
    assert_eq!(bench.kind(), StateKind::Master);
}

#[test]
fn who_holds_back_lets_its_successor_rule_and_replaces_it_when_it_dies() {
    let mut bench = yielding();
    for priority in [98, 100, 98] {
        bench.give(heard(B, priority));
        bench.wait(1_000_000);
        bench.give(Input::Tick);
    }
    assert_eq!(bench.kind(), StateKind::Backup);
    let silent = Some(Reason::TookOver(TakeoverCause::MasterSilent(B)));
    assert_eq!(Bench::reason(&bench.tick()), silent);
}

#[test]
fn who_resigns_on_request_says_so_and_waits_for_others() {
    let mut bench = Bench::master(parameters(100));
    let actions = bench.give(Input::Resign);
    assert_eq!(actions[..2], [Action::Advertise(Priority::RESIGN), Action::Release]);
    assert_eq!(Bench::reason(&actions), Some(Reason::ResignedOnRequest));
    assert_eq!((bench.kind(), bench.micros_to_deadline()), (StateKind::Backup, 3_609_375));
    assert_eq!(bench.give(Input::Resign), [], "it has nothing left to resign");
}

#[test]
fn an_owner_does_nothing_on_request() {
    let mut bench = Bench::master(parameters(255));
    for request in [Input::YieldTo(Some(B)), Input::Resign, Input::Lead(Some(wire(100)))] {
        assert_eq!(bench.give(request), []);
    }
    bench.give(heard(B, 254));
    assert_eq!((bench.kind(), bench.machine.lead()), (StateKind::Master, None));
    let mut backup = Bench::backup(parameters(255));
    backup.give(Input::Fault(Fault::Link));
    backup.give(Input::FaultCleared(Fault::Link));
    assert_eq!(backup.kind(), StateKind::Backup);
    assert_eq!(backup.give(take_over(100)), []);
}

/// There and back again, within the time in which either would still ignore the other.
#[test]
fn a_router_can_be_handed_back_at_once() {
    let mut bench = leading();
    bench.give(Input::YieldTo(Some(A)));
    bench.wait(50_000);
    bench.give(heard(A, 100));
    assert_eq!(bench.kind(), StateKind::Backup);
}

/// The order to step back overtakes the takeover: no lead is left over from what was given up.
#[test]
fn a_lead_that_ends_while_it_is_prepared_is_not_taken_up() {
    let mut bench = prepared();
    assert_eq!(bench.give(Input::Lead(None)), []);
    assert_eq!(bench.give(Input::Claimed)[0], Action::Advertise(wire(98)));
    assert_eq!(bench.machine.lead(), None);
}
