//! To the collector, one queue and one task for each signal.
//!
//! A batch is tried again until it is [`BATCH_AGE_MAX`] old, then given up; what does not fit into the
//! queue meanwhile is given up at once. Both are counted, and said once a minute at most for all signals
//! together. Nobody waits for any of it.

use super::health::{Health, Signal};
use super::lines::Line;
use crate::event::{Event, EventSender, What};
use anyhow::Context;
use hacluster_conf::model::{OtlpProtocol, Telemetry as Settings};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Items that may wait for the collector, of each signal.
pub(super) const QUEUE: usize = 4_096;
/// Items in one request.
const BATCH: usize = 512;
/// How long items gather before they leave.
const LINGER: Duration = Duration::from_millis(200);
/// How long a collector may take for one request.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// A batch that could not be told for so long is given up.
pub(super) const BATCH_AGE_MAX: Duration = Duration::from_secs(60);
/// Waits between attempts, doubled from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Troubles are said this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Says what does not work, sparingly.
#[derive(Clone, Debug)]
pub(super) struct Complaints {
    events: EventSender,
    health: Arc<Health>,
    /// When something was last said, and what had been given up by then.
    said: Arc<Mutex<(Option<Instant>, u64)>>,
}

impl Complaints {
    pub(super) fn new(events: EventSender, health: Arc<Health>) -> Self {
        let dropped = health.dropped();
        Self { events, health, said: Arc::new(Mutex::new((None, dropped))) }
    }

    /// An attempt at `part` failed; `None` is the page.
    pub(super) fn failed(&self, part: Option<Signal>, what: &str, error: &str) {
        self.health.tried(part, error);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.0.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        let dropped = self.health.dropped();
        let text = format!(
            "{what}: {error}. Virtual routers are not affected; {} item(s) given up since the last such line",
            dropped.saturating_sub(said.1)
        );
        *said = (Some(Instant::now()), dropped);
        self.events.send_or_drop(Event::now(None, What::Telemetry { warning: true, text }));
    }

    /// Of everything that is counted.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// It works.
    pub(super) fn works(&self, part: Option<Signal>) {
        self.health.tried(part, "");
    }
}

/// The ways to a collector.
pub(super) struct Exporters {
    pub(super) spans: Option<SpanExporter>,
    pub(super) lines: Option<LogExporter>,
    pub(super) metrics: Option<MetricExporter>,
}

macro_rules! exporter {
    ($exporter:ident, $settings:expr, $url:expr, $path:literal) => {
        match $settings.protocol {
            OtlpProtocol::Grpc => {
                let builder = $exporter::builder().with_tonic().with_endpoint($url.to_owned());
                let builder = builder.with_timeout(EXPORT_MAX);
                match tls($settings, $url)? {
                    Some(tls) => builder.with_tls_config(tls).build(),
                    None => builder.build(),
                }
            }
            OtlpProtocol::Http => $exporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(HyperClient::with_default_connector(EXPORT_MAX, None))
                .with_endpoint(format!("{}{}", $url, $path))
                .with_timeout(EXPORT_MAX)
                .build(),
        }
        .context("the collector cannot be spoken to")?
    };
}

impl Exporters {
    /// As `settings` say. Needs a runtime; connects with the first request.
    pub(super) fn of(settings: &Settings, resource: &Resource) -> anyhow::Result<Self> {
        let Some(url) = settings.otlp.as_deref() else {
            return Ok(Self { spans: None, lines: None, metrics: None });
        };
        let mut spans = match settings.traces {
            true => Some(exporter!(SpanExporter, settings, url, "/v1/traces")),
            false => None,
        };
        let mut lines = match settings.logs {
            true => Some(exporter!(LogExporter, settings, url, "/v1/logs")),
            false => None,
        };
        let metrics = match settings.metrics {
            true => Some(exporter!(MetricExporter, settings, url, "/v1/metrics")),
            false => None,
        };
        spans.iter_mut().for_each(|exporter| exporter.set_resource(resource));
        lines.iter_mut().for_each(|exporter| exporter.set_resource(resource));
        Ok(Self { spans, lines, metrics })
    }
}

/// For a collector that is asked for by https.
fn tls(settings: &Settings, url: &str) -> anyhow::Result<Option<ClientTlsConfig>> {
    if !url.starts_with("https://") {
        return Ok(None);
    }
    let Some(path) = &settings.authority else { return Ok(Some(ClientTlsConfig::new().with_native_roots())) };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
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
        if carry(&batch, &carrier, signal, &complaints, || waiting.is_closed()).await {
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
    carrier: &impl Carrier<T>,
    signal: Signal,
    complaints: &Complaints,
    ends: impl Fn() -> bool,
) -> bool {
    let (begun, mut pause) = (Instant::now(), PAUSE.0);
    loop {
        let taken = tokio::time::timeout(EXPORT_MAX, carrier.carry(batch)).await;
        let error = match taken {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", EXPORT_MAX.as_secs()),
        };
        complaints.health.of(signal).failures.fetch_add(1, Relaxed);
        complaints.failed(Some(signal), &format!("the collector takes no {}", signal.name()), &error);
        if ends() || begun.elapsed() + pause > BATCH_AGE_MAX {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;
    use hacluster_net::poll::Wake;
    use opentelemetry_sdk::error::OTelSdkError;
    use std::sync::atomic::AtomicUsize;

    /// A stand-in for a collector.
    enum StandIn {
        Hangs,
        Refuses,
        Takes(Arc<AtomicUsize>),
    }

    impl Carrier<u64> for StandIn {
        async fn carry(&self, batch: &[u64]) -> OTelSdkResult {
            match self {
                Self::Hangs => std::future::pending().await,
                Self::Refuses => Err(OTelSdkError::InternalFailure("no".into())),
                Self::Takes(count) => {
                    count.fetch_add(batch.len(), Relaxed);
                    Ok(())
                }
            }
        }
    }

    /// Puts `items` for two minutes, as fast as they are taken and faster; what was counted and said.
    async fn two_minutes(stand_in: StandIn, items: u64) -> (Arc<Health>, Vec<String>) {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let health = Arc::new(Health::default());
        let complaints = Complaints::new(events, health.clone());
        let (queue, waiting) = queue(Signal::Traces, &health);
        let carrying = tokio::spawn(carry_all(waiting, stand_in, Signal::Traces, complaints));
        for item in 0..items {
            queue.put(item);
            if item % 1_000 == 0 {
                tokio::time::sleep(Duration::from_millis(120_000 * 1_000 / items)).await;
            }
        }
        drop(queue);
        tokio::time::timeout(Duration::from_secs(300), carrying).await.unwrap().unwrap();
        let said = std::iter::from_fn(|| heard.pop()).map(|event| event.what.to_string());
        (health, said.collect())
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_collector_that_hangs_or_refuses_nothing_is_lost_uncounted() {
        for stand_in in [StandIn::Hangs, StandIn::Refuses] {
            let (health, said) = two_minutes(stand_in, 100_000).await;
            let tale = health.of(Signal::Traces);
            assert_eq!(tale.dropped.load(Relaxed) + tale.exported.load(Relaxed), 100_000);
            assert!(tale.failures.load(Relaxed) > 3 && !tale.standing().error.is_empty());
            assert!(said.iter().all(|line| line.contains("the collector takes no traces")), "{said:?}");
        }
    }

    #[tokio::test]
    async fn what_is_said_is_said_once_a_minute() {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let complaints = Complaints::new(events, Arc::default());
        for _ in 0..100 {
            complaints.failed(Some(Signal::Logs), "the collector takes no logs", "no");
        }
        assert_eq!(std::iter::from_fn(|| heard.pop()).count(), 1);
        let error = || complaints.health().of(Signal::Logs).standing().error;
        assert_eq!(error(), "no");
        complaints.works(Some(Signal::Logs));
        assert_eq!(error(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_works_gets_everything() {
        let count = Arc::<AtomicUsize>::default();
        let (health, said) = two_minutes(StandIn::Takes(count.clone()), 50_000).await;
        assert_eq!(count.load(Relaxed), 50_000);
        assert_eq!((health.dropped(), health.exported(), said.len()), (0, 50_000, 0));
    }
}
