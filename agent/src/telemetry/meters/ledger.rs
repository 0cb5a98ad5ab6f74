//! What is counted by events instead of by those who do it. Pure.
//!
//! It lives as long as the agent, whatever becomes of the settings of telemetry: a counter goes on where it
//! was. Bounded by [`SERIES_MAX`](super::SERIES_MAX).

use super::SERIES_MAX;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts by the values of a metric's attributes, in the order of its description.
type Series = BTreeMap<Vec<String>, u64>;

/// Counts by metric.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Ledger(Mutex<BTreeMap<&'static str, Series>>);

impl Ledger {
    fn open(&self) -> MutexGuard<'_, BTreeMap<&'static str, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many more; 0 begins a series, so that its first change can be seen.
    pub(super) fn add(&self, metric: &'static str, values: &[&str], count: u64) {
        let mut book = self.open();
        let series = book.entry(metric).or_default();
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let has_room = series.len() < SERIES_MAX;
        match series.get_mut(&values) {
            Some(total) => *total = total.saturating_add(count),
            None if has_room => _ = series.insert(values, count),
            None => {}
        }
    }

    /// Forgets the series of `metric` that are not to be kept.
    pub(super) fn keep(&self, metric: &'static str, keep: impl Fn(&[String]) -> bool) {
        if let Some(series) = self.open().get_mut(metric) {
            series.retain(|values, _| keep(values));
        }
    }

    /// All series of `metric`.
    pub(super) fn read(&self, metric: &'static str) -> Vec<(Vec<String>, u64)> {
        let book = self.open();
        let series = book.get(metric).into_iter().flatten();
        series.map(|(values, count)| (values.clone(), *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_begin_at_nothing_grow_and_are_bounded() {
        let ledger = Ledger::default();
        ledger.add("mails", &["sent"], 0);
        ledger.add("mails", &["sent"], 2);
        ledger.add("mails", &["refused"], u64::MAX);
        ledger.add("mails", &["refused"], 1);
        assert_eq!(ledger.read("mails"), [(vec!["refused".into()], u64::MAX), (vec!["sent".into()], 2)]);
        ledger.keep("mails", |values| values[0] == "sent");
        assert_eq!(ledger.read("mails").len(), 1);
        (0..SERIES_MAX * 2).for_each(|number| ledger.add("many", &[&number.to_string()], 1));
        assert_eq!(ledger.read("many").len(), SERIES_MAX);
    }
}
