//! Log lines for a collector: each event that makes a line, with the story it belongs to.

use super::anchor::Anchor;
use super::spans::context;
use crate::event::{Event, Level, What};
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
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
        if let Some(router) = &event.router {
            record.add_attribute("vrrp.router", router.name.clone());
            record.add_attribute("vrrp.vrid", i64::from(router.vrid.get()));
            record.add_attribute("network.interface.name", router.interface.clone());
        }
        if let What::Balance(notice) = &event.what
            && let Some(told) = &notice.told
        {
            record.add_attribute("lvs.service", told.called.service.clone());
            if let Some(server) = &told.called.server {
                record.add_attribute("lvs.server", server.clone());
            }
        }
        if let Some(trail) = event.trail {
            let context = context(trail);
            record.set_trace_context(context.trace_id(), context.span_id(), Some(context.trace_flags()));
        }
        self.logger.emit(record);
        self.basket.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
