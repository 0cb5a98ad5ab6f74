//! Reads one value and says what takes the place of a wrong one.

use super::super::check::{seconds, truth};
use super::super::parser::{Statement, Word};
use super::super::substitute;
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::suggest::look_alike;
use hacluster_core::time::Duration;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// A wrong value: what it should be, and what is used.
pub(super) fn wrong(findings: &Findings, keyword: &str, word: &Word, expected: &str, used: &str) {
    let message = format!("`{}` is not a value for `{keyword}`: {expected}", show(&word.text));
    let mut found = Diagnostic::new(Severity::Error, "bad-value", message).at(&word.span).label(used);
    if let Some(strange) = look_alike(&word.text) {
        found = found.note(format!("{}: {}", strange.title(), strange.mend));
    }
    if let Some(mend) = undefined(&word.text) {
        found = found.note(mend);
    }
    findings.push(found);
}

/// What to say of a word that holds a name nobody defined.
pub(super) fn undefined(text: &str) -> Option<String> {
    let (_, name) = substitute::uses(text).into_iter().next()?;
    let name = show(&name);
    Some(format!("`${name}` is not defined: write ${name}=value before it is used"))
}

/// A whole number; a wrong one is reported and gives `None`.
pub(super) fn number(
    findings: &Findings,
    statement: &Statement,
    range: RangeInclusive<u32>,
    used: &str,
) -> Option<u32> {
    let word = statement.params().first()?;
    let digits = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    match word.text.parse::<u32>() {
        Ok(number) if digits && range.contains(&number) => Some(number),
        _ => {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            wrong(findings, statement.keyword(), word, &expected, used);
            None
        }
    }
}

/// A span of time in seconds; a wrong one is reported and gives `None`.
pub(super) fn span_of_time(
    findings: &Findings,
    statement: &Statement,
    most: u64,
    used: &str,
) -> Option<Duration> {
    let word = statement.params().first()?;
    match seconds(&word.text) {
        Some(micros) if micros <= most * 1_000_000 => Some(Duration::from_micros(micros)),
        _ => {
            wrong(findings, statement.keyword(), word, &format!("seconds from 0 to {most}"), used);
            None
        }
    }
}

/// A switch: the bare keyword means on.
pub(super) fn switch(findings: &Findings, statement: &Statement) -> Option<bool> {
    let Some(word) = statement.params().first() else { return Some(true) };
    let value = truth(&word.text);
    if value.is_none() {
        wrong(
            findings,
            statement.keyword(),
            word,
            "`on`, `yes`, `true`, `off`, `no` or `false`",
            "the line is ignored",
        );
    }
    value
}

/// An IPv4 multicast group.
pub(super) fn group(findings: &Findings, statement: &Statement) -> Option<Ipv4Addr> {
    let word = statement.params().first()?;
    match word.text.parse::<Ipv4Addr>() {
        Ok(group) if group.is_multicast() => Some(group),
        _ => {
            wrong(
                findings,
                statement.keyword(),
                word,
                "an IPv4 multicast group, 224.0.0.0 to 239.255.255.255",
                "the line is ignored",
            );
            None
        }
    }
}
