//! Which addresses are here, for services whose checks rest without theirs.
//!
//! ```text
//!   virtual routers of ours (board) --.
//!                                      +--> held: packets for these come to this machine
//!   the kernel's, of any hand --------'
//! ```
//!
//! Contract: where the kernel's cannot be known nobody rests: checks too many harm less than servers that
//! nobody looks at. That is said once, and tried again.

use super::desk::{Desk, addresses};
use super::looks::Looks;
use super::notice::Notice;
use crate::chronicle::RouterView;
use crate::readable::{Readable, readable};
use hacluster_net::netlink::Locals;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Between tries to listen to the machine's addresses.
const AGAIN: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// Begins to listen; a stand-in for tests.
type Open = Box<dyn Fn() -> anyhow::Result<Locals> + Send>;

/// Who listens to the machine's addresses, while somebody's checks rest without theirs.
pub(super) struct Here {
    pub(super) open: Open,
    wanted: bool,
    pub(super) locals: Option<AsyncFd<Readable<Locals>>>,
    /// When that is tried again.
    pub(super) again: Option<Instant>,
    /// What was said of why nobody listens.
    said: Option<String>,
}

impl Default for Here {
    fn default() -> Self {
        let open = Box::new(|| Ok(Locals::open()?));
        Self { open, wanted: false, locals: None, again: None, said: None }
    }
}

impl<L: Looks> Desk<L> {
    /// Addresses that packets come here for: those that routers hold, and those of any other hand; `None`
    /// while they are not known.
    pub(super) fn held(&mut self, routers: &[RouterView]) -> Option<HashSet<IpAddr>> {
        let mut held = match self.here.locals.as_ref()?.get_ref().0.list() {
            Ok(held) => held,
            Err(error) => {
                self.deaf(error.to_string());
                return None;
            }
        };
        for view in routers {
            let present = |number: &usize| view.held.present.get(*number).copied().unwrap_or(false);
            held.extend(addresses(view).filter(|(number, _)| present(number)).map(|(_, ip)| ip));
        }
        Some(held)
    }

    /// Listens to the machine's addresses while that matters.
    pub(super) fn listen(&mut self, wanted: bool) {
        self.here.wanted = wanted;
        if !wanted {
            (self.here.locals, self.here.again, self.here.said) = (None, None, None);
        } else if self.here.locals.is_none() {
            self.listen_anew();
        }
    }

    /// Begins to listen, or to wait for the next try.
    pub(super) fn listen_anew(&mut self) {
        (self.here.locals, self.here.again) = (None, None);
        if !self.here.wanted {
            return;
        }
        match (self.here.open)().and_then(|locals| Ok(readable(locals)?)) {
            Ok(locals) => {
                self.here.locals = Some(locals);
                if self.here.said.take().is_some() {
                    self.say(Notice::plain(false, "addresses of this machine are known again".to_owned()));
                }
            }
            Err(error) => self.deaf(format!("{error:#}")),
        }
    }

    fn deaf(&mut self, why: String) {
        (self.here.locals, self.here.again) = (None, Some(Instant::now() + AGAIN));
        if self.here.said.as_ref() != Some(&why) {
            let text = format!(
                "{why}: which addresses are here is not known, so checks go on in spite of ha_suspend; this is \
                 tried again"
            );
            self.say(Notice::plain(true, text));
            self.here.said = Some(why);
        }
    }
}

/// Completes when addresses of this machine changed, with `false` when nobody can tell any more; never where
/// nobody listens.
pub(super) async fn moved(locals: Option<&mut AsyncFd<Readable<Locals>>>) -> bool {
    let Some(locals) = locals else { return std::future::pending().await };
    while let Ok(mut ready) = locals.readable_mut().await {
        let changed = ready.get_inner_mut().0.changed();
        ready.clear_ready();
        match changed {
            Ok(false) => {}
            Ok(true) => return true,
            Err(_) => return false,
        }
    }
    false
}

/// Completes at `again`; never where nothing is to be tried.
pub(super) async fn due(again: Option<Instant>) {
    match again {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
