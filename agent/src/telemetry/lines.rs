//! Log lines for a collector: each event that makes a line, with the story it belongs to.

use super::anchor::Anchor;
use super::attributes::attributes;
use super::spans::context;
use crate::event::{Event, Level, What};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::{InstrumentationScope, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A record as exporters take it.
pub(super) type Line = (SdkLogRecord, InstrumentationScope);

/// Where finished records lie for a moment: the SDK gives them to nobody else.
#[derive(Clone, Debug, Default)]
struct Basket(Arc<Mutex<Vec<Line>>>);

impl LogProcessor for Basket {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((record.clone(), scope.clone()));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Makes records of events.
pub(super) struct Writer {
    logger: SdkLogger,
    basket: Basket,
    anchor: Anchor,
    _provider: SdkLoggerProvider,
}

impl Writer {
    pub(super) fn new(scope: InstrumentationScope) -> Self {
        let basket = Basket::default();
        let provider = SdkLoggerProvider::builder().with_log_processor(basket.clone()).build();
        let logger = provider.logger_with_scope(scope);
        Self { logger, basket, anchor: Anchor::default(), _provider: provider }
    }

    /// The record of `event`, if it makes a line. Telemetry does not tell of its own troubles: they would
    /// make more of themselves.
    pub(super) fn take(&mut self, event: &Event) -> Option<Line> {
        let (number, word) = match event.what.level() {
            _ if matches!(event.what, What::Telemetry { .. }) => return None,
            Level::Warning => (Severity::Warn, "WARN"),
            Level::Info => (Severity::Info, "INFO"),
            Level::Silent => return None,
        };
        self.anchor.renew();
        let mut record = self.logger.create_log_record();
        record.set_timestamp(self.anchor.wall(event.at));
        record.set_observed_timestamp(SystemTime::now());
        record.set_severity_number(number);
        record.set_severity_text(word);
        record.set_body(AnyValue::from(event.what.to_string()));
        for attribute in attributes(event) {
            let value = match attribute.value {
                Value::I64(number) => AnyValue::from(number),
                Value::Bool(flag) => AnyValue::from(flag),
                other => AnyValue::from(other.as_str().into_owned()),
            };
            record.add_attribute(attribute.key, value);
        }
        if let Some(trail) = event.trail {
            let context = context(trail);
            record.set_trace_context(context.trace_id(), context.span_id(), Some(context.trace_flags()));
        }
        self.logger.emit(record);
        self.basket.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronicle::tests::identity;
    use crate::story::Trail;
    use crate::telemetry::names;
    use hacluster_core::machine::{Fault, Reason, StateKind, Transition};
    use hacluster_core::priority::Priority;

    /// A reader of the collector's lines asks for what a reader of the journal asks for.
    #[test]
    fn a_record_says_all_that_its_event_does() {
        let reason = Reason::Fault(Fault::Tracked);
        let transition = Transition { from: StateKind::Master, to: StateKind::Fault, reason };
        let detail = Some("script chk: exit 1".into());
        let priority = Priority::DEFAULT;
        let what = What::Transition { transition, priority, detail, began: None, waited: None };
        let event = Event::now(Some(identity("VI_1", 51)), what).on(Trail::begin());
        let mut writer = Writer::new(InstrumentationScope::builder("test").build());
        let (record, _) = writer.take(&event).unwrap();
        let found: Vec<_> = record.attributes_iter().map(|(key, _)| key.as_str().to_owned()).collect();
        let expected: Vec<_> = attributes(&event).iter().map(|it| it.key.as_str().to_owned()).collect();
        assert_eq!(found, expected);
        assert!(found.iter().any(|key| key == names::REASON_TEXT), "{found:?}");
        assert!(found.iter().all(|key| names::ALL.contains(&key.as_str())), "{found:?}");
    }
}
