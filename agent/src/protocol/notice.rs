//! What the protocol thread tells those who move routers between nodes.
//!
//! Apart from the events, because these decide: a flood of log lines must not push an answer out.

use super::command::Ticket;
use crate::event::Identity;
use crate::story::Trail;
use hacluster_core::machine::{Fault, StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::time::Instant;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Something to know at once. Lost, and counted, when nobody fetches it.
#[derive(Clone, Debug)]
pub enum Notice {
    /// What came of a command.
    Answer {
        /// Of which one.
        ticket: Ticket,
        /// What came of it.
        answer: Result<Answer, Refusal>,
    },
    /// A router changed its state; what the change owed to the network has left.
    Transition {
        /// Which one.
        router: Arc<Identity>,
        /// From, to and why.
        transition: Transition,
        /// The priority in force then.
        priority: Priority,
        /// Where its adverts come from; unspecified while there is no such address.
        source: Ipv4Addr,
        /// When it was decided; what it owes to network and kernel left after that.
        at: Instant,
        /// The story that it is part of.
        trail: Trail,
    },
}

/// A command was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The router rules here.
    Ruling {
        /// When all its addresses had been announced once.
        announced: Instant,
        /// When the advert that says so had left.
        advertised: Instant,
    },
    /// It is done.
    Done,
}

/// A command was not carried out, or not to its end; nothing of it remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such router runs.
    UnknownRouter,
    /// Only a backup can take over.
    NotBackup(StateKind),
    /// Only a master can give way.
    NotMaster(StateKind),
    /// The router lacks something.
    Fault(Fault),
    /// An earlier takeover of this router has not ended yet.
    Busy,
    /// The kernel did not take the addresses.
    ClaimRefused,
    /// It came to nothing within the second that a takeover may last.
    TooSlow,
    /// The router owns its addresses: it rules whenever it lives.
    Owner,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRouter => {
                f.write_str("no virtual router with this interface and VRID runs here; see haclusterctl status")
            }
            Self::NotBackup(StateKind::Master) => f.write_str("it is master here already"),
            Self::NotBackup(state) => write!(f, "only a backup can take over, and it is in state {state}"),
            Self::NotMaster(state) => write!(f, "only a master can give way, and it is in state {state}"),
            Self::Fault(fault) => write!(f, "it is in state Fault: {fault}"),
            Self::Busy => f.write_str("an earlier takeover is still under way; it ends within a second"),
            Self::ClaimRefused => f.write_str(
                "the kernel refused its addresses; the log of the agent names the first one and the cause",
            ),
            Self::TooSlow => f.write_str(
                "the addresses were not in place and announced within a second; the former master keeps them. \
                 Look whether the host is overloaded, then try again",
            ),
            Self::Owner => f.write_str(
                "it, or a member of its sync group, owns its addresses (priority 255) and rules whenever it lives; \
                 to move it, give it a priority below 255",
            ),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_state_and_the_cause() {
        let text = |refusal: Refusal| refusal.to_string();
        assert!(text(Refusal::NotBackup(StateKind::Initialize)).contains("Initialize"));
        assert!(text(Refusal::NotMaster(StateKind::Backup)).contains("Backup"));
        assert!(text(Refusal::Fault(Fault::Link)).contains("no link"));
        assert!(text(Refusal::Owner).contains("below 255"), "the mend");
    }
}
