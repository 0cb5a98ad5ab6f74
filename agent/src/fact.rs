//! What a status needs to know and no log line says.
//!
//! Facts travel in the same queue as what happened, so they are in order. Each is the whole truth
//! about its part, not a difference: whoever missed some is healed by the next one of the kind, and
//! a retelling ([`Fact::Retelling`] .. [`Fact::Retold`]) brings them all.

use crate::in_force::InForce;
use crate::tally::Tally;
use hacluster_conf::model::{Address, VirtualRouter};
use hacluster_core::interval::Seconds;
use hacluster_core::machine::{Faults, StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::receive::Heard;
use hacluster_core::time::Instant;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Something that is so.
#[derive(Clone, Debug)]
pub enum Fact {
    /// This configuration is in force.
    InForce(Arc<InForce>),
    /// All routers are told anew from here on.
    Retelling,
    /// Those not told since are gone.
    Retold,
    /// The router exists and was told to be this.
    Configured(Arc<Setup>),
    /// Where it stands; told by the protocol thread.
    Standing(Standing),
    /// Which of its addresses are there; told by the kernel thread.
    Held(Held),
    /// It exists no more.
    Removed,
}

/// What a router was told to be, as far as a status shows it.
#[derive(Debug)]
pub struct Setup {
    /// Base priority.
    pub priority: Priority,
    /// Time between adverts.
    pub interval: Seconds,
    /// Advertised and excluded addresses, in this order.
    pub addresses: Vec<SetupAddress>,
    /// What it counts.
    pub tally: Arc<Tally>,
}

/// One configured address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupAddress {
    /// With prefix length.
    pub text: String,
    /// The interface that carries it.
    pub interface: String,
    /// It stands in the adverts.
    pub advertised: bool,
}

impl Setup {
    /// Of `configured`, counting in `tally`.
    pub fn of(configured: &VirtualRouter, tally: Arc<Tally>) -> Self {
        let address = |address: &Address, advertised| SetupAddress {
            text: address.to_string(),
            interface: address.dev.clone().unwrap_or_else(|| configured.interface.clone()),
            advertised,
        };
        let advertised = configured.addresses.iter().map(|written| address(written, true));
        let excluded = configured.excluded.iter().map(|written| address(written, false));
        Self {
            priority: configured.priority,
            interval: configured.advert_interval,
            addresses: advertised.chain(excluded).collect(),
            tally,
        }
    }
}

/// Where a router stands. Small and copied: telling it allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: StateKind,
    /// When it entered that state.
    pub entered: Instant,
    /// How, with the priority then; `None` before the first change.
    pub last: Option<(Transition, Priority)>,
    /// The priority in force.
    pub priority: Priority,
    /// Address its adverts come from; unspecified while there is none.
    pub source: Ipv4Addr,
    /// Whatever keeps it in Fault.
    pub faults: Faults,
    /// The master it follows.
    pub master: Option<Heard>,
}

impl Standing {
    /// Whether `self` differs from `other` in more than the master that is followed.
    pub fn differs_beyond_master(&self, other: &Self) -> bool {
        Self { master: other.master, ..*self } != *other
    }
}

/// Which addresses of a router the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// One per address of [`Setup::addresses`], in that order.
    pub present: Vec<bool>,
    /// How often addresses that others removed were put back.
    pub restorations: u64,
}
