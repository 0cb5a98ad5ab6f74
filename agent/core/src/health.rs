//! What the results of a check say of a server, and when it is looked at again.
//!
//! ```text
//!            good                                    good
//!   Unknown ------> Good --. bad, more than `retry`   |
//!      |             ^      `------------------> Bad -'
//!      `---- bad, more than `retry` in a row ----^
//!
//!   good or bad:     one `delay_loop` after the last look began
//!   bad, may retry:  `delay_before_retry` after it ended
//! ```
//!
//! keepalived's rules: retries are for servers that count as up, one good result is enough to come
//! back, and a server nobody has looked at yet counts as up unless `alpha` says otherwise.

use crate::time::{Duration, Instant};

/// When a check is done, and what its results count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the beginning of one look to the beginning of the next, above zero.
    pub delay_loop: Duration,
    /// Failures in a row that are tried again before they count.
    pub retry: u32,
    /// From the end of a failure that does not count yet to the next try.
    pub delay_before_retry: Duration,
    /// It counts as down until its first good result.
    pub alpha: bool,
    /// While it is down the next look comes `delay_before_retry` after the last, not a whole round later.
    pub fast_recovery: bool,
}

/// What is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No result has counted yet.
    #[default]
    Unknown,
    /// The latest that counts was good.
    Good,
    /// Too many failures in a row.
    Bad,
}

/// What a result did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The verdict is another one now.
    pub changed: bool,
    /// Failures that may still follow before they count; `None` when the result counted.
    pub retries_left: Option<u32>,
}

/// One check of one target: results in, verdict and the next moment out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checker {
    pace: Pace,
    verdict: Verdict,
    /// Failures in a row that have not counted yet.
    failures: u32,
    due: Instant,
    resting: bool,
}

impl Checker {
    /// Nothing was tried yet; the first look is due at `first`.
    pub const fn new(pace: Pace, first: Instant) -> Self {
        Self { pace, verdict: Verdict::Unknown, failures: 0, due: first, resting: false }
    }

    /// As [`Self::new`], with a verdict from before, as a successor finds it.
    pub const fn resumed(pace: Pace, verdict: Verdict, first: Instant) -> Self {
        Self { pace, verdict, failures: 0, due: first, resting: false }
    }

    /// What is known now.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the server counts as up as far as this check goes.
    pub const fn is_up(&self) -> bool {
        match self.verdict {
            Verdict::Unknown => !self.pace.alpha,
            Verdict::Good => true,
            Verdict::Bad => false,
        }
    }

    /// Failures in a row that have not counted yet.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// When to look next; `None` while it rests.
    pub const fn due(&self) -> Option<Instant> {
        if self.resting { None } else { Some(self.due) }
    }

    /// Takes the result of a look that began at `began` and ended at `now`.
    pub fn take(&mut self, good: bool, began: Instant, now: Instant) -> Step {
        let round = (began + self.pace.delay_loop).max(now);
        if good {
            (self.failures, self.due) = (0, round);
            return Step { changed: self.settle(Verdict::Good), retries_left: None };
        }
        if self.is_up() && self.failures < self.pace.retry {
            self.failures += 1;
            self.due = now + self.pace.delay_before_retry;
            return Step { changed: false, retries_left: Some(self.pace.retry - self.failures) };
        }
        self.failures = 0;
        let soon = now + self.pace.delay_before_retry;
        self.due = if self.pace.fast_recovery { soon.min(round) } else { round };
        Step { changed: self.settle(Verdict::Bad), retries_left: None }
    }

    fn settle(&mut self, verdict: Verdict) -> bool {
        core::mem::replace(&mut self.verdict, verdict) != verdict
    }

    /// Goes on with another pace. What is known stays, and who counts as up or down goes on to, whatever
    /// `alpha` says now; the next look is not put off by it.
    pub fn change(&mut self, pace: Pace, now: Instant) {
        if pace.alpha != self.pace.alpha && self.verdict == Verdict::Unknown {
            self.verdict = if self.is_up() { Verdict::Good } else { Verdict::Bad };
        }
        self.due = self.due.min(now + pace.delay_loop);
        self.failures = self.failures.min(pace.retry);
        self.pace = pace;
    }

    /// Stops looking; what is known stays.
    pub fn rest(&mut self) {
        self.resting = true;
        self.failures = 0;
    }

    /// Looks again, at `now`; no effect while it does not rest.
    pub fn wake(&mut self, now: Instant) {
        if self.resting {
            (self.resting, self.due) = (false, now);
        }
    }
}

#[cfg(test)]
mod tests;
