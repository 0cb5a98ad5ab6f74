//! A master whose priority falls: when it says so.

use super::*;

const DELAY: Duration = Duration::from_millis(100);

fn fallen(priority: u8, delay: Duration) -> Input {
    Input::Parameters(Parameters { lowered_advert_delay: delay, ..parameters(priority) })
}

fn advert(priority: u8) -> Action {
    Action::Advertise(Priority::from_wire(priority))
}

/// When the next advert leaves after a fall that comes `micros` after the last one.
#[test]
fn the_fall_is_said_at_once_or_after_the_delay_whenever_it_comes() {
    for micros in [1, 300_000, 950_000, 999_999] {
        let mut bench = Bench::master(parameters(100));
        bench.wait(micros);
        assert_eq!(bench.give(fallen(80, Duration::ZERO)), [advert(80)], "{micros}");
        assert_eq!(bench.micros_to_deadline(), 1_000_000, "the schedule starts anew");

        let mut bench = Bench::master(parameters(100));
        bench.wait(micros);
        assert_eq!(bench.give(fallen(80, DELAY)), [], "{micros}");
        assert_eq!(bench.micros_to_deadline(), 100_000, "not by the schedule before, either");
        assert_eq!(bench.tick(), [advert(80)]);
        assert_eq!(bench.micros_to_deadline(), 1_000_000);
    }
}

#[test]
fn only_a_fall_of_what_is_advertised_is_said() {
    let mut bench = Bench::master(parameters(100));
    bench.wait(300_000);
    for priority in [100, 120] {
        assert_eq!(bench.give(fallen(priority, Duration::ZERO)), []);
        assert_eq!(bench.micros_to_deadline(), 700_000);
    }
    bench.give(Input::Lead(Some(Priority::from_wire(150))));
    assert_eq!(bench.give(fallen(80, Duration::ZERO)), [], "it leads with 150");
    let mut bench = Bench::backup(parameters(100));
    assert_eq!(bench.give(fallen(80, Duration::ZERO)), []);
}

#[test]
fn who_is_heard_taking_over_ends_the_delay_unsaid() {
    let mut bench = Bench::master(parameters(100));
    bench.give(fallen(80, DELAY));
    bench.wait(60_000);
    bench.give(Input::YieldTo(Some(LOWER)));
    assert_eq!(bench.micros_to_deadline(), 500_000, "who is asked is given time");
    bench.wait(200_000);
    let actions = bench.give(heard(LOWER, 98));
    assert_eq!(bench.kind(), StateKind::Backup);
    assert!(!actions.contains(&advert(80)), "{actions:?}");
}

#[test]
fn a_handover_that_is_taken_back_ends_the_delay_too() {
    let mut bench = Bench::master(parameters(100));
    bench.give(fallen(80, DELAY));
    bench.give(Input::YieldTo(Some(LOWER)));
    assert!(bench.give(Input::YieldTo(None)).contains(&advert(80)));
}

#[test]
fn a_successor_that_never_speaks_ends_the_delay_as_well() {
    let mut bench = Bench::master(parameters(100));
    bench.give(fallen(80, DELAY));
    for _ in 0..20 {
        bench.give(Input::YieldTo(Some(LOWER)));
        bench.wait(10_000);
    }
    assert_eq!(bench.micros_to_deadline(), 300_000, "asking again does not put it off");
    assert_eq!(bench.tick(), [advert(80)]);
}

/// A tracker that flaps faster than anybody can react makes neither a flood nor a silence.
#[test]
fn a_priority_that_keeps_falling_is_said_ten_times_a_second() {
    for delay in [Duration::ZERO, DELAY] {
        let mut bench = Bench::master(parameters(100));
        let (mut said, mut last) = (0_u32, bench.now);
        for round in 0..1_000 {
            let priority = if round % 2 == 0 { 80 } else { 90 };
            let mut actions = bench.give(fallen(priority, delay));
            actions.extend(bench.give(Input::Tick));
            if actions.iter().any(|action| matches!(action, Action::Advertise(_))) {
                said += 1;
                assert!(bench.now.since(last) <= Duration::from_millis(210), "silent at {round}");
                last = bench.now;
            }
            bench.wait(10_000);
        }
        assert!((45..=101).contains(&said), "{said} adverts in ten seconds");
    }
}
