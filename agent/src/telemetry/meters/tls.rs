//! The files of TLS that end: certificate, authority, list of revoked certificates.

use super::Shown;
use super::book::{Book, words};
use crate::api::Validity;
use crate::telemetry::names;
use opentelemetry::KeyValue;
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of a file, where there is one.
type OfFile = fn(&Validity) -> Option<f64>;

pub(super) fn instruments(book: &mut Book<'_>, shown: &Shown) {
    let mut gauge = |name, text, files: &'static [(&'static str, OfFile)]| {
        let shown = shown.clone();
        book.gauge(words(name, "s", &[names::TLS_FILE], text), move |to| {
            let Some(validity) = shown.load().validity else { return };
            for (file, number) in files {
                if let Some(number) = number(&validity) {
                    to.observe(number, &[KeyValue::new(names::TLS_FILE, *file)]);
                }
            }
        });
    };
    let text = "When the certificate in use and its authority end, and the list of revoked ones was to be replaced: \
                since 1970; none without TLS";
    gauge(
        "hacluster.tls.expiry.timestamp",
        text,
        &[
            ("certificate", |of| Some(since_1970(of.ends))),
            ("authority", |of| Some(since_1970(of.authority_ends))),
            ("revoked", |of| of.revoked_due.map(since_1970)),
        ],
    );
    let text =
        "For how long the certificate in use counts in all; the end of one of a few days is always near";
    gauge("hacluster.tls.lifetime", text, &[("certificate", |of| Some(lifetime(of)))]);
}

fn lifetime(of: &Validity) -> f64 {
    of.ends.duration_since(of.begins).unwrap_or_default().as_secs_f64()
}

fn since_1970(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
