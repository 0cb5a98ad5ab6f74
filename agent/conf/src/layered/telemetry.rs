//! `[telemetry]`: what collectors are told.

use super::table::Table;
use crate::diag::Severity;
use crate::model::telemetry::{OtlpProtocol, Telemetry};
use crate::notation::is_host_and_port;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Keys of `[telemetry]`.
const KEYS: [&str; 12] = [
    "otlp",
    "cluster",
    "protocol",
    "authority",
    "headers_file",
    "timeout",
    "traces",
    "metrics",
    "logs",
    "interval",
    "prometheus",
    "keepalived_names",
];
/// Longest time between metrics, in seconds.
const INTERVAL_MAX_SECS: u32 = 3_600;
/// Longest time for one request, in seconds.
const TIMEOUT_MAX_SECS: u32 = 60;

/// Reads it over what lower layers said; relative names are looked for in `folder`.
pub(super) fn telemetry(mut table: Table<'_>, telemetry: &mut Telemetry, folder: &Path) {
    if let Some(url) = table.parsed("otlp", "http://host:port or https://host:port", url) {
        telemetry.otlp = Some(url);
    }
    if let Some(name) = table.parsed("cluster", "1 to 63 letters, digits, '.', '_' or '-'", cluster) {
        telemetry.cluster = Some(name);
    }
    let protocols = [("grpc", OtlpProtocol::Grpc), ("http", OtlpProtocol::Http)];
    if let Some(protocol) = table.choice("protocol", &protocols) {
        telemetry.protocol = protocol;
    }
    if let Some(file) = table.text("authority") {
        telemetry.authority = Some(folder.join(file));
    }
    if let Some(file) = table.text("headers_file") {
        telemetry.headers_file = Some(folder.join(file));
    }
    if let Some(secs) = table.integer("timeout", 1..=TIMEOUT_MAX_SECS) {
        telemetry.timeout_ms = u64::from(secs) * 1_000;
    }
    table.set_bool("traces", &mut telemetry.traces);
    table.set_bool("metrics", &mut telemetry.metrics);
    table.set_bool("logs", &mut telemetry.logs);
    if let Some(secs) = table.integer("interval", 1..=INTERVAL_MAX_SECS) {
        telemetry.interval_ms = u64::from(secs) * 1_000;
    }
    let at =
        |text: &str| text.parse().ok().filter(|at: &SocketAddr| at.port() > 0 && !at.ip().is_multicast());
    if let Some(at) = table.parsed("prometheus", "an address of this node and a port: 127.0.0.1:9650", at) {
        telemetry.prometheus = Some(at);
    }
    table.set_bool("keepalived_names", &mut telemetry.keepalived_names);
    let clear = telemetry.otlp.as_deref().and_then(|url| url.strip_prefix("http://"));
    if telemetry.headers_file.is_some() && clear.is_some_and(|place| !is_here(place)) {
        let message =
            "without TLS the headers to the collector can be read by everybody on the way".to_owned();
        let mend = "write https://, or send to a collector on this node";
        table.report(Severity::Warning, "headers-in-clear", "headers_file", message, mend);
    }
    table.finish(&KEYS);
}

fn cluster(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=63).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// Nothing but where: a path is the protocol's own, a password would be shown.
fn url(text: &str) -> Option<String> {
    let place = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    is_host_and_port(place.trim_end_matches('/')).then(|| text.trim_end_matches('/').to_owned())
}

/// Whether `place`, a host and its port, is on this node.
fn is_here(place: &str) -> bool {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
