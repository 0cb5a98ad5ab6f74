//! Ways to answer.

mod beside;
mod collectors;
pub(crate) mod events;
pub(crate) mod grid;
pub(crate) mod lvs;
pub(crate) mod screen;
#[cfg(test)]
mod snapshots;
pub(crate) mod status;
mod sync_groups;
pub(crate) mod text;
mod trackers;
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

/// Columns to write in: those of the terminal, at least and otherwise 80.
pub(crate) fn columns() -> usize {
    let size = io::stdout().is_terminal().then(|| ratatui::crossterm::terminal::size().ok()).flatten();
    size.map_or(text::COLUMNS, |(columns, _)| usize::from(columns).max(text::COLUMNS))
}

/// `value` for programs; `None` when people are to read it.
pub(crate) fn structured(value: &impl Serialize, format: Format) -> anyhow::Result<Option<String>> {
    let text = match format {
        Format::Json => format!("{:#}\n", serde_json::to_value(value)?),
        Format::Yaml => yaml::text(&serde_json::to_value(value)?),
        Format::Table | Format::Wide => return Ok(None),
    };
    Ok(Some(escaped(&text)))
}

/// `value` on one line, for programs.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(escaped(&format!("{}\n", serde_json::to_string(value)?)))
}

/// JSON may carry what moves a cursor as it is; a terminal may be what reads it.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\n' => out.push('\n'),
            char if moves(char) => {
                let mut units = [0; 2];
                out.extend(char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
            char => out.push(char),
        }
    }
    out
}

/// Moves a cursor, changes the direction of text, or hides.
fn moves(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Text of others on one line, without characters that move the cursor.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|char| if moves(char) { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_others_moves_the_cursor() {
        let evil = "a\x1b[2J\u{9b}1A\u{202e}b\n\u{feff}";
        assert_eq!(safe(evil), "a\u{fffd}[2J\u{fffd}1A\u{fffd}b\u{fffd}\u{fffd}");
        for format in [Format::Json, Format::Yaml] {
            let text = structured(&vec![evil], format).unwrap().unwrap();
            assert!(!text.chars().any(|char| char != '\n' && moves(char)), "{text:?}");
            assert!(text.contains("\\u009b"), "{text}");
        }
        let back: Vec<String> = serde_json::from_str(&json_line(&[evil]).unwrap()).unwrap();
        assert_eq!(back, [evil]);
    }
}
