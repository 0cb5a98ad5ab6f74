//! Running processes, counted without a program that is started for it.
//!
//! ```text
//!   the kernel tells of every process     news -> census          listed every 10 s, in case
//!   it does not (another namespace)       ends of those that count at once, listed every 0.5 s
//! ```
//!
//! Contract: the same count in both ways; only how soon a new process is seen differs.

mod census;
mod news;

pub(super) use news::{Station, Subscription};

use super::desk::{Observation, Reporter};
use super::paced::duration;
use census::{Census, Ends};
use hacluster_conf::model::track::ProcessProbe;
use hacluster_core::track::Reading;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often processes are listed when nobody tells of them.
const LOOK: Duration = Duration::from_millis(500);
/// How often otherwise: a program may write itself another command line, which is not told.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a child of a wanted process has to become another program before it counts.
const SETTLE: Duration = Duration::from_millis(20);

/// Counts what `wanted` describes and tells whether the number is right.
pub(super) async fn watch(wanted: ProcessProbe, mut news: Subscription, to: Reporter) {
    let mut census = Census::new(wanted.clone());
    let ends = Ends::new();
    let mut verdict = Verdict::new(wanted);
    let mut list_at = Instant::now();
    let mut settled_at = None;
    loop {
        let now = Instant::now();
        let flows = news.flows();
        if list_at <= now {
            census.list(ends.as_ref().filter(|_| !flows));
            list_at = now + if flows { LOOK_AGAIN } else { LOOK };
        } else if settled_at.is_some_and(|at| at <= now) {
            census.look_at_newborn();
        }
        settled_at = census.has_newborn().then(|| settled_at.filter(|at| *at > now).unwrap_or(now + SETTLE));
        if let Some(observation) = verdict.judge(census.count(), now)
            && !to.tell(observation).await
        {
            return;
        }
        let next = [settled_at, verdict.due()].into_iter().flatten().fold(list_at, Instant::min);
        tokio::select! {
            () = sleep_until(next) => {}
            () = Ends::one(ends.as_ref()) => list_at = now,
            news = news.next() => if !census.learn(news) { list_at = now },
        }
    }
}

/// Whether the number is right, once it has been so for long enough.
struct Verdict {
    wanted: ProcessProbe,
    known: Reading,
    /// A change that has to last: what it would become, and when it counts.
    pending: Option<(Reading, Instant)>,
}

impl Verdict {
    fn new(wanted: ProcessProbe) -> Self {
        Self { wanted, known: Reading::Unknown, pending: None }
    }

    /// What is to be told of `count` processes.
    fn judge(&mut self, count: usize, now: Instant) -> Option<Observation> {
        let reading = judge(&self.wanted, count);
        if reading == self.known {
            self.pending = None;
            return None;
        }
        let Verdict { wanted, known, .. } = self;
        let delay = if reading == Reading::Good { wanted.rise_delay } else { wanted.fall_delay };
        let delay = if *known == Reading::Unknown { Duration::ZERO } else { duration(delay) };
        let due = match self.pending {
            Some((same, due)) if same == reading => due,
            _ => now + delay,
        };
        self.pending = (due > now).then_some((reading, due));
        if due > now {
            return None;
        }
        self.known = reading;
        Some(Observation::new(reading, words(&self.wanted, count)))
    }

    fn due(&self) -> Option<Instant> {
        self.pending.map(|(_, due)| due)
    }
}

fn judge(wanted: &ProcessProbe, count: usize) -> Reading {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let right = count >= wanted.quorum && wanted.quorum_max.is_none_or(|most| count <= most);
    if right { Reading::Good } else { Reading::Bad }
}

/// `2 nginx run, 3 wanted`.
fn words(wanted: &ProcessProbe, count: usize) -> String {
    let name = wanted.name.escape_debug();
    let least = wanted.quorum;
    match wanted.quorum_max {
        Some(most) => format!("{count} {name} run, {least} to {most} wanted"),
        None => format!("{count} {name} run, at least {least} wanted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::time::Duration as Span;

    fn probe(quorum: u32, quorum_max: Option<u32>, delay: Span) -> ProcessProbe {
        ProcessProbe {
            name: "nginx".to_owned(),
            arguments: None,
            full_command: false,
            quorum,
            quorum_max,
            rise_delay: Span::ZERO,
            fall_delay: delay,
        }
    }

    #[test]
    fn the_number_decides() {
        let wanted = probe(2, Some(3), Span::ZERO);
        let readings = [1, 2, 3, 4].map(|count| judge(&wanted, count));
        assert_eq!(readings, [Reading::Bad, Reading::Good, Reading::Good, Reading::Bad]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_counts_when_it_lasts() {
        let mut verdict = Verdict::new(probe(1, None, Span::from_secs(2)));
        let now = Instant::now();
        assert_eq!(verdict.judge(1, now).unwrap().reading, Reading::Good);
        assert!(verdict.judge(0, now).is_none());
        assert_eq!(verdict.due(), Some(now + Duration::from_secs(2)));
        assert!(verdict.judge(1, now).is_none() && verdict.due().is_none());
        assert!(verdict.judge(0, now).is_none());
        assert_eq!(verdict.judge(0, now + Duration::from_secs(2)).unwrap().reading, Reading::Bad);
    }
}
