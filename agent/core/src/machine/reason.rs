//! Why a state changed, for people. Log, event, metric, trace and API all show this value.

use crate::receive::Heard;
use core::fmt;
use core::net::Ipv4Addr;

/// Why a transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// The router was started.
    Started,
    /// The router was started and owns the addresses.
    OwnerStarted,
    /// The router was told to stop.
    Stopped,
    /// A better master is there.
    Yielded(Heard),
    /// Who was to have it has taken over.
    GaveAway(Heard),
    /// The router was told to leave it to others.
    ResignedOnRequest,
    /// Another member of the sync group gave way.
    GroupYielded,
    /// Nobody better is there.
    TookOver(TakeoverCause),
    /// Something the router needs is missing.
    Fault(Fault),
    /// The last thing that was missing is back.
    Recovered(Fault),
}

/// Why a backup became master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TakeoverCause {
    /// No master was heard for the master-down interval.
    Silence,
    /// The known master fell silent.
    MasterSilent(Ipv4Addr),
    /// The master said that it leaves.
    Resigned(Ipv4Addr),
    /// The master's priority is lower than ours and we may preempt.
    LowerPriority(Heard),
    /// This master asked us to.
    HandedOver(Ipv4Addr),
}

/// What a router can lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fault {
    /// The interface does not exist.
    Interface,
    /// The interface is down or has no carrier.
    Link,
    /// The interface has no address that adverts could come from.
    Source,
    /// An interface that carries addresses of the router is missing or down.
    AddressInterface,
    /// The kernel refused the addresses.
    Claim,
    /// Something that is tracked failed.
    Tracked,
    /// Another member of the sync group cannot rule.
    Group,
}

impl Fault {
    /// All of them, most fundamental first.
    pub const ALL: [Self; 7] = [
        Self::Interface,
        Self::Link,
        Self::Source,
        Self::AddressInterface,
        Self::Claim,
        Self::Tracked,
        Self::Group,
    ];
}

/// A set of [`Fault`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u8);

impl Faults {
    /// Nothing is missing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `fault` is present.
    pub const fn contains(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// All present, most fundamental first.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.contains(*fault))
    }

    /// The most fundamental one.
    pub fn first(self) -> Option<Fault> {
        self.iter().next()
    }

    /// All but `fault`.
    pub fn without(mut self, fault: Fault) -> Self {
        self.remove(fault);
        self
    }

    pub(super) fn insert(&mut self, fault: Fault) {
        self.0 |= 1 << fault as u8;
    }

    pub(super) fn remove(&mut self, fault: Fault) {
        self.0 &= !(1 << fault as u8);
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "the interface does not exist",
            Self::Link => "the interface has no link",
            Self::Source => "the interface has no address to send from",
            Self::AddressInterface => "an interface that carries its addresses is missing or has no link",
            Self::Tracked => "something it tracks failed",
            Self::Group => "another member of its sync group cannot rule",
            Self::Claim => "the kernel refused its addresses",
        })
    }
}

impl fmt::Display for TakeoverCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("no master was heard"),
            Self::MasterSilent(master) => write!(f, "master {master} fell silent"),
            Self::Resigned(master) => write!(f, "master {master} resigned (priority 0)"),
            Self::LowerPriority(heard) => {
                write!(f, "master {} has the lower priority {}", heard.sender, heard.priority)
            }
            Self::HandedOver(master) => write!(f, "master {master} handed it over"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::OwnerStarted => f.write_str("started as address owner (priority 255)"),
            Self::Stopped => f.write_str("stopped on request"),
            Self::Yielded(heard) => {
                write!(f, "{} is master with priority {}", heard.sender, heard.priority)
            }
            Self::GaveAway(heard) => {
                write!(f, "handed over to {}, master with priority {}", heard.sender, heard.priority)
            }
            Self::ResignedOnRequest => f.write_str("resigned on request (priority 0)"),
            Self::GroupYielded => f.write_str("another member of its sync group gave way (priority 0)"),
            Self::TookOver(cause) => cause.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
            Self::Recovered(fault) => write!(f, "recovered, it was: {fault}"),
        }
    }
}
