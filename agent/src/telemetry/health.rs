//! What became of what collectors were to be told, for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// One kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Collections of all metrics.
    Metrics,
    /// Log lines.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As metrics and log lines name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Whether something works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Since when it does, or does not; `None` before the first attempt.
    pub since: Option<SystemTime>,
    /// Why it does not; empty when it does.
    pub error: String,
}

impl Standing {
    fn becomes(&mut self, error: &str) {
        if self.since.is_none() || self.error.is_empty() != error.is_empty() {
            self.since = Some(SystemTime::now());
        }
        error.clone_into(&mut self.error);
    }
}

/// One signal since the agent started.
#[derive(Debug, Default)]
pub struct Tale {
    /// Taken by the collector.
    pub exported: AtomicU64,
    /// Given up: the queue was full, or the collector did not take them in time.
    pub dropped: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    standing: Mutex<Standing>,
}

impl Tale {
    /// Whether the collector takes it.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Everything known of telemetry itself.
#[derive(Debug, Default)]
pub struct Health {
    tales: [Tale; Signal::ALL.len()],
    /// Events that did not fit into the queue before all this.
    pub events_dropped: AtomicU64,
    page: Mutex<Standing>,
}

impl Health {
    /// Of one signal.
    pub fn of(&self, signal: Signal) -> &Tale {
        &self.tales[signal as usize]
    }

    /// What was given up of all signals, and events that nothing was made of.
    pub fn dropped(&self) -> u64 {
        let tales = self.tales.iter().map(|tale| tale.dropped.load(Relaxed));
        tales.sum::<u64>() + self.events_dropped.load(Relaxed)
    }

    /// What was taken of all signals.
    pub fn exported(&self) -> u64 {
        self.tales.iter().map(|tale| tale.exported.load(Relaxed)).sum()
    }

    /// Whether the Prometheus page is open.
    pub fn page(&self) -> Standing {
        self.page.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An attempt came to `error`, which is empty for one that worked; `None` stands for the page.
    pub(super) fn tried(&self, what: Option<Signal>, error: &str) {
        let standing = what.map_or(&self.page, |signal| &self.of(signal).standing);
        standing.lock().unwrap_or_else(PoisonError::into_inner).becomes(error);
    }

    /// Other settings are in force: nothing was tried with them.
    pub(super) fn begin(&self) {
        let standings = self.tales.iter().map(|tale| &tale.standing).chain([&self.page]);
        for standing in standings {
            *standing.lock().unwrap_or_else(PoisonError::into_inner) = Standing::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_stands_for_itself_since_it_changed() {
        let health = Health::default();
        let of = |signal| health.of(signal).standing();
        assert_eq!(of(Signal::Traces), Standing::default(), "nothing was tried");
        health.tried(Some(Signal::Traces), "refused");
        let since = of(Signal::Traces).since.unwrap();
        health.tried(Some(Signal::Traces), "timeout");
        assert_eq!(of(Signal::Traces), Standing { since: Some(since), error: "timeout".into() });
        health.tried(Some(Signal::Logs), "");
        assert_eq!((of(Signal::Logs).error, of(Signal::Traces).error), ("".into(), "timeout".into()));
        health.tried(Some(Signal::Traces), "");
        assert!(of(Signal::Traces).since.unwrap() >= since && of(Signal::Traces).error.is_empty());
        health.tried(None, "address in use");
        assert_eq!(health.page().error, "address in use");
        health.begin();
        assert_eq!((health.page(), of(Signal::Logs)), Default::default());
    }
}
