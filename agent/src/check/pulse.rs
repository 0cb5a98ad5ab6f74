//! The checks that run: one task for each, woken when it is due.
//!
//! Contract: what comes in bursts is spread. The first tries lie evenly within `warmup`, and every check
//! keeps its rhythm after that, however long a try takes.

use super::{Counted, Outcome, Prober, Settings, Tally, duration, file};
use hacluster_conf::model::lvs::{Check, CheckKind};
use hacluster_core::health::{Checker, Pace, Verdict};
use hacluster_core::time::Instant as Moment;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// A good result like the one before is told at least this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A check that somebody uses.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which.
    pub check: Arc<Check>,
    /// What is known of it; counts for one that begins.
    pub known: Verdict,
    /// Nobody needs it at the moment.
    pub resting: bool,
}

/// Something worth hearing: another verdict, weight or reason, any failure, and now and then that all is
/// as it was.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of which check.
    pub check: Arc<Check>,
    /// What is known now.
    pub verdict: Verdict,
    /// Failures that may still follow before they count; `None` when this result counted.
    pub retries_left: Option<u32>,
    /// What came of it.
    pub outcome: Outcome,
    /// When.
    pub at: SystemTime,
}

/// The checks that run; dropping this ends them. Needs a tokio runtime around it.
pub struct Checks {
    prober: Prober,
    program: PathBuf,
    reports: mpsc::Sender<Report>,
    running: HashMap<Arc<Check>, Running>,
    /// Checks started so far.
    started: u32,
    counted: Arc<Counted>,
}

struct Running {
    resting: watch::Sender<bool>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    /// None yet. `program` is an agent's own executable.
    pub fn new(settings: Settings, program: &Path, reports: mpsc::Sender<Report>) -> Self {
        Self {
            prober: Prober::new(settings, program),
            program: program.to_owned(),
            reports,
            running: HashMap::new(),
            started: 0,
            counted: Arc::default(),
        }
    }

    /// The same, counting there.
    #[must_use]
    pub fn counting(self, counted: Arc<Counted>) -> Self {
        Self { counted, ..self }
    }

    /// Other settings, and whatever the files they name hold now. Counts for checks that [`Self::set`]
    /// names afterwards: those that depend on settings begin anew, with what is known of them.
    pub fn change(&mut self, settings: Settings) {
        self.prober = self.prober.changed(settings, &self.program);
        self.running.retain(|check, _| match &check.kind {
            CheckKind::Http(http) => !http.tls,
            CheckKind::Misc { .. } | CheckKind::File { .. } => false,
            CheckKind::Tcp
            | CheckKind::Smtp { .. }
            | CheckKind::Dns { .. }
            | CheckKind::Udp(_)
            | CheckKind::Ping => true,
        });
    }

    /// From now on exactly these; what goes on keeps its state and its rhythm.
    pub fn set(&mut self, wanted: Vec<Wanted>) {
        let mut former = std::mem::take(&mut self.running);
        for Wanted { check, known, resting } in wanted {
            let running = match former.remove(&check) {
                Some(running) => running,
                None => self.start(&check, known, resting),
            };
            running.resting.send_if_modified(|now| std::mem::replace(now, resting) != resting);
            self.running.insert(check, running);
        }
    }

    /// Counts since the start.
    pub fn tally(&self) -> Tally {
        self.counted.tally()
    }

    fn start(&mut self, check: &Arc<Check>, known: Verdict, resting: bool) -> Running {
        let first = Instant::now() + duration(check.pace.warmup).mul_f64(spread(self.started));
        self.started = self.started.wrapping_add(1);
        let (resting, rests) = watch::channel(resting);
        let (check, reports) = (check.clone(), self.reports.clone());
        let task = match &check.kind {
            CheckKind::File { tracker, weight, reverse } => {
                let file = self.prober.file(tracker);
                let say = file::Say { weight: *weight, reverse: *reverse };
                tokio::spawn(file::follow(file, say, check, reports))
            }
            _ => {
                let beat = Beat { check, known, first, rests, reports, counted: self.counted.clone() };
                tokio::spawn(beat.run(self.prober.clone()))
            }
        };
        Running { resting, task: task.abort_handle() }
    }
}

/// Evenly spread parts of a whole, however many there will be: 0, 0.62, 0.24 ...
fn spread(number: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (f64::from(number) * GOLDEN).fract()
}

/// One check that runs.
struct Beat {
    check: Arc<Check>,
    known: Verdict,
    first: Instant,
    rests: watch::Receiver<bool>,
    reports: mpsc::Sender<Report>,
    counted: Arc<Counted>,
}

impl Beat {
    async fn run(mut self, prober: Prober) {
        let origin = Instant::now();
        let moment = |at: Instant| Moment::from_micros(micros(at.saturating_duration_since(origin)));
        let mut checker = Checker::resumed(pace(&self.check), self.known, moment(self.first));
        let mut probe = prober.prepare(&self.check);
        let mut told: Option<(Outcome, Instant)> = None;
        let mut due = self.first;
        loop {
            if *self.rests.borrow_and_update() {
                if self.rests.changed().await.is_err() {
                    return;
                }
                due = due.max(Instant::now());
                continue;
            }
            tokio::select! {
                biased;
                changed = self.rests.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = sleep_until(due) => {}
            }
            let began = Instant::now();
            self.counted.begins(began.saturating_duration_since(due));
            // What a try needs is held while it runs; thousands of checks sleep.
            let outcome = Box::pin(probe.once()).await;
            self.counted.ends(&self.check.kind, &outcome);
            let now = Instant::now();
            let before = checker.verdict();
            let retries_left = match outcome.ours {
                true => None,
                false => checker.take(outcome.good, moment(due), moment(now)).retries_left,
            };
            due = match (outcome.ours, checker.due()) {
                (false, Some(next)) => origin + Duration::from_micros(next.as_micros()),
                _ => now + duration(self.check.pace.delay_loop),
            };
            let changed = checker.verdict() != before;
            if changed || told.as_ref().is_none_or(|(last, at)| worth(&outcome, last, now - *at)) {
                if outcome.ours && told.as_ref().is_none_or(|(last, _)| last.why != outcome.why) {
                    tracing::warn!("check of {}: {}", self.check.route.to, outcome.why);
                }
                told = Some((outcome.clone(), now));
                let (check, at, verdict) = (self.check.clone(), SystemTime::now(), checker.verdict());
                let report = Report { check, verdict, retries_left, outcome, at };
                if self.reports.send(report).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether an outcome should be told after `last` was, so long ago.
fn worth(outcome: &Outcome, last: &Outcome, ago: Duration) -> bool {
    !outcome.good
        || !last.good
        || (outcome.weight, &outcome.why) != (last.weight, &last.why)
        || ago >= TELL_AGAIN
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn pace(check: &Check) -> Pace {
    let fast_recovery = matches!(&check.kind, CheckKind::Http(http) if http.fast_recovery);
    let pace = check.pace;
    Pace {
        delay_loop: pace.delay_loop,
        retry: pace.retry,
        delay_before_retry: pace.delay_before_retry,
        alpha: pace.alpha,
        fast_recovery,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_first_tries_are_spread_evenly() {
        let mut parts = [0; 1_000];
        (0..10_000).for_each(|number| parts[(spread(number) * 1_000.0) as usize] += 1);
        assert!(parts.iter().all(|count| (8..=12).contains(count)), "{parts:?}");
        assert_eq!(spread(0), 0.0, "a single one is tried at once");
    }
}
