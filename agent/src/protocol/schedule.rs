//! The deadlines of all virtual routers.

use crate::kernel::RouterId;
use hacluster_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

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
