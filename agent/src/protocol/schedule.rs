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
        if let Some(at) = before {
            self.by_time.remove(&(at, id));
        }
        if let Some(at) = deadline {
            self.by_time.insert((at, id));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Routers whose deadline has come, earliest first.
    pub(super) fn due(&self, now: Instant) -> Vec<RouterId> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
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
        assert_eq!(schedule.due(at(30)), [RouterId(2), RouterId(1)]);
        schedule.set(RouterId(2), Some(at(40)));
        assert_eq!(schedule.due(at(30)), [RouterId(1)]);
        schedule.set(RouterId(1), None);
        assert_eq!(schedule.next(), Some(at(40)));
    }
}
