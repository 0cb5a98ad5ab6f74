//! Collects diagnostics without growing without bound.

use crate::diag::{Diagnostic, Severity};

/// Most diagnostics that are kept; what comes later is counted.
pub(super) const MAX_DIAGNOSTICS: usize = 500;

/// Diagnostics so far.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Diagnostic>,
    left_out: usize,
    worst_left_out: Option<Severity>,
    lost_left_out: bool,
}

impl Findings {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
            return;
        }
        self.left_out += 1;
        self.worst_left_out = self.worst_left_out.max(Some(diagnostic.severity));
        self.lost_left_out |= diagnostic.not_in_force;
    }

    pub(super) fn full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS
    }

    /// The list in the order of the text, closed with a count of what was left out.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.list
            .sort_by_key(|d| d.span.as_ref().map_or((u32::MAX, 0), |span| (span.file.0, span.range.start)));
        if let Some(severity) = self.worst_left_out {
            let message = format!("{} more findings are not shown", self.left_out);
            let mut last = Diagnostic::new(severity, "too-many-findings", message)
                .note("mend the first ones and look again");
            last.not_in_force = self.lost_left_out;
            self.list.push(last);
        }
        self.list
    }
}

/// Text of the file as it may stand in a message: short, on one line, without control characters.
pub(super) fn show(text: &str) -> String {
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
        let mut findings = Findings::default();
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
