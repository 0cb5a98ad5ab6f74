//! One line of text into words and braces, each with the bytes it came from.
//!
//! ```text
//!   auth_pass ab\#cd }   # why     comment_start cuts at the mark
//!   Word      Word   Close         tokenize
//! ```
//!
//! Rules of the language: `#` and `!` begin a comment anywhere outside double quotes, even inside a
//! word; braces outside double quotes are words of their own; only ASCII quotes count; a backslash
//! keeps the mark after it.

use crate::diag::{FileId, Span};
use std::ops::Range;

/// A word or a brace.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The word without quotes and escapes; empty for the rest.
    pub(super) text: String,
    /// Where it stands; for substituted text, where the substitution was asked for.
    pub(super) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Open,
    Close,
    /// End of a line.
    End,
}

/// A line, possibly after substitution, and the source bytes each part stands for.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) text: String,
    file: FileId,
    parts: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    /// Offset in the text.
    at: usize,
    source: Range<usize>,
    /// The text is the source, byte for byte; otherwise the whole part stands for all of `source`.
    copied: bool,
}

impl Text {
    pub(super) fn empty(file: FileId) -> Self {
        Self { text: String::new(), file, parts: Vec::new() }
    }

    /// `text`, found at byte `start` of `file`.
    pub(super) fn copied(file: FileId, text: &str, start: usize) -> Self {
        let part = Part { at: 0, source: start..start + text.len(), copied: true };
        Self { text: text.to_owned(), file, parts: vec![part] }
    }

    /// Adds `text` standing for the whole of `source`.
    pub(super) fn push(&mut self, text: &str, source: Range<usize>) {
        self.parts.push(Part { at: self.text.len(), source, copied: false });
        self.text.push_str(text);
    }

    /// Adds part of another text.
    pub(super) fn push_slice(&mut self, other: &Self, range: Range<usize>) {
        let first = other.parts.partition_point(|part| part.at <= range.start).saturating_sub(1);
        let start = self.text.len();
        for part in other.parts[first.min(other.parts.len())..].iter().take_while(|part| part.at < range.end)
        {
            let cut = range.start.saturating_sub(part.at);
            let mut part = part.clone();
            if part.copied {
                part.source.start += cut;
            }
            part.at = start + (part.at + cut - range.start);
            self.parts.push(part);
        }
        self.text.push_str(&other.text[range]);
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let mut new = Self::empty(self.file);
        new.push_slice(self, range);
        new
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    /// The source bytes of `range`.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let part = |offset: usize| {
            let index = self.parts.partition_point(|part| part.at <= offset);
            self.parts.get(index.saturating_sub(1))
        };
        let start = part(range.start)
            .map_or(0, |p| if p.copied { p.source.start + range.start - p.at } else { p.source.start });
        let end = part(range.end.saturating_sub(1).max(range.start))
            .map_or(start, |p| if p.copied { p.source.start + range.end - p.at } else { p.source.end });
        Span { file: self.file, range: start..end.max(start) }
    }
}

/// Where a comment begins, if there is one.
pub(super) fn comment_start(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'#' | b'!' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Appends the words and braces of `line`, then [`Kind::End`] if there were any. Gives the place
/// of a quote that is never closed.
pub(super) fn tokenize(line: &Text, tokens: &mut Vec<Token>) -> Option<Span> {
    let bytes = line.text.as_bytes();
    let before = tokens.len();
    let mut unclosed = None;
    let mut at = 0;
    while at < bytes.len() {
        let kind = match bytes[at] {
            byte if byte.is_ascii_whitespace() || byte == 0x0b => {
                at += 1;
                continue;
            }
            b'{' => Kind::Open,
            b'}' => Kind::Close,
            _ => {
                let (word, end, open_quote) = word(&line.text, at);
                unclosed = unclosed.or(open_quote.map(|quote| line.span(quote..end)));
                tokens.push(Token { kind: Kind::Word, text: word, span: line.span(at..end) });
                at = end;
                continue;
            }
        };
        tokens.push(Token { kind, text: String::new(), span: line.span(at..at + 1) });
        at += 1;
    }
    if tokens.len() > before {
        let end = line.text.len();
        tokens.push(Token { kind: Kind::End, text: String::new(), span: line.span(end..end) });
    }
    unclosed
}

/// Reads one word: its text, its end, and where a quote was left open.
fn word(line: &str, start: usize) -> (String, usize, Option<usize>) {
    let bytes = line.as_bytes();
    let mut text = String::new();
    let mut quote = None;
    let mut from = start;
    let mut at = start;
    while at < bytes.len() {
        let skip = match bytes[at] {
            b'\\'
                if bytes.get(at + 1).is_some_and(|next| {
                    if quote.is_some() { *next == b'"' } else { b"#!\"{}".contains(next) }
                }) =>
            {
                text.push_str(&line[from..at]);
                from = at + 1;
                at += 2;
                continue;
            }
            b'"' => {
                quote = if quote.is_some() { None } else { Some(at) };
                true
            }
            _ if quote.is_some() => false,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                at = variable_end(bytes, at);
                continue;
            }
            byte if byte.is_ascii_whitespace() || byte == 0x0b || byte == b'{' || byte == b'}' => break,
            _ => false,
        };
        if skip {
            text.push_str(&line[from..at]);
            from = at + 1;
        }
        at += 1;
    }
    text.push_str(&line[from..at]);
    (text, at, quote)
}

/// After an undefined `${NAME}`, whose braces belong to the word; after the `$` otherwise.
fn variable_end(bytes: &[u8], dollar: usize) -> usize {
    let name = bytes[dollar + 2..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let close = dollar + 2 + name;
    if name > 0 && bytes.get(close) == Some(&b'}') { close + 1 } else { dollar + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let end = comment_start(line).unwrap_or(line.len());
        let mut tokens = Vec::new();
        tokenize(&Text::copied(FileId(0), &line[..end], 0), &mut tokens);
        tokens
            .into_iter()
            .filter(|token| token.kind != Kind::End)
            .map(|token| match token.kind {
                Kind::Open => "{".to_owned(),
                Kind::Close => "}".to_owned(),
                _ => token.text,
            })
            .collect()
    }

    #[test]
    fn lines() {
        let cases: &[(&str, &[&str])] = &[
            ("auth_pass ab#cd", &["auth_pass", "ab"]),
            ("auth_pass \"ab#cd\"", &["auth_pass", "ab#cd"]),
            ("auth_pass ab\\#cd", &["auth_pass", "ab#cd"]),
            ("router_id LVS###text", &["router_id", "LVS"]),
            ("virtual_ipaddress {##text", &["virtual_ipaddress", "{"]),
            ("real_server 10.0.0.1 80{", &["real_server", "10.0.0.1", "80", "{"]),
            ("{ a }", &["{", "a", "}"]),
            ("x \"a { b } ! c\" d", &["x", "a { b } ! c", "d"]),
            ("a\\.b c\\\\d", &["a\\.b", "c\\\\d"]),
            ("say \"a \\\" b\"", &["say", "a \" b"]),
            ("via ${GW} dev $D", &["via", "${GW}", "dev", "$D"]),
            ("x ${ y", &["x", "$", "{", "y"]),
            ("a\tb\r", &["a", "b"]),
            ("! all", &[]),
            ("x \"\"", &["x", ""]),
            ("trailing\\", &["trailing\\"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line), *expected, "{line}");
        }
    }

    #[test]
    fn spans_point_at_the_source() {
        let source = "  state MASTER{ # x";
        let mut tokens = Vec::new();
        tokenize(&Text::copied(FileId(0), &source[..16], 0), &mut tokens);
        let marked: Vec<_> = tokens.iter().map(|t| &source[t.span.range.clone()]).collect();
        assert_eq!(marked, ["state", "MASTER", "{", ""]);
    }

    #[test]
    fn substituted_text_points_at_its_use() {
        // source: "priority $P x"
        let raw = Text::copied(FileId(0), "priority $P x", 100);
        let mut line = Text::empty(FileId(0));
        line.push_slice(&raw, 0..9);
        line.push("77 88", 109..111);
        line.push_slice(&raw, 11..13);
        let mut tokens = Vec::new();
        tokenize(&line, &mut tokens);
        let spans: Vec<_> = tokens.iter().map(|t| (t.text.as_str(), t.span.range.clone())).collect();
        assert_eq!(
            spans,
            [("priority", 100..108), ("77", 109..111), ("88", 109..111), ("x", 112..113), ("", 113..113)]
        );
    }

    #[test]
    fn an_open_quote_is_told() {
        let mut tokens = Vec::new();
        let quote = tokenize(&Text::copied(FileId(0), "a \"b c", 0), &mut tokens);
        assert_eq!(quote.unwrap().range, 2..6);
    }
}
