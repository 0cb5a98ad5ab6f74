//! The packet filter: virtual addresses that are held but must not be served.
//!
//! ```text
//!   Definition.drops --> wanted addresses --(before they are put in place, after they are gone)--> kernel
//!   somebody flushes the table --> NftMonitor --> look, at most once a second --> put it back, tell who
//! ```
//!
//! Contract: what cannot be filtered is served, and told. The table is there while a router needs it,
//! is recognised by its comment, and no other table is ever changed.

use crate::event::{Event, EventSender, What};
use hacluster_conf::model::PacketFilter;
use hacluster_core::time::{Duration, Instant};
use hacluster_net::netlink::nft::{Nft, NftMonitor, Owner, Table};
use hacluster_net::poll::Waiter;
use hacluster_net::{Errno, NetError, clock};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

/// Name of the table unless told otherwise.
const TABLE: &str = "hacluster";
/// Notifications taken at a time.
const NOTIFICATIONS: usize = 512;
/// The table is looked at this often at most, whoever changes what.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest run directory that is shown in the table's comment.
const SHOWN_MAX: usize = 100;

/// What the filter needs to know from the start.
#[derive(Clone, Debug, Default)]
pub struct FilterSettings {
    names: [String; 2],
    owner: String,
    priority: i32,
    counters: bool,
    leftovers: Vec<String>,
}

impl FilterSettings {
    /// As configured, for the agent with this run directory, whose predecessor recorded `leftovers`.
    pub fn new(configured: &PacketFilter, run_dir: &Path, leftovers: Vec<String>) -> Self {
        let run_dir = run_dir.display().to_string();
        let hash: String =
            Sha256::digest(&run_dir).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let name = configured.table.as_deref().unwrap_or(TABLE);
        let shown = if run_dir.len() > SHOWN_MAX { &hash } else { &run_dir };
        Self {
            names: [name.to_owned(), format!("{name}-{hash}")],
            owner: format!("hacluster-agent {shown}"),
            priority: configured.priority,
            counters: configured.counters,
            leftovers,
        }
    }

    /// Names that the table may get: the second when the first is somebody else's. Recorded for a
    /// successor.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn table(&self, name: &str) -> Table {
        let (name, owner) = (name.to_owned(), self.owner.clone());
        Table { name, owner, priority: self.priority, counters: self.counters }
    }
}

/// The table and what is in it.
pub(super) struct Filter {
    settings: FilterSettings,
    events: EventSender,
    nft: Option<Nft>,
    monitor: Option<NftMonitor>,
    /// As it stands in the kernel.
    table: Option<Table>,
    /// Addresses in it.
    elements: BTreeSet<Ipv4Addr>,
    /// What is wanted may have changed.
    pub(super) due: bool,
    /// When to look whether the table is as it was left.
    look_at: Option<Instant>,
    looked: Option<Instant>,
    /// Who changed nftables last.
    author: Option<String>,
    mended: u64,
    /// Why it is not in force, as told.
    failure: Option<String>,
}

impl Filter {
    pub(super) fn new(settings: FilterSettings, events: EventSender) -> Self {
        Self {
            settings,
            events,
            nft: None,
            monitor: None,
            table: None,
            elements: BTreeSet::new(),
            due: false,
            look_at: None,
            looked: None,
            author: None,
            mended: 0,
            failure: None,
        }
    }

    /// Packets that should be dropped are not.
    pub(super) fn is_missing(&self) -> bool {
        self.failure.is_some()
    }

    /// When [`look`](Self::look) is to be called.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look_at
    }

    /// `addresses` are about to be put in place.
    pub(super) fn admit(&mut self, addresses: &[Ipv4Addr]) {
        let fresh: Vec<_> = addresses.iter().copied().filter(|ip| !self.elements.contains(ip)).collect();
        if !fresh.is_empty() {
            let wanted = self.elements.iter().copied().chain(fresh).collect();
            self.put(wanted);
        }
    }

    /// Nothing is being changed: `wanted` are the addresses in place, or `None` when no router needs a
    /// filter.
    pub(super) fn settle(&mut self, wanted: Option<BTreeSet<Ipv4Addr>>, waiter: &Waiter, token: u64) {
        self.due = false;
        match wanted {
            Some(wanted) => self.put(wanted),
            None => {
                self.close();
                self.failure = None;
            }
        }
        self.clean_leftovers();
        if self.table.is_some() && self.monitor.is_none() {
            let listening = self.listen(waiter, token);
            listening.unwrap_or_else(|error| self.event(What::Trouble { error }));
        }
    }

    fn listen(&mut self, waiter: &Waiter, token: u64) -> Result<(), NetError> {
        let monitor = NftMonitor::open(self.nft()?.port_id())?;
        waiter.add(&monitor, token)?;
        self.monitor = Some(monitor);
        self.look_at = Some(clock::now()); // at what happened before it listened
        Ok(())
    }

    /// Takes notifications of changes to nftables.
    pub(super) fn hear(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        match monitor.read(NOTIFICATIONS) {
            Ok(None) => {}
            Ok(Some(author)) => {
                self.author = author;
                self.look_soon();
            }
            Err(error) => self.event(What::Trouble { error }),
        }
    }

    /// To be called when much may have been missed.
    pub(super) fn look_soon(&mut self) {
        if self.table.is_some() {
            let now = clock::now();
            let earliest = self.looked.map_or(now, |looked| looked + LOOK_INTERVAL);
            self.look_at.get_or_insert(earliest.max(now));
        }
    }

    /// Puts the table back when it is not as it was left.
    pub(super) fn look(&mut self) {
        let now = clock::now();
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        (self.look_at, self.looked) = (None, Some(now));
        let by = self.author.take();
        let Some(table) = self.table.clone() else { return };
        let elements = std::mem::take(&mut self.elements);
        let intact = self.nft().and_then(|nft| nft.intact(&table, &elements));
        match intact {
            Ok(true) => self.elements = elements,
            Ok(false) => {
                self.table = None;
                self.put(elements);
                if self.table.is_some() {
                    self.mended += 1;
                    let text = format!(
                        "nftables table {} had been changed and is as it was: packets to addresses that are \
                         not to be served are dropped again, time {}; nftables was last changed by {}",
                        table.name,
                        self.mended,
                        by.as_deref().unwrap_or("an unknown process")
                    );
                    self.event(What::Filter { warning: true, text });
                }
            }
            Err(error) => {
                self.elements = elements;
                self.failed(error);
            }
        }
    }

    /// Makes the kernel drop packets to `wanted`, and to nothing else.
    fn put(&mut self, wanted: BTreeSet<Ipv4Addr>) {
        let outcome = match &self.table {
            Some(_) if self.elements == wanted => return,
            Some(table) => {
                let name = table.name.clone();
                // What does not fit what is there is repaired by building anew.
                self.change(&name, &wanted).or_else(|_| self.build(&wanted))
            }
            None => self.build(&wanted),
        };
        match outcome {
            Ok(()) => {
                self.elements = wanted;
                if self.failure.take().is_some() {
                    let text = "the packet filter is in force again".to_owned();
                    self.event(What::Filter { warning: false, text });
                }
            }
            Err(error) => {
                (self.table, self.elements) = (None, BTreeSet::new());
                self.failed(error);
            }
        }
    }

    fn change(&mut self, table: &str, wanted: &BTreeSet<Ipv4Addr>) -> Result<(), NetError> {
        let fresh: Vec<_> = wanted.difference(&self.elements).copied().collect();
        let stale: Vec<_> = self.elements.difference(wanted).copied().collect();
        let nft = self.nft()?;
        nft.add(table, &fresh)?;
        nft.remove(table, &stale)
    }

    fn build(&mut self, wanted: &BTreeSet<Ipv4Addr>) -> Result<(), NetError> {
        let names = self.settings.names.clone();
        for name in &names {
            let table = self.settings.table(name);
            let nft = self.nft()?;
            let replace = match nft.owner(name, &table.owner)? {
                Owner::Other => continue,
                owner => owner == Owner::Us,
            };
            match nft.build(&table, replace, wanted) {
                // Somebody else was faster: the other name is free, or ours.
                Err(error) if error.errno() == Errno::EEXIST && !replace => continue,
                outcome => {
                    self.table = outcome.is_ok().then_some(table);
                    return outcome;
                }
            }
        }
        let attempt = format!("set up nftables table {}", names[0]);
        let detail = format!(
            "it and {} belong to another program; name one that is free with `nftables NAME`",
            names[1]
        );
        Err(NetError::new(attempt, Errno::EEXIST).with_detail(detail))
    }

    fn nft(&mut self) -> Result<&mut Nft, NetError> {
        match &mut self.nft {
            Some(nft) => Ok(nft),
            none => Ok(none.insert(Nft::open()?)),
        }
    }

    fn failed(&mut self, error: NetError) {
        let why = error.to_string();
        if self.failure.as_ref() != Some(&why) {
            let text = format!(
                "packets to addresses that are not to be served are NOT dropped: {why}. See that the kernel \
                 has nf_tables (`modprobe nf_tables`), or write `accept` in the virtual routers"
            );
            self.event(What::Filter { warning: true, text });
            self.failure = Some(why);
        }
    }

    /// Removes tables of a predecessor that are not in use now.
    fn clean_leftovers(&mut self) {
        let used = self.table.as_ref().map(|table| table.name.clone());
        for name in std::mem::take(&mut self.settings.leftovers) {
            if Some(&name) != used.as_ref() {
                self.delete_ours(&name);
            }
        }
    }

    /// Removes the table.
    pub(super) fn close(&mut self) {
        self.elements.clear();
        self.look_at = None;
        if let Some(table) = self.table.take() {
            self.delete_ours(&table.name);
        }
    }

    fn delete_ours(&mut self, name: &str) {
        let owner = self.settings.owner.clone();
        let outcome = self.nft().and_then(|nft| match nft.owner(name, &owner)? {
            Owner::Us => nft.delete(name),
            Owner::Nobody | Owner::Other => Ok(()),
        });
        outcome.unwrap_or_else(|error| self.event(What::Trouble { error }));
    }

    fn event(&self, what: What) {
        self.events.send_or_drop(Event::now(None, what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_one_machine_have_names_and_comments_of_their_own() {
        let of = |dir: &str| FilterSettings::new(&PacketFilter::default(), Path::new(dir), Vec::new());
        let (one, two) = (of("/run/hacluster"), of("/run/other"));
        assert_eq!(one.names()[0], "hacluster");
        assert_eq!(one.names()[0], two.names()[0]);
        assert_ne!(one.names()[1], two.names()[1]);
        assert_eq!(one.owner, "hacluster-agent /run/hacluster");
        let long = of(&format!("/run/{}", "x".repeat(300)));
        assert!(long.owner.len() < 128 && long.owner != of(&format!("/run/{}", "y".repeat(300))).owner);
        let named = PacketFilter { table: Some("vips".into()), ..PacketFilter::default() };
        assert_eq!(FilterSettings::new(&named, Path::new("/run/a"), Vec::new()).names()[0], "vips");
    }
}
