//! Whether a thread still does its work: it is asked, and answers between two pieces of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A question to a thread. Asked and answered without waiting.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// By the thread: it is alive.
    pub fn answer(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has answered.
    pub fn is_answered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
