//! The protocol thread: packets, timers and decisions, undisturbed.
//!
//! ```text
//!   raw socket -> Port -> wire::v2::parse -> receive::check -> Machine -> Action
//!                                                                 |          |-- advert --> Port -> raw socket
//!   Schedule (deadlines) ------------------- Tick ----------------'          |-- addresses -> Order
//!   Command (supervisor, API), Report (kernel thread) -> Input               |-- Event -> log
//!                                                                            `-- Notice -> API
//! ```
//!
//! Contract: nothing here waits for anybody. Queues are bounded and lock-free; what does not fit is
//! kept back (orders, one per router) or dropped and counted (events, notices). Reads are bounded, so a
//! flood delays no timer; a dropped packet touches its own counter and nothing else.

mod arrival;
mod command;
mod engine;
mod groups;
mod notice;
mod outbox;
mod port;
mod router;
mod routers;
mod schedule;
mod takeover;
mod tracking;
mod urgency;

pub use command::{Command, Ticket};
pub use groups::GroupDefinition;
pub use notice::{Answer, Notice, Refusal};

use crate::event::EventSender;
use crate::kernel::{Order, Report};
use crate::mailbox::{Receiver, Sender};
use hacluster_conf::model::Agent;
use hacluster_net::NetError;
use hacluster_net::poll::Wake;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// The queues of the protocol thread.
#[derive(Debug)]
pub struct Queues {
    /// From the supervisor and the API.
    pub commands: Receiver<Command>,
    /// From the kernel thread. Knocks at the same place as `commands`.
    pub reports: Receiver<Report>,
    /// To the kernel thread.
    pub orders: Sender<Order>,
    /// To whoever listens.
    pub events: EventSender,
    /// To whoever moves routers between nodes.
    pub notices: Sender<Notice>,
    /// Rung when the thread has ended, for whatever reason.
    pub ended: Wake,
}

/// How the thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After [`Command::Stop`], in order.
    InOrder,
    /// By a fault of ours; the kernel thread was told to remove all addresses.
    Panicked,
}

/// Starts the thread in the network namespace of the caller.
///
/// # Errors
/// When the kernel refuses the means to wait for packets or the thread itself.
pub fn spawn(queues: Queues, settings: &Agent) -> Result<JoinHandle<Ended>, NetError> {
    let (orders, ended) = (queues.orders.clone(), queues.ended.clone());
    let engine = engine::Engine::new(queues)?;
    let settings = settings.clone();
    std::thread::Builder::new()
        .name("hacluster-vrrp".into())
        .spawn(move || guard(|| engine.run(&settings), &orders, &ended))
        .map_err(|error| NetError::from_io("start the protocol thread", &error))
}

/// Runs the thread's work; if it panics, nobody speaks for the addresses any more and a backup will:
/// so they must go.
fn guard(work: impl FnOnce(), orders: &Sender<Order>, ended: &Wake) -> Ended {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    if outcome.is_err() {
        orders.send_patiently(Order::Abandon);
    }
    ended.wake();
    if outcome.is_ok() { Ended::InOrder } else { Ended::Panicked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;

    #[test]
    fn a_panic_gives_up_the_addresses_and_rings() {
        let (orders, received) = mailbox(4, &Wake::new().unwrap());
        let ended = Wake::new().unwrap();
        assert_eq!(guard(|| (), &orders, &ended), Ended::InOrder);
        assert!(ended.clear() && received.pop().is_none());
        assert_eq!(guard(|| panic!("on purpose, in a test"), &orders, &ended), Ended::Panicked);
        assert!(ended.clear() && matches!(received.pop(), Some(Order::Abandon)));
    }
}
