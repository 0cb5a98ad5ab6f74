//! To the collector, one queue and one task for each signal.
//!
//! A batch is tried again for [`BATCH_AGE`] times as long as one request may take, then given up; what does not fit
//! into the queue meanwhile is given up at once. Both are counted, and said once a minute at most for all signals
//! together. Nobody waits for any of it.

use super::health::{Health, Signal};
use super::lines::Line;
use super::transport::Trouble;
use crate::event::{Event, EventSender, What};
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Items that may wait for the collector, of each signal.
pub(super) const QUEUE: usize = 4_096;
/// Items in one request.
const BATCH: usize = 512;
/// How long items gather before they leave.
const LINGER: Duration = Duration::from_millis(200);
/// A batch that could not be told for so many times as one request may take is given up.
const BATCH_AGE: u32 = 6;
/// Waits between attempts, doubled from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Troubles are said this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Says what does not work, sparingly.
#[derive(Clone, Debug)]
pub(super) struct Complaints {
    events: EventSender,
    health: Arc<Health>,
    trouble: Trouble,
    said: Arc<Mutex<Said>>,
}

/// What was said of troubles.
#[derive(Debug, Default)]
struct Said {
    /// When of a trouble.
    ill: Option<Instant>,
    /// When of its end.
    well: Option<Instant>,
    /// Its end is still to be said.
    open: bool,
    /// What had been given up by the latest line.
    dropped: u64,
    /// What does not work.
    troubled: Vec<Option<Signal>>,
}

fn is_recent(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL)
}

impl Complaints {
    pub(super) fn new(events: EventSender, health: Arc<Health>, trouble: Trouble) -> Self {
        let said = Said { dropped: health.dropped(), ..Said::default() };
        Self { events, health, trouble, said: Arc::new(Mutex::new(said)) }
    }

    /// An attempt at `part` failed; `None` is the page.
    pub(super) fn failed(&self, part: Option<Signal>, what: &str, error: &str) {
        let error = match part {
            Some(_) => &self.trouble.explain(error),
            None => error,
        };
        self.health.tried(part, error);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.troubled.contains(&part) {
            said.troubled.push(part);
        }
        if is_recent(said.ill) {
            return;
        }
        (said.ill, said.open) = (Some(Instant::now()), true);
        let what = format!("{what}: {error}. Virtual routers are not affected");
        self.say(&mut said, true, &what);
    }

    fn say(&self, said: &mut Said, warning: bool, what: &str) {
        let dropped = self.health.dropped();
        let lost = dropped.saturating_sub(std::mem::replace(&mut said.dropped, dropped));
        let text = format!("{what}; {lost} item(s) given up since the last such line");
        self.events.send_or_drop(Event::now(None, What::Telemetry { warning, text }));
    }

    /// Of everything that is counted.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// It works. Once everything does again, that is said, too, as sparingly.
    pub(super) fn works(&self, part: Option<Signal>) {
        self.health.tried(part, "");
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.troubled.retain(|troubled| *troubled != part);
        if said.open && said.troubled.is_empty() && !is_recent(said.well) {
            (said.well, said.open) = (Some(Instant::now()), false);
            self.say(&mut said, false, "collectors are told again");
        }
    }
}

/// Where items of one signal go.
#[derive(Clone, Debug)]
pub(super) struct Queue<T> {
    items: mpsc::Sender<T>,
    signal: Signal,
    health: Arc<Health>,
}

impl<T> Queue<T> {
    /// Never waits.
    pub(super) fn put(&self, item: T) {
        if self.items.try_send(item).is_err() {
            self.health.of(self.signal).dropped.fetch_add(1, Relaxed);
        }
    }
}

/// A queue, and where its items come out.
pub(super) fn queue<T>(signal: Signal, health: &Arc<Health>) -> (Queue<T>, mpsc::Receiver<T>) {
    let (items, waiting) = mpsc::channel(QUEUE);
    (Queue { items, signal, health: health.clone() }, waiting)
}

/// Something that takes batches.
pub(super) trait Carrier<T> {
    fn carry(&self, batch: &[T]) -> impl Future<Output = OTelSdkResult> + Send;
}

impl Carrier<SpanData> for SpanExporter {
    async fn carry(&self, batch: &[SpanData]) -> OTelSdkResult {
        self.export(batch.to_vec()).await
    }
}

impl Carrier<Line> for LogExporter {
    async fn carry(&self, batch: &[Line]) -> OTelSdkResult {
        let lines: Vec<_> = batch.iter().map(|(record, scope)| (record, scope)).collect();
        self.export(LogBatch::new(&lines)).await
    }
}

/// Carries what waits until nobody puts anything there any more.
pub(super) async fn carry_all<T>(
    mut waiting: mpsc::Receiver<T>,
    carrier: impl Carrier<T>,
    signal: Signal,
    complaints: Complaints,
    timeout: Duration,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH && !waiting.is_closed() {
            tokio::time::sleep(LINGER).await;
            while batch.len() < BATCH {
                let Ok(item) = waiting.try_recv() else { break };
                batch.push(item);
            }
        }
        let tale = complaints.health.of(signal);
        if carry(&batch, (&carrier, timeout), signal, &complaints, || waiting.is_closed()).await {
            tale.exported.fetch_add(batch.len() as u64, Relaxed);
            complaints.works(Some(signal));
        } else {
            tale.dropped.fetch_add(batch.len() as u64, Relaxed);
        }
        batch.clear();
    }
}

/// One batch, until it is taken or too old.
async fn carry<T>(
    batch: &[T],
    (carrier, limit): (&impl Carrier<T>, Duration),
    signal: Signal,
    complaints: &Complaints,
    ends: impl Fn() -> bool,
) -> bool {
    let (begun, mut pause) = (Instant::now(), PAUSE.0);
    loop {
        let taken = tokio::time::timeout(limit, carrier.carry(batch)).await;
        let error = match taken {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", limit.as_secs()),
        };
        complaints.health.of(signal).failures.fetch_add(1, Relaxed);
        complaints.failed(Some(signal), &format!("the collector takes no {}", signal.name()), &error);
        if ends() || begun.elapsed() + pause > limit * BATCH_AGE {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Level;
    use crate::mailbox::mailbox;
    use hacluster_net::poll::Wake;
    use opentelemetry_sdk::error::OTelSdkError;
    use std::sync::atomic::AtomicUsize;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A stand-in for a collector.
    enum StandIn {
        Hangs,
        Refuses,
        Slow(Duration),
        Takes(Arc<AtomicUsize>),
    }

    /// Everything that waits has one in common, which counts them.
    type Item = Arc<()>;

    impl Carrier<Item> for StandIn {
        async fn carry(&self, batch: &[Item]) -> OTelSdkResult {
            match self {
                Self::Hangs => std::future::pending().await,
                Self::Refuses => Err(OTelSdkError::InternalFailure("no".into())),
                Self::Slow(time) => {
                    tokio::time::sleep(*time).await;
                    Ok(())
                }
                Self::Takes(count) => {
                    count.fetch_add(batch.len(), Relaxed);
                    Ok(())
                }
            }
        }
    }

    struct Outcome {
        health: Arc<Health>,
        said: Vec<String>,
        /// Most items that were kept at any time.
        kept: usize,
        took: Duration,
    }

    /// Puts `items` there within two minutes, and ends.
    async fn two_minutes(stand_in: StandIn, items: u64) -> Outcome {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let health = Arc::new(Health::default());
        let complaints = Complaints::new(events, health.clone(), Trouble::default());
        let (queue, waiting) = queue(Signal::Traces, &health);
        let carrying = tokio::spawn(carry_all(waiting, stand_in, Signal::Traces, complaints, TIMEOUT));
        let (begun, one, mut kept) = (Instant::now(), Item::default(), 0);
        for item in 0..items {
            queue.put(one.clone());
            kept = kept.max(Arc::strong_count(&one) - 1);
            if item % 100 == 0 {
                tokio::time::sleep(2 * MINUTE * 100 / items as u32).await;
            }
        }
        drop(queue);
        tokio::time::timeout(5 * MINUTE, carrying).await.unwrap().unwrap();
        let said = std::iter::from_fn(|| heard.pop()).map(|event| event.what.to_string());
        Outcome { health, said: said.collect(), kept, took: begun.elapsed() }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_collector_that_hangs_or_refuses_nothing_is_lost_uncounted() {
        for stand_in in [StandIn::Hangs, StandIn::Refuses] {
            let Outcome { health, said, kept, took } = two_minutes(stand_in, 100_000).await;
            let tale = health.of(Signal::Traces);
            assert_eq!((tale.dropped.load(Relaxed), tale.exported.load(Relaxed)), (100_000, 0));
            assert!(tale.failures.load(Relaxed) > 10 && !tale.standing().error.is_empty());
            assert!(said.iter().all(|line| line.contains("the collector takes no traces")), "{said:?}");
            let minutes = took.as_secs() as usize / 60;
            assert!((2..=minutes + 1).contains(&said.len()), "{took:?}: {said:?}");
            assert!(kept > QUEUE && kept <= QUEUE + BATCH, "{kept} items were kept");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_collector_gets_what_it_can_take_and_the_rest_is_counted() {
        let Outcome { health, said, kept, .. } = two_minutes(StandIn::Slow(TIMEOUT / 2), 100_000).await;
        let (dropped, exported) = (health.dropped(), health.exported());
        assert!(dropped > 0 && exported > 0 && dropped + exported == 100_000, "{dropped}, {exported}");
        assert!(kept <= QUEUE + BATCH && said.is_empty(), "{kept} items were kept; {said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_is_said_once_a_minute_with_what_was_lost() {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let complaints = Complaints::new(events, Arc::default(), Trouble::default());
        let fail = || complaints.failed(Some(Signal::Logs), "the collector takes no logs", "no");
        let said =
            || std::iter::from_fn(|| heard.pop()).map(|event| event.what.to_string()).collect::<Vec<_>>();
        for _ in 0..100 {
            fail();
            tokio::time::advance(MINUTE / 200).await;
        }
        assert_eq!(said().len(), 1);
        complaints.health().of(Signal::Logs).dropped.fetch_add(7, Relaxed);
        tokio::time::advance(MINUTE).await;
        fail();
        fail();
        let said = said();
        assert!(said.len() == 1 && said[0].contains("7 item(s) given up"), "{said:?}");
        let error = || complaints.health().of(Signal::Logs).standing().error;
        assert_eq!(error(), "no");
        complaints.works(Some(Signal::Logs));
        assert_eq!(error(), "");
    }

    #[tokio::test]
    async fn the_end_of_trouble_is_said_once_everything_works_again() {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let health = Arc::<Health>::default();
        let complaints = Complaints::new(events, health.clone(), Trouble::default());
        let said = || heard.pop().map(|event| (event.what.level(), event.what.to_string()));
        complaints.works(Some(Signal::Logs));
        assert_eq!(said(), None, "nothing was wrong");
        for signal in [Signal::Logs, Signal::Traces] {
            complaints.failed(Some(signal), "the collector takes nothing", "no");
        }
        assert!(said().is_some() && said().is_none());
        health.of(Signal::Logs).dropped.fetch_add(7, Relaxed);
        complaints.works(Some(Signal::Logs));
        assert_eq!(said(), None, "traces are still refused");
        complaints.works(Some(Signal::Traces));
        let text = "collectors are told again; 7 item(s) given up since the last such line".to_owned();
        assert_eq!(said(), Some((Level::Info, text)));
        // To and fro makes no more lines.
        for _ in 0..100 {
            complaints.failed(Some(Signal::Logs), "the collector takes no logs", "no");
            complaints.works(Some(Signal::Logs));
        }
        assert_eq!(said(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_works_gets_everything() {
        let count = Arc::<AtomicUsize>::default();
        let Outcome { health, said, .. } = two_minutes(StandIn::Takes(count.clone()), 50_000).await;
        assert_eq!(count.load(Relaxed), 50_000);
        assert_eq!((health.dropped(), health.exported(), said.len()), (0, 50_000, 0));
    }
}
