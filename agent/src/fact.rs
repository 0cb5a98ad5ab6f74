//! What a status needs to know and no log line says.
//!
//! Facts travel in the same queue as what happened, so they are in order. Each is the whole truth
//! about its part, not a difference: whoever missed some is healed by the next one of the kind, and
//! a retelling ([`Fact::Retelling`] .. [`Fact::Retold`]) brings them all.

use crate::in_force::InForce;
use crate::notify::LastHook;
use crate::orders::Orders;
use crate::story::{Balanced, Claim, Mailed, Release, Said, Step};
use crate::tally::Tally;
use crate::watch::{Tracked, Verdict, View};
use hacluster_conf::model::{Address, Authentication, Preemption, VirtualRouter};
use hacluster_core::interval::Seconds;
use hacluster_core::machine::{Faults, StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::receive::Heard;
use hacluster_core::time::{Duration, Instant};
use sha2::{Digest, Sha256};
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
    /// What is tracked does this to it; told by the protocol thread.
    Tracked(Arc<Tracked>),
    /// A link that routers track changed; told by the protocol thread. Of everything else that is tracked
    /// a line tells.
    Verdict(Arc<Verdict>),
    /// The sync group it belongs to, and how that stands; told by the protocol thread.
    Group(Option<Arc<GroupNow>>),
    /// Everything that is watched on this node.
    Trackers(Arc<[View]>),
    /// A hook ended; where it told of a router, the latest of that.
    Notified(Arc<LastHook>),
    /// It exists no more.
    Removed,
    /// Its addresses are in place and announced; told by the kernel thread, once for each claim, and where
    /// it succeeded before all were announced once more, with what came since.
    Claimed(Arc<Claim>),
    /// Its addresses are gone; told by the kernel thread.
    Released(Release),
    /// The advert that tells a change of state has left; told by the protocol thread.
    Said(Said),
    /// Mail came to an end; told by the notifying thread.
    Mailed(Arc<Mailed>),
    /// Something about IPVS is done; told by the thread that talks to it.
    Balanced(Arc<Balanced>),
    /// Something between nodes has ended; told by the coordinator.
    Step(Arc<Step>),
    /// What the coordinator knows of the router, or of the node when there is none, changed: whoever
    /// shows it asks the coordinator.
    Ordered,
}

/// What a router was told to be, as far as a status shows it.
#[derive(Debug)]
pub struct Setup {
    /// Base priority.
    pub priority: Priority,
    /// Time between adverts.
    pub interval: Seconds,
    /// It takes over from a lower priority at once.
    pub preempts: bool,
    /// Advertised and excluded addresses, in this order.
    pub addresses: Vec<SetupAddress>,
    /// Routes, then rules.
    pub routes: Vec<String>,
    /// See [`agreement`].
    pub agreement: String,
    /// Why packets to its addresses are dropped; `None` when they are served.
    pub filtered: Option<&'static str>,
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
            preempts: configured.preemption == Preemption::After(Duration::ZERO),
            addresses: advertised.chain(excluded).collect(),
            routes: configured
                .routes
                .iter()
                .map(|route| format!("route {route}"))
                .chain(configured.rules.iter().map(|rule| format!("rule {rule}")))
                .collect(),
            agreement: agreement(configured),
            filtered: configured.filtered_because(),
            tally,
        }
    }
}

/// Fingerprint, in hex, of what all nodes of a virtual router must agree on: VRID, interval, kind of
/// authentication, advertised addresses in any order. No password goes into it.
pub fn agreement(router: &VirtualRouter) -> String {
    let mut addresses: Vec<_> = router.addresses.iter().map(|address| address.ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let authentication = match router.authentication {
        Authentication::None => "none",
        Authentication::Pass(_) => "pass",
    };
    let interval = router.advert_interval.duration().as_micros();
    let text = format!("vrrp2 {} {interval} us {authentication} {addresses:?}", router.vrid);
    let hash = Sha256::digest(text);
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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
    /// Orders in force; of a lead only as long as it rules with it.
    pub orders: Orders,
}

impl Standing {
    /// Whether `self` differs from `other` in more than the master that is followed.
    pub fn differs_beyond_master(&self, other: &Self) -> bool {
        Self { master: other.master, ..*self } != *other
    }
}

/// How a sync group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNow {
    /// As configured, unique.
    pub name: Arc<str>,
    /// Its state.
    pub state: StateKind,
    /// For whom it waits, when it could rule but for that member, or is in Fault.
    pub waits: Option<Waits>,
}

/// Which member keeps a sync group from ruling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Name of the virtual router; empty when it is no member's fault.
    pub router: String,
    /// Why, in words.
    pub text: String,
}

/// Which addresses of a router the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// One per address of [`Setup::addresses`], in that order.
    pub present: Vec<bool>,
    /// One per line of [`Setup::routes`], in that order.
    pub routes: Vec<bool>,
    /// How often addresses that others removed were put back.
    pub restorations: u64,
    /// They are served although that is not wanted: the packet filter is not in force.
    pub served: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::tests::router;
    use hacluster_core::vrid::Vrid;
    use std::net::Ipv4Addr;

    #[test]
    fn nodes_agree_whatever_the_order_priority_and_password() {
        let one = router(Priority::DEFAULT);
        let mut other = one.clone();
        other.priority = Priority::OWNER;
        other.authentication = Authentication::Pass(*b"changed\0");
        other.addresses.reverse();
        assert_eq!(agreement(&one), agreement(&other));
        assert_eq!(agreement(&one).len(), 32);
    }

    #[test]
    fn nodes_disagree_over_what_stands_in_the_adverts() {
        let one = router(Priority::DEFAULT);
        let changes: [fn(&mut VirtualRouter); 4] = [
            |router| router.vrid = Vrid::new(2).unwrap(),
            |router| router.advert_interval = Seconds::new(7).unwrap(),
            |router| router.authentication = Authentication::None,
            |router| router.addresses.push(Address::new(Ipv4Addr::new(192, 0, 2, 99), 24)),
        ];
        for change in changes {
            let mut other = one.clone();
            change(&mut other);
            assert_ne!(agreement(&one), agreement(&other));
        }
    }
}
