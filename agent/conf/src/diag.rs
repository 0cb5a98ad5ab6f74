//! What is wrong with a configuration, where, why, and the mend.
//!
//! Front ends collect diagnostics and never stop at the first. A diagnostic carries a span into a
//! [`SourceMap`]; rendering (people, JSON) happens in [`render`](crate::render).

use serde::Serialize;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Hint,
    /// Accepted, but probably not what was meant, or not what keepalived would do.
    Warning,
    /// Something written is not in force; the rest still runs.
    Error,
    /// Nothing can run from this configuration.
    Fatal,
}

/// A file's place in the [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// Bytes `range` of file `file`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file the text stands in.
    pub file: FileId,
    /// The bytes, from the file's beginning.
    pub range: Range<usize>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable short name such as `unknown-keyword`, for scripts and tests.
    pub code: &'static str,
    /// What is wrong, one line, without a full stop.
    pub message: String,
    /// Where; `None` for something about the whole.
    pub span: Option<Span>,
    /// Text under the marked words, usually the mend ("did you mean `preempt_delay`?").
    pub label: Option<String>,
    /// Further lines: why, and what follows on the network.
    pub notes: Vec<String>,
    /// Whether something written is accepted but has no effect; decides between exit 0 and 1.
    pub not_in_force: bool,
}

impl Diagnostic {
    /// A finding without place or notes.
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        let not_in_force = severity >= Severity::Error;
        Self {
            severity,
            code,
            message: message.into(),
            span: None,
            label: None,
            notes: Vec::new(),
            not_in_force,
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: &Span) -> Self {
        self.span = Some(span.clone());
        self
    }

    /// Puts `label` under the marked words.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a line that explains.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Marks something accepted that has no effect.
    #[must_use]
    pub fn not_in_force(mut self) -> Self {
        self.not_in_force = true;
        self
    }
}

/// Every text that was read, with its name, so that spans can be shown.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<(PathBuf, String)>,
}

impl SourceMap {
    /// Remembers `text` under `path`.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        self.files.push((path.into(), text.into()));
        FileId((self.files.len() - 1) as u32)
    }

    /// The name of `file`.
    pub fn path(&self, file: FileId) -> &Path {
        &self.files[file.0 as usize].0
    }

    /// The text of `file`.
    pub fn text(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].1
    }

    /// Every file that was read, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// Every file with its text, in order.
    pub fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Line and column (in characters) of the span's beginning, both counted from 1.
    pub fn line_column(&self, span: &Span) -> (usize, usize) {
        let text = self.text(span.file);
        let mut at = span.range.start.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
