//! What is counted and collected, as the page has it.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::api::Validity;
use crate::story::Mailed;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use std::thread;

/// Meters, and a page of what they tell.
struct Page {
    meters: Meters,
    registry: Registry,
    _provider: SdkMeterProvider,
}

/// As when other settings are put in force.
fn open(ledger: &Arc<Ledger>) -> Page {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let reader = exporter.scope_info_enabled(false).build().unwrap();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let meters = Meters::new(&provider.meter("test"), Shown::default(), &Arc::default(), ledger.clone());
    Page { meters, registry, _provider: provider }
}

impl Page {
    /// The number of the series that has `parts`.
    fn number(&self, parts: [&str; 2]) -> f64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let found = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        found.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }
}

#[test]
fn counters_begin_at_0_and_go_on_with_other_settings() {
    let ledger = Arc::default();
    let sent = ["hacluster_notify_mails_total", "\"sent\""];
    let mailed = Mailed { delivery: Delivery::Sent, ..Mailed::many(2, "") };
    let mailed = Event::now(None, Fact::Mailed(Arc::new(mailed)));
    let first = open(&ledger);
    assert_eq!(first.number(sent), 0.0);
    first.meters.take(&mailed);
    assert_eq!(first.number(sent), 2.0);
    drop(first);
    let second = open(&ledger);
    assert_eq!(second.number(sent), 2.0);
    second.meters.take(&mailed);
    assert_eq!(second.number(sent), 4.0);
    for series in
        [["hacluster_notify_scripts_total", "\"notify_fault\""], ["hacluster_events_lost_total", ""]]
    {
        assert_eq!(second.number(series), 0.0, "{series:?}");
    }
}

#[test]
fn ends_of_tls_files_are_time_stamps_and_are_none_without_tls() {
    let at = |days: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
    let mut page = open(&Arc::default());
    let validity = Validity { begins: at(1), ends: at(8), authority_ends: at(30), revoked_due: None };
    for validity in [None, Some(validity)] {
        page.meters.show(Sample { validity, ..Sample::default() });
        let text = TextEncoder::new().encode_to_string(&page.registry.gather()).unwrap();
        assert_eq!(text.contains("hacluster_tls_"), validity.is_some(), "{text}");
    }
    let ends = "hacluster_tls_expiry_timestamp_seconds{";
    assert_eq!(page.number([ends, "\"certificate\""]), 8.0 * 86_400.0);
    assert_eq!(page.number([ends, "\"authority\""]), 30.0 * 86_400.0);
    assert_eq!(page.number(["hacluster_tls_lifetime_seconds{", "\"certificate\""]), 7.0 * 86_400.0);
    let late = Validity { revoked_due: Some(at(2)), ..validity };
    page.meters.show(Sample { validity: Some(late), ..Sample::default() });
    assert_eq!(page.number([ends, "\"revoked\""]), 2.0 * 86_400.0);
}

#[test]
fn a_collection_sees_one_sample() {
    let shown = Shown::default();
    let later = shown.clone();
    let storing = shown.during(|| {
        let storing = thread::spawn(move || later.store(Sample { drained: true, ..Sample::default() }));
        thread::sleep(std::time::Duration::from_millis(50));
        assert!(!shown.load().drained, "it waits for the end of the collection");
        storing
    });
    storing.join().unwrap();
    assert!(shown.load().drained);
}
