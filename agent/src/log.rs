//! Log lines: every event becomes one, with its reason and the story it belongs to.

mod journal;

use crate::args::Format;
use crate::event::{Event, Level};
use crate::story::Trail;
use crate::telemetry::attributes::{attributes, find};
use crate::telemetry::names;
use journal::Journal;
use opentelemetry::{KeyValue, Value};
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
struct Details {
    attributes: Vec<KeyValue>,
    span_id: Option<String>,
}

/// Fields of a line, and which attributes they show: the first that is there.
const FIELDS: [(&str, &[&str]); 8] = [
    ("from", &[names::PREVIOUS_STATE]),
    ("to", &[names::STATE, names::LVS_STATE]),
    ("reason", &[names::REASON_TEXT, names::TRACKER_TEXT, names::LVS_REASON_TEXT]),
    ("reason_kind", &[names::REASON_KIND]),
    ("group", &[names::GROUP]),
    ("tracker", &[names::TRACKER]),
    ("service", &[names::SERVICE]),
    ("server", &[names::SERVER]),
];

impl Details {
    fn of(event: &Event) -> Self {
        Self { attributes: attributes(event), span_id: event.trail.map(Trail::span_id) }
    }

    fn text(&self, field: &str) -> Option<String> {
        let (_, keys) = FIELDS.iter().find(|(name, _)| *name == field)?;
        find(&self.attributes, keys).map(ToString::to_string)
    }

    fn priority(&self) -> Option<i64> {
        match find(&self.attributes, &[names::PRIORITY]) {
            Some(Value::I64(priority)) => Some(*priority),
            _ => None,
        }
    }
}

macro_rules! line {
    ($level:ident, $event:expr, $details:expr) => {{
        let (event, details): (&Event, Details) = ($event, $details);
        let router = event.router.as_deref();
        tracing::$level!(
            router = router.map(|router| router.name.as_str()),
            vrid = router.map(|router| router.vrid.get()),
            interface = router.map(|router| router.interface.as_str()),
            from = details.text("from"),
            to = details.text("to"),
            reason = details.text("reason"),
            reason_kind = details.text("reason_kind"),
            priority = details.priority(),
            group = details.text("group"),
            tracker = details.text("tracker"),
            service = details.text("service"),
            server = details.text("server"),
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
    use crate::chronicle::tests::identity;
    use crate::event::What;
    use hacluster_core::machine::{Reason, StateKind, TakeoverCause, Transition};
    use hacluster_core::priority::Priority;

    #[test]
    fn fields_of_a_line_are_attributes_of_its_event() {
        let reason = Reason::TookOver(TakeoverCause::Silence);
        let transition = Transition { from: StateKind::Backup, to: StateKind::Master, reason };
        let priority = Priority::DEFAULT;
        let what = What::Transition { transition, priority, detail: None, began: None, waited: None };
        let event = Event::now(Some(identity("VI_1", 51)), what).on(Trail::begin());
        let details = Details::of(&event);
        for (field, expected) in [("from", "backup"), ("to", "master"), ("reason_kind", "silence")] {
            assert_eq!(details.text(field).as_deref(), Some(expected), "{field}");
        }
        assert_eq!(details.text("reason"), Some(reason.to_string()));
        assert_eq!((details.text("server"), details.priority()), (None, Some(100)));
    }

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
