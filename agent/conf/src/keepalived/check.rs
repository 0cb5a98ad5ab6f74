//! Walks the tree by the keyword tables: names everything that is unknown, misplaced, malformed,
//! outdated or not in force yet.
//!
//! One finding stands for all lines of one topic in one top-level block, so that a file with fifty
//! `notify_master` lines does not drown the one line that matters.

use super::keywords::{self, Block, Keyword, Status, TOP, Takes};
use super::parser::{Statement, Word};
use super::substitute;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::suggest::{look_alike, nearest};
use std::net::IpAddr;

/// Words that mean yes and no.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Checks the whole tree.
pub(super) fn check(top: &[Statement], findings: &Findings) {
    let mut walk = Walk { findings, groups: Vec::new() };
    for statement in top {
        walk.statement(&TOP, statement, false);
        walk.flush(statement);
    }
    walk.old_names();
}

/// Lines of one top-level block that share their status.
struct Group {
    status: Status,
    names: Vec<&'static str>,
    at: Span,
    lines: usize,
}

struct Walk<'a> {
    findings: &'a Findings,
    groups: Vec<Group>,
}

impl Walk<'_> {
    /// `covered`: a block around it is already named as not in force.
    fn statement(&mut self, table: &'static Block, statement: &Statement, covered: bool) {
        let Some(word) = statement.words.first() else { return };
        let Some(keyword) = table.find(&word.text) else { return self.unknown(table, statement) };
        let usable = self.shape(keyword, statement);
        if !matches!(keyword.status, Status::Now | Status::Old(_)) {
            self.values(keyword, statement);
        }
        if usable && !(covered && matches!(keyword.status, Status::Later(_))) {
            self.group(keyword, word);
        }
        let covered = covered || matches!(keyword.status, Status::Later(_) | Status::Gone(_));
        let Some(items) = &statement.block else { return };
        match keyword.takes {
            Takes::Block(inner) => items.iter().for_each(|item| self.statement(inner, item, covered)),
            Takes::List if covered => items.iter().for_each(|item| self.words(&item.words)),
            _ => {}
        }
    }

    fn unknown(&mut self, table: &'static Block, statement: &Statement) {
        let word = &statement.words[0];
        let name = show(&word.text);
        if self.findings.full() {
            let found = Diagnostic::new(Severity::Error, "unknown-keyword", "unknown keyword");
            return self.findings.push(found.at(&word.span));
        }
        let homes: Vec<&str> = keywords::ALL
            .iter()
            .filter(|block| block.find(&word.text).is_some())
            .map(|block| block.name)
            .take(4)
            .collect();
        let place = if std::ptr::eq(table, &raw const TOP) {
            "at the top level".to_owned()
        } else {
            format!("in `{}`", table.name)
        };
        let mut found = if homes.is_empty() {
            Diagnostic::new(Severity::Error, "unknown-keyword", format!("unknown keyword `{name}` {place}"))
        } else {
            Diagnostic::new(Severity::Error, "misplaced-keyword", format!("`{name}` does not belong {place}"))
        }
        .at(&word.span);
        if let Some(strange) = look_alike(&word.text) {
            found = found.label(format!("{}: {}", strange.title(), strange.mend));
        } else if !homes.is_empty() {
            found = found.label(format!("it belongs in {}", list(&homes, "or")));
        } else if let Some(near) = nearest(&word.text, table.all().map(|keyword| keyword.name)) {
            found = found.label(format!("did you mean `{near}`?"));
        } else if let Some((near, home)) = nearest_elsewhere(&word.text) {
            found = found.label(format!("did you mean `{near}`, which belongs in `{home}`?"));
        }
        found = found.note(if statement.block.is_some() {
            "its whole block is skipped"
        } else {
            "the line is skipped"
        });
        self.findings.push(found);
    }

    /// Arity and blocks; whether the line says enough to be used.
    fn shape(&mut self, keyword: &Keyword, statement: &Statement) -> bool {
        let (word, params) = (&statement.words[0], statement.params());
        let name = keyword.name;
        let least = match keyword.takes {
            Takes::Flag | Takes::Bool | Takes::Maybe | Takes::List | Takes::Block(_) => 0,
            _ => 1,
        };
        let most = match keyword.takes {
            Takes::Flag => 0,
            Takes::Bool | Takes::Word | Takes::Number(..) | Takes::Seconds(..) => 1,
            _ => usize::MAX,
        };
        if params.len() < least {
            let severity =
                if matches!(keyword.status, Status::Now) { Severity::Error } else { Severity::Warning };
            self.findings.push(
                Diagnostic::new(
                    severity,
                    "missing-parameter",
                    format!("`{name}` needs a value: the line is ignored"),
                )
                .at(&word.span)
                .note("keepalived ends here, at start and on reload"),
            );
        } else if params.len() > most {
            let message = if most == 0 {
                format!("`{name}` takes no value: it is switched on by being there")
            } else {
                format!("`{name}` takes one value: the words after it are ignored")
            };
            self.findings.push(
                Diagnostic::new(Severity::Warning, "extra-words", message).at(&params[most].span).label(
                    if most == 0 {
                        "remove it"
                    } else {
                        "quote words that belong together, or begin a new line"
                    },
                ),
            );
        }
        match (&statement.block, keyword.takes.opens_block()) {
            (Some(_), false) if !matches!(name, "use_vmac" | "use_ipvlan") => self.findings.push(
                Diagnostic::new(
                    Severity::Warning,
                    "unexpected-block",
                    format!("`{name}` takes no block: its block is skipped"),
                )
                .at(&word.span)
                .not_in_force(),
            ),
            (None, true) => self.findings.push(
                Diagnostic::new(
                    Severity::Warning,
                    "missing-brace",
                    format!("`{name}` has no block: write `{{` after it"),
                )
                .at(&word.span)
                .not_in_force(),
            ),
            _ => {}
        }
        params.len() >= least
    }

    /// Values of lines that nothing reads yet.
    fn values(&mut self, keyword: &Keyword, statement: &Statement) {
        let Some(first) = statement.params().first() else { return };
        let text = first.text.as_str();
        let wrong = match keyword.takes {
            Takes::Bool => {
                truth(text).is_none().then(|| "`on`, `yes`, `true`, `off`, `no` or `false`".to_owned())
            }
            Takes::Number(min, max) | Takes::Weight(min, max) => {
                let good = text.parse::<i64>().is_ok_and(|number| (min..=max).contains(&number));
                (!good).then(|| format!("a whole number from {min} to {max}"))
            }
            Takes::Seconds(min, max) => {
                let good = seconds(text).is_some_and(|micros| (min * 1000..=max * 1000).contains(&micros));
                (!good).then(|| format!("seconds from {} to {}", min as f64 / 1000.0, max / 1000))
            }
            Takes::Ip => text.parse::<IpAddr>().is_err().then(|| "an IP address".to_owned()),
            Takes::OneOf(words) => (!words.contains(&text)).then(|| format!("one of {}", list(words, "or"))),
            _ => None,
        };
        if let Some(expected) = wrong {
            let mut found = Diagnostic::new(
                Severity::Warning,
                "bad-value",
                format!("`{}` is not {expected}", show(text)),
            )
            .at(&first.span)
            .note("keepalived reports it and uses its default");
            if let Takes::OneOf(words) = keyword.takes
                && let Some(near) = nearest(text, words.iter().copied())
            {
                found = found.label(format!("did you mean `{near}`?"));
            }
            self.findings.push(found);
        } else if !matches!(keyword.name, "auth_pass" | "password" | "key") {
            self.words(statement.params());
        }
    }

    /// Look-alike characters and names that nobody defined.
    fn words(&mut self, words: &[Word]) {
        for word in words {
            if let Some(strange) = look_alike(&word.text) {
                let message = format!("{} is part of this word", strange.title());
                self.findings.push(
                    Diagnostic::new(Severity::Warning, "look-alike-character", message)
                        .at(&word.span)
                        .label(strange.mend),
                );
                return;
            }
            if let Some((_, name)) = substitute::uses(&word.text).first() {
                let message = format!("`${}` is not defined: the text stays as it is", show(name));
                self.findings.push(
                    Diagnostic::new(Severity::Warning, "undefined-name", message)
                        .at(&word.span)
                        .label(format!("define it before: ${}=value", show(name))),
                );
                return;
            }
        }
    }

    fn group(&mut self, keyword: &'static Keyword, word: &Word) {
        if matches!(keyword.status, Status::Now) {
            return;
        }
        let same = |group: &&mut Group| match (group.status, keyword.status) {
            (Status::Later(a), Status::Later(b)) => a == b,
            (Status::Moot(a), Status::Moot(b))
            | (Status::Old(a), Status::Old(b))
            | (Status::Gone(a), Status::Gone(b)) => a == b,
            _ => false,
        };
        match self.groups.iter_mut().find(same) {
            Some(group) => {
                group.lines += 1;
                if !group.names.contains(&keyword.name) {
                    group.names.push(keyword.name);
                }
            }
            None => {
                self.groups.push(Group {
                    status: keyword.status,
                    names: vec![keyword.name],
                    at: word.span.clone(),
                    lines: 1,
                });
            }
        }
    }

    fn flush(&mut self, top: &Statement) {
        let whole = matches!(TOP.find(top.keyword()).map(|keyword| keyword.status), Some(Status::Later(_)));
        let (old, groups): (Vec<Group>, Vec<Group>) =
            self.groups.drain(..).partition(|group| matches!(group.status, Status::Old(_)));
        self.groups = old;
        for group in groups {
            let names = if whole && matches!(group.status, Status::Later(_)) {
                format!("`{}`", top.title())
            } else if top.keyword() == "vrrp_instance" {
                format!("{} of `{}`", list(&group.names, "and"), top.title())
            } else {
                list(&group.names, "and")
            };
            let are = if group.names.len() > 1 && !whole { "are" } else { "is" };
            let found = match group.status {
                Status::Later(topic) => Diagnostic::new(
                    Severity::Warning,
                    "not-in-force-yet",
                    format!("{names} {are} not in force yet"),
                )
                .not_in_force()
                .note(topic.consequence()),
                Status::Moot(why) => Diagnostic::new(
                    Severity::Hint,
                    "no-effect",
                    format!("{names} {are} accepted without effect"),
                )
                .note(why),
                Status::Gone(why) => {
                    Diagnostic::new(Severity::Warning, "outdated", format!("{names} {are} outdated"))
                        .label(why)
                }
                Status::Now | Status::Old(_) => continue,
            };
            let found = if group.lines > group.names.len() {
                found.note(format!("on {} lines of this block", group.lines))
            } else {
                found
            };
            let lost = matches!(group.status, Status::Gone(_))
                && group.names.iter().all(|name| *name != "vrrp_track_file");
            self.findings.push(if lost { found.at(&group.at).not_in_force() } else { found.at(&group.at) });
        }
    }
}

impl Walk<'_> {
    /// Once for the whole text: copied files have them everywhere.
    fn old_names(&mut self) {
        for group in self.groups.drain(..) {
            let Status::Old(why) = group.status else { continue };
            let message = format!("{} is an old name", list(&group.names, "and"));
            let found = Diagnostic::new(Severity::Hint, "old-name", message).at(&group.at).label(why);
            let others = group.lines - 1;
            self.findings.push(if others > 0 {
                found.note(format!("and {others} more below"))
            } else {
                found
            });
        }
    }
}

/// Seconds with at most six decimals, in microseconds.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros: u64 = format!("{fraction:0<6.6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(micros)
}

/// "`a`, `b` and `c`".
pub(super) fn list(names: &[&str], last: &str) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., end] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} {last} `{end}`", first.join(", "))
        }
    }
}

fn nearest_elsewhere(word: &str) -> Option<(&'static str, &'static str)> {
    let near = nearest(word, keywords::ALL.iter().flat_map(|block| block.all()).map(|keyword| keyword.name))?;
    let home = keywords::ALL.iter().find(|block| block.find(near).is_some())?;
    // A short word is near to many: only a long one says what was meant.
    (word.len() >= 6).then_some((near, home.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        let cases = [
            ("1", Some(1_000_000)),
            ("0.5", Some(500_000)),
            (".25", Some(250_000)),
            ("1.0000009", Some(1_000_000)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(list(&["a"], "or"), "`a`");
        assert_eq!(list(&["a", "b", "c"], "and"), "`a`, `b` and `c`");
    }
}
