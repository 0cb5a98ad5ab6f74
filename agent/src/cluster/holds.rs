//! What operators ordered and what must survive a restart: holds, leads, drain and pause.
//!
//! ```text
//!   STATE_DIR/holds.json --read at start--> Kept --orders--> Orders (per router, protocol thread)
//!          ^                                 |
//!          `---- written whole, or not at all'
//! ```
//!
//! Contract: [`Kept`] is pure. [`Store`] guards it with a lock that only the supervisor and the
//! coordinator take. A damaged file is no file: it must not keep the agent from starting.

use crate::event::Place;
use crate::orders::Orders;
use hacluster_core::priority::Priority;
use hacluster_core::vrid::Vrid;
use hacluster_proto::v1;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Kinds of hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// A router was moved away on purpose.
    Failover,
    /// The node rests.
    Drain,
    /// The node takes nothing by itself.
    Pause,
}

/// Why a node does not take what it could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which kind.
    pub kind: HoldKind,
    /// Who asked for it.
    pub by: String,
    /// Why, as given.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when at the latest.
    pub until: Option<SystemTime>,
    /// The node in whose favour; empty for nobody's.
    pub to_node: String,
}

impl From<&Hold> for v1::Hold {
    fn from(hold: &Hold) -> Self {
        let kind = match hold.kind {
            HoldKind::Failover => v1::HoldKind::Failover,
            HoldKind::Drain => v1::HoldKind::Drain,
            HoldKind::Pause => v1::HoldKind::Pause,
        };
        Self {
            kind: kind.into(),
            by: hold.by.clone(),
            reason: hold.reason.clone(),
            since: Some(hold.since.into()),
            until: hold.until.map(Into::into),
            to_node: hold.to_node.clone(),
        }
    }
}

/// A router rules here because it was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// What it advertises meanwhile, 1 to 254.
    pub priority: u8,
    /// The node, or address, that ruled before.
    pub from_node: String,
    /// Who asked for it.
    pub by: String,
    /// Why, as given.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Which start of the host it began in.
    #[serde(default)]
    pub boot: String,
}

/// Names this start of the host; empty where it has no name.
pub fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Lead {
    fn order(&self) -> Option<Priority> {
        Priority::configured(self.priority).filter(|priority| !priority.is_owner())
    }
}

impl From<&Lead> for v1::Lead {
    fn from(lead: &Lead) -> Self {
        Self {
            priority: lead.priority.into(),
            from_node: lead.from_node.clone(),
            by: lead.by.clone(),
            reason: lead.reason.clone(),
            since: Some(lead.since.into()),
        }
    }
}

/// What one virtual router was told beyond its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// It takes nothing from a living master.
    pub hold: Option<Hold>,
    /// It leads.
    pub lead: Option<Lead>,
}

/// Everything that was ordered of this node. Pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The node rests.
    pub drain: Option<Hold>,
    /// The node takes nothing by itself.
    pub pause: Option<Hold>,
    routers: BTreeMap<Place, Told>,
    /// The moves that begin a drain are not over: nothing is taken back, but nothing rests yet.
    pub emptying: bool,
    /// These end here: what is given away is not taken back.
    pub leaving: BTreeSet<Place>,
}

/// A hold whose time was up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Whose; the node's when absent.
    pub place: Option<Place>,
    /// What ended.
    pub hold: Hold,
}

impl Kept {
    /// What `place` was told.
    pub fn of(&self, place: &Place) -> Told {
        self.routers.get(place).cloned().unwrap_or_default()
    }

    /// `place` holds back, or does so no more; what was before.
    pub fn set_hold(&mut self, place: &Place, hold: Option<Hold>) -> Option<Hold> {
        self.set(place, |told| std::mem::replace(&mut told.hold, hold))
    }

    /// `place` leads, or does so no more; what was before.
    pub fn set_lead(&mut self, place: &Place, lead: Option<Lead>) -> Option<Lead> {
        self.set(place, |told| std::mem::replace(&mut told.lead, lead))
    }

    fn set<R>(&mut self, place: &Place, change: impl FnOnce(&mut Told) -> R) -> R {
        let mut told = self.of(place);
        let before = change(&mut told);
        if told == Told::default() {
            self.routers.remove(place);
        } else {
            self.routers.insert(place.clone(), told);
        }
        before
    }

    /// What the protocol thread has to obey at `place`, as far as it was ordered: whether a peer helps is
    /// not known here.
    pub fn orders(&self, place: &Place) -> Orders {
        let told = self.routers.get(place);
        let holds = told.is_some_and(|told| told.hold.is_some());
        Orders {
            hold_back: holds || self.pause.is_some() || self.drain.is_some() || self.leaving.contains(place),
            rest: self.drain.is_some() && !self.emptying,
            lead: told.and_then(|told| told.lead.as_ref()).and_then(Lead::order),
            helped: false,
        }
    }

    /// Whether the time of a hold is up at `now`.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        let holds = self.routers.values().filter_map(|told| told.hold.as_ref());
        let mut all = holds.chain(&self.drain).chain(&self.pause);
        all.any(|hold| hold.until.is_some_and(|until| until <= now))
    }

    /// Takes out every hold whose time is up at `now`.
    pub fn expire(&mut self, now: SystemTime) -> Vec<Expired> {
        let up = |hold: &mut Hold| hold.until.is_some_and(|until| until <= now);
        let node = [self.drain.take_if(up), self.pause.take_if(up)].into_iter().flatten();
        let mut expired: Vec<_> = node.map(|hold| Expired { place: None, hold }).collect();
        for (place, told) in &mut self.routers {
            let ended = told.hold.take_if(up);
            expired.extend(ended.map(|hold| Expired { place: Some(place.clone()), hold }));
        }
        self.routers.retain(|_, told| *told != Told::default());
        expired
    }

    /// Forgets routers that are not configured any more.
    pub fn keep_only(&mut self, configured: impl Fn(&Place) -> bool) {
        self.routers.retain(|place, _| configured(place));
    }

    /// A lead goes on where it was interrupted for a moment: while the addresses of a predecessor that
    /// did not end in order are in place, in the `boot` it began in. After that others may have ruled,
    /// and whoever comes first must not rule over them by what was once. Says how many ended.
    pub fn adopt_leads(&mut self, boot: Option<&str>) -> usize {
        let ended = |lead: &mut Lead| boot.is_none_or(|boot| boot.is_empty() || lead.boot != boot);
        let count = self.routers.values_mut().filter_map(|told| told.lead.take_if(ended)).count();
        self.routers.retain(|_, told| *told != Told::default());
        count
    }

    /// Every router that leads since `age` before `now`, or longer.
    pub fn leads_older_than(&self, age: Duration, now: SystemTime) -> Vec<Place> {
        let young = |lead: &Lead| now.duration_since(lead.since).is_ok_and(|since| since < age);
        let leads = self.routers.iter().filter(|(_, told)| told.lead.as_ref().is_some_and(|it| !young(it)));
        leads.map(|(place, _)| place.clone()).collect()
    }

    fn to_text(&self) -> String {
        let row = |(place, told): (&Place, &Told)| Row {
            interface: place.interface.clone(),
            vrid: place.vrid.get(),
            hold: told.hold.clone(),
            lead: told.lead.clone(),
        };
        let written = Written {
            drain: self.drain.clone(),
            pause: self.pause.clone(),
            routers: self.routers.iter().map(row).collect(),
        };
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }

    fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        let written: Written = serde_json::from_str(text)?;
        let row = |row: Row| {
            let place = Place { interface: row.interface, vrid: Vrid::new(row.vrid)? };
            let lead = row.lead.filter(|lead| lead.order().is_some());
            Some((place, Told { hold: row.hold, lead })).filter(|(_, told)| *told != Told::default())
        };
        Ok(Self {
            drain: written.drain,
            pause: written.pause,
            routers: written.routers.into_iter().filter_map(row).collect(),
            ..Self::default()
        })
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Written {
    drain: Option<Hold>,
    pause: Option<Hold>,
    routers: Vec<Row>,
}

/// One router in the file.
#[derive(Serialize, Deserialize)]
struct Row {
    interface: String,
    vrid: u8,
    hold: Option<Hold>,
    lead: Option<Lead>,
}

/// What is kept, and its file.
#[derive(Debug)]
pub struct Store {
    kept: Mutex<Kept>,
    path: PathBuf,
    /// What the file says.
    written: Mutex<String>,
}

impl Store {
    /// Reads what a predecessor kept below `state_dir`; says in the log why when there is none to read.
    /// `adopts`: addresses of one that did not end in order are in place, see [`Kept::adopt_leads`].
    pub fn open(state_dir: &Path, adopts: bool) -> Self {
        let path = state_dir.join("holds.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("cannot read {}: {error}; no holds are in force", path.display());
                }
                String::new()
            }
        };
        let mut kept = match Kept::from_text(&text) {
            Ok(kept) => kept,
            Err(error) => {
                if !text.is_empty() {
                    let path = path.display();
                    tracing::warn!("{path} is damaged ({error}); no holds are in force. Move or drain again");
                }
                Kept::default()
            }
        };
        match kept.adopt_leads(adopts.then(this_boot).as_deref()) {
            0 => {}
            ended => tracing::info!("{ended} lead(s) of before this start are over"),
        }
        Self { kept: Mutex::new(kept), path, written: Mutex::new(text) }
    }

    /// What is kept; not to be held while waiting.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is kept, unless the file says so already. Blocks on the disk.
    ///
    /// # Errors
    /// What failed and the mend, in words; what is kept stays in force until the agent ends.
    pub fn save(&self) -> Result<(), String> {
        // Taken first: of two writers the later one has the later text.
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.kept().to_text();
        if text == *written {
            return Ok(());
        }
        self.write(&text).map_err(|error| {
            format!(
                "cannot write {}: {error}; a restart of the agent forgets holds. Choose another directory \
                 with --state-dir",
                self.path.display()
            )
        })?;
        *written = text;
        Ok(())
    }

    /// Whole or not at all: a crash while writing leaves the former file.
    fn write(&self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let fresh = self.path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(vrid: u8) -> Place {
        Place { interface: "eth0".into(), vrid: Vrid::new(vrid).unwrap() }
    }

    fn hold(kind: HoldKind, until_secs: Option<u64>) -> Hold {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        Hold {
            kind,
            by: "alice".into(),
            reason: "kernel update".into(),
            since: at(1_000),
            until: until_secs.map(at),
            to_node: "node2".into(),
        }
    }

    fn lead(priority: u8) -> Lead {
        Lead {
            priority,
            from_node: "node1".into(),
            by: "alice".into(),
            reason: "kernel update".into(),
            since: SystemTime::UNIX_EPOCH,
            boot: this_boot(),
        }
    }

    #[test]
    fn orders_follow_from_what_is_kept() {
        let mut kept = Kept::default();
        let back = Orders { hold_back: true, ..Orders::default() };
        let rest = Orders { hold_back: true, rest: true, ..Orders::default() };
        assert_eq!(kept.orders(&place(1)), Orders::default());
        kept.set_hold(&place(1), Some(hold(HoldKind::Failover, None)));
        assert_eq!((kept.orders(&place(1)), kept.orders(&place(2))), (back, Orders::default()));
        kept.pause = Some(hold(HoldKind::Pause, None));
        assert_eq!(kept.orders(&place(2)), back);
        kept.pause = None;
        kept.drain = Some(hold(HoldKind::Drain, None));
        kept.emptying = true;
        assert_eq!(kept.orders(&place(2)), back, "what was given away is not taken back meanwhile");
        kept.emptying = false;
        assert_eq!(kept.orders(&place(2)), rest);
        kept.drain = None;
        kept.set_lead(&place(2), Some(lead(120)));
        let (at, age) = (|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs), Duration::from_secs(5));
        assert_eq!(kept.leads_older_than(age, at(4)), []);
        assert_eq!(kept.leads_older_than(age, at(5)), [place(2)]);
        assert_eq!(kept.orders(&place(2)).lead, Priority::configured(120));
        kept.leaving.insert(place(3));
        assert!(kept.orders(&place(3)).hold_back && !kept.orders(&place(4)).hold_back);
    }

    #[test]
    fn holds_end_with_their_time() {
        let mut kept = Kept { drain: Some(hold(HoldKind::Drain, Some(2_000))), ..Kept::default() };
        kept.pause = Some(hold(HoldKind::Pause, None));
        kept.set_hold(&place(1), Some(hold(HoldKind::Failover, Some(3_000))));
        kept.set_lead(&place(1), Some(lead(100)));
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        assert_eq!(kept.expire(at(1_999)), []);
        assert_eq!(
            kept.expire(at(2_000))[..].iter().map(|e| e.hold.kind).collect::<Vec<_>>(),
            [HoldKind::Drain]
        );
        let [ended] = &kept.expire(at(9_000))[..] else { panic!() };
        assert_eq!((&ended.place, ended.hold.kind), (&Some(place(1)), HoldKind::Failover));
        assert!(kept.pause.is_some() && kept.of(&place(1)).lead.is_some());
    }

    #[test]
    fn what_was_kept_survives_and_damage_is_nothing_kept() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("state");
        let store = Store::open(&below, true);
        {
            let mut kept = store.kept();
            kept.drain = Some(hold(HoldKind::Drain, Some(2_000)));
            kept.set_hold(&place(1), Some(hold(HoldKind::Failover, None)));
            kept.set_lead(&place(2), Some(lead(254)));
            kept.leaving.insert(place(1));
        }
        store.save().unwrap();
        let again = Store::open(&below, true);
        assert!(again.kept().leaving.is_empty(), "a new agent does not leave");
        store.kept().leaving.clear();
        assert_eq!(*again.kept(), *store.kept());
        let path = below.join("holds.json");
        let text = fs::read_to_string(&path).unwrap();
        for at in 0..text.len() {
            fs::write(&path, &text[..at]).unwrap();
            assert_eq!(*Store::open(&below, true).kept(), Kept::default(), "cut at {at}");
        }
        fs::write(&path, text.replace("254", "255")).unwrap();
        assert_eq!(Store::open(&below, true).kept().of(&place(2)).lead, None, "nobody leads as an owner");
        fs::write(&path, text.replace("\"vrid\": 1", "\"vrid\": 0")).unwrap();
        assert_eq!(Store::open(&below, true).kept().of(&place(1)), Told::default());
    }

    /// Both nodes were down, the one that led comes first: it must not rule over the other for good.
    #[test]
    fn a_lead_outlives_neither_an_orderly_end_nor_a_start_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), true);
        store.kept().set_lead(&place(1), Some(lead(120)));
        store.kept().set_hold(&place(2), Some(hold(HoldKind::Failover, None)));
        store.save().unwrap();
        let open = |adopts| Store::open(dir.path(), adopts).kept().clone();
        assert!(open(true).of(&place(1)).lead.is_some(), "restarted while its addresses were in place");
        assert_eq!(open(false).of(&place(1)), Told::default(), "nothing to adopt: others may have ruled");
        assert!(open(false).of(&place(2)).hold.is_some(), "a hold lasts");
        let mut elsewhen = open(true);
        assert_eq!(elsewhen.adopt_leads(Some("another boot")), 1);
        assert_eq!(elsewhen.of(&place(1)), Told::default());
        assert_eq!(open(true).adopt_leads(Some("")), 1, "a host that cannot tell its starts apart");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_said_with_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let store = Store::open(&file, true);
        store.kept().pause = Some(hold(HoldKind::Pause, None));
        let message = store.save().unwrap_err();
        assert!(message.contains("--state-dir"), "{message}");
    }
}
