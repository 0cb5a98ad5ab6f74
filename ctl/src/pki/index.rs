//! What was signed, and what counts no more.

use super::DAY_SECS;
use hacluster_proto::identity::Role;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `index.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// Number of the last list of revoked certificates; each has a higher one.
    pub(crate) crl_number: u64,
    /// Oldest first.
    pub(crate) records: Vec<Record>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Its holder.
    pub(crate) name: String,
    /// `peer`, `operator` or `viewer`.
    pub(crate) role: String,
    /// Where a node is reached.
    pub(crate) addresses: Vec<String>,
    /// In hex, as in [`hacluster_proto::identity::Identity::serial`].
    pub(crate) serial: String,
    /// When it was signed.
    pub(crate) issued: Timestamp,
    /// When it ends.
    pub(crate) expires: Timestamp,
    /// Since when it counts no more, before its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) revoked: Option<Timestamp>,
}

impl Record {
    /// What the holder may do; `None` when the index was written by a later release.
    pub(crate) fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == self.role)
    }

    /// Whether it can still be used at `now`.
    pub(crate) fn counts(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.expires
    }

    /// Whole days that are left; negative once it has ended.
    pub(crate) fn days_left(&self, now: Timestamp) -> i64 {
        days_left(self.expires, now)
    }
}

/// Whole days from `now` to `expires`; negative afterwards.
pub(crate) fn days_left(expires: Timestamp, now: Timestamp) -> i64 {
    (expires.as_second() - now.as_second()).div_euclid(DAY_SECS)
}

impl Index {
    /// The latest certificate of `name`, regardless of case: so are host names.
    pub(crate) fn latest(&self, name: &str) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.name.eq_ignore_ascii_case(name))
    }

    /// The latest of each holder, sorted by role and name.
    pub(crate) fn current(&self) -> Vec<&Record> {
        let is_latest = |record: &&Record| self.latest(&record.name).is_some_and(|last| last == *record);
        let mut current: Vec<_> = self.records.iter().filter(is_latest).collect();
        current.sort_by_key(|record| (std::cmp::Reverse(record.role()), record.name.clone()));
        current
    }

    /// Revoked certificates that have not ended by themselves.
    pub(crate) fn revoked(&self, now: Timestamp) -> impl Iterator<Item = (&Record, Timestamp)> {
        let alive = self.records.iter().filter(move |record| now < record.expires);
        alive.filter_map(|record| Some((record, record.revoked?)))
    }

    /// Adds a certificate; forgets those that ended and have a successor, so that it does not grow
    /// with the years.
    pub(crate) fn add(&mut self, record: Record, now: Timestamp) {
        let name = record.name.clone();
        self.records.retain(|old| now < old.expires || !old.name.eq_ignore_ascii_case(&name));
        self.records.push(record);
    }

    /// Revokes all certificates of `name` that still count; tells how many.
    pub(crate) fn revoke(&mut self, name: &str, now: Timestamp) -> usize {
        let mut count = 0;
        for record in self.records.iter_mut().filter(|record| record.name.eq_ignore_ascii_case(name)) {
            if record.counts(now) {
                record.revoked = Some(now);
                count += 1;
            }
        }
        count
    }

    /// The names, in words.
    pub(crate) fn known(&self) -> String {
        match self.current() {
            none if none.is_empty() => "nobody".to_owned(),
            some => some.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, serial: &str, expires: i64) -> Record {
        Record {
            name: name.into(),
            role: "peer".into(),
            addresses: vec![],
            serial: serial.into(),
            issued: Timestamp::UNIX_EPOCH,
            expires: at(expires),
            revoked: None,
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_renewed_holder_is_revoked_with_all_it_holds() {
        let mut index = Index::default();
        index.add(record("node1", "1", 100), at(0));
        index.add(record("node1", "2", 900), at(50));
        index.add(record("node2", "3", 900), at(60));
        assert_eq!(
            index.current().iter().map(|record| record.serial.as_str()).collect::<Vec<_>>(),
            ["2", "3"]
        );
        assert_eq!(index.revoke("NODE1", at(70)), 2);
        assert_eq!(index.revoke("node1", at(71)), 0, "only once");
        assert_eq!(index.revoked(at(80)).count(), 2);
        assert_eq!(index.revoked(at(200)).count(), 1, "the first ended by itself");
    }

    #[test]
    fn what_ended_is_forgotten_once_it_has_a_successor() {
        let mut index = Index::default();
        for (serial, expires) in [("1", 100), ("2", 200), ("3", 900)] {
            index.add(record("node1", serial, expires), at(expires - 50));
        }
        assert_eq!(index.records.len(), 1);
    }

    #[test]
    fn days_are_whole_and_go_below_zero() {
        let day = DAY_SECS;
        for (expires, now, days) in [(day * 30, 0, 30), (day * 30, 1, 29), (10, 0, 0), (0, 1, -1)] {
            assert_eq!(record("a", "1", expires).days_left(at(now)), days);
        }
    }
}
