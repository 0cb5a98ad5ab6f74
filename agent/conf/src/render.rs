//! Diagnostics for people, programs and logs.
//!
//! ```text
//!   error[unknown-auth-type]: unknown authentication type `pass`      <- severity, code, message
//!     --> keepalived.conf:12:15                                       <- where
//!      |
//!   12 |     auth_type pass                                           <- the line, made safe
//!      |               ^^^^ did you mean `PASS`?                      <- span and label
//!      = its neighbours must agree                                    <- notes
//! ```
//!
//! Contract: any span into any text renders without panic; no control character of the text and no
//! password written in it reaches the output; a line is cut to a window around what is marked.

mod excerpt;

use crate::diag::{Diagnostic, Severity, SourceMap};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
pub(crate) use excerpt::mask;
use excerpt::{Excerpt, Excerpts, safe};
use serde_json::{Value, json};
use std::fmt;

/// Columns of a rendered report; longer source lines are cut.
const WIDTH_COLUMNS: usize = 120;

/// Reports of all `diagnostics` by file and position, then the summary; empty when there are none.
///
/// `color` adds ANSI escapes of our own; decide it from the terminal, never from the text.
pub fn text(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH_COLUMNS);
    let mut excerpts = Excerpts::new(sources);
    let mut out = String::new();
    for diagnostic in sorted(diagnostics) {
        out.push_str(&renderer.render(&[group(diagnostic, &mut excerpts)]));
        out.push_str("\n\n");
    }
    out.push_str(&Summary::of(diagnostics).to_string());
    out.push('\n');
    out
}

/// What `--check` says of a configuration read from `path`: all findings, then what would run.
pub fn report(loaded: &crate::Loaded, path: &std::path::Path, color: bool) -> String {
    let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let config = &loaded.config;
    let mut report = text(&loaded.diagnostics, &loaded.sources, color);
    report.push_str(&format!(
        "{}: {} virtual router(s) would run: {}",
        path.display(),
        config.routers.len(),
        names(config.routers.iter().map(|router| router.name.as_str()).collect()),
    ));
    if !config.refused.is_empty() {
        let refused = config.refused.iter().map(|refused| refused.name.as_str()).collect();
        report.push_str(&format!("; refused: {}", names(refused)));
    }
    report.push('\n');
    report
}

/// One diagnostic on one line: `file:line:column: severity: message (label)`. Of many, see [`Lines`].
pub fn line(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    Lines::of(sources).line(diagnostic)
}

/// Diagnostics on a line each; every file is searched for passwords only once.
pub struct Lines<'a>(Excerpts<'a>);

impl<'a> Lines<'a> {
    /// Of diagnostics about `sources`.
    pub fn of(sources: &'a SourceMap) -> Self {
        Self(Excerpts::new(sources))
    }

    /// As [`line()`].
    pub fn line(&mut self, diagnostic: &Diagnostic) -> String {
        let mut out = String::new();
        if let Some(excerpt) = self.0.of(diagnostic) {
            out = format!("{}:{}:{}: ", excerpt.path, excerpt.line, excerpt.column);
        }
        out.push_str(&format!("{}: {}", name(diagnostic.severity), safe(&diagnostic.message)));
        if let Some(label) = &diagnostic.label {
            out.push_str(&format!(" ({})", safe(label)));
        }
        out
    }
}

/// `{"diagnostics": [...], "summary": {...}}`; names and meaning of the members are stable.
///
/// Lines and columns count from 1, columns in characters; they, `file` and `text` are null for a
/// diagnostic about the whole. `text` is the marked text, passwords masked.
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    let mut excerpts = Excerpts::new(sources);
    let list: Vec<Value> = sorted(diagnostics)
        .into_iter()
        .map(|diagnostic| {
            let place = excerpts.of(diagnostic);
            json!({
                "severity": name(diagnostic.severity),
                "code": diagnostic.code,
                "message": safe(&diagnostic.message),
                "file": place.as_ref().map(|place| &place.path),
                "line": place.as_ref().map(|place| place.line),
                "column": place.as_ref().map(|place| place.column),
                "end_line": place.as_ref().map(|place| place.end_line),
                "end_column": place.as_ref().map(|place| place.end_column),
                "text": place.as_ref().map(|place| &place.shown[place.mark.clone()]),
                "label": diagnostic.label.as_deref().map(safe),
                "notes": diagnostic.notes.iter().map(|note| safe(note)).collect::<Vec<_>>(),
                "not_in_force": diagnostic.not_in_force,
            })
        })
        .collect();
    let summary = Summary::of(diagnostics);
    json!({
        "diagnostics": list,
        "summary": {
            "fatal": summary.fatal,
            "errors": summary.errors,
            "warnings": summary.warnings,
            "hints": summary.hints,
            "not_in_force": summary.not_in_force,
        },
    })
}

/// How many diagnostics there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nothing can run.
    pub fatal: usize,
    /// Something written does not run.
    pub errors: usize,
    /// Accepted, doubtful.
    pub warnings: usize,
    /// Worth knowing.
    pub hints: usize,
    /// Diagnostics, of any severity, about something written that has no effect.
    pub not_in_force: usize,
}

impl Summary {
    /// Counts `diagnostics`.
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
        Self {
            fatal: count(Severity::Fatal),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            hints: count(Severity::Hint),
            not_in_force: diagnostics.iter().filter(|d| d.not_in_force).count(),
        }
    }
}

impl fmt::Display for Summary {
    /// `2 errors, 1 hint; 1 thing written is not in force`, or `no problems`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = [
            (self.fatal, "fatal error"),
            (self.errors, "error"),
            (self.warnings, "warning"),
            (self.hints, "hint"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        .collect();
        f.write_str(if parts.is_empty() { "no problems" } else { "" })?;
        f.write_str(&parts.join(", "))?;
        match self.not_in_force {
            0 => Ok(()),
            1 => f.write_str("; 1 thing written is not in force"),
            many => write!(f, "; {many} things written are not in force"),
        }
    }
}

/// By file and position; what concerns the whole comes last, next to the summary.
fn sorted(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|d| match &d.span {
        Some(span) => (span.file.0, span.range.start, std::cmp::Reverse(d.severity)),
        None => (u32::MAX, usize::MAX, std::cmp::Reverse(d.severity)),
    });
    sorted
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Hint => "hint",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Fatal => "fatal",
    }
}

fn group<'a>(diagnostic: &Diagnostic, excerpts: &mut Excerpts<'_>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Hint => Level::HELP.with_name("hint"),
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
        Severity::Fatal => Level::ERROR.with_name("fatal"),
    };
    let mut group =
        Group::with_title(level.primary_title(safe(&diagnostic.message)).id(diagnostic.code.to_owned()));
    match excerpts.of(diagnostic) {
        Some(Excerpt { path, line, column, shown, mark, cut, .. }) => {
            let annotation = AnnotationKind::Primary.span(mark).label(diagnostic.label.as_deref().map(safe));
            let snippet = Snippet::source(shown).line_start(line).annotation(annotation);
            // The renderer counts columns in what it is given: wrong when the beginning is cut off.
            group = match cut {
                false => group.element(snippet.path(path)),
                true => group.element(Origin::path(path).line(line).char_column(column)).element(snippet),
            };
        }
        None => {
            let label = diagnostic.label.iter().map(|label| Level::NOTE.no_name().message(safe(label)));
            group = group.elements(label);
        }
    }
    group.elements(diagnostic.notes.iter().map(|note| Level::NOTE.no_name().message(safe(note))))
}
