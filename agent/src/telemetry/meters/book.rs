//! How instruments are made, and the list of them that the documentation shows.

use super::ledger::Ledger;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};
use std::sync::Arc;

/// What an instrument is, for people and programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) name: &'static str,
    /// UCUM; in braces what is counted.
    pub(super) unit: &'static str,
    /// Attributes of its series.
    pub(super) labels: &'static [&'static str],
    pub(super) text: &'static str,
}

pub(super) const fn words(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    text: &'static str,
) -> Words {
    Words { name, unit, labels, text }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// Makes instruments and writes down which.
pub(super) struct Book<'a> {
    meter: &'a Meter,
    entries: Vec<(Kind, Words)>,
}

impl<'a> Book<'a> {
    pub(super) fn new(meter: &'a Meter) -> Self {
        Self { meter, entries: Vec::new() }
    }

    /// One that goes up and down, told by `tell` whenever somebody wants to know.
    pub(super) fn gauge(
        &mut self,
        of: Words,
        tell: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    ) {
        self.entries.push((Kind::Gauge, of));
        let gauge = self.meter.f64_observable_gauge(of.name).with_unit(of.unit);
        gauge.with_description(of.text).with_callback(tell).build();
    }

    /// One that only grows, told by `tell` whenever somebody wants to know.
    pub(super) fn counter(
        &mut self,
        of: Words,
        tell: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        self.entries.push((Kind::Counter, of));
        let counter = self.meter.u64_observable_counter(of.name).with_unit(of.unit);
        counter.with_description(of.text).with_callback(tell).build();
    }

    /// One that only grows, as `ledger` has it.
    pub(super) fn kept(&mut self, of: Words, ledger: &Arc<Ledger>) {
        let ledger = ledger.clone();
        self.counter(of, move |to| {
            for (values, count) in ledger.read(of.name) {
                let labels = of.labels.iter().zip(values).map(|(label, value)| KeyValue::new(*label, value));
                to.observe(count, &labels.collect::<Vec<_>>());
            }
        });
    }

    /// How values are spread over `bounds`.
    pub(super) fn histogram(&mut self, of: Words, bounds: Vec<f64>) -> Histogram<f64> {
        self.entries.push((Kind::Histogram, of));
        let histogram = self.meter.f64_histogram(of.name).with_unit(of.unit);
        histogram.with_description(of.text).with_boundaries(bounds).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Counted;
    use crate::script::Purpose;
    use crate::story::Delivery;
    use crate::telemetry::meters::{Meters, Shown};
    use crate::telemetry::names;
    use crate::telemetry::words::outcome;
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use std::collections::BTreeSet;
    use std::fmt::Write;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs/telemetry.md");
    const BOUNDS: [&str; 2] = ["<!-- metrics, written by a test -->\n", "<!-- end of metrics -->\n"];
    /// Set to write the list anew.
    const WRITE: &str = "HACLUSTER_DOCS_WRITE";

    /// As Prometheus has it: OpenTelemetry's rules for compatibility.
    fn on_the_page(kind: Kind, of: &Words) -> String {
        let unit = match of.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            // Left out by all who translate; of others they do not think alike ("1" is a ratio to some).
            counted => {
                assert!(counted.starts_with('{') && counted.ends_with('}'), "{}: {counted}", of.name);
                ""
            }
        };
        let total = if kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", of.name.replace('.', "_"))
    }

    /// All that [`names::OUTCOME`] can be.
    fn outcomes() -> String {
        let plain = [true, false].map(outcome).into_iter();
        let programs = Purpose::runs().map(|(_, word, _)| word);
        let mails = Delivery::ALL.into_iter().map(|(_, word)| word);
        let mut words: Vec<&str> = Vec::new();
        for word in plain.chain(programs).chain(mails).chain(Counted::RESULTS) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        format!("\n`{}` is one of: `{}`.\n", names::OUTCOME, words.join("`, `"))
    }

    fn list() -> String {
        let provider = SdkMeterProvider::default();
        let meter = provider.meter("test");
        let mut book = Book::new(&meter);
        let _ = Meters::written_down(&mut book, Shown::default(), &Arc::default(), Arc::default());
        let mut metrics = BTreeSet::new();
        let mut text = "| metric (OTLP) | on the page | attributes | what |\n|---|---|---|---|\n".to_owned();
        for (kind, of) in &book.entries {
            assert!(metrics.insert(of.name), "{} twice", of.name);
            assert!(of.labels.iter().all(|label| names::ALL.contains(label)), "{}: {:?}", of.name, of.labels);
            let labels: Vec<_> = of.labels.iter().map(|label| format!("`{label}`")).collect();
            let page = on_the_page(*kind, of);
            writeln!(text, "| `{}` | `{page}` | {} | {} |", of.name, labels.join(", "), of.text).unwrap();
        }
        text + &outcomes()
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let document = std::fs::read_to_string(FILE).unwrap();
        let (before, rest) = document.split_once(BOUNDS[0]).unwrap();
        let (written, after) = rest.split_once(BOUNDS[1]).unwrap();
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(FILE, [before, BOUNDS[0], &list(), BOUNDS[1], after].concat()).unwrap();
            return;
        }
        assert_eq!(written, list(), "write it anew: {WRITE}=1 cargo test -p hacluster-agent documentation");
    }
}
