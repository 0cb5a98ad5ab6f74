//! Which processes are wanted ones, by reading `/proc`: no program is started for it.

use super::news::{Comm, News};
use crate::readable::{Readable, readable};
use hacluster_conf::model::track::{ArgumentMatch, ProcessProbe};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Looks at a process that is young: it may yet become another program.
const YOUNG: u32 = 4;
/// Looks between which an old process may change its name unseen.
const SELDOM: u32 = 8;
/// Processes whose end is waited for, per tracker; more are seen with the next listing.
const ENDS_MAX: usize = 256;
/// Children of wanted processes that are remembered until they are looked at.
const CHILDREN_MAX: usize = 1_024;
/// The kernel keeps so many bytes of a name.
const COMM_MAX: usize = 15;

/// What is known of every process.
pub(super) struct Census {
    wanted: ProcessProbe,
    /// The wanted ones. The end of one is awaited as long as the descriptor lives.
    matching: HashMap<u32, Option<OwnedFd>>,
    /// Others, and how often each was looked at.
    others: HashMap<u32, u32>,
    /// Children that wanted processes just had: most become another program at once.
    newborn: HashSet<u32>,
    round: u32,
}

impl Census {
    pub(super) fn new(wanted: ProcessProbe) -> Self {
        Self { wanted, matching: HashMap::new(), others: HashMap::new(), newborn: HashSet::new(), round: 0 }
    }

    /// How many are known to match.
    pub(super) fn count(&self) -> usize {
        self.matching.len()
    }

    /// Lists all processes. With `ends`, the ends of those that match are awaited there, and not every
    /// old process is looked at: the next listing is near.
    pub(super) fn list(&mut self, ends: Option<&Ends>) {
        self.round = self.round.wrapping_add(1);
        self.newborn.clear();
        self.matching.clear();
        let mut before = std::mem::take(&mut self.others);
        let Ok(entries) = fs::read_dir("/proc") else { return };
        for number in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let former = before.remove(&number);
            let looks = former.map_or(0, |looks| looks.saturating_add(1));
            let known = ends.is_some() && former.is_some() && looks > YOUNG && !self.is_turn_of(number);
            if !known && self.is_wanted(number, comm(number)) {
                let awaited = ends.filter(|_| self.count() < ENDS_MAX).and_then(|ends| ends.add(number));
                self.matching.insert(number, awaited);
            } else {
                self.others.insert(number, looks);
            }
        }
    }

    fn is_turn_of(&self, number: u32) -> bool {
        number.wrapping_add(self.round).is_multiple_of(SELDOM)
    }

    /// Takes in what happened; false when everything must be listed anew.
    #[must_use]
    pub(super) fn learn(&mut self, news: News) -> bool {
        match news {
            News::Forked { parent, child } => {
                if self.matching.contains_key(&parent) || self.newborn.contains(&parent) {
                    self.newborn.insert(child);
                }
            }
            News::Changed { number, name } => {
                self.newborn.remove(&number);
                self.look(number, name);
            }
            News::Ended(number) => {
                self.newborn.remove(&number);
                self.matching.remove(&number);
                self.others.remove(&number);
            }
            News::Lost => return false,
        }
        self.newborn.len() <= CHILDREN_MAX
    }

    /// Whether children wait to be looked at.
    pub(super) fn has_newborn(&self) -> bool {
        !self.newborn.is_empty()
    }

    /// Looks at the children that are still there and became no other program.
    pub(super) fn look_at_newborn(&mut self) {
        for number in std::mem::take(&mut self.newborn) {
            self.look(number, comm(number));
        }
    }

    fn look(&mut self, number: u32, name: Option<Comm>) {
        if self.is_wanted(number, name) {
            self.matching.insert(number, None);
        } else {
            self.matching.remove(&number);
        }
    }

    /// Whether process `number`, of this name, is wanted; not when it is gone meanwhile.
    fn is_wanted(&self, number: u32, name: Option<Comm>) -> bool {
        name.is_some_and(|name| matches(&self.wanted, number, &name).unwrap_or(false))
    }
}

/// The name of a process; `None` when it is gone.
pub(super) fn comm(number: u32) -> Option<Comm> {
    let read = fs::read(format!("/proc/{number}/comm")).ok()?;
    let read = read.strip_suffix(b"\n").unwrap_or(&read);
    Some(padded(read))
}

fn padded(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    comm.iter_mut().zip(name.iter().take(COMM_MAX)).for_each(|(to, from)| *to = *from);
    comm
}

fn matches(wanted: &ProcessProbe, number: u32, name: &Comm) -> Option<bool> {
    if !wanted.full_command {
        if *name != padded(wanted.name.as_bytes()) || is_zombie(number)? {
            return Some(false);
        }
        if wanted.arguments.is_none() {
            return Some(true);
        }
    }
    let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next()?;
    let mut words: Vec<String> = words.collect();
    words.pop(); // after the last zero
    if wanted.full_command && program != wanted.name {
        return Some(false);
    }
    Some(wanted.arguments.as_ref().is_none_or(|(how, wanted)| arguments(*how, wanted, &words)))
}

fn is_zombie(number: u32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.trim_start().starts_with('Z'))
}

fn arguments(how: ArgumentMatch, wanted: &[String], there: &[String]) -> bool {
    match how {
        ArgumentMatch::Exact => wanted == there,
        ArgumentMatch::Initial => there.starts_with(wanted),
        ArgumentMatch::Partial => match wanted.split_last() {
            None => true,
            Some((last, before)) => {
                there.starts_with(before)
                    && there.get(before.len()).is_some_and(|word| word.starts_with(last))
            }
        },
    }
}

/// Becomes readable when one of many processes ends: in every namespace, without a privilege (pidfd).
pub(super) struct Ends(AsyncFd<Readable<Set>>);

struct Set(Epoll);

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Ends {
    pub(super) fn new() -> Option<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
        readable(Set(set)).ok().map(Self)
    }

    /// Adds a process as long as the answer lives.
    fn add(&self, number: u32) -> Option<OwnedFd> {
        let end = hacluster_net::process::watch_end(number).ok()?;
        let Set(set) = &self.0.get_ref().0;
        set.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, number.into())).ok()?;
        Some(end)
    }

    /// Waits for an end; for ever without a set.
    pub(super) async fn one(ends: Option<&Self>) {
        match ends {
            Some(Self(set)) => {
                let ready: io::Result<_> = set.readable().await;
                if let Ok(mut ready) = ready {
                    ready.clear_ready();
                }
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
