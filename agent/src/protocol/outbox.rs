//! Orders on their way to the kernel thread: sent at the end of a round, after the adverts.
//!
//! The order of things on the wire is the protocol's: priority 0 and a last word leave before the
//! addresses go, the advert that wins an election before they come.

use crate::kernel::{Order, RouterId};
use crate::mailbox::Sender;
use std::collections::VecDeque;

/// Orders of this round, and those the kernel thread had no room for.
#[derive(Debug)]
pub(super) struct Outbox {
    orders: Sender<Order>,
    waiting: VecDeque<Order>,
    /// The kernel thread is behind: of several wishes for a router only the latest is kept, so that
    /// what waits cannot grow beyond a few orders per router.
    behind: bool,
}

impl Outbox {
    pub(super) fn new(orders: Sender<Order>) -> Self {
        Self { orders, waiting: VecDeque::new(), behind: false }
    }

    /// Takes an order for the end of the round.
    pub(super) fn put(&mut self, order: Order) {
        if self.behind
            && let Some(wish) = wish_of(&order)
        {
            self.waiting.retain(|other| wish_of(other) != Some(wish));
        }
        self.waiting.push_back(order);
    }

    /// Hands over what fits, oldest first.
    pub(super) fn flush(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            if let Err(order) = self.orders.try_send(order) {
                self.waiting.push_front(order);
                break;
            }
        }
        self.behind = !self.waiting.is_empty();
    }
}

/// The router whose wish this is and what it is about, if a later one replaces it.
fn wish_of(order: &Order) -> Option<(RouterId, bool)> {
    match order {
        Order::Claim { id, .. } | Order::Release { id, .. } => Some((*id, true)),
        Order::Announce { id, .. } => Some((*id, false)),
        Order::Define(_)
        | Order::Fix(_)
        | Order::Forget { .. }
        | Order::Retell
        | Order::Pulse(_)
        | Order::Abandon
        | Order::Shutdown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;
    use crate::story::Trail;
    use hacluster_net::poll::Wake;

    const ONE: RouterId = RouterId(1);

    #[test]
    fn nothing_leaves_before_the_end_of_the_round() {
        let (sender, receiver) = mailbox(8, &Wake::new().unwrap());
        let mut outbox = Outbox::new(sender);
        outbox.put(Order::Release { id: ONE, trail: Trail::begin() });
        assert!(receiver.pop().is_none());
        outbox.flush();
        assert!(matches!(receiver.pop(), Some(Order::Release { .. })));
    }

    #[test]
    fn a_router_that_flaps_before_a_slow_kernel_keeps_its_latest_wish() {
        let (sender, receiver) = mailbox(1, &Wake::new().unwrap());
        let mut outbox = Outbox::new(sender);
        for claim in 0..1000 {
            outbox.put(Order::Claim { id: ONE, rounds: 5, claim, trail: Trail::begin() });
            outbox.put(Order::Announce { id: ONE, rounds: 5 });
            outbox.put(Order::Release { id: ONE, trail: Trail::begin() });
            outbox.flush();
        }
        assert!(outbox.waiting.len() <= 4, "{}", outbox.waiting.len());
        let mut last = None;
        while let Some(order) = receiver.pop() {
            last = Some(order);
            outbox.flush();
        }
        assert!(matches!(last, Some(Order::Release { .. })));
    }
}
