//! What a tracked file says, told whenever it changes.

use super::outcome::{Answer, Good, bad};
use super::pulse::Orders;
use super::{Outcome, Report, TrackedFile};
use crate::watch::{Listener, numbers};
use hacluster_core::health::Verdict;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};

/// What a number means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Say {
    pub(super) weight: i32,
    pub(super) reverse: bool,
}

impl Say {
    fn of(self, number: i64, why: String) -> Answer {
        if self.weight == 0 {
            let fails = (number != 0) != self.reverse;
            return if fails { Err(bad(why)) } else { Ok(Good { weight: None, why }) };
        }
        let factor = i64::from(self.weight) * if self.reverse { -1 } else { 1 };
        let most = i64::from(i32::MAX);
        let weight = number.saturating_mul(factor).clamp(-most, most);
        Ok(Good { weight: i32::try_from(weight).ok(), why: format!("{why}: weight {weight:+}") })
    }
}

/// Tells what `file` says, now and whenever it changes, as that of the check that `orders` name then.
pub(super) async fn follow(
    file: Option<TrackedFile>,
    say: Say,
    orders: watch::Receiver<Orders>,
    reports: mpsc::Sender<Report>,
) {
    let Some(TrackedFile { path, init }) = file else {
        tracing::error!("a FILE_CHECK names a track_file that does not exist");
        return;
    };
    numbers(path, init, Teller { say, orders, reports }).await;
}

struct Teller {
    say: Say,
    orders: watch::Receiver<Orders>,
    reports: mpsc::Sender<Report>,
}

impl Listener for Teller {
    async fn hear(&self, number: i64, why: String) -> bool {
        let outcome = Outcome::of(self.say.of(number, why), Duration::ZERO);
        let verdict = if outcome.good { Verdict::Good } else { Verdict::Bad };
        let Ok(place) = self.reports.reserve().await else { return false };
        let (check, at) = (self.orders.borrow().check.clone(), SystemTime::now());
        place.send(Report { check, verdict, retries_left: None, outcome, at });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_failure_or_a_weight() {
        let table = [
            (0, false, 0, Ok(None)),
            (0, false, -5, Err(())),
            (0, true, 0, Err(())),
            (0, true, 1, Ok(None)),
            (3, false, 4, Ok(Some(12))),
            (3, true, 4, Ok(Some(-12))),
            (-1, false, 0, Ok(Some(0))),
            (i32::MAX, false, i64::MIN, Ok(Some(-i32::MAX))),
            (-i32::MAX, false, i64::MIN, Ok(Some(i32::MAX))),
        ];
        for (weight, reverse, number, expected) in table {
            let said = Say { weight, reverse }.of(number, String::new());
            let said = said.map(|good| good.weight).map_err(|_| ());
            assert_eq!(said, expected, "{number} * {weight} {reverse}");
        }
    }
}
