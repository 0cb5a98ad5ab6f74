//! When the views that a status shows are made anew.

use super::desk::Desk;
use super::looks::Looks;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Results that changed nothing are shown so soon: a virtual server of thousands has some every millisecond.
const SHOWN: Duration = Duration::from_millis(500);
/// Making views is followed by so many times its own length without it.
const REST: u32 = 50;

impl<L: Looks> Desk<L> {
    /// Makes the views of these services anew, and of those that are out of date when it is time.
    pub(super) fn show_what_changed(&mut self, settled: Vec<usize>) {
        settled.into_iter().for_each(|number| self.show(number));
        if self.stale.is_empty() || Instant::now() < self.show_at {
            return;
        }
        let begun = Instant::now();
        std::mem::take(&mut self.stale).into_iter().for_each(|number| self.show(number));
        self.show_at = Instant::now() + SHOWN.max(begun.elapsed() * REST);
    }

    fn show(&mut self, number: usize) {
        self.stale.remove(&number);
        if let (Some(live), Some(slot)) = (self.services.get(number), self.views.get(number)) {
            slot.store(Arc::new(self.view_of(live)));
        }
    }
}
