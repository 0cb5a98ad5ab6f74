//! Views that are made seldom.

use super::{A, Stage, web};
use std::time::{Duration, Instant};

/// Thousands of such results a second would otherwise have the whole view made anew for each.
#[test]
fn results_that_change_nothing_are_shown_together_and_none_is_lost() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    for number in 0..50 {
        stage.report(A, true, &format!("connected {number}"));
    }
    let until = Instant::now() + Duration::from_secs(20);
    let said = || {
        let view = stage.view.load().first()?.load_full();
        Some(view.servers.first()?.checks.first()?.seen.as_ref()?.outcome.why.to_string())
    };
    while said().as_deref() != Some("connected 49") {
        assert!(Instant::now() < until, "{:?} is shown", said());
        std::thread::sleep(Duration::from_millis(2));
    }
    stage.stop();
}
