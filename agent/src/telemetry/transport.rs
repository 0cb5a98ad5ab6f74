//! The ways to a collector: OTLP over gRPC or HTTP, with TLS and headers where they are asked for.

use anyhow::Context;
use hacluster_conf::model::{OtlpProtocol, Telemetry as Settings};
use hacluster_proto::tls::provider;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::LogExporter as _;
use opentelemetry_sdk::trace::SpanExporter as _;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a collector may take for one request.
pub(super) fn timeout(settings: &Settings) -> Duration {
    Duration::from_millis(settings.timeout_ms)
}

/// Why the last request over HTTP did not get there: the library says "network error" alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<Mutex<String>>);

impl Trouble {
    fn becomes(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// `error`, with the reason where there is one.
    pub(super) fn explain(&self, error: &str) -> String {
        let why = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if why.is_empty() { error.to_owned() } else { format!("{error}: {why}") }
    }
}

/// The ways to a collector.
pub(super) struct Exporters {
    pub(super) trouble: Trouble,
    pub(super) spans: Option<SpanExporter>,
    pub(super) lines: Option<LogExporter>,
    pub(super) metrics: Option<MetricExporter>,
}

macro_rules! exporter {
    ($exporter:ident, $settings:expr, $headers:expr, $trouble:expr, $url:expr, $path:literal) => {
        match $settings.protocol {
            OtlpProtocol::Grpc => {
                let builder = $exporter::builder().with_tonic().with_endpoint($url.to_owned());
                let builder = builder.with_timeout(timeout($settings));
                let builder = builder.with_metadata(MetadataMap::from_headers($headers.clone()));
                match tls($settings, $url)? {
                    Some(tls) => builder.with_tls_config(tls).build(),
                    None => builder.build(),
                }
            }
            OtlpProtocol::Http => $exporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(Client::of($settings, $headers, &$trouble)?)
                .with_endpoint(format!("{}{}", $url, $path))
                .with_timeout(timeout($settings))
                .build(),
        }
        .context("the collector cannot be spoken to")?
    };
}

impl Exporters {
    /// As `settings` say, with these headers. Needs a runtime; connects with the first request.
    pub(super) fn of(settings: &Settings, headers: &HeaderMap, resource: &Resource) -> anyhow::Result<Self> {
        let Some(url) = settings.otlp.as_deref() else {
            return Ok(Self { trouble: Trouble::default(), spans: None, lines: None, metrics: None });
        };
        let trouble = Trouble::default();
        let mut spans = match settings.traces {
            true => Some(exporter!(SpanExporter, settings, headers, trouble, url, "/v1/traces")),
            false => None,
        };
        let mut lines = match settings.logs {
            true => Some(exporter!(LogExporter, settings, headers, trouble, url, "/v1/logs")),
            false => None,
        };
        let metrics = match settings.metrics {
            true => Some(exporter!(MetricExporter, settings, headers, trouble, url, "/v1/metrics")),
            false => None,
        };
        spans.iter_mut().for_each(|exporter| exporter.set_resource(resource));
        lines.iter_mut().for_each(|exporter| exporter.set_resource(resource));
        Ok(Self { trouble, spans, lines, metrics })
    }
}

/// gRPC, for a collector that is asked for by https.
fn tls(settings: &Settings, url: &str) -> anyhow::Result<Option<ClientTlsConfig>> {
    if !url.starts_with("https://") {
        return Ok(None);
    }
    let Some(path) = &settings.authority else { return Ok(Some(ClientTlsConfig::new().with_native_roots())) };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
}

/// OTLP over HTTP/1.
#[derive(Debug)]
struct Client {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    headers: HeaderMap,
    trouble: Trouble,
}

impl Client {
    fn of(settings: &Settings, headers: &HeaderMap, trouble: &Trouble) -> anyhow::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(believed(settings)?).https_or_http();
        let client = HyperClient::new(connector.enable_http1().build(), timeout(settings), None);
        Ok(Self { client, headers: headers.clone(), trouble: trouble.clone() })
    }
}

/// Whose certificates count.
fn believed(settings: &Settings) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let secret = settings.otlp.as_ref().is_some_and(|url| url.starts_with("https://"));
    let builder = match &settings.authority {
        Some(path) if secret => builder.with_root_certificates(authority(path)?),
        None if secret => builder.with_native_roots().context("the system's authorities")?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn authority(path: &Path) -> anyhow::Result<RootCertStore> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.with_context(|| format!("cannot read {}", path.display()))?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    anyhow::ensure!(taken > 0, "{} holds no authority", path.display());
    Ok(roots)
}

#[tonic::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = self.client.send_bytes(request).await;
        self.trouble.becomes(answer.as_ref().err().map_or_else(String::new, |error| whole(&**error)));
        answer
    }
}

/// The whole chain: hyper's own words end before the reason.
fn whole(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        let more = at.to_string();
        if !words.contains(&more) {
            let _ = write!(words, ": {more}");
        }
        cause = at.source();
    }
    words
}
