//! What the thread did, counted, and told to the stories that wanted it.

use super::{Hands, Kernel};
use crate::event::{Event, EventSender};
use crate::fact::Fact;
use crate::story::{Balanced, Task};
use crate::tally::Count;
use hacluster_core::time::Instant;
use hacluster_net::{NetError, clock};
use std::sync::Arc;

/// What was asked of the kernel since the agent began to balance.
#[derive(Debug, Default)]
pub struct Counts {
    /// Changes that it took.
    pub sent: Count,
    /// Changes that it refused, or that were not answered.
    pub refused: Count,
    /// How often something that others did was mended.
    pub mended: Count,
    /// How often it did not answer a look as it should.
    pub lost: Count,
}

impl Counts {
    pub(super) fn came<T>(&self, result: &Result<T, NetError>) {
        if result.is_ok() { self.sent.add_one() } else { self.refused.add_one() }
    }
}

/// Tells that nothing of `task` was left to be done in the kernel.
pub(in crate::lvs) fn done_nothing(events: &EventSender, task: Task) {
    let now = clock::now();
    tell(events, task, (now, now), (0, 0), String::new());
}

fn tell(
    events: &EventSender,
    task: Task,
    (begun, ended): (Instant, Instant),
    (sent, refused): (u64, u64),
    absent: String,
) {
    let trail = task.trail;
    let done = Balanced { task, begun, ended, sent, refused, absent };
    events.send_or_drop(Event::now(None, Fact::Balanced(Arc::new(done))).on(trail));
}

impl<K: Kernel, O: FnMut() -> Result<K, NetError>> Hands<K, O> {
    /// Does `work`, and tells what came of it to all `tasks` that it was done for.
    pub(super) fn do_for(&mut self, tasks: Vec<Task>, work: impl FnOnce(&mut Self)) {
        let count = |counts: &Counts| (counts.sent.get(), counts.refused.get());
        let (begun, before) = (clock::now(), count(&self.counts));
        work(self);
        let (ended, after) = (clock::now(), count(&self.counts));
        let done = (after.0 - before.0, after.1 - before.1);
        for task in tasks {
            let absent = self.picture.load().absent.as_deref().unwrap_or_default().to_owned();
            tell(&self.events, task, (begun, ended), done, absent);
        }
    }
}
