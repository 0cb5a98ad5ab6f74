//! Which addresses are here, for services whose checks rest without theirs.
//!
//! ```text
//!   virtual routers of ours (board) --.
//!                                      +--> held: packets for these come to this machine
//!   the kernel's, of any hand --------'
//! ```

use super::desk::{Desk, addresses};
use super::looks::Looks;
use super::notice::Notice;
use crate::chronicle::RouterView;
use crate::readable::{Readable, readable};
use hacluster_net::netlink::Locals;
use std::collections::HashSet;
use std::net::IpAddr;
use tokio::io::unix::AsyncFd;

impl<L: Looks> Desk<L> {
    /// Addresses that packets come here for: those that routers hold, and those of any other hand.
    pub(super) fn held(&self, routers: &[RouterView]) -> HashSet<IpAddr> {
        let Some(locals) = &self.locals else { return HashSet::new() };
        let mut held = locals.get_ref().0.list().unwrap_or_else(|error| {
            tracing::debug!("{error}");
            HashSet::new()
        });
        for view in routers {
            let present = |number: &usize| view.held.present.get(*number).copied().unwrap_or(false);
            held.extend(addresses(view).filter(|(number, _)| present(number)).map(|(_, ip)| ip));
        }
        held
    }

    /// Listens to the machine's addresses while that matters.
    pub(super) fn listen(&mut self, wanted: bool) {
        if !wanted || self.locals.is_some() {
            self.locals = self.locals.take().filter(|_| wanted);
            return;
        }
        let opened = Locals::open().map_err(anyhow::Error::from);
        let opened = opened.and_then(|locals| Ok(readable(locals)?));
        self.locals = opened.map_err(|error| self.say(Notice::plain(true, format!("{error:#}")))).ok();
    }
}

/// Completes when addresses of this machine changed; never where nobody listens.
pub(super) async fn moved(locals: Option<&mut AsyncFd<Readable<Locals>>>) {
    let Some(locals) = locals else { return std::future::pending().await };
    while let Ok(mut ready) = locals.readable_mut().await {
        let changed = ready.get_inner_mut().0.changed();
        ready.clear_ready();
        if !matches!(changed, Ok(false)) {
            return;
        }
    }
    std::future::pending().await
}
