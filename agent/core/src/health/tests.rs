use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn pace(retry: u32, alpha: bool) -> Pace {
    Pace {
        delay_loop: SECOND.times(6),
        retry,
        delay_before_retry: SECOND.times(2),
        alpha,
        fast_recovery: false,
    }
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + SECOND.times(secs)
}

/// Verdicts after each of `results`, one look a second, none of which takes time.
fn verdicts(mut checker: Checker, results: &str) -> Vec<Verdict> {
    let take = |(index, result): (usize, char)| {
        let now = at(index as u64);
        checker.take(result == '+', now, now);
        checker.verdict()
    };
    results.chars().enumerate().map(take).collect()
}

#[test]
fn failures_count_when_no_retry_is_left_and_one_good_result_is_enough() {
    use Verdict::{Bad, Good, Unknown};
    let table: [(u32, bool, &str, &[Verdict]); 9] = [
        (0, false, "+", &[Good]),
        (0, false, "-", &[Bad]),
        (0, true, "-", &[Bad]),
        (0, false, "+-+-", &[Good, Bad, Good, Bad]),
        (2, false, "--", &[Unknown, Unknown]),
        (2, false, "---", &[Unknown, Unknown, Bad]),
        (2, true, "-+", &[Bad, Good]),
        (2, false, "+--+---+", &[Good, Good, Good, Good, Good, Good, Bad, Good]),
        (1, true, "+-+--+", &[Good, Good, Good, Good, Bad, Good]),
    ];
    for (retry, alpha, results, expected) in table {
        let checker = Checker::new(pace(retry, alpha), at(0));
        assert_eq!(verdicts(checker, results), expected, "retry {retry} alpha {alpha} {results}");
    }
}

#[test]
fn who_was_never_looked_at_is_up_unless_alpha() {
    assert!(Checker::new(pace(3, false), at(0)).is_up());
    assert!(!Checker::new(pace(3, true), at(0)).is_up());
    for (verdict, up) in [(Verdict::Good, true), (Verdict::Bad, false), (Verdict::Unknown, true)] {
        assert_eq!(Checker::resumed(pace(3, false), verdict, at(0)).is_up(), up, "{verdict:?}");
    }
}

#[test]
fn a_step_says_what_changed_and_how_many_retries_are_left() {
    let mut checker = Checker::new(pace(2, false), at(0));
    let mut step = |good| checker.take(good, at(1), at(1));
    let expected = [
        (true, Step { changed: true, retries_left: None }),
        (true, Step { changed: false, retries_left: None }),
        (false, Step { changed: false, retries_left: Some(1) }),
        (false, Step { changed: false, retries_left: Some(0) }),
        (false, Step { changed: true, retries_left: None }),
        (false, Step { changed: false, retries_left: None }),
        (true, Step { changed: true, retries_left: None }),
    ];
    for (good, wanted) in expected {
        assert_eq!(step(good), wanted);
    }
}

#[test]
fn rounds_keep_their_rhythm_and_retries_follow_the_end() {
    let mut checker = Checker::new(pace(1, false), at(3));
    assert_eq!(checker.due(), Some(at(3)));
    checker.take(true, at(3), at(5));
    assert_eq!(checker.due(), Some(at(9)), "one round after the last began, however long it took");
    checker.take(false, at(9), at(10));
    assert_eq!(checker.due(), Some(at(12)), "a retry comes after the failure");
    checker.take(false, at(12), at(13));
    assert_eq!(checker.due(), Some(at(18)), "who is down waits for its round");
    checker.take(false, at(18), at(30));
    assert_eq!(checker.due(), Some(at(30)), "a look longer than a round is followed by the next");
}

#[test]
fn fast_recovery_looks_sooner_while_down_and_never_later() {
    let fast = Pace { fast_recovery: true, ..pace(0, false) };
    let mut checker = Checker::new(fast, at(0));
    checker.take(false, at(0), at(1));
    assert_eq!(checker.due(), Some(at(3)));
    let slow = Pace { delay_before_retry: SECOND.times(60), ..fast };
    checker.change(slow, at(1));
    checker.take(false, at(3), at(3));
    assert_eq!(checker.due(), Some(at(9)));
}

#[test]
fn a_changed_pace_keeps_what_is_known_and_puts_nothing_off() {
    let mut checker = Checker::new(Pace { delay_loop: SECOND.times(600), ..pace(5, false) }, at(0));
    checker.take(true, at(0), at(0));
    for _ in 0..4 {
        checker.take(false, at(1), at(1));
    }
    checker.change(pace(2, false), at(2));
    assert_eq!((checker.verdict(), checker.failures()), (Verdict::Good, 2));
    assert_eq!(checker.due(), Some(at(3)));
    checker.take(true, at(3), at(3));
    checker.change(Pace { delay_loop: SECOND, ..pace(2, true) }, at(4));
    assert_eq!((checker.due(), checker.is_up()), (Some(at(5)), true));
}

#[test]
fn a_changed_alpha_moves_nobody() {
    for before in [false, true] {
        let mut checker = Checker::new(pace(0, before), at(0));
        checker.change(pace(0, !before), at(0));
        assert_eq!(checker.is_up(), !before);
        checker.change(pace(0, before), at(0));
        assert_eq!(checker.is_up(), !before);
    }
}

#[test]
fn at_rest_nothing_is_due_and_nothing_is_forgotten() {
    let mut checker = Checker::new(pace(2, false), at(0));
    checker.take(true, at(0), at(0));
    checker.take(false, at(1), at(1));
    checker.rest();
    assert_eq!((checker.due(), checker.verdict(), checker.failures()), (None, Verdict::Good, 0));
    checker.wake(at(50));
    assert_eq!(checker.due(), Some(at(50)));
    checker.take(true, at(50), at(50));
    checker.wake(at(51));
    assert_eq!(checker.due(), Some(at(56)), "who is awake is not woken");
}

proptest! {
    /// The verdict is Bad exactly after more than `retry` failures in a row, or after any while down.
    #[test]
    fn verdicts_follow_from_the_results_alone(retry in 0u32..4, alpha: bool, results: Vec<bool>) {
        let mut checker = Checker::new(pace(retry, alpha), at(0));
        let (mut up, mut row) = (!alpha, 0u32);
        for (second, good) in results.into_iter().enumerate() {
            let now = at(second as u64);
            let step = checker.take(good, now, now);
            row = if good { 0 } else { row + 1 };
            up = good || (up && row <= retry);
            prop_assert_eq!(checker.is_up(), up);
            prop_assert!(checker.due().is_some_and(|due| due >= now));
            prop_assert!(step.retries_left.is_none_or(|left| left < retry && !step.changed));
        }
    }
}
