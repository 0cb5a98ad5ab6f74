//! A master that a peer outranks hands over, instead of waiting for the peer to preempt.
//!
//! ```text
//!   our status, peers' status --ring--> Bell --wait--> outranked? --move--> the peer
//! ```
//!
//! Whatever changed the priorities (a tracker, a reload, a node that came back), plain VRRP would have
//! the peer take over with the next advert, with a moment in which nobody answers; so this changes when
//! and how, never who. What went over once is left to plain VRRP for [`SETTLES`]: two nodes that see
//! each other's priorities late must not hand a router to and fro.
//!
//! An advert with the lowered priority would have neighbours act before that. So the machine of a router
//! that a peer could be handed is told so ([`Orders::helped`](crate::orders::Orders::helped)): it keeps
//! the advert back for a moment, and where nobody could help speaks at once.

use super::judge::owns;
use super::known::key_of;
use super::moves::{After, Wish};
use super::plan::PeerView;
use super::{Cluster, Ours, Peer, Place, lock};
use crate::chronicle::Change;
use crate::story::{Step, Trail};
use crate::watch::Verdict;
use hacluster_core::priority::Priority;
use hacluster_core::vrid::Vrid;
use hacluster_net::clock;
use hacluster_proto::v1::{self, MoveOutcome as Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

/// After a router was handed over for its rank, it is not again for so long.
const SETTLES: Duration = Duration::from_secs(5);

/// Collects numbers of virtual routers to be looked at.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Rung {
    vrids: BTreeSet<u8>,
    all: bool,
}

impl Bell {
    /// Something of `vrid` changed, or perhaps of all.
    fn ring(&self, vrid: Option<u32>) {
        let mut rung = lock(&self.rung);
        match vrid.and_then(|vrid| u8::try_from(vrid).ok()) {
            Some(vrid) => _ = rung.vrids.insert(vrid),
            None => rung.all = true,
        }
        drop(rung);
        self.news.notify_one();
    }

    async fn wait(&self) -> Rung {
        self.news.notified().await;
        std::mem::take(&mut lock(&self.rung))
    }
}

/// Whether the peer's side `theirs` would take over from `ours`, which rules, if it had the higher
/// priority.
fn could_follow(ours: &v1::VirtualRouter, theirs: &v1::VirtualRouter) -> bool {
    let rules = ours.state() == v1::State::Master && !owns(ours);
    let follows = theirs.state() == v1::State::Backup && theirs.master_address == ours.source;
    rules && follows && theirs.preempts && theirs.agreement == ours.agreement
}

/// Whether it is about to, by its priority.
fn outranks(ours: &v1::VirtualRouter, theirs: &v1::VirtualRouter) -> bool {
    let moves = ours.r#move.is_some() || theirs.r#move.is_some();
    could_follow(ours, theirs) && !moves && theirs.priority_effective > ours.priority_effective
}

impl Cluster {
    /// Priorities of `vrid`, or of everything, may have changed.
    pub(super) fn looks_up(&self, vrid: Option<u32>) {
        self.0.ranks.ring(vrid);
    }

    /// Hands over whatever a peer outranks, until the runtime ends.
    pub(super) async fn keep_ranks(self) {
        tokio::spawn(self.clone().ring_for_ours());
        let mut moved: BTreeMap<Place, Instant> = BTreeMap::new();
        loop {
            let Rung { vrids, all } = self.0.ranks.wait().await;
            moved.retain(|_, at| at.elapsed() < SETTLES);
            let rung = self.all_of(|vrid: Vrid| all || vrids.contains(&vrid.get()));
            self.know_helped(&rung);
            for ours in rung {
                if moved.contains_key(&ours.place) || !self.is_outranked(&ours) {
                    continue;
                }
                moved.insert(ours.place.clone(), Instant::now());
                tokio::spawn(self.clone().give_to_the_better(ours));
            }
        }
    }

    async fn ring_for_ours(self) {
        let (chronicle, mut changes) = self.0.board.subscribe();
        drop(chronicle);
        loop {
            match changes.recv().await {
                Ok(Change::Router { router, .. }) => {
                    // Of the node itself: nobody's priority.
                    let Some(router) = router else { continue };
                    self.looks_up(Some(router.identity.vrid.get().into()));
                }
                Ok(Change::Everything) | Err(RecvError::Lagged(_)) => self.looks_up(None),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Finds out for which of `rung` a peer is there: those keep a lowered priority to themselves for a
    /// moment, in which the peer is handed the router.
    fn know_helped(&self, rung: &[Ours]) {
        let mut changed = false;
        for ours in rung {
            let could = |view: &PeerView| view.router.as_ref().is_some_and(|it| could_follow(&ours.now, it));
            let rules = ours.now.state() == v1::State::Master;
            let known = rules && self.peer_views(ours).iter().any(could);
            let mut helped = lock(&self.0.helped);
            changed |= if known { helped.insert(ours.place.clone()) } else { helped.remove(&ours.place) };
        }
        if changed {
            self.tell_orders();
        }
    }

    fn is_outranked(&self, ours: &Ours) -> bool {
        self.peers().iter().any(|peer| self.is_outranked_by(ours, peer))
    }

    /// Whether the peer would take `ours`: by itself, or with all of its sync group.
    fn is_outranked_by(&self, ours: &Ours, peer: &Peer) -> bool {
        let outranks = |ours: &Ours| {
            let theirs = peer.router(&key_of(&ours.now));
            theirs.is_some_and(|theirs| outranks(&ours.now, &theirs))
        };
        let alone = || peer.router(&key_of(&ours.now)).is_some_and(|theirs| theirs.sync_group.is_empty());
        outranks(ours) && (alone() || self.companions(ours).iter().all(outranks))
    }

    /// The verdict that made a member of the sync group of `ours` lower than `better`, if that is why.
    fn verdict_between(&self, ours: &Ours, better: u32) -> Option<Arc<Verdict>> {
        let better = Priority::from_wire(u8::try_from(better).ok()?);
        let companions = self.companions(ours);
        let members = std::iter::once(ours).chain(&companions);
        let chronicle = self.0.board.read();
        members.filter_map(|member| chronicle.router(&member.place)).find_map(|view| {
            let since = view.standing?.entered;
            view.tracked.moves.across(better, since, clock::now()).cloned()
        })
    }

    /// What was told may be old: every candidate is asked again.
    async fn give_to_the_better(self, ours: Ours) {
        let better = |peer: &str| self.peer(peer).is_some_and(|peer| self.is_outranked_by(&ours, &peer));
        let mut candidates = self.consider(&ours, None).await;
        candidates
            .retain(|candidate| candidate.priority > ours.now.priority_effective && better(&candidate.node));
        if candidates.is_empty() {
            return;
        }
        let best = candidates.iter().map(|candidate| candidate.priority).max();
        let verdict = best.and_then(|best| self.verdict_between(&ours, best));
        let trail = Some(verdict.map_or_else(Trail::begin, |verdict| verdict.trail.child()));
        let wish =
            Wish { by: self.name(), reason: "its priority is higher".to_owned(), trail, ..Wish::default() };
        let step = Step::begin("agent.give_to_the_better", wish.by.clone());
        let answer = self.push_to(&ours, candidates, &wish, After::Nothing).await;
        self.ended(Some(&ours.identity), trail, step.moved(&answer));
        // Where it did not come to that, plain VRRP does it and says so.
        if answer.outcome() == Outcome::Moved {
            self.say(Some(&ours.identity), false, format!("{}, whose priority is higher", answer.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::router;
    use super::*;

    fn ours() -> v1::VirtualRouter {
        v1::VirtualRouter {
            state: v1::State::Master.into(),
            source: "192.0.2.1".into(),
            priority_base: 100,
            priority_effective: 60,
            ..router("VI_1", "eth0", 51, &[])
        }
    }

    fn theirs() -> v1::VirtualRouter {
        v1::VirtualRouter {
            state: v1::State::Backup.into(),
            source: "192.0.2.2".into(),
            priority_base: 98,
            priority_effective: 98,
            master_address: "192.0.2.1".into(),
            preempts: true,
            ..router("VI_1", "eth0", 51, &[])
        }
    }

    #[test]
    fn only_who_would_preempt_by_itself_outranks() {
        type Spoil = fn(&mut v1::VirtualRouter, &mut v1::VirtualRouter);
        let spoilers: &[(&str, Spoil)] = &[
            ("equal priority", |ours, _| ours.priority_effective = 98),
            ("it holds back, or is configured to", |_, theirs| theirs.preempts = false),
            ("it does not hear us", |_, theirs| theirs.master_address.clear()),
            ("it hears another master", |_, theirs| theirs.master_address = "192.0.2.9".into()),
            ("it is another virtual router", |_, theirs| theirs.agreement = "b2".into()),
            ("it cannot", |_, theirs| theirs.state = v1::State::Fault.into()),
            ("it rules already", |_, theirs| theirs.state = v1::State::Master.into()),
            ("we do not rule", |ours, _| ours.state = v1::State::Backup.into()),
            ("we own the addresses", |ours, _| ours.priority_base = 255),
            ("we move it", |ours, _| ours.r#move = Some(v1::MoveUnderWay::default())),
            ("they move it", |_, theirs| theirs.r#move = Some(v1::MoveUnderWay::default())),
        ];
        assert!(outranks(&ours(), &theirs()));
        for (why, spoil) in spoilers {
            let (mut ours, mut theirs) = (ours(), theirs());
            spoil(&mut ours, &mut theirs);
            assert!(!outranks(&ours, &theirs), "{why}");
        }
    }

    #[test]
    fn who_could_be_handed_the_router_need_not_be_better_yet() {
        let (ours, theirs) = (ours(), theirs());
        let before = v1::VirtualRouter { priority_effective: 100, ..ours.clone() };
        assert!(could_follow(&before, &theirs) && !outranks(&before, &theirs));
        let busy = v1::VirtualRouter { r#move: Some(v1::MoveUnderWay::default()), ..ours };
        assert!(could_follow(&busy, &theirs), "a move does not make it flap");
        assert!(!could_follow(&before, &v1::VirtualRouter { preempts: false, ..theirs }));
    }

    #[tokio::test]
    async fn what_rings_while_nobody_waits_is_not_lost() {
        let bell = Bell::default();
        bell.ring(Some(7));
        bell.ring(Some(9));
        let rung = bell.wait().await;
        assert!(rung.vrids == BTreeSet::from([7, 9]) && !rung.all);
        bell.ring(None);
        bell.ring(Some(u32::MAX)); // a peer may say anything
        assert!(bell.wait().await.all);
    }
}
