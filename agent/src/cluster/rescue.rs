//! A master that goes, or fell ill, tells the best backup instead of letting it wait for silence.

use super::judge::{Question, best_first, candidate, objections};
use super::known::key_of;
use super::moves::{After, Wish};
use super::peers::{bounded, words};
use super::plan::PeerView;
use super::{Cluster, Ground, Ours, Place};
use hacluster_proto::v1::{self, MoveOutcome as Outcome};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long one peer may take to take over from a master that is gone.
const RESCUE_MAX: Duration = Duration::from_millis(1_300);
/// How long a graceful stop may hand over.
const LEAVE_MAX: Duration = Duration::from_secs(1);

impl Cluster {
    /// Our machine fell from Master into Fault: the best peer takes over at once.
    pub(super) async fn abdicate(self, place: Place, source: Ipv4Addr) {
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
            match bounded(RESCUE_MAX, request, call).await {
                Ok(answer) if answer.rules => {
                    return self.say(Some(&ours.identity), false, format!("told {node}, which took over"));
                }
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

    /// The agent ends: hands every router that rules here to its best peer, in a second at most. For
    /// the supervisor, which then stops whatever is left as plain VRRP does.
    pub fn leave(&self) {
        let Some(Ground { runtime, .. }) = self.0.ground.get() else { return };
        if self.peers().iter().all(|peer| peer.client().is_err()) {
            return;
        }
        runtime.block_on(async {
            let _ = tokio::time::timeout(LEAVE_MAX, self.hand_all_over()).await;
        });
    }

    async fn hand_all_over(&self) {
        self.0.store.kept().leaving = true;
        self.tell_orders();
        let mut moving = tokio::task::JoinSet::new();
        for ours in self.all() {
            let rules = ours.now.state() == v1::State::Master && !super::judge::owns(&ours.now);
            if !rules || self.known_candidates(&ours).is_empty() {
                continue;
            }
            let cluster = self.clone();
            moving.spawn(async move {
                let by = cluster.name();
                let wish = Wish { by, reason: "the agent stops".to_owned(), ..Wish::default() };
                let answer = cluster.push(&ours, None, &wish, After::Nothing).await;
                cluster.say(Some(&ours.identity), answer.outcome() != Outcome::Moved, answer.text);
            });
        }
        moving.join_all().await;
    }
}
