//! What the kernel refuses: said once each, shown while it lasts, and what is not served because of it.

use super::{Hands, Kernel, LINES, Picture};
use crate::lvs::table::Row;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{Command, ServiceKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One thing that was refused.
pub(super) struct Refusal {
    /// Of which virtual server.
    pub(super) of: Option<ServiceKey>,
    pub(super) error: NetError,
}

impl Refusal {
    pub(super) fn new(command: &Command, error: NetError) -> Self {
        let of = match command {
            Command::NewService(spec) | Command::SetService(spec) => Some(spec.key),
            Command::NewDest(key, _)
            | Command::SetDest(key, _)
            | Command::DelDest(key, _)
            | Command::DelService(key) => Some(*key),
            Command::Flush
            | Command::Zero(_)
            | Command::SetTimeouts(_)
            | Command::StartDaemon(_)
            | Command::StopDaemon(_) => None,
        };
        Self { of, error }
    }
}

impl<K: Kernel, O: FnMut() -> Result<K, NetError>> Hands<K, O> {
    /// Says what is refused, each thing once, and shows it.
    pub(super) fn complain(&mut self, refusals: &[Refusal]) {
        let errors: BTreeSet<Arc<str>> =
            refusals.iter().map(|refusal| refusal.error.to_string().into()).collect();
        let fresh: Vec<_> = errors.difference(&self.refused).collect();
        for text in fresh.iter().take(LINES) {
            self.say(true, text.to_string());
        }
        if fresh.len() > LINES {
            self.say(true, format!("the kernel refused {} more", fresh.len() - LINES));
        }
        let unserved = self.unserved(refusals);
        let before = &self.picture.load().unserved;
        if errors == self.refused && unserved == *before {
            return;
        }
        self.refused = errors;
        let heard = unserved != *before;
        let refused = self.all_refused();
        self.picture.store(Arc::new(Picture { refused, unserved, ..Picture::clone(&self.picture.load()) }));
        if heard {
            self.found.notify_one();
        }
    }

    /// Wanted virtual servers that are not there because of a refusal, or have nobody who takes
    /// connections, and that refusal.
    fn unserved(&self, refusals: &[Refusal]) -> BTreeMap<ServiceKey, Arc<str>> {
        let serves = |row: &Row| row.servers.values().any(|server| server.weight > 0);
        let mut unserved = BTreeMap::new();
        for Refusal { of, error } in refusals {
            let wanted = self.wanted.as_ref().zip(of.as_ref());
            let Some((key, wanted)) = wanted.and_then(|(wanted, key)| Some((key, wanted.get(key)?))) else {
                continue;
            };
            if self.known.get(key).is_none_or(|known| serves(wanted) && !serves(known)) {
                unserved.entry(*key).or_insert_with(|| error.to_string().into());
            }
        }
        unserved
    }

    pub(super) fn all_refused(&self) -> Vec<Arc<str>> {
        let all = [&self.refused, &self.refused_daemons, &self.refused_timeouts];
        let all: BTreeSet<_> = all.into_iter().flatten().cloned().collect();
        all.into_iter().collect()
    }

    pub(super) fn show_refused(&self) {
        let refused = self.all_refused();
        if refused != self.picture.load().refused {
            self.picture.store(Arc::new(Picture { refused, ..Picture::clone(&self.picture.load()) }));
        }
    }
}
