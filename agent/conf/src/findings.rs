//! Collects diagnostics without growing without bound.

use crate::diag::{Diagnostic, Severity};
use crate::suggest::nearest;
use std::cell::{Cell, RefCell};

/// Most diagnostics that are kept; what comes later is counted.
const MAX_DIAGNOSTICS: usize = 500;

/// Diagnostics so far. Shared by readers of nested blocks and tables, hence the cells.
#[derive(Default)]
pub(crate) struct Findings {
    list: RefCell<Vec<Diagnostic>>,
    /// What was not kept: how many, the worst of them, and whether any says "not in force".
    left_out: Cell<(usize, Option<Severity>, bool)>,
    errors: Cell<usize>,
    worst: Cell<Option<Severity>>,
}

impl Findings {
    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        let severity = Some(diagnostic.severity);
        self.worst.set(self.worst.get().max(severity));
        self.errors.set(self.errors.get() + usize::from(severity >= Some(Severity::Error)));
        if self.full() {
            let (count, worst, lost) = self.left_out.get();
            self.left_out.set((count + 1, worst.max(severity), lost | diagnostic.not_in_force));
        } else {
            self.list.borrow_mut().push(diagnostic);
        }
    }

    /// Whether what comes now is only counted: then it need not be searched for a mend.
    pub(crate) fn full(&self) -> bool {
        self.list.borrow().len() >= MAX_DIAGNOSTICS
    }

    /// The known word that `word` may stand for; not searched for findings that are only counted.
    pub(crate) fn suggest<'a>(&self, word: &str, known: &[&'a str]) -> Option<&'a str> {
        if self.full() { None } else { nearest(word, known.iter().copied()) }
    }

    /// Errors so far, kept or counted.
    pub(crate) fn errors(&self) -> usize {
        self.errors.get()
    }

    /// The worst so far, kept or counted.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.worst.get()
    }

    /// The list in the order of the text, closed with a count of what was left out.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|d| d.span.as_ref().map_or((u32::MAX, 0), |span| (span.file.0, span.range.start)));
        if let (count, Some(severity), lost) = self.left_out.get() {
            let message = format!("{count} more findings are not shown");
            let mut last = Diagnostic::new(severity, "too-many-findings", message)
                .note("mend the first ones and look again");
            last.not_in_force = lost;
            list.push(last);
        }
        list
    }
}

/// Text of the file as it may stand in a message: short, on one line, without control characters.
pub(crate) fn show(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .map(|c| {
            if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_keeps_the_grade() {
        let findings = Findings::default();
        for _ in 0..MAX_DIAGNOSTICS {
            findings.push(Diagnostic::new(Severity::Hint, "h", "h"));
        }
        findings.push(Diagnostic::new(Severity::Error, "e", "e"));
        let list = findings.finish();
        assert_eq!(list.len(), MAX_DIAGNOSTICS + 1);
        assert_eq!(list.last().unwrap().severity, Severity::Error);
        assert!(list.last().unwrap().not_in_force);
    }

    #[test]
    fn shown_text_is_tame() {
        assert_eq!(show("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(show(&"x".repeat(100)).chars().count(), 61);
    }
}
