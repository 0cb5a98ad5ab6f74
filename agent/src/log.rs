//! Log lines: every event becomes one, with its reason.

use crate::args::Format;
use crate::event::{Event, Level};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets up logging to stderr; `RUST_LOG` narrows or widens it.
pub fn init(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second subscriber (in tests) leaves the first one in place.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
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
