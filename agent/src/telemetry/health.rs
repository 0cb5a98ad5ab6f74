//! What became of what collectors were to be told, for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

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

/// Numbers of one signal since the agent started.
#[derive(Debug, Default)]
pub struct Tale {
    /// Taken by the collector.
    pub exported: AtomicU64,
    /// Given up: the queue was full, or the collector did not take them in time.
    pub dropped: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
}

/// Everything known of telemetry itself.
#[derive(Debug, Default)]
pub struct Health {
    tales: [Tale; Signal::ALL.len()],
    /// Events that did not fit into the queue before all this.
    pub events_dropped: AtomicU64,
    error: Mutex<String>,
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

    /// Why the collector is not told now; empty when it is, or there is none.
    pub fn error(&self) -> String {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_error(&self, error: &str) {
        error.clone_into(&mut self.error.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
