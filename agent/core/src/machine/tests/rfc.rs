//! One test per clause of RFC 3768 section 6.4 (and RFC 9568 section 6.4.3 where named).

use super::*;

#[test]
fn owner_advertises_claims_and_rules_at_startup() {
    let mut bench = Bench::new(parameters(255));
    let actions = bench.give(Input::Start { adopt: false });
    assert_eq!(actions[..2], [Action::Advertise(Priority::OWNER), Action::Claim { rounds: 5 }]);
    assert_eq!(bench.kind(), StateKind::Master);
    assert_eq!(bench.micros_to_deadline(), 1_000_000);
}

#[test]
fn others_wait_for_the_master_down_interval_at_startup() {
    let bench = Bench::backup(parameters(100));
    assert_eq!(bench.micros_to_deadline(), 3_609_375);
}

/// keepalived's `state MASTER`: one interval and 1/256 s.
#[test]
fn who_starts_as_master_waits_one_interval() {
    let bench = Bench::backup(Parameters { start_as_master: true, ..parameters(100) });
    assert_eq!(bench.micros_to_deadline(), 1_003_906);
}

#[test]
fn a_backup_takes_over_when_the_timer_fires() {
    let mut bench = Bench::backup(parameters(100));
    let actions = bench.tick();
    assert_eq!(actions[..2], [Action::Advertise(Priority::DEFAULT), Action::Claim { rounds: 5 }]);
    assert_eq!(Bench::reason(&actions), Some(Reason::TookOver(TakeoverCause::Silence)));
}

#[test]
fn priority_0_shortens_the_timer_to_the_skew() {
    let mut bench = Bench::backup(parameters(100));
    bench.give(heard(HIGHER, 200));
    bench.give(heard(HIGHER, 0));
    assert_eq!(bench.micros_to_deadline(), 609_375);
    assert_eq!(Bench::reason(&bench.tick()), Some(Reason::TookOver(TakeoverCause::Resigned(HIGHER))));
}

#[test]
fn an_equal_or_higher_priority_restarts_the_timer() {
    for input in [heard(HIGHER, 101), heard(HIGHER, 100), heard(LOWER, 100)] {
        let mut bench = Bench::backup(parameters(100));
        bench.wait(2_000_000);
        assert_eq!(bench.give(input), []);
        assert_eq!(bench.micros_to_deadline(), 3_609_375);
    }
}

#[test]
fn a_lower_priority_is_followed_without_preemption() {
    let mut bench = Bench::backup(Parameters { preemption: Preemption::Never, ..parameters(100) });
    for _ in 0..10 {
        bench.wait(1_000_000);
        bench.give(heard(LOWER, 1));
        assert_eq!(bench.micros_to_deadline(), 3_609_375);
    }
}

/// The RFC's own way, with fast takeover switched off: ignored, the timer runs on.
#[test]
fn a_lower_priority_is_ignored_with_preemption() {
    let mut bench = Bench::backup(Parameters { fast_takeover: false, ..parameters(100) });
    bench.wait(2_000_000);
    bench.give(heard(LOWER, 1));
    assert_eq!(bench.micros_to_deadline(), 1_609_375);
}

#[test]
fn a_master_advertises_every_interval() {
    let mut bench = Bench::master(parameters(100));
    assert_eq!(bench.tick(), [Action::Advertise(Priority::DEFAULT)]);
    assert_eq!(bench.micros_to_deadline(), 1_000_000);
}

#[test]
fn a_master_that_stops_sends_priority_0_and_then_releases() {
    let mut bench = Bench::master(parameters(100));
    let actions = bench.give(Input::Stop);
    assert_eq!(actions[..2], [Action::Advertise(Priority::RESIGN), Action::Release]);
    assert_eq!(bench.machine.next_deadline(), None);
}

#[test]
fn a_backup_that_stops_says_nothing() {
    let mut bench = Bench::backup(parameters(100));
    assert!(!bench.give(Input::Stop).contains(&Action::Advertise(Priority::RESIGN)));
}

#[test]
fn a_master_answers_priority_0_at_once_and_stays() {
    let mut bench = Bench::master(parameters(100));
    bench.wait(300_000);
    // Not in the RFC: who says so ruled until now, and clients may know its MAC.
    let answer = [Action::Advertise(Priority::DEFAULT), Action::Announce { rounds: 3 }];
    assert_eq!(bench.give(heard(HIGHER, 0)), answer);
    assert_eq!(bench.give(heard(HIGHER, 0)), [], "a flood is not answered");
    assert_eq!(bench.micros_to_deadline(), 1_000_000);
}

#[test]
fn a_master_yields_to_a_higher_priority_without_priority_0() {
    let mut bench = Bench::master(parameters(100));
    let actions = bench.give(heard(LOWER, 101));
    assert_eq!(actions[..2], [Action::Advertise(Priority::DEFAULT), Action::Release]);
    assert!(!actions.contains(&Action::Advertise(Priority::RESIGN)));
    assert_eq!(bench.micros_to_deadline(), 3_609_375);
}

#[test]
fn the_last_word_can_be_switched_off() {
    let mut bench = Bench::master(Parameters { higher_prio_send_advert: false, ..parameters(100) });
    assert_eq!(bench.give(heard(LOWER, 101))[0], Action::Release);
}

/// [RFC 3768 section 6.4.3] the greater primary address wins; compared as numbers: .9 < .10 < .11.
#[test]
fn among_equals_the_higher_address_rules() {
    let mut bench = Bench::master(parameters(100));
    bench.give(heard(LOWER, 100));
    assert_eq!(bench.kind(), StateKind::Master);
    bench.give(heard(HIGHER, 100));
    assert_eq!(bench.kind(), StateKind::Backup);
}

/// [RFC 9568 section 6.4.3], and the announcement that keepalived leaves out in 9 of 24 heals.
#[test]
fn a_rival_is_answered_at_once_and_the_addresses_announced_again_twice() {
    for rival in [heard(HIGHER, 99), heard(LOWER, 100)] {
        let mut bench = Bench::master(parameters(100));
        bench.wait(1_010_000);
        let actions = bench.give(rival);
        assert!(matches!(actions[0], Action::Note(Note::RivalHeard(_))));
        assert_eq!(actions[1..], [Action::Advertise(Priority::DEFAULT), Action::Announce { rounds: 3 }]);
        let mut later = Vec::new();
        while later.is_empty() {
            later = bench.tick();
            later.retain(|action| matches!(action, Action::Announce { .. }));
        }
        assert_eq!(later, [Action::Announce { rounds: 3 }]);
    }
}

#[test]
fn a_rival_that_shouts_is_answered_ten_times_a_second() {
    let mut bench = Bench::master(parameters(100));
    let mut answers = 0;
    for _ in 0..10_000 {
        bench.wait(100);
        answers += bench.give(heard(LOWER, 1)).iter().filter(|a| matches!(a, Action::Advertise(_))).count();
    }
    assert!((5..=10).contains(&answers), "{answers} answers in one second");
}

/// The last word of the master we replaced is answered, but nothing to worry about.
#[test]
fn the_former_masters_last_word_is_no_remarkable_rival() {
    let mut bench = Bench::master(parameters(100));
    bench.wait(500);
    assert_eq!(bench.give(heard(LOWER, 99))[..1], [Action::Advertise(Priority::DEFAULT)]);
}

/// The rival's burst can fall between our answer and its last word: that word must be answered too.
#[test]
fn a_last_word_right_after_an_answer_is_answered_later() {
    let mut bench = Bench::master(parameters(100));
    bench.wait(10_000);
    bench.give(heard(LOWER, 1));
    bench.wait(1_000);
    assert_eq!(bench.give(heard(LOWER, 1)), []);
    assert_eq!(bench.micros_to_deadline(), 99_000);
    let owed = [Action::Advertise(Priority::DEFAULT), Action::Announce { rounds: 3 }];
    assert_eq!(bench.tick(), owed);
    assert!(bench.micros_to_deadline() > 100_000, "made up for once");
}

#[test]
fn own_packets_that_come_back_change_nothing() {
    for priority in [0, 1, 100, 255] {
        let mut bench = Bench::master(parameters(100));
        let deadline = bench.machine.next_deadline();
        assert_eq!(bench.give(heard(US, priority)), [Action::Note(Note::DuplicateAddress(US))]);
        assert_eq!((bench.kind(), bench.machine.next_deadline()), (StateKind::Master, deadline));
    }
}

#[test]
fn fault_resigns_and_recovery_listens_for_a_whole_master_down_time() {
    let mut bench = Bench::master(parameters(100));
    let actions = bench.give(Input::Fault(Fault::Link));
    assert_eq!(actions[..2], [Action::Advertise(Priority::RESIGN), Action::Release]);
    bench.give(Input::Fault(Fault::Source));
    bench.give(Input::FaultCleared(Fault::Link));
    assert_eq!(bench.kind(), StateKind::Fault, "one fault is left");
    bench.give(Input::FaultCleared(Fault::Source));
    assert_eq!((bench.kind(), bench.micros_to_deadline()), (StateKind::Backup, 3_609_375));
}

#[test]
fn a_fault_known_before_the_start_keeps_it_from_starting() {
    let mut bench = Bench::new(parameters(255));
    assert_eq!(bench.give(Input::Fault(Fault::Interface)), []);
    bench.give(Input::Start { adopt: false });
    assert_eq!(bench.kind(), StateKind::Fault);
}

#[test]
fn a_refused_claim_is_a_fault_not_a_silent_master() {
    let mut bench = Bench::master(parameters(100));
    let actions = bench.give(Input::ClaimRefused);
    assert_eq!(actions[..2], [Action::Advertise(Priority::RESIGN), Action::Release]);
    assert_eq!(bench.kind(), StateKind::Fault);
    let mut backup = Bench::backup(parameters(100));
    backup.give(Input::ClaimRefused);
    assert_eq!(backup.kind(), StateKind::Backup, "an answer that comes too late");
}

/// The interval itself is the RFC's whatever the phase: only the first one after a beginning is shorter.
#[test]
fn a_phase_shortens_the_first_interval_alone_and_by_a_quarter_at_most() {
    let calm = Announce { master_delay: Duration::ZERO, refresh: Duration::ZERO, ..parameters(100).announce };
    for (phase, first) in [(0, 1_000_000), (200_000, 800_000), (250_000, 750_000), (u64::MAX, 750_000)] {
        let phase = Duration::from_micros(phase);
        let mut bench = Bench::master(Parameters { phase, announce: calm, ..parameters(100) });
        for expected in [first, 1_000_000, 1_000_000] {
            assert_eq!(bench.micros_to_deadline(), expected, "{phase:?}");
            assert_eq!(bench.tick(), [Action::Advertise(Priority::from_wire(100))]);
        }
    }
}
