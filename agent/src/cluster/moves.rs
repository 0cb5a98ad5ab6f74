//! A move, step by step.
//!
//! ```text
//!   A (rules)                                  B (shall rule)
//!   Consider ------------------------------->  healthy, hears A, same configuration?
//!   hold persisted; YieldTo(B)
//!   TakeOver ------------------------------->  claims, announces, then advertises
//!   hears B's advert: yields, releases   <---  answers
//! ```
//!
//! What does not work is taken back: B steps back, A goes on and holds nothing.

use super::groups::along;
use super::holds::{Hold, HoldKind};
use super::judge::{self, all_against, best_first, objection};
use super::moments::{TookOver, not_before};
use super::peers::{bounded, bounded_on, words};
use super::plan::{PeerView, lead_priority};
use super::{Cluster, NoAnswer, Ours, Told};
use crate::protocol::Command;
use crate::story::Trail;
use hacluster_core::machine::{Reason, StateKind};
use hacluster_proto::v1::peer_client::PeerClient;
use hacluster_proto::v1::{self, MoveOutcome as Outcome, ObjectionKind, StepKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::broadcast::{self, error::RecvError};
use tonic::Status;
use tonic::transport::Channel;

/// How long a peer may consider.
const CONSIDER_MAX: Duration = Duration::from_millis(500);
/// How long the protocol thread may take to take an order that needs nothing from the network.
pub(super) const ORDER_MAX: Duration = Duration::from_millis(300);
/// How long a peer may take to rule: its machine gives up after a second.
const TAKE_OVER_MAX: Duration = Duration::from_millis(1_500);
/// How long after that our machine may take to hear it.
const HEAR_MAX: Duration = Duration::from_millis(500);
/// What somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The node that shall rule; empty for the best.
    pub to_node: String,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Only say what would happen.
    pub dry_run: bool,
    /// The former master holds back at most this long.
    pub hold_for: Option<Duration>,
    /// The story that it is part of.
    pub trail: Option<Trail>,
}

/// What is left behind on the node that gave the router away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It holds back.
    Hold,
    /// Nothing: the router went back to where it belongs.
    Return,
    /// Nothing that belongs to the router: the whole node rests, or the other one is simply better.
    Nothing,
    /// Not even a router: it ends here. So the successor need not hear us, nor we it.
    Gone,
}

/// A move being made or planned: what will be answered, and since when it runs.
pub(super) struct Course {
    pub(super) answer: v1::Move,
    begun: Instant,
}

impl Course {
    pub(super) fn new(name: &str) -> Self {
        let answer = v1::Move { router: name.to_owned(), ..v1::Move::default() };
        Self { answer, begun: Instant::now() }
    }

    pub(super) fn step_at(&mut self, at: Instant, kind: StepKind, text: impl Into<String>) {
        let after = at.saturating_duration_since(self.begun).try_into().ok();
        self.answer.steps.push(v1::Step { text: text.into(), after, kind: kind.into() });
    }

    pub(super) fn step(&mut self, kind: StepKind, text: impl Into<String>) {
        self.step_at(Instant::now(), kind, text);
    }

    pub(super) fn end(mut self, outcome: Outcome, text: impl Into<String>) -> v1::Move {
        self.answer.outcome = outcome.into();
        self.answer.text = text.into();
        self.answer.steps.sort_by_key(|step| step.after.map(|after| (after.seconds, after.nanos)));
        self.answer
    }

    pub(super) fn between(mut self, from: &str, to: &str) -> Self {
        self.answer.from_node = from.to_owned();
        self.answer.to_node = to.to_owned();
        self
    }
}

/// Our machine rules no more.
#[derive(Clone, Copy, Debug)]
struct Gave {
    /// Because it heard the successor; not before then.
    to_successor: Option<Instant>,
}

/// What became of asking one candidate.
enum Attempt {
    /// It rules.
    Moved,
    /// It does not want to; nothing changed.
    Declined(v1::Candidate),
    /// It was tried and taken back.
    Failed(String),
}

impl Cluster {
    /// What peers know of `ours`.
    pub(super) fn peer_views(&self, ours: &Ours) -> Vec<PeerView> {
        let key = super::known::key_of(&ours.now);
        let view = |peer: &std::sync::Arc<super::Peer>| PeerView {
            name: peer.target.name.clone(),
            router: peer.router(&key),
        };
        self.peers().iter().map(view).collect()
    }

    /// Hands `ours`, which rules here, over to the peer `to`, or to the best one.
    pub(super) async fn push(&self, ours: &Ours, to: Option<&str>, wish: &Wish, after: After) -> v1::Move {
        let candidates = self.consider(ours, to).await;
        self.push_to(ours, candidates, wish, after).await
    }

    /// Hands `ours` over to the best of `candidates` that takes it.
    pub(super) async fn push_to(
        &self,
        ours: &Ours,
        mut candidates: Vec<v1::Candidate>,
        wish: &Wish,
        after: After,
    ) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        best_first(&mut candidates);
        let only = candidates.first().filter(|_| candidates.len() == 1);
        let mut course = Course::new(name).between(&own, only.map_or("", |only| &only.node));
        course.answer.candidates = candidates.clone();
        if let Some(busy) = &ours.now.r#move {
            return course.end(Outcome::Busy, judge::under_way(name, busy));
        }
        let fit: Vec<_> = candidates.iter().filter(|it| it.fit).cloned().collect();
        let Some(best) = fit.first() else {
            let text = format!("{name} stays on {own}, no node fits: {}", all_against(&candidates));
            return course.end(Outcome::Refused, text);
        };
        course.answer.to_node.clone_from(&best.node);
        if wish.dry_run {
            let then = self.aftermath(name, &best.node, after, wish.hold_for);
            let text = format!(
                "{name}{} would move from {own} (priority {}) to {} (priority {}), without a gap{then}",
                along(&ours.now),
                ours.now.priority_effective,
                best.node,
                best.priority
            );
            return course.end(Outcome::WouldMove, text);
        }
        let _under_way = match self.begin(ours, &best.node, &wish.by) {
            Ok(under_way) => under_way,
            Err(busy) => return course.end(Outcome::Busy, judge::under_way(name, &busy)),
        };
        for candidate in fit {
            course.answer.to_node.clone_from(&candidate.node);
            match self.attempt(ours, &candidate, wish, after, &mut course).await {
                Attempt::Moved => {
                    let hold = self.0.store.kept().of(&ours.place).hold;
                    course.answer.hold = hold.as_ref().map(Into::into);
                    let then = self.aftermath(name, &candidate.node, after, wish.hold_for);
                    let with = along(&ours.now);
                    let text = format!("{name}{with} moved from {own} to {}{then}", candidate.node);
                    return course.end(Outcome::Moved, text);
                }
                Attempt::Declined(declined) => {
                    let found = course.answer.candidates.iter_mut().find(|it| it.node == declined.node);
                    found.into_iter().for_each(|it| it.clone_from(&declined));
                }
                Attempt::Failed(why) => return course.end(Outcome::Failed, why),
            }
        }
        let text = format!("{name} stays on {own}: {}", all_against(&course.answer.candidates));
        course.end(Outcome::Failed, text)
    }

    /// What follows a move, for people.
    pub(super) fn aftermath(&self, name: &str, to: &str, after: After, limit: Option<Duration>) -> String {
        let own = self.name();
        match (after, limit) {
            (After::Hold, Some(limit)) => format!(
                "; {own} then holds back for {} s at most, until `haclusterctl failback {name}` or until {to} is gone",
                limit.as_secs()
            ),
            (After::Hold, None) => {
                format!("; {own} then holds back until `haclusterctl failback {name}` or until {to} is gone")
            }
            (After::Return, _) => "; nobody holds back for it any more".to_owned(),
            (After::Nothing | After::Gone, _) => String::new(),
        }
    }

    /// Asks `to`, or all peers, at the same time.
    pub(super) async fn consider(&self, ours: &Ours, to: Option<&str>) -> Vec<v1::Candidate> {
        let peers = self.peers();
        let asked = peers.into_iter().filter(|peer| to.is_none_or(|to| peer.target.name == to));
        let mut asking = tokio::task::JoinSet::new();
        for peer in asked {
            let request = v1::ConsiderRequest {
                router: Some(super::known::key_of(&ours.now)),
                from_node: self.name(),
                from_address: ours.now.source.clone(),
            };
            asking.spawn(async move {
                let node = peer.target.name.clone();
                let answer = match peer.client() {
                    Ok(mut client) => {
                        let call = async |request| client.consider(request).await;
                        bounded(CONSIDER_MAX, request, call).await.map_err(words)
                    }
                    Err(error) => Err(error),
                };
                match answer.map(|answer| answer.candidate) {
                    // Its name is ours to say: it is what certificates and operators know it by.
                    Ok(Some(candidate)) => v1::Candidate { node, ..candidate },
                    Ok(None) => unreachable(&node, "it gave no answer"),
                    Err(error) => unreachable(&node, &error),
                }
            });
        }
        asking.join_all().await
    }

    /// One candidate, from the hold to the release, or back again.
    async fn attempt(
        &self,
        ours: &Ours,
        candidate: &v1::Candidate,
        wish: &Wish,
        after: After,
        course: &mut Course,
    ) -> Attempt {
        let node = &candidate.node;
        let decline = |kind, why: String| {
            let objections = vec![objection(kind, why)];
            Attempt::Declined(v1::Candidate { fit: false, objections, ..candidate.clone() })
        };
        let Ok(to) = candidate.address.parse::<Ipv4Addr>() else {
            return decline(ObjectionKind::NotRunning, format!("{node} does not tell where it sends from"));
        };
        let Some(Ok(mut client)) = self.peer(node).map(|peer| peer.client()) else {
            return decline(ObjectionKind::Unreachable, format!("{node} does not answer any more"));
        };
        let mut transitions = self.0.transitions.subscribe();
        if after == After::Hold {
            let hold = hold_of(wish, node);
            self.alter(|kept| kept.set_hold(&ours.place, Some(hold))).await;
        }
        if let Err(error) = self.yield_to(ours, Some(to), wish.trail).await {
            self.take_back(ours, after, course).await;
            return Attempt::Failed(format!("nothing moved: {error}"));
        }
        let asked = Instant::now();
        course.step_at(asked, StepKind::Asked, format!("asked {node}"));
        let request = self.take_over_request(ours, candidate, wish, after);
        let call = async |request| client.take_over(request).await;
        let (trail, step) = (wish.trail.map(Trail::child), self.step_with("peer.take_over", node));
        let answer = bounded_on(TAKE_OVER_MAX, trail, request, call).await;
        self.ended(Some(&ours.identity), trail, step.of(&answer));
        let answered = Instant::now();
        if let Ok(v1::TakeOverResponse { rules: false, candidate: told, .. }) = &answer {
            self.take_back(ours, after, course).await;
            let told = told.clone().unwrap_or_default();
            return Attempt::Declined(v1::Candidate { node: node.clone(), fit: false, ..told });
        }
        let gave = self.gave_way(ours, to, &mut transitions).await;
        let released = gave.and_then(|gave| gave.to_successor);
        if let Ok(answer) = &answer {
            let took_over = TookOver::of(answer, asked, answered);
            let took_over = released.map_or(took_over, |at| took_over.heard_by(at));
            course.step_at(took_over.announced, StepKind::Announced, format!("{node} announced"));
            course.step_at(took_over.advertised, StepKind::Advertised, format!("{node} advertised"));
        }
        if gave.is_some() {
            if let Some(at) = released {
                course.step_at(at, StepKind::Released, format!("{} released", self.name()));
            }
            return Attempt::Moved;
        }
        if after == After::Gone && answer.is_ok() {
            return Attempt::Moved; // we go as we would have gone, and it stays
        }
        let stepped = self.undo(ours, client, after, course).await;
        Attempt::Failed(not_heard(&self.name(), node, answer.err(), stepped.err()))
    }

    /// Neither heard nor refused: the peer steps back, and everything is as before.
    async fn undo(
        &self,
        ours: &Ours,
        mut client: PeerClient<Channel>,
        after: After,
        course: &mut Course,
    ) -> Result<v1::StepBackResponse, Status> {
        let request = v1::StepBackRequest {
            router: Some(super::known::key_of(&ours.now)),
            reason: "the former master does not hear it".to_owned(),
        };
        let stepped = bounded(ORDER_MAX, request, async |request| client.step_back(request).await).await;
        self.take_back(ours, after, course).await;
        stepped
    }

    fn take_over_request(
        &self,
        ours: &Ours,
        candidate: &v1::Candidate,
        wish: &Wish,
        after: After,
    ) -> v1::TakeOverRequest {
        let lead_priority = match after {
            After::Hold => lead_priority([ours.now.priority_effective, candidate.priority]),
            After::Return if ours.now.priority_base > candidate.priority => ours.now.priority_base.min(254),
            After::Return | After::Nothing | After::Gone => 0,
        };
        v1::TakeOverRequest {
            router: Some(super::known::key_of(&ours.now)),
            from_node: self.name(),
            from_address: ours.now.source.clone(),
            lead_priority,
            master_gone: after == After::Gone,
            reason: wish.reason.clone(),
            failback: after == After::Return,
            by: wish.by.clone(),
        }
    }

    async fn yield_to(
        &self,
        ours: &Ours,
        to: Option<Ipv4Addr>,
        trail: Option<Trail>,
    ) -> Result<(), NoAnswer> {
        let place = ours.place.clone();
        self.ask(ORDER_MAX, |ticket| Command::YieldTo { place, to, ticket, trail }).await.map(drop)
    }

    /// As if nothing had been asked.
    async fn take_back(&self, ours: &Ours, after: After, course: &mut Course) {
        // Who rules no more has nothing to take back here, and says so.
        let _ = self.yield_to(ours, None, None).await;
        if after == After::Hold {
            self.alter(|kept| kept.set_hold(&ours.place, None)).await;
        }
        course.step(StepKind::TakenBack, "taken back");
    }

    /// How our machine gave way to `to`, now or soon; `None` when it does not.
    async fn gave_way(
        &self,
        ours: &Ours,
        to: Ipv4Addr,
        transitions: &mut broadcast::Receiver<Told>,
    ) -> Option<Gave> {
        let left = async {
            loop {
                match transitions.recv().await {
                    Ok(told) if told.place == ours.place && told.transition.from == StateKind::Master => {
                        let expected =
                            matches!(told.transition.reason, Reason::GaveAway(heard) if heard.sender == to);
                        return Some(Gave { to_successor: expected.then(|| not_before(told.at)) });
                    }
                    // Of others; or some were lost, perhaps ours: see below.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        if let Ok(left) = tokio::time::timeout(HEAR_MAX, left).await {
            return left;
        }
        let now = self.at(&ours.place)?.now;
        (now.state() == v1::State::Backup).then_some(Gave { to_successor: None })
    }
}

/// Why a move was taken back, and where to look.
fn not_heard(own: &str, node: &str, asked: Option<Status>, stepped: Option<Status>) -> String {
    match (asked, stepped) {
        (None, None) => format!(
            "{own} did not hear {node} within {} ms, so {node} stepped back and {own} goes on: look for a \
             firewall that drops protocol 112 on its way to {own}",
            HEAR_MAX.as_millis()
        ),
        (None, Some(status)) => format!(
            "{own} did not hear {node}, which does not answer any more ({}): {own} goes on",
            words(status)
        ),
        (Some(status), _) => {
            format!("{node} did not answer ({}), nor was it heard: {own} goes on", words(status))
        }
    }
}

pub(super) fn hold_of(wish: &Wish, to_node: &str) -> Hold {
    let since = SystemTime::now();
    Hold {
        kind: HoldKind::Failover,
        by: wish.by.clone(),
        reason: wish.reason.clone(),
        since,
        until: wish.hold_for.and_then(|limit| since.checked_add(limit)),
        to_node: to_node.to_owned(),
    }
}

pub(super) fn unreachable(node: &str, error: &str) -> v1::Candidate {
    let text = format!("{node} does not answer: {error}");
    judge::candidate(node, None, vec![objection(ObjectionKind::Unreachable, text)])
}
