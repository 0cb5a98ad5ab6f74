//! Typed reading of one table; everything wrong is reported where it stands.
//!
//! A getter takes its key out of the table: `None` is "not written" or "reported". What is left at
//! [`Table::finish`] is unknown.

use super::read::{Place, Places};
use crate::diag::{Diagnostic, Severity};
use crate::findings::Findings;
use crate::notation::is_host;
use config::{Map, Value, ValueKind};
use hacluster_core::time::Duration;
use std::{net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

/// A table that is being read.
pub(super) struct Table<'a> {
    path: String,
    values: Map<String, Value>,
    places: &'a Places,
    findings: &'a Findings,
    errors_before: usize,
}

impl<'a> Table<'a> {
    pub(super) fn root(values: Map<String, Value>, places: &'a Places, findings: &'a Findings) -> Self {
        Self { path: String::new(), values, places, findings, errors_before: findings.errors() }
    }

    fn below(&self, path: String, values: Map<String, Value>) -> Table<'a> {
        let errors_before = self.findings.errors();
        Table { path, values, places: self.places, findings: self.findings, errors_before }
    }

    /// Its path below the first word: for a virtual router its name in lower case.
    pub(super) fn name(&self) -> &str {
        self.path.split_once('.').map_or(self.path.as_str(), |(_, name)| name)
    }

    /// Whether `key` is written and not yet read.
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The raw value of `key`.
    pub(super) fn take(&mut self, key: &str) -> Option<ValueKind> {
        self.values.remove(key).map(|value| value.kind)
    }

    fn place(&self, key: &str) -> Option<&'a Place> {
        self.places.get(&self.path_of(key))
    }

    /// Whether anything wrong was found since this table was begun.
    pub(super) fn has_errors(&self) -> bool {
        self.findings.errors() > self.errors_before
    }

    /// Reports something about the value of `key`, or about the table when `key` is not written.
    pub(super) fn report(
        &self,
        severity: Severity,
        code: &'static str,
        key: &str,
        message: String,
        label: &str,
    ) {
        let mut diagnostic = Diagnostic::new(severity, code, message);
        if let Some(place) = self.place(key).map(|place| &place.value) {
            diagnostic = diagnostic.at(place);
        } else if let Some(place) = self.places.get(&self.path) {
            diagnostic = diagnostic.at(&place.key);
        }
        self.findings.push(if label.is_empty() { diagnostic } else { diagnostic.label(label) });
    }

    pub(super) fn wrong_type(&self, key: &str, expected: &str, found: &ValueKind) {
        let found = match found {
            ValueKind::Nil => "a date or time",
            ValueKind::Boolean(_) => "true or false",
            ValueKind::Float(_) => "a decimal number",
            ValueKind::String(_) => "a text",
            ValueKind::Table(_) => "a table",
            ValueKind::Array(_) => "a list",
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
                "a whole number"
            }
        };
        let label = match self.place(key) {
            Some(place) if place.from_environment => String::new(),
            _ => format!("this is {found}"),
        };
        self.report(Severity::Error, "wrong-type", key, format!("`{key}` must be {expected}"), &label);
    }

    /// What a text of the environment says, read as `T`; other layers write types out.
    pub(super) fn unquoted<T: FromStr>(&self, key: &str, kind: &ValueKind) -> Option<T> {
        match (kind, self.place(key)) {
            (ValueKind::String(text), Some(place)) if place.from_environment => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Says that what is written at `key` is left out; the rest of the table stays in force.
    pub(super) fn left_out(&self, code: &'static str, key: &str, message: String, label: &str) {
        let mut diagnostic = Diagnostic::new(Severity::Warning, code, message).not_in_force();
        if let Some(place) = self.place(key).or_else(|| self.places.get(&self.path)) {
            diagnostic = diagnostic.at(&place.value);
        }
        self.findings.push(if label.is_empty() { diagnostic } else { diagnostic.label(label) });
    }

    fn whole(&self, key: &str, kind: &ValueKind) -> Option<i128> {
        match kind {
            ValueKind::I128(number) => Some(*number),
            ValueKind::I64(number) => Some(i128::from(*number)),
            _ => self.unquoted(key, kind),
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let kind = self.take(key)?;
        self.in_range(key, &kind, &range)
    }

    fn in_range(&self, key: &str, kind: &ValueKind, range: &RangeInclusive<u32>) -> Option<u32> {
        let (first, last) = (range.start(), range.end());
        let expected = format!("a whole number from {first} to {last}");
        let Some(number) = self.whole(key, kind) else {
            self.wrong_type(key, &expected, kind);
            return None;
        };
        let number = u32::try_from(number).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.report(Severity::Error, "out-of-range", key, format!("`{key}` must be {expected}"), "");
        }
        number
    }

    /// A whole number within `range`, which may be negative.
    pub(super) fn signed(&mut self, key: &str, range: RangeInclusive<i32>) -> Option<i32> {
        let kind = self.take(key)?;
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = self.whole(key, &kind) else {
            self.wrong_type(key, &expected, &kind);
            return None;
        };
        let number = i32::try_from(number).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.report(Severity::Error, "out-of-range", key, format!("`{key}` must be {expected}"), "");
        }
        number
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let list = self.list(key)?;
        let text = |(key, kind): (String, ValueKind)| match kind {
            ValueKind::String(text) => Some(text),
            other => {
                self.wrong_type(&key, "a text in quotes", &other);
                None
            }
        };
        list.into_iter().map(text).collect()
    }

    /// A text, or a whole number as one.
    pub(super) fn text_or_number(&mut self, key: &str) -> Option<String> {
        match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::I128(_) | ValueKind::I64(_)) => {
                self.integer(key, 0..=u32::MAX).map(|number| number.to_string())
            }
            _ => self.text(key),
        }
    }

    /// A list of whole numbers, each within `range`.
    pub(super) fn integers(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<Vec<u32>> {
        let list = self.list(key)?;
        list.iter().map(|(key, kind)| self.in_range(key, kind, &range)).collect()
    }

    /// A span of 0 to `max_secs` seconds, decimals allowed.
    pub(super) fn seconds(&mut self, key: &str, max_secs: u64) -> Option<Duration> {
        let kind = self.take(key)?;
        let expected = format!("seconds from 0 to {max_secs}");
        let seconds = match &kind {
            ValueKind::Float(seconds) => Some(*seconds),
            kind => self.whole(key, kind).map(|whole| whole as f64).or_else(|| self.unquoted(key, kind)),
        };
        let Some(seconds) = seconds else {
            self.wrong_type(key, &expected, &kind);
            return None;
        };
        if !(0.0..=max_secs as f64).contains(&seconds) {
            self.report(Severity::Error, "out-of-range", key, format!("`{key}` must be {expected}"), "");
            return None;
        }
        Some(Duration::from_micros((seconds * 1e6).round() as u64))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let kind = self.take(key)?;
        let value = match &kind {
            ValueKind::Boolean(value) => Some(*value),
            kind => self.unquoted::<String>(key, kind).and_then(|text| text.to_lowercase().parse().ok()),
        };
        if value.is_none() {
            self.wrong_type(key, "true or false", &kind);
        }
        value
    }

    /// Overwrites `setting` when `key` is written.
    pub(super) fn set_bool(&mut self, key: &str, setting: &mut bool) {
        if let Some(value) = self.boolean(key) {
            *setting = value;
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let text = self.any_text(key)?;
        if text.trim().is_empty() {
            self.report(
                Severity::Error,
                "bad-value",
                key,
                format!("`{key}` must not be empty"),
                "leave it out instead",
            );
            return None;
        }
        Some(text)
    }

    /// A text, empty or not.
    pub(super) fn any_text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            ValueKind::String(text) => Some(text),
            other => {
                self.wrong_type(key, "a text in quotes", &other);
                None
            }
        }
    }

    /// A text that `read` understands; `expected` completes "must be".
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = read(text.trim());
        if value.is_none() {
            self.report(Severity::Error, "bad-value", key, format!("`{key}` must be {expected}"), "");
        }
        value
    }

    /// One of `words`, regardless of case.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("`{key}` must be one of {}", words.join(", "));
            let near = self
                .findings
                .suggest(&text, &words)
                .map_or(String::new(), |near| format!("did you mean `{near}`?"));
            self.report(Severity::Error, "bad-value", key, message, &near);
        }
        found.map(|(_, value)| *value)
    }

    /// An address that a host can have as its own.
    pub(super) fn host(&mut self, key: &str) -> Option<Ipv4Addr> {
        self.parsed(key, "an IPv4 address of this host", |text| text.parse().ok().filter(is_host))
    }

    pub(super) fn multicast(&mut self, key: &str) -> Option<Ipv4Addr> {
        self.parsed(key, "an IPv4 multicast address (224.0.0.0/4)", |text| {
            text.parse().ok().filter(Ipv4Addr::is_multicast)
        })
    }

    /// The elements of a list, each with the key it is reported under.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<(String, ValueKind)>> {
        let kind = self.take(key)?;
        if let ValueKind::Array(elements) = kind {
            let named = elements.into_iter().enumerate();
            return Some(named.map(|(at, element)| (format!("{key}.{at}"), element.kind)).collect());
        }
        match self.unquoted::<String>(key, &kind) {
            Some(text) => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                Some(words.map(|word| (key.to_owned(), ValueKind::String(word.to_owned()))).collect())
            }
            None => {
                self.wrong_type(key, "a list in brackets", &kind);
                None
            }
        }
    }

    /// The table under `key`.
    pub(super) fn table(&mut self, key: &str) -> Option<Table<'a>> {
        let kind = self.take(key)?;
        self.as_table(key, kind)
    }

    /// `kind`, which stands at `key`, as a table.
    pub(super) fn as_table(&self, key: &str, kind: ValueKind) -> Option<Table<'a>> {
        match kind {
            ValueKind::Table(values) => Some(self.below(self.path_of(key), values)),
            other => {
                self.wrong_type(key, "a table", &other);
                None
            }
        }
    }

    /// Reports what was not asked for; `known` are the keys there are.
    pub(super) fn finish(&self, known: &[&str]) {
        let mut unknown: Vec<&String> = self.values.keys().collect();
        unknown.sort();
        for key in unknown {
            let mut diagnostic =
                Diagnostic::new(Severity::Error, "unknown-key", format!("unknown key `{key}`"));
            if let Some(place) = self.place(key) {
                diagnostic = diagnostic.at(&place.key);
            }
            diagnostic = match self.findings.suggest(key, known) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.note(format!("known here: {}", known.join(", "))),
            };
            self.findings.push(diagnostic);
        }
    }
}
