//! What the protocol thread tells, and the housekeeping that needs no occasion.

use super::holds::HoldKind;
use super::{Cluster, Told, lock};
use crate::event::{Identity, Place};
use crate::mailbox::Receiver;
use crate::protocol::Notice;
use hacluster_core::machine::{StateKind, Transition};
use hacluster_net::poll::Wake;
use hacluster_proto::v1;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often time limits and forgotten leads are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long after a lead was given what is shown of the router counts again.
const LEAD_SETTLES: Duration = Duration::from_secs(5);

/// The bell of a mailbox, as tokio wants it.
struct Bell(Wake);

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Cluster {
    /// Takes notices until the runtime ends.
    pub(super) async fn pump(self, notices: Receiver<Notice>) {
        let bell = Bell(notices.wake().clone());
        // Deprecated because a type could close its descriptor too early. Ours lives as long as the bell.
        #[allow(deprecated)]
        let bell = match AsyncFd::with_interest(bell, Interest::READABLE) {
            Ok(bell) => bell,
            Err(error) => {
                self.say(None, true, format!("moves between nodes do not work: {error}; plain VRRP goes on"));
                return;
            }
        };
        loop {
            let Ok(mut ready) = bell.readable().await else { return };
            bell.get_ref().0.clear();
            ready.clear_ready();
            drop(ready);
            while let Some(notice) = notices.pop() {
                match notice {
                    Notice::Answer { ticket, answer } => {
                        let waiting = lock(&self.0.answers).remove(&ticket);
                        // Nobody waits any more: it took too long.
                        let _ = waiting.map(|waiting| waiting.send(answer));
                    }
                    Notice::Transition { router, transition, source, at, trail, .. } => {
                        let place = router.place();
                        if transition.from == StateKind::Master && transition.to == StateKind::Fault {
                            tokio::spawn(self.clone().abdicate(place.clone(), source, trail));
                        }
                        // Nobody may be listening.
                        let told = Told { place: place.clone(), transition, at };
                        let _ = self.0.transitions.send(told);
                        self.draw_conclusions(router, place, transition);
                    }
                }
            }
        }
    }

    /// Who rules holds back no more; who rules no more leads no more.
    pub(super) fn draw_conclusions(&self, router: Arc<Identity>, place: Place, transition: Transition) {
        let told = self.0.store.kept().of(&place);
        let hold_ends = transition.to == StateKind::Master && told.hold.is_some();
        let lead_ends = transition.from == StateKind::Master && told.lead.is_some();
        if !hold_ends && !lead_ends {
            return;
        }
        // At once, not in the task: the next move may order something new meanwhile.
        let (hold, lead) = {
            let mut kept = self.0.store.kept();
            let hold = if hold_ends { kept.set_hold(&place, None) } else { None };
            (hold, if lead_ends { kept.set_lead(&place, None) } else { None })
        };
        let cluster = self.clone();
        tokio::spawn(async move {
            cluster.alter(|_| ()).await;
            if let Some(hold) = hold {
                let text = format!("rules again, so the hold of {} ({}) is over", hold.by, hold.reason);
                cluster.say(Some(&router), false, text);
            }
            if let Some(lead) = lead {
                let text = format!("the lead that {} gave is over: it rules here no more", lead.from_node);
                cluster.say(Some(&router), false, text);
            }
        });
    }

    /// Ends what has a time limit and what lost its ground; heals what was lost.
    pub(super) async fn keep_house(self) {
        let mut tick = tokio::time::interval(HOUSEKEEPING);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.end_expired().await;
            self.end_leads_of_followers().await;
            self.tell_orders();
        }
    }

    pub(super) async fn end_expired(&self) {
        let now = SystemTime::now();
        if !self.0.store.kept().has_expired(now) {
            return;
        }
        for ended in self.alter(|kept| kept.expire(now)).await {
            let hold = &ended.hold;
            let ours = ended.place.as_ref().and_then(|place| self.at(place));
            let what = match hold.kind {
                HoldKind::Failover => "the hold",
                HoldKind::Drain => "the drain",
                HoldKind::Pause => "the pause",
            };
            let text = format!("{what} that {} asked for ({}) reached its time limit", hold.by, hold.reason);
            self.say(ours.as_ref().map(|ours| &ours.identity), false, text);
            if let Some(ours) = ours {
                self.return_after_expiry(ours, hold.clone());
            } else {
                self.node_changed();
            }
        }
    }

    /// A lead counts until another master is followed. The machine knows; here it is concluded from
    /// what is shown of it, because no transition tells it.
    async fn end_leads_of_followers(&self) {
        let leads = self.0.store.kept().leads_older_than(LEAD_SETTLES, SystemTime::now());
        for place in leads {
            let Some(ours) = self.at(&place) else { continue };
            let follows = ours.now.state() == v1::State::Backup && !ours.now.master_address.is_empty();
            if follows && ours.now.r#move.is_none() {
                self.alter(|kept| kept.set_lead(&place, None)).await;
                let text = format!("follows {}, so it leads no more", ours.now.master_address);
                self.say(Some(&ours.identity), false, text);
            }
        }
    }
}
