//! Reads a file and what it includes, line by line, into one stream of tokens.
//!
//! ```text
//!   bytes -> lines -> comment cut -> @ID -> $NAME= -> ~SEQ -> substitution -> include -> tokens
//!                                                                              |  ^
//!                                                                              `--'  bounded depth and number
//! ```

use super::lexer::{self, Text, Token};
use super::source::{Source, has_magic};
use super::substitute::{self, Definitions, MAX_LINE_BYTES, Surroundings, TooMuch};
use crate::diag::{Diagnostic, FileId, Severity, Span};
use crate::findings::{Findings, show};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Files may include files this deep.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Most files one configuration may have.
const MAX_FILES: usize = 512;
/// Most `include` lines: each searches a folder.
const MAX_INCLUDES: usize = 2000;
/// Most lines after repetition and inclusion.
const MAX_LINES: usize = 500_000;
/// Most bytes of all files together.
const MAX_TOTAL_BYTES: usize = 64 << 20;
/// A line made of several lines, of repetitions of repetitions: this deep.
const MAX_LINE_DEPTH: usize = 8;
/// keepalived loses what goes beyond.
const KEEPALIVED_LINE_BYTES: usize = 1023;

/// Every text and the tokens of all.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    findings: &'a Findings,
    id: String,
    pub(super) files: Vec<(PathBuf, Rc<str>)>,
    pub(super) definitions: Definitions,
    pub(super) tokens: Vec<Token>,
    stack: Vec<PathBuf>,
    lines: usize,
    /// Bytes read and bytes made of them.
    bytes: usize,
    includes: usize,
    full: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source, findings: &'a Findings) -> Self {
        Self {
            source,
            findings,
            id: source.host_name(),
            files: Vec::new(),
            definitions: Definitions::default(),
            tokens: Vec::new(),
            stack: Vec::new(),
            lines: 0,
            bytes: 0,
            includes: 0,
            full: false,
        }
    }

    /// Reads `path` and what it includes. The error is the reason it cannot be read.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), String> {
        let bytes = self.source.read(path).map_err(|error| error.to_string())?;
        self.bytes += bytes.len();
        if bytes.len() as u64 > super::source::MAX_FILE_BYTES || self.bytes > MAX_TOTAL_BYTES {
            return Err("too large: at most 8 MiB a file and 64 MiB together".to_owned());
        }
        let text: Rc<str> = String::from_utf8_lossy(&bytes).into();
        let id = FileId(self.files.len() as u32);
        self.files.push((path.to_owned(), Rc::clone(&text)));
        self.stack.push(path.to_owned());
        self.text(id, &text);
        self.stack.pop();
        Ok(())
    }

    fn text(&mut self, file: FileId, text: &str) {
        // A byte order mark is no part of the first word.
        let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        while at < text.len() && !self.full {
            let (line, next) = line_at(file, text, at);
            at = next;
            if let Some((name, value)) = substitute::definition(&line.text) {
                let (name, mut value) = (name.to_owned(), line.text[value..].to_owned());
                let mut span = line.span(line.text.len() - value.len()..line.text.len());
                while value.ends_with('\\') && value.len() < MAX_LINE_BYTES && at < text.len() {
                    let (more, next) = line_at(file, text, at);
                    at = next;
                    value.truncate(value.trim_end_matches('\\').trim_end().len());
                    value.push('\n');
                    value.push_str(&more.text);
                    span.range.end = more.span(more.text.len()..more.text.len()).range.end;
                }
                self.definitions.set(&name, value, Some(span));
            } else if !line.text.is_empty() {
                self.line(&line, 0);
            }
        }
    }

    /// One line without comment and outer blanks.
    fn line(&mut self, line: &Text, depth: usize) {
        if line.text.trim().is_empty() || self.full {
            return;
        }
        // Counted here, not where words come out: repeated lines may all be for other nodes.
        self.lines += 1;
        self.bytes += if depth > 0 { line.text.len() } else { 0 };
        if self.lines > MAX_LINES || self.bytes > MAX_TOTAL_BYTES {
            return self.too_much(line, &TooMuch("more than 500000 lines or 64 MiB after repetition"));
        }
        if line.text.len() > MAX_LINE_BYTES {
            return self.too_much(line, &TooMuch("a line of more than 64 KiB"));
        }
        if depth > MAX_LINE_DEPTH {
            return self.too_much(line, &TooMuch("lines that repeat lines more than 8 deep"));
        }
        if line.text.starts_with('@') {
            if let Some(rest) = self.for_this_node(&line.text) {
                let rest = line.slice(rest..line.text.len());
                self.line(&trimmed(&rest), depth + 1);
            }
            return;
        }
        match substitute::repeat(&line.text) {
            Some(Ok(repeat)) => return self.repeated(line, repeat, depth),
            Some(Err(why)) => {
                return self.findings.push(
                    Diagnostic::new(
                        Severity::Error,
                        "bad-repeat",
                        format!("this line cannot be repeated: {why}"),
                    )
                    .at(&line.span(0..line.text.len())),
                );
            }
            None => {}
        }
        let dir = self.stack.last().and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();
        let around = Surroundings { source: self.source, dir: &dir, id: &self.id };
        let expanded =
            if line.text.contains('$') { self.definitions.expand(line, &around) } else { Ok(line.clone()) };
        match expanded {
            Err(why) => self.too_much(line, &why),
            Ok(expanded) if expanded.text.contains('\n') => {
                let mut at = 0;
                for part in expanded.text.split('\n') {
                    let slice = expanded.slice(at..at + part.len());
                    at += part.len() + 1;
                    self.line(&trimmed(&slice), depth + 1);
                }
            }
            Ok(expanded) => self.words(&expanded, &dir),
        }
    }

    /// For an `@ID` or `@^ID` line: where its rest begins, if it is for this node.
    fn for_this_node(&self, line: &str) -> Option<usize> {
        let end = line.find(|c: char| c.is_ascii_whitespace()).unwrap_or(line.len());
        let (other, id) = match line[1..end].strip_prefix('^') {
            Some(id) => (true, id),
            None => (false, &line[1..end]),
        };
        let short = self.id.split('.').next().unwrap_or_default();
        ((id == self.id || id == short) != other).then_some(end)
    }

    fn repeated(&mut self, line: &Text, repeat: substitute::Repeat, depth: usize) {
        let rest = trimmed(&line.slice(repeat.rest..line.text.len()));
        for round in repeat.rounds {
            let old: Vec<_> = round
                .into_iter()
                .map(|(name, value)| {
                    let old = self.definitions.set(&name, value, None);
                    (name, old)
                })
                .collect();
            self.line(&rest, depth + 1);
            for (name, old) in old {
                self.definitions.restore(&name, old);
            }
        }
    }

    /// A finished line: an include, or words.
    fn words(&mut self, line: &Text, dir: &Path) {
        self.bytes += line.text.len();
        let all = line.span(0..line.text.len());
        let (first, rest) =
            line.text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((&line.text, ""));
        if matches!(first, "include" | "includer" | "includem" | "includew" | "includeb" | "includea") {
            return self.include(first, rest.trim().trim_matches('"'), dir, &all);
        }
        if line.text.len() > KEEPALIVED_LINE_BYTES {
            let message = format!(
                "this line has {} bytes; keepalived loses what goes beyond {KEEPALIVED_LINE_BYTES}",
                line.text.len()
            );
            self.findings.push(
                Diagnostic::new(Severity::Warning, "long-line", message)
                    .at(&all)
                    .note("it is read in full here"),
            );
        }
        if let Some(quote) = lexer::tokenize(line, &mut self.tokens) {
            self.findings.push(
                Diagnostic::new(Severity::Warning, "unclosed-quote", "this quote is not closed on its line")
                    .at(&Span { file: quote.file, range: quote.range.start..quote.range.start + 1 })
                    .label("write the closing `\"`"),
            );
        }
    }

    fn include(&mut self, keyword: &str, pattern: &str, dir: &Path, at: &Span) {
        let severity = if keyword == "include" { Severity::Warning } else { Severity::Error };
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            self.full = true;
            let message = "the limit is reached: more than 2000 include lines";
            return self.findings.push(Diagnostic::new(Severity::Error, "too-large", message).at(at));
        }
        let mut any = false;
        for alternative in braces(pattern) {
            let found = self.source.glob(dir, &alternative).unwrap_or_default();
            any |= !found.is_empty();
            let must = matches!(keyword, "includea" | "includeb")
                || keyword == "includew" && has_magic(&alternative);
            if found.is_empty() && must {
                let message = format!("nothing matches `{}`", show(&alternative));
                self.findings.push(Diagnostic::new(severity, "include-nothing", message).at(at));
            }
            for path in found {
                self.included(&path, severity, at);
            }
        }
        if !any && !matches!(keyword, "includea" | "includeb" | "includew") {
            let diagnostic =
                Diagnostic::new(severity, "include-nothing", format!("no file matches `{}`", show(pattern)));
            self.findings.push(
                diagnostic.at(at).note("relative names are looked up beside the file that includes them"),
            );
        }
    }

    fn included(&mut self, path: &Path, severity: Severity, at: &Span) {
        let wrong = if self.stack.iter().any(|open| open == path) {
            Some(("include-cycle", "is being read already: it includes itself".to_owned()))
        } else if self.stack.len() >= MAX_INCLUDE_DEPTH {
            Some(("include-depth", "is included more than 16 deep".to_owned()))
        } else if self.files.len() >= MAX_FILES {
            Some(("include-depth", "is one file too many: at most 512 are read".to_owned()))
        } else {
            let result = self.file(path);
            result.err().map(|why| ("unreadable", format!("cannot be read: {why}")))
        };
        if let Some((code, why)) = wrong {
            let message = format!("`{}` {why}", show(&path.display().to_string()));
            self.findings.push(Diagnostic::new(severity.max(Severity::Error), code, message).at(at));
        }
    }

    /// A limit is reached: say so once, and read no further.
    fn too_much(&mut self, line: &Text, why: &TooMuch) {
        if why.0.contains("lines") || why.0.contains("substitutions") {
            self.full = true;
        }
        let message = format!("the limit is reached: {}", why.0);
        self.findings
            .push(Diagnostic::new(Severity::Error, "too-large", message).at(&line.span(0..line.text.len())));
    }
}

/// The line at byte `at`, without comment and outer blanks, and where the next begins.
fn line_at(file: FileId, text: &str, at: usize) -> (Text, usize) {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let raw = &text[at..end];
    let code = &raw[..lexer::comment_start(raw).unwrap_or(raw.len())];
    let start = at + code.len() - code.trim_ascii_start().len();
    (Text::copied(file, code.trim_ascii(), start.min(end)), end + 1)
}

fn trimmed(line: &Text) -> Text {
    let start = line.text.len() - line.text.trim_ascii_start().len();
    line.slice(start..start + line.text.trim_ascii().len())
}

/// csh braces: `a{b,c}d` is `abd` and `acd`. At most 256 alternatives.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        // The first closed pair without another inside.
        let close = pattern.find('}').filter(|_| done.len() + open.len() < 256);
        let Some((start, close)) = close.and_then(|close| Some((pattern[..close].rfind('{')?, close))) else {
            if !done.contains(&pattern) {
                done.push(pattern);
            }
            continue;
        };
        let (before, after) = (&pattern[..start], &pattern[close + 1..]);
        open.extend(
            pattern[start + 1..close].split(',').rev().take(256).map(|one| format!("{before}{one}{after}")),
        );
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalived::source::Memory;

    fn words(memory: &Memory) -> (String, Vec<&'static str>) {
        let findings = Findings::default();
        let mut reader = Reader::new(memory, &findings);
        reader.file(Path::new("/k/main")).unwrap();
        let tokens: Vec<String> = reader
            .tokens
            .iter()
            .map(|t| match t.kind {
                lexer::Kind::Word => t.text.clone(),
                lexer::Kind::Open => "{".to_owned(),
                lexer::Kind::Close => "}".to_owned(),
                lexer::Kind::End => "/".to_owned(),
            })
            .collect();
        (tokens.join(" "), findings.finish().iter().map(|d| d.code).collect())
    }

    fn main_file(text: &str) -> Memory {
        Memory::new("/k/main", text).with_host("node1.example")
    }

    #[test]
    fn byte_order_mark_crlf_and_conditions() {
        let text = "\u{feff}global_defs {\r\n@node1 router_id a\r\n@node2 router_id b\n@^node2 x 1\n}\r\n";
        assert_eq!(words(&main_file(text)).0, "global_defs { / router_id a / x 1 / } /");
    }

    #[test]
    fn definitions_of_several_lines_and_repetition() {
        let text = "$BLOCK=vrrp_instance V$n { \\\n  priority $P \\\n}\n$P=7\n~SEQ(n,1,2) $BLOCK\n";
        assert_eq!(
            words(&main_file(text)).0,
            "vrrp_instance V1 { / priority 7 / } / vrrp_instance V2 { / priority 7 / } /"
        );
    }

    #[test]
    fn includes_are_relative_sorted_and_bounded() {
        let memory = main_file("include d/{x,y}*.conf\ninclude none\nincludea none2\ninclude main\nend\n")
            .with("/k/d/y2.conf", "y2")
            .with("/k/d/y1.conf", "y1\ninclude ../d/x.conf")
            .with("/k/d/x.conf", "x");
        let (text, codes) = words(&memory);
        assert_eq!(text, "x / y1 / y2 / end /");
        // `..` is not resolved in memory: nothing there
        assert_eq!(codes, ["include-nothing", "include-nothing", "include-cycle", "include-nothing"]);
    }

    #[test]
    fn a_flood_of_lines_ends() {
        let text = "~SEQ(a,10000) ~SEQ(b,10000) ~SEQ(c,10000) x\ny\n";
        let (_, codes) = words(&main_file(text));
        assert_eq!(codes, ["too-large"]);
    }

    #[test]
    fn long_lines_are_read_and_named() {
        let text = format!("router_id {}\nrouter_id {}\n", "a".repeat(2000), "b".repeat(70_000));
        let (words, codes) = words(&main_file(&text));
        assert_eq!(codes, ["long-line", "too-large"]);
        assert_eq!(words.len(), "router_id ".len() + 2000 + 2);
    }

    #[test]
    fn alternatives() {
        assert_eq!(braces("a{b,c{d,e}}f"), ["abf", "acdf", "acef"]);
        assert_eq!(braces("a}{b"), ["a}{b"]);
        assert!(braces(&"{a,b}".repeat(40)).len() < 600);
    }
}
