//! What is beside the table: sync daemons, connection timeouts.
//!
//! Contract: a daemon of ours is one that was wanted; it is recorded before it starts, until it is seen to
//! be gone. While none is wanted those of others stay. Timeouts are set once for each kernel that is
//! reached, and until it takes them.

use super::daemons;
use super::{Hands, Kernel, Picture};
use crate::lvs::record::Daemon;
use hacluster_net::NetError;
use hacluster_net::netlink::ipvs::{Command, SyncDaemon, Timeouts};
use std::collections::BTreeSet;
use std::sync::Arc;

impl<K: Kernel, O: FnMut() -> Result<K, NetError>> Hands<K, O> {
    /// The kernel's timeouts shall be these; zeros leave it what it has.
    pub(super) fn want_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts_are_set &= timeouts == self.timeouts;
        self.timeouts = timeouts;
        self.put_timeouts();
    }

    /// Sets the timeouts where that was not done yet.
    pub(super) fn put_timeouts(&mut self) {
        let Some(kernel) = self.kernel.as_mut().filter(|_| !self.timeouts_are_set) else { return };
        let mut refused = BTreeSet::new();
        if self.timeouts != Timeouts::default() {
            for result in kernel.execute(&[Command::SetTimeouts(self.timeouts)]) {
                self.counts.came(&result);
                refused.extend(result.err().map(|error| Arc::<str>::from(error.to_string())));
            }
        }
        self.timeouts_are_set = refused.is_empty();
        for text in refused.difference(&self.refused_timeouts) {
            self.say(true, format!("{text}; connections end after the kernel's own times"));
        }
        self.refused_timeouts = refused;
        self.show_refused();
    }

    /// Starts and stops sync daemons until they are as wanted, or ours are gone.
    pub(super) fn put_daemons(&mut self) {
        // Before there is a table nobody has said what is wanted.
        if self.daemons.is_none() && (self.our_daemons.is_empty() || self.wanted.is_none()) {
            return;
        }
        let Some(Ok(running)) = self.kernel.as_mut().map(Kernel::daemons) else { return };
        let wanted = self.daemons.clone().unwrap_or_default();
        let commands = match &self.daemons {
            Some(wanted) => daemons::difference(wanted, &running),
            None => {
                let ours = running.iter().filter(|daemon| self.our_daemons.contains(&Daemon::of(daemon)));
                ours.map(|daemon| Command::StopDaemon(daemon.role)).collect()
            }
        };
        let recorded = self.our_daemons.clone();
        self.our_daemons.extend(wanted.iter().map(Daemon::of));
        if self.our_daemons != recorded {
            self.keep_record();
        }
        self.change_daemons(&commands);
        let running = if commands.is_empty() { Some(running) } else { self.running() };
        let Some(running) = running else { return };
        let recorded = self.our_daemons.len();
        self.our_daemons
            .retain(|ours| running.iter().chain(&wanted).any(|daemon| Daemon::of(daemon) == *ours));
        if self.our_daemons.len() != recorded {
            self.keep_record();
        }
        let shown = if self.daemons.is_some() { running.as_slice() } else { &[] };
        let daemons = shown.iter().map(daemons::words).collect();
        self.picture.store(Arc::new(Picture { daemons, ..Picture::clone(&self.picture.load()) }));
    }

    fn change_daemons(&mut self, commands: &[Command]) {
        let Some(kernel) = &mut self.kernel else { return };
        let results = kernel.execute(commands);
        let mut refused = BTreeSet::new();
        for (command, result) in commands.iter().zip(results) {
            self.counts.came(&result);
            match result {
                Ok(()) => self.say(false, daemons::describe(command)),
                Err(error) => {
                    let text: Arc<str> = error.to_string().into();
                    if !self.refused_daemons.contains(&text) {
                        self.say(true, text.to_string());
                    }
                    refused.insert(text);
                }
            }
        }
        self.refused_daemons = refused;
        self.show_refused();
    }

    fn running(&mut self) -> Option<Vec<SyncDaemon>> {
        self.kernel.as_mut()?.daemons().ok()
    }
}
