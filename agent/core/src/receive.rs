//! Whether a well-formed advert concerns us and is to be believed [RFC 3768 section 7.1].
//!
//! A packet that fails here or in [`wire::v2::parse`](crate::wire::v2::parse) never reaches the
//! machine: it touches no timer and no counter but the one of its own [`Discard`].

use crate::wire::{Auth, v2::Advert, v2::ParseError};
use crate::{interval::Seconds, priority::Priority};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// What a virtual router expects of its neighbours' adverts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Group our adverts go to; theirs must come by it too.
    pub group: Ipv4Addr,
    /// All nodes of a VRRPv2 virtual router agree on it.
    pub interval: Seconds,
    /// All nodes of a virtual router agree on it.
    pub auth: Auth,
    /// We are the address owner and listen to nobody.
    pub owner_ignores: bool,
    /// Our address list, sorted.
    addresses: Vec<Ipv4Addr>,
}

impl Expectation {
    /// What a virtual router with `addresses` expects.
    pub fn new(group: Ipv4Addr, interval: Seconds, auth: Auth, mut addresses: Vec<Ipv4Addr>) -> Self {
        addresses.sort_unstable();
        Self { group, interval, auth, owner_ignores: false, addresses }
    }

    /// Lists are compared as sets: RFC 3768 names no order.
    fn same_addresses(&self, advert: &Advert<'_>) -> bool {
        advert.addresses().len() == self.addresses.len()
            && advert.addresses().all(|address| self.addresses.binary_search(&address).is_ok())
    }
}

/// What the machine gets to hear of an accepted advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Heard {
    /// Who speaks.
    pub sender: Ipv4Addr,
    /// With which priority.
    pub priority: Priority,
}

/// An accepted advert, and what about it deserves a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// For the machine.
    pub heard: Heard,
    /// The sender's address list is not ours: accepted as keepalived 2.4 does (2.2 drops it, and
    /// then both nodes are master), counted and logged.
    pub addresses_differ: bool,
}

/// Why a packet is dropped. Each kind has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// Not a VRRPv2 advert at all.
    #[error("malformed: {0}")]
    Malformed(#[from] ParseError),
    /// Sent to another group, or straight to us.
    #[error("sent to {0}, not to our multicast group")]
    Destination(Ipv4Addr),
    /// An authentication type we do not know.
    #[error("authentication type {0} is unknown")]
    AuthUnknown(u8),
    /// A known authentication type, but not ours.
    #[error("authentication type {theirs}, ours is {ours}")]
    AuthMismatch {
        /// The packet's.
        theirs: u8,
        /// Ours.
        ours: u8,
    },
    /// Another password.
    #[error("the password is not ours")]
    AuthFailure,
    /// Another interval: VRRPv2 nodes that disagree would both become master.
    #[error("advertisement interval {theirs} s, ours is {ours} s")]
    Interval {
        /// The packet's, in seconds.
        theirs: u8,
        /// Ours, in seconds.
        ours: u8,
    },
    /// We own the addresses and were told to listen to nobody.
    #[error("we are the address owner")]
    Owner,
}

/// The kinds of [`Discard`], as indices of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(missing_docs)] // the names are those of `Discard` and `ParseError`
pub enum DiscardKind {
    Ip,
    Ttl,
    Length,
    Version,
    Type,
    Checksum,
    Vrid,
    Destination,
    AuthUnknown,
    AuthMismatch,
    AuthFailure,
    Interval,
    Owner,
}

impl DiscardKind {
    /// Number of kinds.
    pub const COUNT: usize = Self::Owner as usize + 1;

    /// Names for programs, by index.
    pub const NAMES: [&str; Self::COUNT] = [
        "ip",
        "ttl",
        "length",
        "version",
        "type",
        "checksum",
        "vrid",
        "destination",
        "auth_unknown",
        "auth_mismatch",
        "auth_failure",
        "interval",
        "owner",
    ];
}

impl Discard {
    /// Which counter it belongs to.
    pub const fn kind(self) -> DiscardKind {
        match self {
            Self::Malformed(ParseError::Ip) => DiscardKind::Ip,
            Self::Malformed(ParseError::Ttl(_)) => DiscardKind::Ttl,
            Self::Malformed(ParseError::Length { .. }) => DiscardKind::Length,
            Self::Malformed(ParseError::Version(_)) => DiscardKind::Version,
            Self::Malformed(ParseError::Type(_)) => DiscardKind::Type,
            Self::Malformed(ParseError::Checksum) => DiscardKind::Checksum,
            Self::Malformed(ParseError::Vrid) => DiscardKind::Vrid,
            Self::Destination(_) => DiscardKind::Destination,
            Self::AuthUnknown(_) => DiscardKind::AuthUnknown,
            Self::AuthMismatch { .. } => DiscardKind::AuthMismatch,
            Self::AuthFailure => DiscardKind::AuthFailure,
            Self::Interval { .. } => DiscardKind::Interval,
            Self::Owner => DiscardKind::Owner,
        }
    }
}

/// Authentication types of RFC 2338: none, simple, IP authentication header.
const AUTH_TYPES_KNOWN: core::ops::RangeInclusive<u8> = 0..=2;

/// Decides about an advert for our VRID.
///
/// # Errors
/// The first reason to drop it.
pub fn check(advert: &Advert<'_>, expected: &Expectation) -> Result<Accepted, Discard> {
    if advert.destination != expected.group {
        return Err(Discard::Destination(advert.destination));
    }
    check_auth(advert, expected.auth)?;
    if advert.interval_secs != expected.interval.get() {
        return Err(Discard::Interval { theirs: advert.interval_secs, ours: expected.interval.get() });
    }
    if expected.owner_ignores {
        return Err(Discard::Owner);
    }
    let heard = Heard { sender: advert.source, priority: advert.priority };
    Ok(Accepted { heard, addresses_differ: !expected.same_addresses(advert) })
}

/// Data bytes are ignored when the type is 0: FRR and keepalived accept them too.
fn check_auth(advert: &Advert<'_>, ours: Auth) -> Result<(), Discard> {
    if !AUTH_TYPES_KNOWN.contains(&advert.auth_type) {
        return Err(Discard::AuthUnknown(advert.auth_type));
    }
    if advert.auth_type != ours.type_number() {
        return Err(Discard::AuthMismatch { theirs: advert.auth_type, ours: ours.type_number() });
    }
    match ours {
        Auth::None => Ok(()),
        Auth::Pass(password) if password == advert.auth_data => Ok(()),
        Auth::Pass(_) => Err(Discard::AuthFailure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{vrid::Vrid, wire::v2};
    use alloc::vec;

    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
    const VIPS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 1)];

    fn expected(auth: Auth) -> Expectation {
        Expectation::new(GROUP, Seconds::ONE, auth, VIPS.to_vec())
    }

    fn verdict(change: impl FnOnce(&mut v2::Outgoing), expected: &Expectation) -> Result<Accepted, Discard> {
        let mut sent = v2::Outgoing {
            source: Ipv4Addr::new(192, 0, 2, 9),
            destination: GROUP,
            vrid: Vrid::new(1).unwrap(),
            interval: Seconds::ONE,
            auth: expected.auth,
            addresses: VIPS.to_vec(),
        };
        change(&mut sent);
        let mut template = v2::Template::new(&sent);
        check(&v2::parse(template.with_priority(Priority::DEFAULT)).unwrap(), expected)
    }

    #[test]
    fn an_advert_of_a_neighbour_is_believed() {
        let accepted = verdict(|_| (), &expected(Auth::pass(b"1111"))).unwrap();
        assert_eq!(accepted.heard.sender, Ipv4Addr::new(192, 0, 2, 9));
        assert!(!accepted.addresses_differ);
    }

    #[test]
    fn address_lists_are_sets() {
        let none = expected(Auth::None);
        assert!(!verdict(|sent| sent.addresses.reverse(), &none).unwrap().addresses_differ);
        assert!(verdict(|sent| sent.addresses.truncate(1), &none).unwrap().addresses_differ);
        assert!(verdict(|sent| sent.addresses = vec![], &none).unwrap().addresses_differ);
    }

    #[test]
    fn who_disagrees_is_not_believed() {
        let pass = expected(Auth::pass(b"1111"));
        assert_eq!(verdict(|sent| sent.auth = Auth::pass(b"2222"), &pass), Err(Discard::AuthFailure));
        let mismatch = Err(Discard::AuthMismatch { theirs: 0, ours: 1 });
        assert_eq!(verdict(|sent| sent.auth = Auth::None, &pass), mismatch);
        let two = Seconds::new(2).unwrap();
        assert_eq!(verdict(|sent| sent.interval = two, &pass), Err(Discard::Interval { theirs: 2, ours: 1 }));
        let other = Ipv4Addr::new(224, 0, 0, 19);
        assert_eq!(verdict(|sent| sent.destination = other, &pass), Err(Discard::Destination(other)));
    }

    #[test]
    fn data_bytes_without_authentication_mean_nothing() {
        let mut packet = v2::Template::new(&v2::Outgoing {
            source: Ipv4Addr::new(192, 0, 2, 9),
            destination: GROUP,
            vrid: Vrid::new(1).unwrap(),
            interval: Seconds::ONE,
            auth: Auth::pass(b"noise"),
            addresses: VIPS.to_vec(),
        });
        let bytes = packet.with_priority(Priority::DEFAULT).to_vec();
        let advert = Advert { auth_type: 0, ..v2::parse(&bytes).unwrap() };
        assert!(check(&advert, &expected(Auth::None)).is_ok());
        let odd = Advert { auth_type: 3, ..advert };
        assert_eq!(check(&odd, &expected(Auth::None)), Err(Discard::AuthUnknown(3)));
    }

    #[test]
    fn an_owner_may_listen_to_nobody() {
        let owner = Expectation { owner_ignores: true, ..expected(Auth::None) };
        assert_eq!(verdict(|_| (), &owner), Err(Discard::Owner));
    }
}
