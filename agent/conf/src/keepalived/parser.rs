//! Tokens into a tree of statements and blocks, mending braces on the way.
//!
//! ```text
//!   statement = word* ( `{` statement* `}` )?        one line; the `{` may stand on the next line
//! ```
//!
//! The tree is at most [`MAX_DEPTH`] deep, so that walking it may recurse. Braces that are missing or
//! too many are reported where they matter; the reading always goes on.

use super::keywords::{self, Block as Table, Takes};
use super::lexer::{Kind, Token};
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use std::iter::Peekable;
use std::vec::IntoIter;

/// Blocks within blocks.
pub(super) const MAX_DEPTH: usize = 24;

/// A word and where it stands.
#[derive(Clone)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Span,
}

/// A line, and the block it opens.
pub(super) struct Statement {
    /// Empty only for a block without any word before its `{`.
    pub(super) words: Vec<Word>,
    pub(super) block: Option<Vec<Statement>>,
}

impl Statement {
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// The words after the keyword.
    pub(super) fn params(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// Where its value is written, or the keyword when it has none.
    pub(super) fn value_span(&self) -> Option<&Span> {
        self.params().first().or(self.words.first()).map(|word| &word.span)
    }

    /// Keyword and first parameter, as people name a block.
    pub(super) fn title(&self) -> String {
        let words: Vec<&str> = self.words.iter().take(3).map(|word| word.text.as_str()).collect();
        show(&words.join(" "))
    }
}

/// What may stand in a block.
#[derive(Clone, Copy)]
enum Inside {
    Keywords(&'static Table),
    Entries,
    Unknown,
}

/// A block that is open.
struct Frame {
    owner: Vec<Word>,
    open: Span,
    items: Vec<Statement>,
    inside: Inside,
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Token>>,
    findings: &'a Findings,
    frames: Vec<Frame>,
    top: Vec<Statement>,
    line: Vec<Word>,
    /// Blocks that are open but too deep to be kept.
    too_deep: usize,
}

/// Builds the tree.
pub(super) fn parse(tokens: Vec<Token>, findings: &Findings) -> Vec<Statement> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        findings,
        frames: Vec::new(),
        top: Vec::new(),
        line: Vec::new(),
        too_deep: 0,
    };
    while let Some(token) = parser.tokens.next() {
        parser.token(token);
    }
    parser.end()
}

impl Parser<'_> {
    fn token(&mut self, token: Token) {
        if self.too_deep > 0 {
            match token.kind {
                Kind::Open => self.too_deep += 1,
                Kind::Close => self.too_deep -= 1,
                Kind::Word | Kind::End => {}
            }
            return;
        }
        match token.kind {
            Kind::Word => {
                let word = Word { text: token.text, span: token.span };
                if self.line.is_empty() {
                    self.open_if_brace_is_missing(&word);
                }
                self.line.push(word);
            }
            Kind::End => self.flush(),
            Kind::Open => self.open(token.span),
            Kind::Close => self.close(&token.span),
        }
    }

    fn items(&mut self) -> &mut Vec<Statement> {
        self.frames.last_mut().map_or(&mut self.top, |frame| &mut frame.items)
    }

    fn inside(&self) -> Inside {
        self.frames.last().map_or(Inside::Keywords(&keywords::TOP), |frame| frame.inside)
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let words = std::mem::take(&mut self.line);
            self.items().push(Statement { words, block: None });
        }
    }

    fn open(&mut self, brace: Span) {
        let mut owner = std::mem::take(&mut self.line);
        if owner.is_empty() && self.items().last().is_some_and(|last| last.block.is_none()) {
            owner = self.items().pop().map(|last| last.words).unwrap_or_default();
        }
        if owner.is_empty() {
            let message = "this `{` belongs to no keyword: its block is skipped";
            self.findings
                .push(Diagnostic::new(Severity::Warning, "stray-block", message).at(&brace).not_in_force());
        }
        let keyword = owner.first().map_or("", |word| word.text.as_str());
        self.leave_unclosed_blocks(keyword);
        if self.frames.len() >= MAX_DEPTH {
            self.too_deep = 1;
            let message = "blocks within blocks, more than 24 deep: this one is skipped";
            self.findings.push(Diagnostic::new(Severity::Error, "too-deep", message).at(&brace));
            return;
        }
        let inside = child(self.inside(), keyword);
        self.frames.push(Frame { owner, open: brace, items: Vec::new(), inside });
    }

    /// A block that only a block further out knows says that those in between were never closed.
    fn leave_unclosed_blocks(&mut self, keyword: &str) {
        let elsewhere = match self.inside() {
            Inside::Keywords(table) => table.find(keyword).is_none(),
            Inside::Entries => true,
            Inside::Unknown => false,
        };
        let takes = |table: &Table| table.find(keyword).map(|keyword| keyword.takes);
        // A list is no sign: its name may be an entry of the list that it stands in.
        let opens = |frame: &Frame| matches!(frame.inside, Inside::Keywords(table) if matches!(takes(table), Some(Takes::Block(_))));
        let depth = match self.frames.iter().rposition(opens) {
            Some(at) => at + 1,
            None if takes(&keywords::TOP).is_some_and(Takes::opens_block) => 0,
            None => return,
        };
        if !elsewhere {
            return;
        }
        while self.frames.len() > depth
            && let Some(frame) = self.frames.pop()
        {
            self.report_unclosed(&frame, &format!("before `{keyword}`"));
            self.attach(frame);
        }
    }

    /// A keyword that must have a block, and a next line that can only belong inside it: read on as
    /// if the brace were there. A comment that swallowed it looks the same.
    fn open_if_brace_is_missing(&mut self, next: &Word) {
        let (inside, next_line) = (self.inside(), next.text.as_str());
        let Inside::Keywords(table) = inside else { return };
        let Some(last) = self.items().last().filter(|last| last.block.is_none()) else { return };
        let Some(keyword) = table.find(last.keyword()) else { return };
        let belongs = match keyword.takes {
            Takes::Block(block) => block.find(next_line).is_some() && table.find(next_line).is_none(),
            Takes::List => {
                table.find(next_line).is_none() && !last.params().iter().any(|word| word.text == "none")
            }
            _ => false,
        };
        if !belongs {
            return;
        }
        let Some(owner) = self.items().pop() else { return };
        let open = owner.words[0].span.clone();
        self.findings.push(
            Diagnostic::new(Severity::Warning, "missing-brace", format!("`{}` has no `{{`", show(owner.keyword())))
                .at(&open)
                .label("write the `{` before any comment on this line")
                .note("the lines that follow are read as its block; keepalived ends the enclosing block at the next `}`"),
        );
        let inside = child(inside, owner.keyword());
        self.frames.push(Frame { owner: owner.words, open, items: Vec::new(), inside });
    }

    fn close(&mut self, brace: &Span) {
        self.flush();
        match self.frames.pop() {
            Some(frame) => self.attach(frame),
            None => self.findings.push(
                Diagnostic::new(
                    Severity::Warning,
                    "extra-brace",
                    "this `}` closes nothing: every block is closed already",
                )
                .at(brace)
                .label("remove it, or look above for a `{` that a comment swallowed"),
            ),
        }
    }

    fn attach(&mut self, frame: Frame) {
        self.items().push(Statement { words: frame.owner, block: Some(frame.items) });
    }

    fn report_unclosed(&mut self, frame: &Frame, until: &str) {
        let name = frame.owner.first().map_or("this block", |word| &word.text);
        self.findings.push(
            Diagnostic::new(
                Severity::Warning,
                "unclosed-block",
                format!("the block of `{}` is not closed {until}", show(name)),
            )
            .at(&frame.open)
            .label("opened here: a `}` is missing")
            .note("what was read of it is used"),
        );
    }

    fn end(mut self) -> Vec<Statement> {
        self.flush();
        while let Some(frame) = self.frames.pop() {
            self.report_unclosed(&frame, "before the end of the file");
            self.attach(frame);
        }
        self.top
    }
}

fn child(inside: Inside, keyword: &str) -> Inside {
    let Inside::Keywords(table) = inside else { return Inside::Unknown };
    match table.find(keyword).map(|keyword| keyword.takes) {
        Some(Takes::Block(block)) => Inside::Keywords(block),
        Some(Takes::List) => Inside::Entries,
        _ => Inside::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::keepalived::lexer::{Text, tokenize};

    fn tree(text: &str) -> (String, Vec<&'static str>) {
        let mut tokens = Vec::new();
        let mut at = 0;
        for line in text.split('\n') {
            tokenize(&Text::copied(FileId(0), line, at), &mut tokens);
            at += line.len() + 1;
        }
        let findings = Findings::default();
        let statements = parse(tokens, &findings);
        (
            statements.iter().map(draw).collect::<Vec<_>>().join(" "),
            findings.finish().iter().map(|d| d.code).collect(),
        )
    }

    fn draw(statement: &Statement) -> String {
        let words: Vec<&str> = statement.words.iter().map(|w| w.text.as_str()).collect();
        match &statement.block {
            None => words.join("+"),
            Some(items) => {
                format!("{}[{}]", words.join("+"), items.iter().map(draw).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn braces_may_stand_anywhere() {
        let cases = [
            (
                "vrrp_instance A { interface eth0\n priority 1 } ",
                "vrrp_instance+A[interface+eth0 priority+1]",
            ),
            ("vrrp_instance A\n{\ninterface eth0\n}", "vrrp_instance+A[interface+eth0]"),
            (
                "vrrp_instance A {\nvirtual_ipaddress { 10.0.0.1 dev x } }",
                "vrrp_instance+A[virtual_ipaddress[10.0.0.1+dev+x]]",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(tree(text), (expected.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn a_swallowed_brace_is_put_back() {
        let text = "vrrp_instance A {\nauthentication\nauth_type PASS\n}\nvirtual_ipaddress\n10.0.0.1\n}\n}";
        let (tree, codes) = tree(text);
        assert_eq!(tree, "vrrp_instance+A[authentication[auth_type+PASS] virtual_ipaddress[10.0.0.1]]");
        assert_eq!(codes, ["missing-brace", "missing-brace"]);
    }

    #[test]
    fn missing_and_extra_closing_braces() {
        let (drawn, codes) =
            tree("vrrp_instance A {\nauthentication {\nauth_type PASS\nvrrp_instance B {\n}\n}\n");
        assert_eq!(drawn, "vrrp_instance+A[authentication[auth_type+PASS]] vrrp_instance+B[]");
        assert_eq!(codes, ["unclosed-block", "unclosed-block", "extra-brace"]);
        let (drawn, codes) =
            tree("virtual_server A {\nreal_server B {\nTCP_CHECK {\nreal_server C {\n}\n}\n");
        assert_eq!(drawn, "virtual_server+A[real_server+B[TCP_CHECK[]] real_server+C[]]");
        assert_eq!(codes, ["unclosed-block", "unclosed-block"]);
        assert_eq!(tree("global_defs {\nrouter_id a").1, ["unclosed-block"]);
        assert_eq!(tree("{ a\n}").1, ["stray-block"]);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "a {\n".repeat(100_000) + &"}\n".repeat(100_000) + "b\n";
        let (drawn, codes) = tree(&deep);
        assert!(drawn.ends_with(" b"));
        assert_eq!(codes, ["too-deep"]);
    }
}
