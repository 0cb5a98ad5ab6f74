//! What a node watches beside the adverts, and what it means for a virtual router's priority.
//!
//! ```text
//!   runs of a script, probes --> Judge (rise, fall) --> Reading --.
//!   value of a file, link, processes ------------------> Reading --+-- Weight --> Effect
//!                                                                           |
//!                                    base priority + effects of all --> Standing (priority, or why not)
//! ```
//!
//! keepalived's rules: weight 0 makes a failure a fault; a positive weight is added while good, a
//! negative one is taken while bad; a file's number is multiplied; the sum stays within 1 to 254;
//! a priority of 255 does not change.

use crate::priority::Priority;

/// What is known of something watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// Nothing yet.
    #[default]
    Unknown,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// A number, from a file.
    Number(i64),
}

/// How much a reading counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Points of priority; 0 makes a failure a fault.
    pub points: i32,
    /// Good and bad change places; a number counts negative.
    pub reverse: bool,
}

/// What one reading does to a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// So many points more or less.
    Points(i32),
    /// It must not rule.
    Fault,
    /// It is not known whether it may rule: a router that starts waits for it.
    Wait,
}

/// Most points that one reading can give or take: more never matters.
const POINTS_MAX: i64 = 253;

impl Weight {
    /// A weight that counts straight.
    pub const fn new(points: i32) -> Self {
        Self { points, reverse: false }
    }

    /// What `reading` does.
    pub fn effect(self, reading: Reading) -> Effect {
        match (reading, self.points) {
            (Reading::Unknown, 0) => Effect::Wait,
            (Reading::Unknown, _) => Effect::Points(0),
            (Reading::Good, points) => Self::of(points, !self.reverse),
            (Reading::Bad, points) => Self::of(points, self.reverse),
            (Reading::Number(number), 0) if (number != 0) != self.reverse => Effect::Fault,
            (Reading::Number(_), 0) => Effect::Points(0),
            (Reading::Number(number), points) => {
                let product = number.saturating_mul(points.into()).clamp(-POINTS_MAX, POINTS_MAX) as i32;
                Effect::Points(if self.reverse { -product } else { product })
            }
        }
    }

    const fn of(points: i32, good: bool) -> Effect {
        match (points, good) {
            (0, false) => Effect::Fault,
            (points, true) if points > 0 => Effect::Points(points),
            (points, false) if points < 0 => Effect::Points(points),
            (_, _) => Effect::Points(0),
        }
    }
}

/// The sum of all effects on one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The priority that results, 1 to 255.
    pub priority: Priority,
    /// Something makes it unable to rule.
    pub fault: bool,
    /// Something is not known yet that could.
    pub wait: bool,
}

/// What `effects` make of a router whose configured priority is `base`.
pub fn sum(base: Priority, effects: impl IntoIterator<Item = Effect>) -> Sum {
    let mut points = i64::from(base.get());
    let (mut fault, mut wait) = (false, false);
    for effect in effects {
        match effect {
            Effect::Points(more) => points = points.saturating_add(more.into()),
            Effect::Fault => fault = true,
            Effect::Wait => wait = true,
        }
    }
    let within = Priority::configured(points.clamp(1, 254) as u8).unwrap_or(base);
    Sum { priority: if base.is_owner() { base } else { within }, fault, wait }
}

/// Turns single results into a reading: so many in a row change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    rise: u32,
    fall: u32,
    reading: Reading,
    /// Results in a row that contradict the reading.
    against: u32,
}

impl Judge {
    /// Nothing was tried yet. `rise` and `fall` are at least 1; the first result of all decides
    /// alone, unless `starts_bad`: then `rise` good ones are needed.
    pub fn new(rise: u32, fall: u32, starts_bad: bool) -> Self {
        let reading = if starts_bad { Reading::Bad } else { Reading::Unknown };
        Self { rise: rise.max(1), fall: fall.max(1), reading, against: 0 }
    }

    /// What is known now.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// How many results in a row speak against the reading, and how many would change it.
    pub fn progress(&self) -> (u32, u32) {
        (self.against, if self.reading == Reading::Bad { self.rise } else { self.fall })
    }

    /// Takes a result; true when the reading changed by it.
    pub fn take(&mut self, good: bool) -> bool {
        let result = if good { Reading::Good } else { Reading::Bad };
        if self.reading == result {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = match self.reading {
            Reading::Unknown | Reading::Number(_) => 1,
            Reading::Good => self.fall,
            Reading::Bad => self.rise,
        };
        if self.against < needed {
            return false;
        }
        (self.reading, self.against) = (result, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(points: i32, reverse: bool) -> Weight {
        Weight { points, reverse }
    }

    #[test]
    fn weights_mean_what_keepalived_means() {
        use Effect::{Fault, Points, Wait};
        use Reading::{Bad, Good, Number, Unknown};
        let table = [
            (0, false, Good, Points(0)),
            (0, false, Bad, Fault),
            (0, true, Good, Fault),
            (0, true, Bad, Points(0)),
            (0, false, Unknown, Wait),
            (5, false, Good, Points(5)),
            (5, false, Bad, Points(0)),
            (5, true, Bad, Points(5)),
            (-20, false, Good, Points(0)),
            (-20, false, Bad, Points(-20)),
            (-20, true, Good, Points(-20)),
            (-20, false, Unknown, Points(0)),
            (1, false, Number(-20), Points(-20)),
            (2, true, Number(10), Points(-20)),
            (1_000_000, false, Number(i64::MIN), Points(-253)),
            (0, false, Number(0), Points(0)),
            (0, false, Number(-1), Fault),
            (0, true, Number(0), Fault),
        ];
        for (points, reverse, reading, expected) in table {
            assert_eq!(weight(points, reverse).effect(reading), expected, "{points} {reverse} {reading:?}");
        }
    }

    #[test]
    fn the_sum_stays_a_priority_and_an_owner_stays_one() {
        let base = |number| Priority::configured(number).unwrap();
        assert_eq!(sum(base(100), [Effect::Points(-20)]).priority, base(80));
        assert_eq!(sum(base(100), [Effect::Points(-3), Effect::Points(5)]).priority, base(102));
        assert_eq!(sum(base(100), [Effect::Points(-253)]).priority, base(1));
        assert_eq!(sum(base(200), [Effect::Points(253)]).priority, base(254));
        let owner = sum(Priority::OWNER, [Effect::Points(-100), Effect::Fault]);
        assert_eq!((owner.priority, owner.fault, owner.wait), (Priority::OWNER, true, false));
        assert!(sum(base(1), [Effect::Wait]).wait);
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let mut judge = Judge::new(2, 3, false);
        assert!(judge.take(true), "the first result decides");
        let changes: alloc::vec::Vec<bool> =
            [false, false, true, false, false, false].map(|good| judge.take(good)).into();
        assert_eq!(changes, [false, false, false, false, false, true]);
        assert_eq!(judge.reading(), Reading::Bad);
        assert!(!judge.take(true) && judge.progress() == (1, 2) && judge.take(true));
        assert_eq!(judge.reading(), Reading::Good);
    }

    #[test]
    fn what_starts_bad_has_to_rise() {
        let mut judge = Judge::new(2, 1, true);
        assert_eq!(judge.reading(), Reading::Bad);
        assert!(!judge.take(true) && judge.take(true));
    }

    proptest! {
        #[test]
        fn every_sum_is_a_priority(base in 1u8..=255, points in proptest::collection::vec(any::<i32>(), 0..9)) {
            let base = Priority::configured(base).unwrap();
            let result = sum(base, points.into_iter().map(Effect::Points)).priority;
            prop_assert!(result.get() >= 1 && (result.is_owner() == base.is_owner()));
        }
    }
}
