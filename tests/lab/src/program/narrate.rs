//! Telling what happens: one line per event, tables that survive 80 columns, no colour off a terminal.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr, stdout},
    time::Duration,
};

/// Characters of a client's bar.
pub(crate) const BAR_WIDTH: usize = 56;

/// The voice of the program.
#[derive(Debug)]
pub(crate) struct Narrator {
    colour: bool,
    live: bool,
}

impl Narrator {
    pub(crate) fn new() -> Self {
        let colour =
            stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour, live: stderr().is_terminal() }
    }

    /// A line as it is.
    pub(crate) fn line(&self, text: impl Display) {
        // A reader that went away (`| head`) is no reason to fail.
        let _ = writeln!(stdout(), "{text}");
    }

    /// A heading.
    pub(crate) fn title(&self, name: &str, text: &str) {
        let (bold, plain) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.line(format_args!("{bold}{name}{plain}: {text}\n"));
    }

    /// An event: a verb, and what happened.
    pub(crate) fn event(&self, verb: &str, text: impl Display) {
        self.line(format_args!("  {verb:<9}  {text}"));
    }

    /// Shows what is waited for while `work` runs; only on a terminal.
    pub(crate) fn while_waiting<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        if self.live {
            let _ = write!(stderr(), "  waiting    for {what} ...");
        }
        let result = work();
        if self.live {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        result
    }

    /// Rows under a heading row, each column as wide as its widest cell.
    pub(crate) fn table(&self, rows: &[Vec<String>]) {
        self.line("");
        for line in table(rows) {
            self.line(format_args!("  {line}"));
        }
        self.line("");
    }
}

fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row| {
        let cells: Vec<_> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| format!("{:width$}", cell(row, column)))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A span of time in ms or s, with at most three figures.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..100.0 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..10_000.0 => format!("{:.2} s", ms / 1e3),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_three_figures() {
        let told = [(412, "0.41 ms"), (3_500, "3.50 ms"), (45_600, "45.6 ms"), (609_375, "609 ms")];
        let told =
            told.into_iter().chain([(999_900, "1.00 s"), (3_609_375, "3.61 s"), (12_340_000, "12.3 s")]);
        for (micros, text) in told {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["VRID", "node1", "node2"]), row(["191", "Master 201", "-"])];
        assert_eq!(table(&rows), ["VRID  node1       node2", "191   Master 201  -"]);
    }
}
