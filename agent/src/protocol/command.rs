//! What the protocol thread is told to do.
//!
//! Two kinds: the supervisor's, about which routers run, and those about who rules, by operators and
//! peers. The latter are named by [`Place`], because whoever asks knows no [`RouterId`], and most
//! carry a [`Ticket`]: exactly one [`Notice::Answer`](super::Notice::Answer) comes back for each,
//! unless the queue of notices is full. Whoever waits for one needs a limit of its own.

use super::groups::GroupDefinition;
use crate::event::Place;
use crate::kernel::RouterId;
use crate::orders::Orders;
use crate::pulse::Pulse;
use crate::story::Trail;
use crate::watch::{Tracked, Verdict};
use hacluster_conf::model::VirtualRouter;
use hacluster_core::priority::Priority;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Ties an answer to its command. Chosen by whoever asks, who never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to do.
#[derive(Debug)]
pub enum Command {
    /// Run this virtual router.
    Add {
        /// A name of its own among threads.
        id: RouterId,
        /// How.
        router: Box<VirtualRouter>,
        /// Whether it takes over from a lower priority at once.
        fast_takeover: bool,
        /// What was ordered of it, from the first moment on.
        orders: Orders,
        /// It must not start before it is known what is tracked: [`Command::Tracked`] says it.
        waits: bool,
    },
    /// It shall run differently; interface and VRID stay.
    Change {
        /// Which one.
        id: RouterId,
        /// How.
        router: Box<VirtualRouter>,
        /// Whether it takes over from a lower priority at once.
        fast_takeover: bool,
        /// As for [`Command::Orders`].
        orders: Orders,
    },
    /// Stop it: priority 0 if it rules, addresses removed.
    Remove {
        /// Which one.
        id: RouterId,
    },
    /// These sync groups are in force, and no others. A member that does not run yet belongs to its
    /// group from its first moment on: so before [`Command::Add`].
    Groups(Vec<GroupDefinition>),
    /// What is tracked does this to it now, whole; it counts for a router that comes there later, too.
    /// Nothing answers.
    Tracked {
        /// Which router.
        place: Place,
        /// Points, faults and their causes; none when nothing is tracked there any more.
        tracked: Option<Tracked>,
        /// What made it so; none when the configuration did.
        verdict: Option<Arc<Verdict>>,
    },
    /// Other orders are in force. Nothing answers: a place where no router runs needs none.
    ///
    /// A lead counts only where it differs from that of the orders before: one that
    /// [`Command::TakeOver`] gave, or that ended by itself, is not undone by orders that do not know
    /// of it yet. [`Command::Lead`] always counts.
    Orders {
        /// Which router.
        place: Place,
        /// What is in force now, whole.
        orders: Orders,
    },
    /// A backup shall rule: claim and announce the addresses, then advertise. Answered with
    /// [`Answer::Ruling`](super::Answer::Ruling) when both have left.
    TakeOver {
        /// Which router.
        place: Place,
        /// Where the former master's adverts come from.
        from: Ipv4Addr,
        /// The priority to advertise while it rules, 1 to 254; `None` for its own.
        lead: Option<Priority>,
        /// For the answer.
        ticket: Ticket,
        /// The story that it is part of: the change of state continues it.
        trail: Option<Trail>,
    },
    /// A master shall give way to this one at its next advert, whatever the priority; `None` takes
    /// that back.
    YieldTo {
        /// Which router.
        place: Place,
        /// Where the successor's adverts come from.
        to: Option<Ipv4Addr>,
        /// For the answer.
        ticket: Ticket,
        /// The story that it is part of: the change of state continues it.
        trail: Option<Trail>,
    },
    /// A master shall say that it leaves (priority 0) and become a backup.
    Resign {
        /// Which router.
        place: Place,
        /// For the answer: given when the advert has left.
        ticket: Ticket,
        /// The story that it is part of: the change of state continues it.
        trail: Option<Trail>,
    },
    /// Begin or end a lead.
    Lead {
        /// Which router.
        place: Place,
        /// The priority to advertise while it rules, 1 to 254; `None` for its own.
        lead: Option<Priority>,
        /// For the answer.
        ticket: Ticket,
    },
    /// Whether the thread lives.
    Pulse(Pulse),
    /// Events were lost: tell everything that is so once more.
    Retell,
    /// Stop all and end the thread.
    Stop,
}
