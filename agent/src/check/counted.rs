//! What checks came to, counted.

use super::Outcome;
use crate::tally::{Count, Lateness};
use hacluster_conf::model::lvs::CheckKind;
use hacluster_core::time::Duration as Span;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A try that begins so much later than it should is late.
const LATE: Duration = Duration::from_millis(100);

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tries.
    pub tries: u64,
    /// Of those, how many began more than 100 ms later than they should.
    pub late: u64,
    /// The latest of all began so much later.
    pub latest: Duration,
}

/// The counters themselves; those of all checks of an agent.
#[derive(Debug, Default)]
pub struct Counted {
    /// By kind and result, as [`KINDS`](Self::KINDS) and [`RESULTS`](Self::RESULTS) name them.
    tries: [[Count; Self::RESULTS.len()]; Self::KINDS.len()],
    /// How late tries began.
    pub lateness: Lateness,
    late: AtomicU64,
    latest_micros: AtomicU64,
}

impl Counted {
    /// Kinds of checks that are tried.
    pub const KINDS: [&'static str; 8] = ["tcp", "http", "https", "smtp", "dns", "udp", "ping", "script"];
    /// What a try comes to; `untried` says that it failed on this node.
    pub const RESULTS: [&'static str; 3] = ["good", "bad", "untried"];

    /// A try began so late.
    pub(super) fn begins(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.lateness.add(Span::from_micros(micros));
        self.late.fetch_add(u64::from(late > LATE), Relaxed);
        self.latest_micros.fetch_max(micros, Relaxed);
    }

    /// It came to this.
    pub(super) fn ends(&self, kind: &CheckKind, outcome: &Outcome) {
        let result = if outcome.good { 0 } else { 1 + usize::from(outcome.ours) };
        if let Some(kind) = number(kind) {
            self.tries[kind][result].add_one();
        }
    }

    /// Tries by kind and result.
    pub fn tries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        Self::KINDS.iter().zip(&self.tries).flat_map(|(kind, results)| {
            Self::RESULTS.iter().zip(results).map(|(result, count)| (*kind, *result, count.get()))
        })
    }

    /// In three numbers.
    pub fn tally(&self) -> Tally {
        Tally {
            tries: self.lateness.get().iter().map(|bucket| bucket.count).sum(),
            late: self.late.load(Relaxed),
            latest: Duration::from_micros(self.latest_micros.load(Relaxed)),
        }
    }
}

/// Position among [`Counted::KINDS`]; files are watched, not tried.
fn number(kind: &CheckKind) -> Option<usize> {
    match kind {
        CheckKind::Tcp => Some(0),
        CheckKind::Http(http) => Some(1 + usize::from(http.tls)),
        CheckKind::Smtp { .. } => Some(3),
        CheckKind::Dns { .. } => Some(4),
        CheckKind::Udp(_) => Some(5),
        CheckKind::Ping => Some(6),
        CheckKind::Misc { .. } => Some(7),
        CheckKind::File { .. } => None,
    }
}
