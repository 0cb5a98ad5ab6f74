//! The service manager above the agent, if there is one (systemd): is told when the agent is ready,
//! reloads and stops, and that it lives.
//!
//! ```text
//!   Pulse --Command::Pulse--> protocol thread --answer--.
//!     `-----Order::Pulse----> kernel thread ---answer---+-- both --> WATCHDOG=1
//! ```
//!
//! Contract: the watchdog hears of us only while both threads answer. A thread that hangs is left to the
//! service manager: it kills the agent, whose addresses stay, and starts a successor that adopts them.

use crate::kernel::Order;
use crate::mailbox::Sender;
use crate::protocol::Command;
use crate::pulse::Pulse;
use hacluster_core::time::{Duration, Instant};
use hacluster_net::clock;
use sd_notify::NotifyState;

/// How often the threads are asked within the time after which the service manager gives us up.
const ASKED_WITHIN: u64 = 4;

/// What the service manager is told. Without one nothing happens.
#[derive(Debug)]
pub struct ServiceManager {
    commands: Sender<Command>,
    orders: Sender<Order>,
    /// `None` when nobody watches.
    period: Option<Duration>,
    next: Instant,
    asked: [Pulse; 2],
}

impl ServiceManager {
    /// Asks the threads behind these queues whether they live.
    pub fn new(commands: Sender<Command>, orders: Sender<Order>) -> Self {
        let limit = sd_notify::watchdog_enabled();
        let micros = limit.map(|limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
        Self::watched(commands, orders, micros.map(Duration::from_micros))
    }

    fn watched(commands: Sender<Command>, orders: Sender<Order>, limit: Option<Duration>) -> Self {
        let period = limit.map(|limit| Duration::from_micros((limit.as_micros() / ASKED_WITHIN).max(1)));
        let asked = <[Pulse; 2]>::default();
        asked.iter().for_each(Pulse::answer);
        Self { commands, orders, period, next: clock::now(), asked }
    }

    /// The agent runs, with so many virtual routers; or goes on so, although another configuration was
    /// wanted that is `refused` for this reason.
    pub fn ready(&self, routers: usize, refused: Option<&str>) {
        let refused = refused.map(|why| format!("; reload refused: {why}")).unwrap_or_default();
        let status = format!("{routers} virtual router(s){refused}");
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// A reload begins.
    pub fn reloading(&self) {
        let now = NotifyState::monotonic_usec_now();
        tell(&std::iter::once(NotifyState::Reloading).chain(now).collect::<Vec<_>>());
    }

    /// The end has begun.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When [`beat`](Self::beat) wants to be called.
    pub fn next_beat(&self) -> Option<Instant> {
        self.period.map(|_| self.next)
    }

    /// Says that we live if the threads have answered, and asks them again. Returns whether it was said.
    pub fn beat(&mut self) -> bool {
        let Some(period) = self.period.filter(|_| clock::now() >= self.next) else { return false };
        self.next = clock::now() + period;
        if !self.asked.iter().all(Pulse::is_answered) {
            tracing::error!(
                "a thread does not answer; unless it does soon the service manager ends the agent"
            );
            return false;
        }
        self.asked = <[Pulse; 2]>::default();
        let [protocol, kernel] = self.asked.clone();
        // A full queue is not emptied by anybody: no answer will come, as it should be.
        drop(self.commands.try_send(Command::Pulse(protocol)));
        drop(self.orders.try_send(Order::Pulse(kernel)));
        tell(&[NotifyState::Watchdog]);
        true
    }
}

/// Whoever asked to be told is told; an unreachable one is nothing to stop for.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;
    use hacluster_net::poll::Wake;

    #[test]
    fn the_watchdog_hears_of_us_only_while_both_threads_answer() {
        let (commands, asked_protocol) = mailbox(4, &Wake::new().unwrap());
        let (orders, asked_kernel) = mailbox(4, &Wake::new().unwrap());
        let mut manager = ServiceManager::watched(commands, orders, Some(Duration::from_micros(4)));
        assert!(manager.beat(), "nobody was asked yet");
        let protocol = asked_protocol.pop();
        let kernel = asked_kernel.pop();
        let (Some(Command::Pulse(protocol)), Some(Order::Pulse(kernel))) = (protocol, kernel) else {
            panic!("both are asked");
        };
        let again = |manager: &mut ServiceManager| {
            while manager.next_beat().is_some_and(|next| clock::now() < next) {}
            manager.beat()
        };
        assert!(!again(&mut manager), "neither has answered");
        protocol.answer();
        assert!(!again(&mut manager), "the kernel thread has not answered");
        kernel.answer();
        assert!(again(&mut manager));
        assert!(!again(&mut manager), "asked again, and not answered yet");
    }

    #[test]
    fn without_a_watchdog_nothing_beats() {
        let (commands, _) = mailbox(1, &Wake::new().unwrap());
        let (orders, _) = mailbox(1, &Wake::new().unwrap());
        let mut manager = ServiceManager::watched(commands, orders, None);
        assert!(manager.next_beat().is_none() && !manager.beat());
    }
}
