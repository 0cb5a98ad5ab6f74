//! A master that goes, or fell ill, tells the best backup instead of letting it wait for silence.

use super::groups::one_per_group;
use super::judge::{Question, best_first, candidate, objections};
use super::known::key_of;
use super::moves::{After, Wish};
use super::peers::{bounded_on, words};
use super::plan::PeerView;
use super::{Cluster, Ground, Ours, Place};
use crate::story::{Step, Trail};
use hacluster_proto::v1::{self, MoveOutcome as Outcome, ObjectionKind};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long one peer may take to take over from a master that is gone.
const RESCUE_MAX: Duration = Duration::from_millis(1_300);
/// How long a graceful stop may hand over.
const LEAVE_MAX: Duration = Duration::from_secs(1);

impl Cluster {
    /// Our machine fell from Master into Fault: the best peer takes over at once.
    pub(super) async fn abdicate(self, place: Place, source: Ipv4Addr, trail: Trail) {
        let Some(ours) = self.at(&place) else { return };
        for candidate in self.known_candidates(&ours) {
            let Some(Ok(mut client)) = self.peer(&candidate.node).map(|peer| peer.client()) else { continue };
            let request = v1::TakeOverRequest {
                router: Some(key_of(&ours.now)),
                from_node: self.name(),
                from_address: source.to_string(),
                lead_priority: 0,
                master_gone: true,
                reason: "the master is in Fault".to_owned(),
                failback: false,
                by: self.name(),
            };
            let node = &candidate.node;
            let call = async |request| client.take_over(request).await;
            let (part, step) = (Some(trail.child()), self.step_with("peer.take_over", node));
            let answer = bounded_on(RESCUE_MAX, part, request, call).await;
            self.ended(Some(&ours.identity), part, step.of(&answer));
            match answer {
                Ok(answer) if answer.rules => {
                    return self.say(Some(&ours.identity), false, format!("told {node}, which took over"));
                }
                // Taken over as a member of a sync group, with another one.
                Ok(answer) if rules_already(&answer) => return,
                Ok(answer) => {
                    let why = answer.candidate.unwrap_or_default().objections;
                    let why = why.first().map_or("no reason given", |first| first.text.as_str());
                    self.say(
                        Some(&ours.identity),
                        true,
                        format!("told {node}, which did not take over: {why}"),
                    );
                }
                Err(status) => {
                    let why = words(status);
                    self.say(Some(&ours.identity), true, format!("{node} did not answer: {why}"));
                }
            }
        }
    }

    /// Peers that could rule `ours`, best first, by what is known of them: no time to ask.
    fn known_candidates(&self, ours: &Ours) -> Vec<v1::Candidate> {
        let question = Question { agreement: &ours.now.agreement, master: None };
        let judged = |view: PeerView| {
            let router = view.router?;
            let drain = self.peer(&view.name).and_then(|peer| peer.drain());
            let against = objections(&view.name, &router, drain.as_ref(), question);
            Some(candidate(&view.name, Some(&router), against)).filter(|candidate| candidate.fit)
        };
        let mut candidates: Vec<_> = self.peer_views(ours).into_iter().filter_map(judged).collect();
        best_first(&mut candidates);
        candidates
    }

    /// The routers at `ending` will end: hands those that rule here to their best peers, in a second at
    /// most. For the supervisor, which then ends whatever is left as plain VRRP does.
    pub fn hand_over(&self, ending: impl Fn(&Place) -> bool, reason: &str) {
        let Some(Ground { runtime, .. }) = self.0.ground.get() else { return };
        if self.peers().iter().all(|peer| peer.client().is_err()) {
            return;
        }
        let ruled: Vec<_> =
            self.all().into_iter().filter(|ours| ending(&ours.place) && may_go(&ours.now)).collect();
        if ruled.is_empty() {
            return;
        }
        runtime.block_on(async {
            let _ = tokio::time::timeout(LEAVE_MAX, self.hand_all_over(ruled, reason)).await;
        });
    }

    async fn hand_all_over(&self, ruled: Vec<Ours>, reason: &str) {
        self.0.store.kept().leaving.extend(ruled.iter().map(|ours| ours.place.clone()));
        self.tell_orders();
        let mut moving = tokio::task::JoinSet::new();
        for ours in one_per_group(ruled).0 {
            // No time to ask who could: whoever is asked to take over says whether it can.
            let candidates = self.known_candidates(&ours);
            if candidates.is_empty() {
                continue;
            }
            let trail = Some(Trail::begin());
            let wish = Wish { by: self.name(), reason: reason.to_owned(), trail, ..Wish::default() };
            let cluster = self.clone();
            moving.spawn(async move {
                let step = Step::begin("agent.hand_over", wish.by.clone());
                let answer = cluster.push_to(&ours, candidates, &wish, After::Gone).await;
                cluster.ended(Some(&ours.identity), trail, step.moved(&answer));
                cluster.say(Some(&ours.identity), answer.outcome() != Outcome::Moved, answer.text);
            });
        }
        moving.join_all().await;
    }
}

/// Whether it rules here and could rule elsewhere.
fn may_go(ours: &v1::VirtualRouter) -> bool {
    ours.state() == v1::State::Master && !super::judge::owns(ours)
}

fn rules_already(answer: &v1::TakeOverResponse) -> bool {
    let objections = answer.candidate.iter().flat_map(|candidate| &candidate.objections);
    objections.into_iter().any(|objection| objection.kind() == ObjectionKind::RulesAlready)
}
