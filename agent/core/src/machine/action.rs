//! What the machine asks for.

use super::reason::Reason;
use super::state::StateKind;
use crate::priority::Priority;
use core::net::Ipv4Addr;

/// Something the shell has to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action {
    /// Send one advert with this priority.
    Advertise(Priority),
    /// Put the addresses in place and announce each as soon as the kernel has confirmed it, this
    /// many rounds. Comes back as [`Input::Claimed`](super::Input::Claimed) after the first round or
    /// as [`Input::ClaimRefused`](super::Input::ClaimRefused).
    Claim {
        /// Rounds over all addresses.
        rounds: u32,
    },
    /// Announce the addresses that are in place.
    Announce {
        /// Rounds over all addresses.
        rounds: u32,
    },
    /// Take the addresses away.
    Release,
    /// The state changed: tell everybody who listens.
    Transition(Transition),
    /// Worth a line in the log.
    Note(Note),
}

/// A change of state and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transition {
    /// The state left.
    pub from: StateKind,
    /// The state entered.
    pub to: StateKind,
    /// Why.
    pub reason: Reason,
}

/// Something odd that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Note {
    /// Another node advertises from our own address, or the network reflects our packets.
    DuplicateAddress(Ipv4Addr),
    /// Adverts left later than a whole interval after their time: the machine was not served.
    AdvertsMissed(u32),
    /// Another master of lower priority was heard and answered.
    RivalHeard(crate::receive::Heard),
    /// The takeover from this node was given up: the kernel was too slow. Nothing is claimed.
    TakeOverTooSlow(Ipv4Addr),
    /// The takeover from this node was given up: the kernel refused. Nothing is claimed.
    TakeOverRefused(Ipv4Addr),
}
