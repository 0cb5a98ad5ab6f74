//! Where the teller writes and the API reads: the chronicle behind a lock, and its subscribers.
//!
//! Only the teller and the API come here, never the protocol or the kernel thread: whoever holds
//! the lock can hold up the log at worst.

use crate::chronicle::{Change, Chronicle, Moment};
use crate::event::Event;
use crate::history::History;
use crate::telemetry::Health;
use hacluster_net::clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Changes kept for a subscriber who is busy. Who falls further behind starts again with a snapshot.
const CHANGES: usize = 256;

/// The chronicle and who wants to hear of changes.
#[derive(Debug)]
pub struct Board {
    chronicle: Mutex<Chronicle>,
    changes: broadcast::Sender<Change>,
    history: Option<History>,
    telemetry: Arc<Health>,
}

impl Board {
    /// Begins with `chronicle`.
    pub fn new(chronicle: Chronicle) -> Self {
        Self {
            chronicle: Mutex::new(chronicle),
            changes: broadcast::Sender::new(CHANGES),
            history: None,
            telemetry: Arc::default(),
        }
    }

    /// What became of what collectors were to be told.
    pub fn telemetry(&self) -> &Arc<Health> {
        &self.telemetry
    }

    /// With changes of state kept in `history`, too.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Changes of state, also of before the last start.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Writes down what happened and tells the subscribers.
    pub fn write(&self, event: &Event) {
        let now = Moment { wall: SystemTime::now(), monotonic: clock::now() };
        if let Some(history) = &self.history {
            history.take(event, now);
        }
        let mut chronicle = self.read();
        if let Some(change) = chronicle.fold(event, now) {
            // Nobody subscribed: nothing to tell. Told under the lock, so that a snapshot and the
            // changes after it have neither gap nor overlap.
            let _ = self.changes.send(change);
        }
    }

    /// The chronicle; do not keep it while waiting.
    pub fn read(&self) -> MutexGuard<'_, Chronicle> {
        self.chronicle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes from now on, together with the chronicle they follow.
    pub fn subscribe(&self) -> (MutexGuard<'_, Chronicle>, broadcast::Receiver<Change>) {
        let chronicle = self.read();
        let changes = self.changes.subscribe();
        (chronicle, changes)
    }
}
