//! One line of a source, safe to show: where a span is, what may be printed, what is marked.

use crate::diag::{Diagnostic, FileId, SourceMap, Span};
use std::{collections::BTreeMap, ops::Range};

/// Characters of one line kept on each side of the beginning of a span.
const WINDOW_CHARS: usize = 200;

/// Longest message, label, note or path that is shown whole, in characters.
const MESSAGE_MAX_CHARS: usize = 1000;

/// Words that are followed by a password.
const SECRET_WORDS: [&str; 4] = ["pass", "passwd", "password", "secret"];

/// A span as it can be shown.
pub(super) struct Excerpt {
    /// Name of the file.
    pub(super) path: String,
    /// Line of the span's beginning, from 1.
    pub(super) line: usize,
    /// Column of the span's beginning in characters, from 1.
    pub(super) column: usize,
    /// Line of the span's end.
    pub(super) end_line: usize,
    /// Column just behind the span.
    pub(super) end_column: usize,
    /// The line the span begins on, safe, cut to a window.
    pub(super) shown: String,
    /// The marked bytes of `shown`, on character boundaries.
    pub(super) mark: Range<usize>,
    /// Whether `shown` lacks the beginning of the line.
    pub(super) cut: bool,
}

/// What is worth finding once per file.
struct Index {
    secrets: Vec<Range<usize>>,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// Cuts excerpts.
pub(super) struct Excerpts<'a> {
    sources: &'a SourceMap,
    indexes: BTreeMap<FileId, Index>,
}

impl<'a> Excerpts<'a> {
    pub(super) fn new(sources: &'a SourceMap) -> Self {
        Self { sources, indexes: BTreeMap::new() }
    }

    /// `None` without a span, or with one into a file that `sources` does not have.
    pub(super) fn of(&mut self, diagnostic: &Diagnostic) -> Option<Excerpt> {
        let span = diagnostic.span.as_ref()?;
        let path = self.sources.paths().nth(span.file.0 as usize)?;
        let text = self.sources.text(span.file);
        let index = self.indexes.entry(span.file).or_insert_with(|| Index {
            secrets: secrets(text),
            lines: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        });
        Some(cut(safe(&path.to_string_lossy()), text, span, index))
    }
}

fn cut(path: String, text: &str, span: &Span, Index { secrets, lines }: &Index) -> Excerpt {
    let mut start = boundary(text, span.range.start);
    if start == text.len() {
        // The very end stands behind the last line written, not on an empty one after it.
        start = text.trim_end_matches(['\n', '\r']).len();
    }
    let end = boundary(text, span.range.end).max(start);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let start_in_line = start.min(line_start + text[line_start..line_end].trim_end_matches('\r').len());
    let (line, column) = line_column(text, lines, start);
    let (end_line, end_column) = line_column(text, lines, end);
    let from = text[line_start..start_in_line]
        .char_indices()
        .rev()
        .nth(WINDOW_CHARS)
        .map_or(line_start, |(at, _)| line_start + at);

    let front_cut = from > line_start;
    let mut shown = String::from(if front_cut { "..." } else { "" });
    let mut mark = shown.len()..shown.len();
    let line_text = text[from..line_end].trim_end_matches('\r');
    for (count, (at, char)) in line_text.char_indices().map(|(at, char)| (from + at, char)).enumerate() {
        if at == start_in_line {
            mark = shown.len()..shown.len();
        }
        if count > 3 * WINDOW_CHARS {
            shown.push_str("...");
            break;
        }
        let hidden = secrets.partition_point(|secret| secret.end <= at);
        let hidden = secrets.get(hidden).is_some_and(|secret| secret.contains(&at));
        shown.push(if hidden && !char.is_whitespace() { '*' } else { safe_char(char) });
        if at >= start_in_line && at < end {
            mark.end = shown.len();
        }
    }
    if start_in_line == from + line_text.len() {
        mark = shown.len()..shown.len();
    }
    Excerpt { path, line, column, end_line, end_column, shown, mark, cut: front_cut }
}

/// The character boundary at or before byte `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn line_column(text: &str, lines: &[usize], at: usize) -> (usize, usize) {
    let line = lines.partition_point(|start| *start <= at);
    let line_start = line.checked_sub(1).and_then(|line| lines.get(line)).copied().unwrap_or(0);
    (line, text[line_start..at].chars().count() + 1)
}

/// `text` on one line of bounded length, without characters that move the cursor, hide or turn text
/// around.
pub(super) fn safe(text: &str) -> String {
    let mut chars = text.trim_end().chars().map(|char| if char == '\n' { ' ' } else { safe_char(char) });
    let mut safe: String = chars.by_ref().take(MESSAGE_MAX_CHARS).collect();
    if chars.next().is_some() {
        safe.push_str("...");
    }
    safe
}

fn safe_char(char: char) -> char {
    match char {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            '\u{fffd}'
        }
        char if char.is_control() => '\u{fffd}',
        char => char,
    }
}

/// `text` with passwords replaced byte by byte, so that spans stay true.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets(text) {
        masked.push_str(&text[at..secret.start]);
        for char in text[secret.clone()].chars() {
            if char.is_whitespace() {
                masked.push(char);
            } else {
                masked.extend(std::iter::repeat_n('*', char.len_utf8()));
            }
        }
        at = secret.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// Bytes that may hold a password, in order. Hides too much rather than too little.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word_start) = text[at..].find(is_word).map(|start| at + start) {
        let rest = &text[word_start..];
        let word = &rest[..rest.find(|char| !is_word(char)).unwrap_or(rest.len())];
        at = word_start + word.len();
        let lower = word.to_ascii_lowercase();
        // Alone, `PASS` is a type of authentication, `$PASS` a variable that holds one.
        let alone = lower == "pass" && !text[..word_start].ends_with('$');
        if !alone && SECRET_WORDS.iter().any(|secret| lower.ends_with(secret)) {
            let value = secret_after(text, at);
            at = value.end;
            found.push(value);
        }
    }
    found
}

/// The value behind a word that ends at byte `at`: between quotes, or up to the end of the line.
fn secret_after(text: &str, at: usize) -> Range<usize> {
    let rest = text[at..].strip_prefix(['"', '\'']).unwrap_or(&text[at..]);
    let value = rest.trim_start_matches([' ', '\t', '=', ':']);
    let start = text.len() - value.len();
    for fence in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(fence) {
            let length = inner.find(fence).unwrap_or(inner.len());
            return start + 3..start + 3 + length;
        }
    }
    let mut line_end = value.find('\n').unwrap_or(value.len());
    while value[..line_end].trim_end_matches('\r').ends_with('\\') && line_end < value.len() {
        line_end += 1 + value[line_end + 1..].find('\n').unwrap_or(value.len() - line_end - 1);
    }
    if let Some(quote) = value.chars().next().filter(|char| matches!(char, '"' | '\'')) {
        let close = closing(&value[1..line_end], quote);
        if let Some(close) = close
            && !value[1 + close + 1..line_end].starts_with(|char: char| !" \t\r,}]#!".contains(char))
        {
            return start + 1..start + 1 + close;
        }
    }
    let mut secret = value[..line_end].trim_end();
    // A brace that stands alone closes a block and is no part of a password.
    while let Some(inner) = secret.strip_suffix('}').filter(|inner| inner.ends_with([' ', '\t'])) {
        secret = inner.trim_end();
    }
    start..start + secret.len()
}

/// Where `quote` ends in `inner`; a backslash escapes within double quotes.
fn closing(inner: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    inner.char_indices().find_map(|(at, char)| {
        let closes = char == quote && !escaped;
        escaped = char == '\\' && !escaped && quote == '"';
        closes.then_some(at)
    })
}
