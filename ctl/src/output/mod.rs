//! Ways to answer.

#[cfg(test)]
mod snapshots;
pub(crate) mod table;
pub(crate) mod yaml;

use crate::args::Format;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Writes to standard output; a reader that went away is no error of ours.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Whether `error` is about a reader that went away (`| head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether to use colours: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `value` for programs; `None` when people are to read it.
pub(crate) fn structured(value: &impl Serialize, format: Format) -> anyhow::Result<Option<String>> {
    Ok(match format {
        Format::Json => Some(format!("{:#}\n", serde_json::to_value(value)?)),
        Format::Yaml => Some(yaml::text(&serde_json::to_value(value)?)),
        Format::Table | Format::Wide => None,
    })
}

/// Text of others on one line, without characters that move the cursor.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
