//! Priority of a router within its virtual router [RFC 3768 section 5.3.4].

use core::fmt;

/// What an advert carries: 1 to 254, 255 for the address owner, 0 for "I am leaving".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Priority(u8);

impl Priority {
    /// Sent by a master that stops: a backup takes over after its skew time.
    pub const RESIGN: Self = Self(0);
    /// The router that owns the addresses as its own.
    pub const OWNER: Self = Self(255);
    /// What RFC 3768 and keepalived give a router that was not told otherwise.
    pub const DEFAULT: Self = Self(100);

    /// A priority as it stands in a packet, 0 included.
    pub const fn from_wire(number: u8) -> Self {
        Self(number)
    }

    /// A priority a router may be given: `None` for 0.
    pub const fn configured(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number itself.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether this is the address owner's priority.
    pub const fn is_owner(self) -> bool {
        self.0 == 255
    }

    /// Whether this says "I am leaving".
    pub const fn is_resign(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
