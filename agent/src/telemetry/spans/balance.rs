//! What becomes of virtual and real servers, as spans.
//!
//! ```text
//!   lvs.change               one virtual server: from the try that decided until the kernel has it
//!   |- lvs.server            a real server came or went, and why
//!   |  |- lvs.check          the try that decided
//!   |  `- notify.script, notify.mail
//!   |- lvs.quorum            the quorum was reached or lost
//!   |  `- notify.script, notify.mail
//!   `- ipvs.table            the changes that the kernel took, of all that were sent together
//! ```
//!
//! In the story of a virtual router that moved, in place of `lvs.change`: `lvs.wake` and `lvs.rest`
//! (`ha_suspend`), `ipvs.sync_daemon`; in that of an operator `lvs.order`. Nothing is kept from one event to
//! the next.

use super::{Builder, count};
use crate::lvs::Told;
use crate::story::{Balanced, Delivery, Mailed, Trail};
use crate::telemetry::attributes::{of_called, of_told};
use crate::telemetry::names;
use hacluster_core::time::Instant;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

impl Builder {
    /// A virtual or real server came or went.
    pub(super) fn balanced(&self, told: &Told, trail: Trail, at: Instant) -> Vec<SpanData> {
        let mut spans = Vec::new();
        if let Some(check) = &told.check {
            // It changed nothing: the turn is all there is to tell.
            let mut span = self.bare(trail, "lvs.check", (at, at));
            span.attributes.extend(of_called(&told.called));
            span.attributes.extend([
                KeyValue::new(names::CHECK_NAME, check.clone()),
                KeyValue::new(names::CHECK_TEXT, told.why.to_string()),
            ]);
            return vec![span];
        }
        if let Some(cause) = &told.cause {
            let mut span = self.bare(trail.child(), "lvs.check", (cause.began, cause.ended));
            span.span_kind = SpanKind::Client;
            span.attributes.extend(of_called(&told.called));
            span.attributes.extend([
                KeyValue::new(names::CHECK_NAME, cause.check.clone()),
                KeyValue::new(names::CHECK_TEXT, cause.text.to_string()),
            ]);
            if !told.up {
                span.status = Status::error(cause.text.to_string());
            }
            spans.push(span);
        }
        let began = told.cause.as_ref().map_or(at, |cause| cause.began.min(at));
        let name = if told.called.server.is_some() { "lvs.server" } else { "lvs.quorum" };
        let mut span = self.bare(trail, name, (began, at));
        span.attributes.extend(of_told(told));
        if !told.up {
            span.status = Status::error(told.why.to_string());
        }
        spans.push(span);
        spans
    }

    /// What was wanted of the kernel is done.
    pub(super) fn done(&self, done: &Balanced) -> [SpanData; 2] {
        let task = &done.task;
        let mut span = self.bare(task.trail, task.name, (task.began.min(done.begun), done.ended));
        let of = if task.name == names::SYNC_DAEMON { names::SYNC_DAEMON } else { names::SERVICE };
        span.attributes.push(KeyValue::new(of, task.of.clone()));
        let part = if task.name == "ipvs.sync_daemon" { "ipvs.daemons" } else { "ipvs.table" };
        let mut kernel = self.bare(task.trail.child(), part, (done.begun, done.ended));
        kernel.attributes.extend([
            KeyValue::new(names::IPVS_SENT, whole(done.sent)),
            KeyValue::new(names::IPVS_REFUSED, whole(done.refused)),
        ]);
        let trouble = match (&*done.absent, done.refused) {
            ("", 0) => None,
            ("", refused) => Some(format!("the kernel refused {refused} change(s)")),
            (absent, _) => Some(absent.to_owned()),
        };
        if let Some(trouble) = trouble {
            kernel.status = Status::error(trouble);
        }
        [kernel, span]
    }

    /// Mail about what happened in the story `trail`, from when it began to wait.
    pub(super) fn mailed(&self, trail: Trail, mailed: &Mailed, at: Instant) -> SpanData {
        let mut span = self.bare(trail.child(), "notify.mail", (mailed.begun, at));
        span.span_kind = SpanKind::Producer;
        span.attributes.extend([
            KeyValue::new(names::MAIL_SUBJECT, mailed.subject.clone()),
            KeyValue::new(names::MAIL_RECIPIENTS, count(mailed.recipients)),
            KeyValue::new(names::OUTCOME, mailed.delivery.name()),
        ]);
        if mailed.delivery != Delivery::Sent {
            span.status = Status::error(mailed.text.clone());
        }
        span
    }
}

fn whole(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
