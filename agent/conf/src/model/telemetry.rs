//! What the agent tells collectors: traces, metrics and logs.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `[telemetry]`. As it is by default nobody is told anything and nothing runs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The OTLP collector: `http://host:4317`, or `https://` for TLS; `None` for none.
    pub otlp: Option<String>,
    /// The cluster's name, for stores that several tell to: 1 to 63 characters; `None` for none.
    pub cluster: Option<String>,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// The authority that signed the collector's certificate; `None` for those of the system.
    pub authority: Option<PathBuf>,
    /// Headers of every request to the collector, `Name: value` a line; its values are secrets.
    pub headers_file: Option<PathBuf>,
    /// How long the collector may take for one request, in milliseconds: 1 s to 1 min. What could not be told
    /// for six times as long is given up.
    pub timeout_ms: u64,
    /// Tell it traces.
    pub traces: bool,
    /// Tell it metrics.
    pub metrics: bool,
    /// Tell it logs.
    pub logs: bool,
    /// Time between metrics, in milliseconds: 1 s to 1 h.
    pub interval_ms: u64,
    /// Where Prometheus finds the metrics at `/metrics`; `None` for nowhere.
    pub prometheus: Option<SocketAddr>,
    /// That page has the names of keepalived's exporters, too.
    pub keepalived_names: bool,
}

/// OTLP over what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC, usually port 4317.
    #[default]
    Grpc,
    /// Protocol buffers over HTTP, usually port 4318.
    Http,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp: None,
            cluster: None,
            protocol: OtlpProtocol::Grpc,
            authority: None,
            headers_file: None,
            timeout_ms: 10_000,
            traces: true,
            metrics: true,
            logs: true,
            interval_ms: 15_000,
            prometheus: None,
            keepalived_names: false,
        }
    }
}

impl Telemetry {
    /// Whether anything is told at all.
    pub fn is_on(&self) -> bool {
        self.otlp.is_some() || self.prometheus.is_some()
    }
}
