//! What operators ordered of real servers: drained, or another weight. It survives a restart.
//!
//! ```text
//!   STATE_DIR/servers.json --read at start--> Orders --weight--> desk
//!          ^                                    |
//!          `---- written whole, or not at all --'
//! ```
//!
//! Contract: a damaged file is no file; it must not keep the agent from starting. Whose time is up is
//! told once.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A real server of a virtual server, by the names of both in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    /// Name of the virtual server.
    pub service: String,
    /// The real server.
    pub server: SocketAddr,
}

/// What was ordered of one real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// 0 drains it: it keeps its connections and gets no new ones.
    pub weight: u16,
    /// Who asked for it.
    pub by: String,
    /// Why, as given.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when at the latest.
    pub until: Option<SystemTime>,
}

/// All orders, and their file.
#[derive(Debug)]
pub(super) struct Orders {
    path: PathBuf,
    all: BTreeMap<Place, Order>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    order: Order,
}

impl Orders {
    /// Reads what a predecessor kept below `state_dir`; says in the log why when it cannot be read.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("servers.json");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "[]".to_owned(),
            Err(error) => {
                tracing::warn!("cannot read {}: {error}; no real server is drained", path.display());
                "[]".to_owned()
            }
            Ok(text) => text,
        };
        let lines: Vec<Line> = serde_json::from_str(&text).unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!("{path} is damaged ({error}); no real server is drained. Drain again");
            Vec::new()
        });
        Self { path, all: lines.into_iter().map(|line| (line.place, line.order)).collect() }
    }

    /// What was ordered of `place`.
    pub(super) fn of(&self, place: &Place) -> Option<&Order> {
        self.all.get(place)
    }

    /// `place` is ordered so, or nothing any more; what was before.
    pub(super) fn set(&mut self, place: &Place, order: Option<Order>) -> Option<Order> {
        match order {
            Some(order) => self.all.insert(place.clone(), order),
            None => self.all.remove(place),
        }
    }

    /// When the next one ends.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.all.values().filter_map(|order| order.until).min()
    }

    /// Takes out every order whose time is up at `now`.
    pub(super) fn expire(&mut self, now: SystemTime) -> Vec<(Place, Order)> {
        let is_over = |order: &Order| order.until.is_some_and(|until| until <= now);
        let over = self.all.iter().filter(|(_, order)| is_over(order));
        let over: Vec<_> = over.map(|(place, order)| (place.clone(), order.clone())).collect();
        self.all.retain(|_, order| !is_over(order));
        over
    }

    /// Forgets servers that are not configured any more; says whether there were any.
    pub(super) fn keep_only(&mut self, configured: impl Fn(&Place) -> bool) -> bool {
        let before = self.all.len();
        self.all.retain(|place, _| configured(place));
        self.all.len() != before
    }

    /// Writes all. Blocks on the disk.
    ///
    /// # Errors
    /// What failed and the mend, in words; orders stay in force until the agent ends.
    pub(super) fn save(&self) -> Result<(), String> {
        self.write().map_err(|error| {
            format!(
                "cannot write {}: {error}; a restart of the agent forgets drained servers. Choose another \
                 directory with --state-dir",
                self.path.display()
            )
        })
    }

    /// Whole or not at all: a crash while writing leaves the former file.
    fn write(&self) -> io::Result<()> {
        if self.all.is_empty() && !self.path.exists() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let line = |(place, order): (&Place, &Order)| Line { place: place.clone(), order: order.clone() };
        let lines: Vec<Line> = self.all.iter().map(line).collect();
        let fresh = self.path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(serde_json::to_string_pretty(&lines)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn place(service: &str) -> Place {
        Place { service: service.into(), server: "10.0.0.2:80".parse().unwrap() }
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn order(weight: u16, until: Option<u64>) -> Order {
        let (by, reason) = ("alice".into(), "disk".into());
        Order { weight, by, reason, since: at(1), until: until.map(at) }
    }

    #[test]
    fn orders_survive_and_damage_is_no_order() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("state");
        let mut orders = Orders::open(&below);
        orders.save().unwrap();
        assert!(!below.exists(), "nothing ordered, nothing written");
        assert_eq!(orders.set(&place("a"), Some(order(0, Some(50)))), None);
        orders.set(&place("b"), Some(order(7, None)));
        orders.save().unwrap();
        let again = Orders::open(&below);
        assert_eq!(again.of(&place("a")), Some(&order(0, Some(50))));
        assert_eq!(again.of(&place("b")), Some(&order(7, None)));
        let path = below.join("servers.json");
        let text = fs::read_to_string(&path).unwrap();
        for at in 0..text.len() {
            fs::write(&path, &text[..at]).unwrap();
            assert!(Orders::open(&below).all.is_empty(), "cut at {at}");
        }
    }

    #[test]
    fn orders_end_with_their_time_and_with_their_server() {
        let dir = tempfile::tempdir().unwrap();
        let mut orders = Orders::open(dir.path());
        orders.set(&place("a"), Some(order(0, Some(50))));
        orders.set(&place("b"), Some(order(0, Some(60))));
        orders.set(&place("c"), Some(order(0, None)));
        assert_eq!(orders.next(), Some(at(50)));
        assert!(orders.expire(at(49)).is_empty());
        assert_eq!(orders.expire(at(50)), [(place("a"), order(0, Some(50)))]);
        assert_eq!(orders.next(), Some(at(60)));
        assert!(orders.keep_only(|place| place.service == "c") && !orders.keep_only(|_| true));
        assert_eq!((orders.next(), orders.set(&place("c"), None)), (None, Some(order(0, None))));
        orders.save().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let mut elsewhere = Orders::open(&file);
        elsewhere.set(&place("a"), Some(order(0, None)));
        assert!(elsewhere.save().unwrap_err().contains("--state-dir"));
    }
}
