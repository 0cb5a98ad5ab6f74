//! The kernel thread: addresses, routes, rules and announcements, so that the protocol thread never waits for
//! either.
//!
//! ```text
//!   Order --> Hands --- requests, in batches --> kernel
//!               | ^---- monitor ---------------- kernel      (somebody else changed something)
//!               `------ gratuitous ARP --------> network
//!   Report <----'
//! ```
//!
//! Contract: an order says what shall be, not what to do; what is there is compared with it after
//! every order, every notification and on a slow sweep. An address is announced only once the
//! kernel has confirmed it, and the first announcement does not wait for the last address. Each claim
//! that is not released or replaced has one outcome, [`Report::Claimed`] or [`Report::Refused`]; one
//! that is, has none.

mod announcer;
mod filter;
mod hands;
mod holding;
mod interfaces;
mod promotion;
mod routing;
mod view;
mod work;

use crate::event::{EventSender, Identity};
use crate::mailbox::{Receiver, Sender};
use crate::pulse::Pulse;
use crate::story::Trail;
use hacluster_conf::model::{Address, Route, Rule, Statics};
use hacluster_core::time::{Duration, Instant};
use hacluster_net::NetError;
use hacluster_net::netlink::{AddressEntry, PROTOCOL_MARK};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use filter::FilterSettings;

/// Names a virtual router among threads. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub u32);

/// What the protocol thread wants.
#[derive(Debug)]
pub enum Order {
    /// This router exists, with these addresses; also when they changed.
    Define(Definition),
    /// Its addresses shall be there, each announced in so many rounds.
    Claim {
        /// Which router.
        id: RouterId,
        /// Rounds of announcements.
        rounds: u32,
        /// Comes back in [`Report::Claimed`] or [`Report::Refused`].
        claim: u64,
        /// The story that it is part of.
        trail: Trail,
    },
    /// Announce what is there.
    Announce {
        /// Which router.
        id: RouterId,
        /// Rounds of announcements.
        rounds: u32,
    },
    /// Its addresses shall not be there.
    Release {
        /// Which router.
        id: RouterId,
        /// The story that it is part of.
        trail: Trail,
    },
    /// The router is gone: release, then forget it.
    Forget {
        /// Which router.
        id: RouterId,
    },
    /// This shall be on the host as long as the agent runs.
    Fix(Fixed),
    /// Whether the thread lives.
    Pulse(Pulse),
    /// Tell once more which addresses are there.
    Retell,
    /// The protocol thread is gone: release everything, then end as by `Shutdown`.
    Abandon,
    /// Finish what was ordered, report [`Report::Finished`] and end.
    Shutdown,
}

/// A virtual router as far as addresses are concerned.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Which router.
    pub id: RouterId,
    /// For events.
    pub identity: Arc<Identity>,
    /// Advertised and excluded addresses, in this order.
    pub addresses: Vec<Address>,
    /// Routes that go with the addresses.
    pub routes: Vec<Route>,
    /// Rules that go with the addresses.
    pub rules: Vec<Rule>,
    /// Let the kernel promote secondary addresses when the first of a network is removed.
    pub promote_secondaries: bool,
    /// The router owns them: those that were there before us stay when we go.
    pub owner: bool,
    /// Gap between announcements on one interface; zero for none.
    pub garp_interval: Duration,
    /// What is sent to its addresses is dropped.
    pub drops: bool,
    /// Interfaces it needs to hear of beside those of its addresses.
    pub tracked: Vec<String>,
}

/// What is the host's own.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    /// Set now, kept, and removed when the agent ends.
    pub statics: Statics,
    /// Routes that a predecessor recorded and nobody wants any more.
    pub stale_routes: Vec<Route>,
    /// Rules of that kind.
    pub stale_rules: Vec<Rule>,
}

/// What the kernel thread found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An interface that routers use is now like this; `None` when it does not exist.
    Interface {
        /// Its name.
        name: String,
        /// How it is.
        now: Option<InterfaceNow>,
    },
    /// Answer to the first [`Order::Define`] of a router; its interfaces were reported before.
    Defined {
        /// Which router.
        id: RouterId,
        /// Some of its addresses are in place already.
        adopted: bool,
    },
    /// Whether all interfaces that carry addresses of the router (other than its own) can do so.
    AddressInterfaces {
        /// Which router.
        id: RouterId,
        /// They can.
        usable: bool,
    },
    /// Every address that could be put in place is, and has been announced once. Where a gap between
    /// announcements is configured, the first one stands for all: they can take longer than anybody
    /// waits. A router without addresses has claimed them at once.
    Claimed {
        /// Which router.
        id: RouterId,
        /// The claim's number.
        claim: u64,
        /// When the announcements had left.
        at: Instant,
    },
    /// None of the addresses could be put in place.
    Refused {
        /// Which router.
        id: RouterId,
        /// The claim's number.
        claim: u64,
    },
    /// Nothing is left to do.
    Finished,
}

/// An interface as routers need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceNow {
    /// The kernel's number.
    pub index: u32,
    /// It is up and has a carrier.
    pub running: bool,
    /// Its first IPv4 address that is not virtual.
    pub source: Option<Ipv4Addr>,
}

/// An address that a predecessor recorded as its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// Interface it was put on.
    pub interface: String,
    /// The address.
    pub ip: Ipv4Addr,
    /// Its prefix length.
    pub prefix_len: u8,
}

impl Leftover {
    /// Whether it is still there as this one, with our mark.
    pub fn is_at(&self, address: &AddressEntry) -> bool {
        address.ip == self.ip
            && address.prefix_len == self.prefix_len
            && address.protocol == PROTOCOL_MARK
            && address.label.split(':').next() == Some(&self.interface)
    }
}

/// Starts the thread in the network namespace of the caller.
///
/// # Errors
/// What the kernel refused: usually the privilege to use raw or netlink sockets.
pub fn spawn(
    orders: Receiver<Order>,
    reports: Sender<Report>,
    events: EventSender,
    leftovers: Vec<Leftover>,
    filter: FilterSettings,
) -> Result<JoinHandle<()>, NetError> {
    let hands = hands::Hands::new(orders, reports, events, leftovers, filter)?;
    std::thread::Builder::new()
        .name("hacluster-net".into())
        .spawn(move || hands.run())
        .map_err(|error| NetError::from_io("start the kernel thread", &error))
}
