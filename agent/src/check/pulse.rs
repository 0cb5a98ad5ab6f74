//! The checks that run: one task for each, woken when it is due.
//!
//! Contract: what comes in bursts is spread. The first tries lie evenly within `warmup`, and every check
//! keeps its rhythm after that, however long a try takes. Tries that are due within a few milliseconds
//! begin together, since each time the process wakes costs as much as half a try.

use super::{Counted, Outcome, Probe, Prober, Settings, Tally, duration, file};
use hacluster_conf::model::lvs::{Check, CheckKind};
use hacluster_core::health::{Checker, Pace, Verdict};
use hacluster_core::time::Instant as Moment;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// A good result like the one before is told at least this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// Tries that are due within this time begin together, at its end.
const TOGETHER: Duration = Duration::from_millis(10);
/// At most this part of its `delay_loop` does a check wait for others.
const WAITS: u32 = 100;

/// A check that somebody uses.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which.
    pub check: Arc<Check>,
    /// The one that it was before its times were changed, whose failures and rhythm it goes on with.
    pub before: Option<Arc<Check>>,
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
    reports: mpsc::Sender<Report>,
    running: HashMap<Arc<Check>, Running>,
    /// Checks started so far.
    started: u32,
    /// The first of the moments at which tries begin.
    begun: Instant,
    counted: Arc<Counted>,
}

struct Running {
    orders: watch::Sender<Orders>,
    task: AbortHandle,
}

/// What a check that runs is told.
#[derive(Clone)]
pub(super) struct Orders {
    /// Which it is, with its times as they are now.
    pub(super) check: Arc<Check>,
    prober: Prober,
    resting: bool,
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
            reports,
            running: HashMap::new(),
            started: 0,
            begun: Instant::now(),
            counted: Arc::default(),
        }
    }

    /// The same, counting there.
    #[must_use]
    pub fn counting(self, counted: Arc<Counted>) -> Self {
        Self { counted, ..self }
    }

    /// Other settings, and whatever the files they name hold now. Counts for checks that [`Self::set`]
    /// names afterwards: those that depend on what is different try so from then on, with what is known of
    /// them; a try that runs ends as it began. Another file is followed anew.
    pub fn change(&mut self, settings: Settings) {
        let (fresh, prober) = (self.prober.changed(settings), &self.prober);
        self.running.retain(|check, _| match check.kind {
            CheckKind::File { .. } => fresh.makes_like(prober, &check.kind),
            _ => true,
        });
        self.prober = fresh;
    }

    /// From now on exactly these; what goes on keeps its state and its rhythm.
    pub fn set(&mut self, wanted: Vec<Wanted>) {
        let mut former = std::mem::take(&mut self.running);
        let kept: Vec<_> = wanted.iter().map(|wanted| former.remove(&wanted.check)).collect();
        for (Wanted { check, before, known, resting }, kept) in wanted.into_iter().zip(kept) {
            if self.running.contains_key(&check) {
                continue;
            }
            let orders = Orders { check: check.clone(), prober: self.prober.clone(), resting };
            let running = match kept.or_else(|| former.remove(&before?)) {
                Some(running) => running,
                None => self.start(orders.clone(), known),
            };
            running.orders.send_if_modified(|now| {
                let differs = !orders.is(now);
                *now = orders;
                differs
            });
            self.running.insert(check, running);
        }
    }

    /// Counts since the start.
    pub fn tally(&self) -> Tally {
        self.counted.tally()
    }

    fn start(&mut self, orders: Orders, known: Verdict) -> Running {
        let check = orders.check.clone();
        let first = Instant::now() + duration(check.pace.warmup).mul_f64(spread(self.started));
        self.started = self.started.wrapping_add(1);
        let reports = self.reports.clone();
        let (sender, orders) = watch::channel(orders);
        let task = match &check.kind {
            CheckKind::File { tracker, weight, reverse } => {
                let file = self.prober.file(tracker);
                let say = file::Say { weight: *weight, reverse: *reverse };
                tokio::spawn(file::follow(file, say, orders, reports))
            }
            _ => tokio::spawn(
                Beat::new(orders, known, [self.begun, first], reports, self.counted.clone()).run(),
            ),
        };
        Running { orders: sender, task: task.abort_handle() }
    }
}

impl Orders {
    fn is(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.check, &other.check) || self.check == other.check;
        same && self.resting == other.resting && self.prober.makes_like(&other.prober, &self.check.kind)
    }
}

/// Evenly spread parts of a whole, however many there will be: 0, 0.62, 0.24 ...
fn spread(number: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (f64::from(number) * GOLDEN).fract()
}

/// The first moment not before `due` that is whole steps after `begun`.
fn together(begun: Instant, due: Instant, step: Duration) -> Instant {
    let (since, step) = (micros(due.saturating_duration_since(begun)), micros(step).max(1));
    begun + Duration::from_micros(since.div_ceil(step).saturating_mul(step))
}

/// One check that runs.
struct Beat {
    orders: watch::Receiver<Orders>,
    now: Orders,
    checker: Checker,
    probe: Probe,
    origin: Instant,
    begun: Instant,
    due: Instant,
    told: Option<(Outcome, Instant)>,
    reports: mpsc::Sender<Report>,
    counted: Arc<Counted>,
}

impl Beat {
    fn new(
        mut orders: watch::Receiver<Orders>,
        known: Verdict,
        [begun, due]: [Instant; 2],
        reports: mpsc::Sender<Report>,
        counted: Arc<Counted>,
    ) -> Self {
        let now = orders.borrow_and_update().clone();
        let checker = Checker::resumed(pace(&now.check), known, Moment::ZERO);
        let probe = now.prober.prepare(&now.check);
        let origin = Instant::now();
        Self { orders, now, checker, probe, origin, begun, due, told: None, reports, counted }
    }

    fn moment(&self, at: Instant) -> Moment {
        Moment::from_micros(micros(at.saturating_duration_since(self.origin)))
    }

    async fn run(mut self) {
        loop {
            self.obey();
            if self.now.resting {
                self.checker.rest();
                if self.orders.changed().await.is_err() {
                    return;
                }
                self.due = self.due.max(Instant::now());
                continue;
            }
            self.checker.wake(self.moment(self.due));
            let step = TOGETHER.min(duration(self.now.check.pace.delay_loop) / WAITS);
            let begin = together(self.begun, self.due, step);
            tokio::select! {
                biased;
                changed = self.orders.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = sleep_until(begin) => {}
            }
            self.counted.begins(begin.elapsed());
            // What a try needs is held while it runs; thousands of checks sleep.
            let outcome = Box::pin(self.probe.once()).await;
            self.counted.ends(&self.now.check.kind, &outcome);
            if self.take(outcome).await.is_none() {
                return;
            }
        }
    }

    /// Does as told from now on; what is known stays.
    fn obey(&mut self) {
        let fresh = self.orders.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.now, fresh);
        let check = &self.now.check;
        if *check != before.check {
            let now = Instant::now();
            self.checker.change(pace(check), self.moment(now));
            self.due = self.due.min(now + duration(check.pace.delay_loop));
            self.probe.limit = duration(check.pace.timeout);
            self.told = None;
        }
        if !self.now.prober.makes_like(&before.prober, &check.kind) {
            self.probe = self.now.prober.prepare(check);
        }
    }

    /// What came of the try that was due, and whether somebody hears of it; `None` when nobody listens.
    async fn take(&mut self, outcome: Outcome) -> Option<()> {
        let now = Instant::now();
        let before = self.checker.verdict();
        let (due, ended) = (self.moment(self.due), self.moment(now));
        let retries_left = match outcome.ours {
            true => None,
            false => self.checker.take(outcome.good, due, ended).retries_left,
        };
        self.due = match (outcome.ours, self.checker.due()) {
            (false, Some(next)) => self.origin + Duration::from_micros(next.as_micros()),
            _ => now + duration(self.now.check.pace.delay_loop),
        };
        let verdict = self.checker.verdict();
        let told = self.told.as_ref();
        if verdict == before && told.is_some_and(|(last, at)| !worth(&outcome, last, now - *at)) {
            return Some(());
        }
        if outcome.ours && told.is_none_or(|(last, _)| last.why != outcome.why) {
            tracing::warn!("check of {}: {}", self.now.check.route.to, outcome.why);
        }
        self.told = Some((outcome.clone(), now));
        let at = SystemTime::now();
        // By the name it has when there is room, not by one that nobody knows any more.
        let place = self.reports.reserve().await.ok()?;
        let check = self.orders.borrow().check.clone();
        place.send(Report { check, verdict, retries_left, outcome, at });
        Some(())
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

    #[test]
    fn what_is_due_in_one_step_begins_together_and_never_early() {
        let begun = Instant::now();
        let at = |micros| begun + Duration::from_micros(micros);
        for (due, begin) in [(0, 0), (1, 10_000), (9_999, 10_000), (10_000, 10_000), (10_001, 20_000)] {
            assert_eq!(together(begun, at(due), TOGETHER), at(begin), "{due}");
        }
        assert_eq!(together(begun, at(7), Duration::ZERO), at(7), "a check without a pace waits for nobody");
    }
}
