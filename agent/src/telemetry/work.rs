//! The thread that makes telemetry of events, and what it runs.

use super::export::{Complaints, Queue, carry_all, queue};
use super::health::Signal;
use super::lines::{Line, Writer};
use super::meters::{Meters, SERIES_MAX, Shown};
use super::sample::Sample;
use super::spans::{Builder, Known};
use super::transport::{Exporters, timeout};
use super::{EVENTS, Feed, Sources, page};
use crate::cluster::known::key_of;
use crate::event::{Event, Identity};
use anyhow::Context;
use hacluster_conf::model::Telemetry as Settings;
use hacluster_net::clock;
use hyper::header::HeaderMap;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use opentelemetry_sdk::trace::SpanData;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often changes are looked at that may have settled, and the metrics' sample is renewed.
const TICK: Duration = Duration::from_secs(1);
/// How long what is left may take when the agent ends.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Name of what is instrumented.
const SCOPE: &str = "hacluster-agent";
/// OpenTelemetry's name for what tells nodes of the same name apart; a label of every series on the page.
const CLUSTER: &str = "service.namespace";

/// A running thread; tells what is left and ends by itself when dropped.
#[derive(Debug)]
pub(super) struct Worker {
    feed: Feed,
    ended: std::sync::mpsc::Receiver<()>,
}

impl Worker {
    pub(super) fn start(settings: Settings, headers: &HeaderMap, sources: Sources) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2) // exporters may block one
            .max_blocking_threads(2)
            .thread_name("hacluster-otel")
            .enable_all()
            .build()
            .context("cannot start its threads")?;
        let guard = runtime.enter();
        let resource = resource(&sources, settings.cluster.clone());
        let exporters = Exporters::of(&settings, headers, &resource)?;
        drop(guard);
        let (feed, events) = mpsc::channel(EVENTS);
        let (finished, ended) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("hacluster-otel".into())
            .spawn(move || {
                runtime.block_on(work(settings, sources, resource, exporters, events));
                runtime.shutdown_timeout(Duration::from_millis(100));
                let _ = finished.send(());
            })
            .context("cannot start its thread")?;
        Ok(Self { feed, ended })
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Ends it, and waits for that a moment longer than it may take.
    pub(super) fn stop(self) {
        drop(self.feed);
        let _ = self.ended.recv_timeout(FAREWELL_MAX + Duration::from_millis(500));
    }
}

fn resource(sources: &Sources, cluster: Option<String>) -> Resource {
    let configured = sources.board.read().in_force.loaded.config.global.router_id.clone();
    let name = configured.unwrap_or_else(|| sources.cluster.name());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "hacluster-agent"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", name),
            KeyValue::new("host.name", host.trim().to_owned()),
        ])
        .with_attributes(cluster.map(|cluster| KeyValue::new(CLUSTER, cluster)))
        .build()
}

/// A reader that the provider and we have in common.
#[derive(Clone, Debug)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Everything that is told to.
struct Desk {
    builder: Builder,
    writer: Writer,
    meters: Meters,
    spans: Option<Queue<SpanData>>,
    lines: Option<Queue<Line>>,
}

impl Desk {
    fn take(&mut self, event: &Event) {
        self.meters.take(event);
        if let Some(spans) = &self.spans {
            self.builder.take(event).into_iter().for_each(|span| spans.put(span));
        }
        if let Some(lines) = &self.lines
            && let Some(line) = self.writer.take(event)
        {
            lines.put(line);
        }
    }

    fn look_around(&mut self, sources: &Sources) {
        self.meters.show(Sample::of(sources));
        let settled = if self.builder.is_waiting() { self.builder.settle(clock::now()) } else { Vec::new() };
        if let Some(spans) = &self.spans {
            settled.into_iter().for_each(|span| spans.put(span));
        }
    }
}

async fn work(
    settings: Settings,
    sources: Sources,
    resource: Resource,
    exporters: Exporters,
    mut events: mpsc::Receiver<Event>,
) {
    let health = sources.board.telemetry().clone();
    health.begin();
    let complaints = Complaints::new(sources.events.clone(), health.clone(), exporters.trouble.clone());
    let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
    let reader = Reader(Arc::new(ManualReader::builder().build()));
    let page = prometheus::Registry::new();
    let provider = provider(&resource, &reader, &page);
    let shown = Shown::default();
    let meters = Meters::new(&provider.meter(SCOPE), shown.clone(), &health, sources.ledger.clone());
    let (limit, mut tasks) = (timeout(&settings), tokio::task::JoinSet::new());
    let spans = exporters.spans.map(|exporter| {
        let (queue, waiting) = queue(Signal::Traces, &health);
        tasks.spawn(carry_all(waiting, exporter, Signal::Traces, complaints.clone(), limit));
        queue
    });
    let lines = exporters.lines.map(|exporter| {
        let (queue, waiting) = queue(Signal::Logs, &health);
        tasks.spawn(carry_all(waiting, exporter, Signal::Logs, complaints.clone(), limit));
        queue
    });
    let builder = Builder::new(scope.clone(), known(&sources));
    let mut desk = Desk { builder, writer: Writer::new(scope), meters, spans, lines };
    desk.look_around(&sources);
    let (last, ends) = oneshot::channel::<()>();
    if let Some(exporter) = exporters.metrics {
        let every = Duration::from_millis(settings.interval_ms);
        let told = (reader, shown.clone());
        tasks.spawn(tell_metrics(exporter, told, [every, limit], complaints.clone(), ends));
    }
    let serving = settings.prometheus.map(|at| {
        let page = (page, shown.clone(), settings.keepalived_names);
        tokio::spawn(page::serve(at, page, complaints.clone()))
    });
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => desk.take(&event),
                None => break,
            },
            _ = ticks.tick() => desk.look_around(&sources),
        }
    }
    // A successor may want its address.
    serving.iter().for_each(tokio::task::JoinHandle::abort);
    desk.look_around(&sources);
    if let Some(spans) = &desk.spans {
        desk.builder.finish().into_iter().for_each(|span| spans.put(span));
    }
    (desk.spans, desk.lines) = (None, None);
    drop(last);
    let _ = tokio::time::timeout(FAREWELL_MAX, tasks.join_all()).await;
}

fn provider(resource: &Resource, reader: &Reader, page: &prometheus::Registry) -> SdkMeterProvider {
    let bounded = |_: &Instrument| Stream::builder().with_cardinality_limit(SERIES_MAX).build().ok();
    let builder = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(reader.clone())
        .with_view(bounded);
    // A registry of our own takes anything: there is nothing yet that it could collide with.
    let exporter = opentelemetry_prometheus::exporter().with_registry(page.clone()).scope_info_enabled(false);
    match exporter.with_resource_selector(HashSet::from([Key::from_static_str(CLUSTER)])).build() {
        Ok(exporter) => builder.with_reader(exporter).build(),
        Err(_) => builder.build(),
    }
}

/// What peers told last of the same virtual router.
fn known(sources: &Sources) -> Known {
    let cluster = sources.cluster.clone();
    Box::new(move |router: &Identity| {
        let place = router.place();
        let ours = cluster.all().into_iter().find(|ours| ours.place == place)?;
        cluster.last_known_story(&key_of(&ours.now))
    })
}

/// All metrics, from time to time and once at the end.
async fn tell_metrics(
    exporter: MetricExporter,
    (reader, shown): (Reader, Shown),
    [every, limit]: [Duration; 2],
    complaints: Complaints,
    mut ends: oneshot::Receiver<()>,
) {
    let health = complaints.health().clone();
    let tale = health.of(Signal::Metrics);
    loop {
        let last = tokio::time::timeout(every, &mut ends).await.is_ok();
        let mut all = ResourceMetrics::default();
        let told = async {
            shown.during(|| reader.collect(&mut all))?;
            exporter.export(&all).await
        };
        let error = match tokio::time::timeout(limit, told).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", limit.as_secs())),
        };
        match error {
            None => {
                tale.exported.fetch_add(1, Relaxed);
                complaints.works(Some(Signal::Metrics));
            }
            Some(error) => {
                tale.failures.fetch_add(1, Relaxed);
                tale.dropped.fetch_add(1, Relaxed);
                complaints.failed(Some(Signal::Metrics), "the collector takes no metrics", &error);
            }
        }
        if last {
            return;
        }
    }
}
