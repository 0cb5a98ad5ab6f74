//! Everything that happened, for checks, for people and for comparing two runs.

use hacluster_core::machine::{Action, Input, State};
use hacluster_core::receive::DiscardKind;
use hacluster_core::time::Instant;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// What an injected packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Random bytes.
    Noise,
    /// An advert of priority 255, damaged.
    BadChecksum,
    /// An advert of priority 255 that was routed.
    BadTtl,
    /// An advert of priority 255 cut short.
    Cut,
    /// An advert of priority 255 with another password or authentication type.
    WrongAuth,
    /// An advert of priority 255 with another interval.
    WrongInterval,
    /// The node's own advert, reflected: valid, but nobody else's.
    Reflection,
}

/// What a router was confronted with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stimulus {
    /// The machine got this.
    Told(Input),
    /// The packet was dropped before it.
    Discarded(DiscardKind),
}

/// One thing that happened.
#[expect(clippy::large_enum_variant, reason = "most records are of the large one")]
#[derive(Clone, Debug)]
pub enum What {
    /// A router was confronted with something.
    Met {
        /// With what.
        stimulus: Stimulus,
        /// The moment the machine was told; in the past when the process got no time.
        stamp: Instant,
        /// Set when it came from an injected packet.
        injected: Option<Garbage>,
        /// The machine before.
        before: State,
        /// The machine after.
        after: State,
        /// What it asked for.
        actions: Vec<Action>,
    },
    /// An advert left with this priority.
    Sent(u8),
    /// The kernel confirmed or refused addresses.
    Claimed {
        /// They are in place.
        granted: bool,
    },
    /// The kernel took the addresses away.
    Released,
    /// Addresses were announced.
    Announced {
        /// The kernel had them in place.
        held: bool,
        /// The router ruled, or prepared to.
        entitled: bool,
    },
    /// The world changed.
    World(String),
}

/// When and where it happened.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// On which node; `None` for the world.
    pub node: Option<usize>,
    /// To which virtual router, as an index.
    pub vr: Option<usize>,
    /// What.
    pub what: What,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.as_micros();
        write!(f, "{:>4}.{:06} ", micros / 1_000_000, micros % 1_000_000)?;
        let place = |index: Option<usize>| index.map_or("-".to_owned(), |index| index.to_string());
        write!(f, "node {} vr {}  ", place(self.node), place(self.vr))?;
        match &self.what {
            What::Met { stimulus, injected, before, after, actions, .. } => {
                write!(f, "{stimulus:?}")?;
                if let Some(garbage) = injected {
                    write!(f, " (injected: {garbage:?})")?;
                }
                let changed = before != after;
                write!(f, "\n             {}{after:?}", if changed { "-> " } else { "= " })?;
                if !actions.is_empty() {
                    write!(f, "\n             owes {actions:?}")?;
                }
                Ok(())
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// A number that differs when two traces differ.
pub fn fingerprint(records: &[Record]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for record in records {
        hasher.write(record.to_string().as_bytes());
    }
    hasher.finish()
}
