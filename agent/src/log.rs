//! Log lines: every event becomes one, with its reason.

use crate::args::Format;
use crate::event::{Event, Level};
use std::io::IsTerminal;
use std::str::FromStr;
use tracing_subscriber::EnvFilter;

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

/// Sets up logging to stderr, or to syslog under a facility; `RUST_LOG` narrows or widens it.
pub fn init(format: Format, syslog: Option<Facility>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
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

/// Writes the line of `event`, if it makes one.
pub(crate) fn write(event: &Event) {
    let what = &event.what;
    match (&event.router, what.level()) {
        (Some(router), Level::Warning) => {
            tracing::warn!(
                router = router.name,
                vrid = router.vrid.get(),
                interface = router.interface,
                "{what}"
            );
        }
        (Some(router), Level::Info) => {
            tracing::info!(
                router = router.name,
                vrid = router.vrid.get(),
                interface = router.interface,
                "{what}"
            );
        }
        (None, Level::Warning) => tracing::warn!("{what}"),
        (None, Level::Info) => tracing::info!("{what}"),
        (_, Level::Silent) => {}
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
