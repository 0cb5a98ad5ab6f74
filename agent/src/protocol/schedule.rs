//! The deadlines of all virtual routers.

use crate::kernel::RouterId;
use hacluster_core::interval::Seconds;
use hacluster_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Routers that advertise in one moment. Sending together costs a quarter of the processor time of sending one by
/// one, and those of a thousand leave up to 10 ms apart, now more and now less: so many stay below half a millisecond.
const TOGETHER: u32 = 64;
/// Moments in a quarter of an interval.
const MOMENTS: u32 = 32;

/// Where in `interval` the router `id` advertises; neighbours in the file are neighbours in time.
pub(super) fn phase(id: RouterId, interval: Seconds) -> Duration {
    let quarter = interval.duration().as_micros() / 4;
    Duration::from_micros(quarter * u64::from(id.0 / TOGETHER % MOMENTS) / u64::from(MOMENTS))
}

/// At most one deadline per router.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    by_time: BTreeSet<(Instant, RouterId)>,
    by_router: BTreeMap<RouterId, Instant>,
}

impl Schedule {
    /// Replaces the deadline of `id`.
    pub(super) fn set(&mut self, id: RouterId, deadline: Option<Instant>) {
        let before = match deadline {
            Some(at) => self.by_router.insert(id, at),
            None => self.by_router.remove(&id),
        };
        if before == deadline {
            return;
        }
        // In this order: of a set that becomes empty the memory goes, and comes again.
        if let Some(at) = deadline {
            self.by_time.insert((at, id));
        }
        if let Some(at) = before {
            self.by_time.remove(&(at, id));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Fills `due` with the routers whose deadline has come, earliest first.
    pub(super) fn due(&self, now: Instant, due: &mut Vec<RouterId>) {
        due.clear();
        due.extend(self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_that_begin_together_advertise_apart() {
        let phases = |count: u32| (0..count).map(|id| phase(RouterId(id), Seconds::ONE).as_micros());
        assert!(phases(TOGETHER).all(|at| at == 0), "few are where the protocol has them");
        let mut moments = BTreeMap::<u64, u32>::new();
        phases(4_000).for_each(|at| *moments.entry(at).or_default() += 1);
        assert_eq!(moments.len(), MOMENTS as usize);
        assert!(moments.iter().all(|(at, count)| *at < 250_000 && *count <= 2 * TOGETHER), "{moments:?}");
    }

    #[test]
    fn deadlines_come_in_order_and_move() {
        let at = Instant::from_micros;
        let mut schedule = Schedule::default();
        schedule.set(RouterId(1), Some(at(30)));
        schedule.set(RouterId(2), Some(at(20)));
        assert_eq!(schedule.next(), Some(at(20)));
        let due = |schedule: &Schedule| {
            let mut due = vec![RouterId(9)];
            schedule.due(at(30), &mut due);
            due
        };
        assert_eq!(due(&schedule), [RouterId(2), RouterId(1)]);
        schedule.set(RouterId(2), Some(at(40)));
        assert_eq!(due(&schedule), [RouterId(1)]);
        schedule.set(RouterId(1), None);
        assert_eq!(schedule.next(), Some(at(40)));
    }
}
