//! Which story something belongs to, and its parts that make no log line.
//!
//! ```text
//!   haclusterctl -- traceparent --> agent A -- traceparent --> agent B
//!                                     |                          |
//!                             Command, Order (opaque)    Command, Order (opaque)
//!                                     `--------> Event.trail <---'
//! ```
//!
//! A [`Trail`] is trace and span of the W3C Trace Context. Whoever passes it on does not look into it:
//! protocol and kernel thread carry it from a command or a decision to the events that tell of it. It
//! exists whether or not anybody exports traces, so log, history and status always name the story.

use hacluster_core::priority::Priority;
use hacluster_core::time::Instant;
use hacluster_net::clock;
pub use hacluster_proto::trail::Trail;

/// Addresses put in place and announced for one claim, as the kernel thread saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When it was taken up.
    pub begun: Instant,
    /// In order; the last one stands for itself and all that did not fit.
    pub batches: Vec<Batch>,
    /// When the first and, for the first time, the last of its addresses was announced.
    pub announced: Option<(Instant, Instant)>,
    /// All addresses of the router.
    pub addresses: usize,
    /// All that are in place are announced. With a gap between announcements a claim succeeds before.
    pub whole: bool,
}

impl Claim {
    /// Batches that are told apart.
    pub const BATCHES_MAX: usize = 32;

    /// Begins now, for so many addresses.
    pub fn new(begun: Instant, addresses: usize) -> Self {
        Self { begun, batches: Vec::new(), announced: None, addresses, whole: false }
    }

    /// One more batch.
    pub fn add(&mut self, batch: Batch) {
        let full = self.batches.len() >= Self::BATCHES_MAX;
        match self.batches.last_mut().filter(|_| full) {
            Some(last) => {
                last.ended = batch.ended;
                last.added += batch.added;
                last.refused += batch.refused;
            }
            None => self.batches.push(batch),
        }
    }

    /// Another address was announced.
    pub fn announce(&mut self, at: Instant) {
        self.announced = Some((self.announced.map_or(at, |(first, _)| first), at));
    }
}

/// One request to the kernel with many addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// When it was sent.
    pub begun: Instant,
    /// When the kernel had answered all of it.
    pub ended: Instant,
    /// Addresses that are in place by it.
    pub added: usize,
    /// Addresses that the kernel refused.
    pub refused: usize,
}

/// Addresses removed because another one rules, or nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// When it was taken up.
    pub begun: Instant,
    /// How many went.
    pub removed: usize,
}

/// The advert that said a change of state has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The priority in it; 0 for a farewell.
    pub priority: Priority,
    /// When it was handed to the kernel: on a busy machine who hears it may act before this thread goes on.
    pub begun: Instant,
}

/// Something between nodes, or between an operator and a node, that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What: `operator.failover`, `peer.take_over`.
    pub name: &'static str,
    /// It was asked of us rather than by us.
    pub served: bool,
    /// When it began.
    pub begun: Instant,
    /// The node, or the person, at the other end.
    pub with: String,
    /// Where that node is, as configured: `host:port`.
    pub address: Option<String>,
    /// Its clock less ours, in nanoseconds, where that is known.
    pub clock_offset_nanos: Option<i64>,
    /// It did not come to what was wanted.
    pub failed: bool,
    /// What came of it, for people.
    pub text: String,
}

impl Step {
    /// Something that begins now, asked of or by the node or person `with`.
    pub fn begin(name: &'static str, with: impl Into<String>) -> Self {
        Self {
            name,
            served: false,
            begun: hacluster_net::clock::now(),
            with: with.into(),
            address: None,
            clock_offset_nanos: None,
            failed: false,
            text: String::new(),
        }
    }

    /// That was asked of us.
    #[must_use]
    pub fn served(self) -> Self {
        Self { served: true, address: None, ..self }
    }

    /// With what came of it.
    #[must_use]
    pub fn end(self, failed: bool, text: impl Into<String>) -> Self {
        Self { failed, text: text.into(), ..self }
    }
}

/// How a mail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A server took it.
    Sent,
    /// The server said that it will never take it.
    Refused,
    /// It did not fit among those that wait, or got too old.
    Dropped,
}

impl Delivery {
    /// All of them, with the names that metrics use.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Sent, "sent"), (Self::Refused, "refused"), (Self::Dropped, "dropped")];

    /// As metrics and spans have it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Mail that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailed {
    /// How.
    pub delivery: Delivery,
    /// How many mails.
    pub count: u64,
    /// Its subject; empty for several.
    pub subject: String,
    /// How many should get it.
    pub recipients: usize,
    /// When it began to wait.
    pub begun: Instant,
    /// Why it was not sent.
    pub text: String,
}

impl Mailed {
    /// So many that nobody will get.
    pub fn many(count: u64, why: &str) -> Self {
        let (subject, text) = (String::new(), why.to_owned());
        Self { delivery: Delivery::Dropped, count, subject, recipients: 0, begun: clock::now(), text }
    }
}

/// Something that was done for a virtual server or about IPVS, until the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balanced {
    /// What, and for whom.
    pub task: Task,
    /// When the kernel thread took it up; when it was decided, where nothing was left to be done.
    pub begun: Instant,
    /// When the kernel had answered.
    pub ended: Instant,
    /// Changes that the kernel took, of all that were sent together.
    pub sent: u64,
    /// Changes that it refused.
    pub refused: u64,
    /// Why the kernel could not be asked; empty when it was, or need not be.
    pub absent: String,
}

/// Something to be done about IPVS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The story it belongs to.
    pub trail: Trail,
    /// `lvs.change`, `lvs.wake`, `lvs.rest`, `lvs.order`, `ipvs.sync_daemon`.
    pub name: &'static str,
    /// Name of the virtual server, or what the daemon is.
    pub of: String,
    /// When that began which led to it.
    pub began: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_complete() {
        let mut claim = Claim::new(Instant::ZERO, 4_000);
        for number in 0..100 {
            let at = Instant::from_micros(number);
            claim.add(Batch { begun: at, ended: at, added: 40, refused: 0 });
        }
        assert_eq!(claim.batches.len(), Claim::BATCHES_MAX);
        assert_eq!(claim.batches.iter().map(|batch| batch.added).sum::<usize>(), 4_000);
        assert_eq!(claim.batches.last().unwrap().ended, Instant::from_micros(99));
    }
}
