//! Log lines: every event becomes one, with its reason and the story it belongs to.

mod journal;

use crate::args::Format;
use crate::event::{Event, Level, What, explain};
use crate::story::Trail;
use crate::telemetry::words::{reason_kind, state};
use journal::Journal;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whoever reads the lines takes fields that the text says, too.
static DETAILED: AtomicBool = AtomicBool::new(false);

/// What syslog sorts lines by.
#[derive(Clone, Copy, Debug)]
pub struct Facility(syslog_tracing::Facility);

impl FromStr for Facility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use syslog_tracing::Facility::*;
        let name = text.to_ascii_lowercase();
        Ok(Self(match name.strip_prefix("local").unwrap_or(&name) {
            "daemon" => Daemon,
            "user" => User,
            "0" => Local0,
            "1" => Local1,
            "2" => Local2,
            "3" => Local3,
            "4" => Local4,
            "5" => Local5,
            "6" => Local6,
            "7" => Local7,
            _ => return Err("write daemon, user, local0 to local7 or 0 to 7".to_owned()),
        }))
    }
}

/// Sets up logging to stderr, or to syslog under a facility; `RUST_LOG` narrows or widens it. Text for a
/// stderr that is the journal's goes there with its fields.
pub fn init(format: Format, syslog: Option<Facility>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = if syslog.is_none() && format == Format::Text { Journal::of_stderr() } else { None };
    DETAILED.store(journal.is_some() || format == Format::Json, Relaxed);
    if let Some(journal) = journal {
        let _ = tracing_subscriber::registry().with(filter).with(journal).try_init();
        return;
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // There is one connection to syslog in a process; without it stderr has to do.
    let syslog = syslog.and_then(|Facility(facility)| {
        syslog_tracing::Syslog::new(c"hacluster-agent", syslog_tracing::Options::LOG_PID, facility)
    });
    // A second subscriber (in tests) leaves the first one in place.
    let _ = match (syslog, format) {
        // syslog has a time and a severity of its own.
        (Some(syslog), Format::Text) => {
            builder.with_writer(syslog).with_ansi(false).without_time().with_level(false).try_init()
        }
        (Some(syslog), Format::Json) => {
            builder.with_writer(syslog).with_ansi(false).json().flatten_event(true).try_init()
        }
        (None, Format::Text) => {
            builder.with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        (None, Format::Json) => builder.with_writer(std::io::stderr).json().flatten_event(true).try_init(),
    };
}

/// What the text of a line says, as fields.
#[derive(Default)]
struct Details<'a> {
    from: Option<&'static str>,
    to: Option<&'static str>,
    reason: Option<String>,
    reason_kind: Option<String>,
    priority: Option<u8>,
    group: Option<&'a str>,
    tracker: Option<&'a str>,
    service: Option<&'a str>,
    server: Option<&'a str>,
    span_id: Option<String>,
}

impl<'a> Details<'a> {
    fn of(event: &'a Event) -> Self {
        let span_id = event.trail.map(Trail::span_id);
        match &event.what {
            What::Transition { transition, priority, detail, .. } => Self {
                from: Some(state(transition.from)),
                to: Some(state(transition.to)),
                reason: Some(explain(&transition.reason, detail.as_deref())),
                reason_kind: Some(reason_kind(&transition.reason)),
                priority: Some(priority.get()),
                span_id,
                ..Self::default()
            },
            What::Group { name, from, to, reason, .. } => Self {
                from: Some(state(*from)),
                to: Some(state(*to)),
                reason: Some(reason.to_string()),
                group: Some(name),
                span_id,
                ..Self::default()
            },
            What::Tracker(verdict) => Self {
                tracker: Some(&verdict.name),
                reason: Some(verdict.why.to_string()),
                span_id,
                ..Self::default()
            },
            What::Balance(notice) => {
                let told = notice.told.as_deref();
                Self {
                    to: told
                        .filter(|told| told.check.is_none())
                        .map(|told| if told.up { "up" } else { "down" }),
                    reason: told.map(|told| told.why.to_string()),
                    service: told.map(|told| &*told.called.service),
                    server: told.and_then(|told| told.called.server.as_deref()),
                    span_id,
                    ..Self::default()
                }
            }
            _ => Self { span_id, ..Self::default() },
        }
    }
}

macro_rules! line {
    ($level:ident, $event:expr, $details:expr) => {{
        let (event, details): (&Event, Details<'_>) = ($event, $details);
        let router = event.router.as_deref();
        tracing::$level!(
            router = router.map(|router| router.name.as_str()),
            vrid = router.map(|router| router.vrid.get()),
            interface = router.map(|router| router.interface.as_str()),
            from = details.from,
            to = details.to,
            reason = details.reason,
            reason_kind = details.reason_kind,
            priority = details.priority,
            group = details.group,
            tracker = details.tracker,
            service = details.service,
            server = details.server,
            span_id = details.span_id,
            trace_id = event.trail.map(|trail| tracing::field::display(trail.trace_id())),
            "{}",
            event.what
        );
    }};
}

/// Writes the line of `event`, if it makes one.
pub(crate) fn write(event: &Event) {
    let details = if DETAILED.load(Relaxed) { Details::of(event) } else { Details::default() };
    match event.what.level() {
        Level::Warning => line!(warn, event, details),
        Level::Info => line!(info, event, details),
        Level::Silent => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_are_named_as_syslog_and_keepalived_do() {
        for (text, expected) in
            [("3", "Local3"), ("local3", "Local3"), ("LOCAL7", "Local7"), ("daemon", "Daemon")]
        {
            assert_eq!(format!("{:?}", text.parse::<Facility>().unwrap().0), expected);
        }
        for text in ["", "8", "local8", "local", "mail"] {
            assert!(text.parse::<Facility>().unwrap_err().contains("local0 to local7"), "{text}");
        }
    }
}
