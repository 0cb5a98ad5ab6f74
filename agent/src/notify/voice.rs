//! How notifications speak of themselves: events, and plain log lines once nobody takes events.

use super::subject::Change;
use crate::event::{Event, EventSender, Identity, What};
use crate::fact::Fact;
use crate::log;
use crate::script::Outcome;
use crate::story::{Mailed, Trail};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A run of a hook; the latest of a router is in its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastHook {
    /// The keyword that names it: `notify_master`.
    pub hook: &'static str,
    /// What was told: `MASTER`.
    pub state: String,
    /// When it ended.
    pub at: SystemTime,
    /// From its start to its end.
    pub took: Duration,
    /// Whether it exited with 0.
    pub success: bool,
    /// Exit, output and duration, for people.
    pub text: String,
}

/// Speaks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    events: EventSender,
    /// The teller is gone: say it to the log directly, and to whom else it told.
    alone: Arc<OnceLock<Listener>>,
}

/// Who hears what is said without a teller; must not wait.
pub(super) struct Listener(pub(super) Box<dyn Fn(&Event) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Voice {
    pub(super) fn new(events: EventSender) -> Self {
        Self { events, alone: Arc::default() }
    }

    /// From now on nobody takes events but the log and `listener`.
    pub(super) fn speak_alone(&self, listener: Listener) {
        let _ = self.alone.set(listener);
    }

    /// Something was done.
    pub(super) fn done(&self, router: Option<Arc<Identity>>, text: String) {
        self.say(Event::now(router, What::Notified { warning: false, text }));
    }

    /// Something failed.
    pub(super) fn trouble(&self, router: Option<Arc<Identity>>, text: String) {
        self.say(Event::now(router, What::Notified { warning: true, text }));
    }

    /// A hook ended.
    pub(super) fn result(&self, change: &Change, hook: &'static str, outcome: &Outcome, text: String) {
        let (router, success) = (change.router.clone(), outcome.is_success());
        let last = LastHook {
            hook,
            state: change.word.to_string(),
            at: SystemTime::now(),
            took: outcome.took,
            success,
            text: super::hooks::told(outcome),
        };
        self.say(Event::now(router.clone(), Fact::Notified(Arc::new(last))).on(change.trail));
        self.say(Event::now(router, What::Notified { warning: !success, text }).on(change.trail));
    }

    /// Mail came to an end.
    pub(super) fn mailed(&self, trail: Option<Trail>, mailed: Mailed) {
        self.say(Event::now(None, Fact::Mailed(Arc::new(mailed))).on(trail));
    }

    fn say(&self, event: Event) {
        let Some(listener) = self.alone.get() else { return self.events.send_or_drop(event) };
        log::write(&event);
        (listener.0)(&event);
    }
}

/// Lets something be said once a minute, however often it happens.
#[derive(Debug, Default)]
pub(super) struct Sparing {
    last: Option<Instant>,
    unsaid: u64,
}

impl Sparing {
    const INTERVAL: Duration = Duration::from_secs(60);

    /// It happened `times`; returns how often since it was last said, when it is due again.
    pub(super) fn count(&mut self, times: u64) -> Option<u64> {
        self.unsaid += times;
        let due = self.unsaid > 0 && self.last.is_none_or(|last| last.elapsed() >= Self::INTERVAL);
        if !due {
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.unsaid))
    }

    /// Whether something is still to be said.
    pub(super) fn owes(&self) -> bool {
        self.unsaid > 0
    }
}
