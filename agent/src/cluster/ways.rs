//! The ways a virtual router can go, apart from the move itself: see [`plan`](super::plan).

use super::holds::Hold;
use super::judge::{self, all_against};
use super::moves::{After, Course, ORDER_MAX, Wish, hold_of, unreachable};
use super::peers::{bounded_on, words};
use super::plan::{PeerView, Way, lead_priority, sender, way};
use super::{Cluster, Ours};
use crate::protocol::Command;
use crate::story::{Step, Trail};
use hacluster_proto::v1::{self, MoveOutcome as Outcome, ObjectionKind, StepKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long after resigning somebody must have taken over: the longest skew, and a second.
const RESIGNED_MAX: Duration = Duration::from_secs(2);
/// How often we look who took over after resigning.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How much later than its interval an advert may come on a busy host.
const LISTEN_LEEWAY: Duration = Duration::from_millis(200);
/// An operator does not wait longer, however rare adverts are.
const LISTEN_MAX: Duration = Duration::from_secs(5);
/// For so long a node outranks one that leads and cannot be asked: its adverts are repeated meanwhile.
const OUTRANKS: Duration = Duration::from_millis(300);
/// How long a peer may take to hand over.
const HAND_OVER_MAX: Duration = Duration::from_millis(4_000);

impl Cluster {
    /// Moves `ours` as wished.
    pub(crate) async fn failover(&self, ours: &Ours, wish: &Wish) -> v1::Move {
        let fresh = self.listened(ours).await;
        let ours = fresh.as_ref().unwrap_or(ours);
        let name = ours.now.name.clone();
        let own = self.name();
        let course = Course::new(&name);
        match way(&own, &ours.now, &wish.to_node, &self.peer_views(ours)) {
            Way::There => {
                let at = if wish.to_node.is_empty() { own } else { wish.to_node.clone() };
                course.between(&at, &at).end(Outcome::AlreadyThere, format!("{at} rules {name} already"))
            }
            Way::None(why) => course.end(Outcome::Refused, why),
            Way::Unknown(why) => {
                let mut course = course.between(&own, &wish.to_node);
                let against = vec![judge::objection(ObjectionKind::UnknownNode, why.clone())];
                course.answer.candidates = vec![judge::candidate(&wish.to_node, None, against)];
                course.end(Outcome::Refused, why)
            }
            Way::Push(to) => self.push(ours, to.as_deref(), wish, After::Hold).await,
            Way::Resign(to) => self.resign(ours, &to, wish, After::Hold).await,
            Way::Pull(from) => self.pull(ours, &from, wish, false).await,
            Way::Lead(master, priority) => self.lead_over(ours, master, priority, wish).await,
        }
    }

    /// Moves `ours` back to the node that holds back for it.
    pub(crate) async fn failback(&self, ours: &Ours, wish: &Wish) -> v1::Move {
        let fresh = self.listened(ours).await;
        let ours = fresh.as_ref().unwrap_or(ours);
        let name = ours.now.name.clone();
        let told = self.0.store.kept().of(&ours.place);
        let views = self.peer_views(ours);
        if let Some(hold) = told.hold {
            return self.go_back(ours, &hold, wish).await;
        }
        let holder = |view: &&PeerView| {
            let hold = view.router.as_ref().and_then(|router| router.hold.as_ref());
            hold.is_some_and(|hold| hold.kind() == v1::HoldKind::Failover)
        };
        let holder = views.iter().find(holder).map(|view| view.name.clone());
        let rules = ours.now.state() == v1::State::Master;
        match (rules, holder, told.lead) {
            (true, Some(holder), _) => self.push(ours, Some(&holder), wish, After::Return).await,
            (true, None, Some(lead)) => {
                if self.peer(&lead.from_node).is_some() {
                    let answer = self.push(ours, Some(&lead.from_node), wish, After::Return).await;
                    if !matches!(answer.outcome(), Outcome::Refused | Outcome::Failed) {
                        return answer;
                    }
                }
                // Nobody holds back any more: what keeps it here is the lead alone.
                self.end_lead(ours, &lead.from_node, wish).await
            }
            (false, Some(holder), _) => Course::new(&name).end(
                Outcome::Refused,
                format!("{holder} holds back for {name}: ask it, or the node that rules"),
            ),
            (_, None, _) => match views.iter().find(|view| leads(view)) {
                Some(leader) => self.pull(ours, &leader.name, wish, true).await,
                None => Course::new(&name).end(
                    Outcome::Refused,
                    format!(
                        "there is nothing to go back from: no node known here was told to hold back for {name}"
                    ),
                ),
            },
        }
    }

    /// `ours`, for which we held back, comes back: without a gap where that is possible.
    async fn go_back(&self, ours: &Ours, hold: &Hold, wish: &Wish) -> v1::Move {
        if let Some(ruler) = sender(&self.peer_views(ours), &ours.now.master_address) {
            let answer = self.pull(ours, &ruler.name, wish, true).await;
            // Who cannot be asked cannot hand over.
            if answer.candidates.iter().all(|it| !is(it, ObjectionKind::Unreachable)) {
                return answer;
            }
        }
        match self.leads_unreachably(ours, hold) {
            Some((master, lead)) => self.reclaim(ours, hold, master, lead, wish).await,
            None => self.release(ours, hold, wish).await,
        }
    }

    /// The node that leads in our place but cannot be asked, with what outranks it; `None` where plain
    /// VRRP does without help.
    fn leads_unreachably(&self, ours: &Ours, hold: &Hold) -> Option<(Ipv4Addr, u32)> {
        let now = &ours.now;
        let key = super::known::key_of(now);
        let known = self.peer(&hold.to_node)?.last_known(&key)?.source == now.master_address;
        let outranked = now.master_priority < now.priority_base;
        let fits = self.against_ruling_here(ours, &now.master_address).is_empty();
        let wanted = known && !outranked && fits && now.master_priority < 254;
        let master = now.master_address.parse().ok().filter(|_| wanted)?;
        Some((master, now.master_priority + 1))
    }

    /// Takes it from a node that leads in our place and cannot be asked: outranks it for a moment, by
    /// which its lead ends.
    async fn reclaim(&self, ours: &Ours, hold: &Hold, master: Ipv4Addr, lead: u32, wish: &Wish) -> v1::Move {
        let (own, name, node) = (self.name(), &ours.now.name, &hold.to_node);
        let mut course = Course::new(name).between(node, &own);
        let why = format!("{node} cannot be asked, so {own} outranks it for a moment with priority {lead}");
        if wish.dry_run {
            return course.end(Outcome::WouldMove, format!("{name} would move from {node} to {own}: {why}"));
        }
        let _under_way = match self.begin(ours, &own, &wish.by) {
            Ok(under_way) => under_way,
            Err(busy) => return course.end(Outcome::Busy, judge::under_way(name, &busy)),
        };
        self.alter(|kept| kept.set_hold(&ours.place, None)).await;
        match self.rule_here(ours, master, lead, node, wish).await {
            Ok((announced, advertised)) => {
                course.step_at(announced, StepKind::Announced, format!("{own} announced"));
                course.step_at(advertised, StepKind::Advertised, format!("{own} advertised"));
                tokio::time::sleep(OUTRANKS).await;
                self.step_back(ours).await;
                course.end(Outcome::Moved, format!("{name} moved from {node} to {own}: {why}"))
            }
            Err(error) => {
                let text = format!("{name} stays on {node}: {error}; {own} holds back no more");
                course.end(Outcome::Failed, text)
            }
        }
    }

    /// A backup that has just started has heard nobody yet and knows too little to move anything: waits
    /// until it has, at most one advert interval and a little, or [`LISTEN_MAX`]. `None` when there is nothing to wait for.
    async fn listened(&self, ours: &Ours) -> Option<Ours> {
        let silent =
            |now: &v1::VirtualRouter| now.state() == v1::State::Backup && now.master_address.is_empty();
        if !silent(&ours.now) {
            return None;
        }
        let interval = ours.now.advert_interval.and_then(|interval| Duration::try_from(interval).ok());
        let until = Instant::now() + (interval.unwrap_or_default() + LISTEN_LEEWAY).min(LISTEN_MAX);
        let mut now = self.at(&ours.place)?;
        while silent(&now.now) && Instant::now() < until {
            tokio::time::sleep(LOOK_INTERVAL).await;
            now = self.at(&ours.place)?;
        }
        Some(now)
    }

    /// Gives `ours`, which rules here, to whoever takes it.
    pub(super) async fn resign(&self, ours: &Ours, to: &str, wish: &Wish, after: After) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        let mut course = Course::new(name).between(&own, to);
        let whom = if to.is_empty() { "the best of its neighbours" } else { to };
        if let Some(busy) = &ours.now.r#move {
            return course.end(Outcome::Busy, judge::under_way(name, busy));
        }
        if wish.dry_run {
            let text = format!(
                "{own} would resign from {name} (priority 0), and {whom} take over after its skew time, up to a \
                 second, in which nobody answers. {own} cannot tell whether anybody listens: no agent runs there"
            );
            return course.end(Outcome::WouldResign, text);
        }
        let _under_way = match self.begin(ours, to, &wish.by) {
            Ok(under_way) => under_way,
            Err(busy) => return course.end(Outcome::Busy, judge::under_way(name, &busy)),
        };
        if after == After::Hold {
            let hold = hold_of(wish, to);
            self.alter(|kept| kept.set_hold(&ours.place, Some(hold))).await;
        }
        let (place, trail, asked) = (ours.place.clone(), wish.trail, Instant::now());
        if let Err(error) = self.ask(ORDER_MAX, |ticket| Command::Resign { place, ticket, trail }).await {
            if after == After::Hold {
                self.alter(|kept| kept.set_hold(&ours.place, None)).await;
            }
            return course.end(Outcome::Failed, format!("{name} stays on {own}: {error}"));
        }
        course.step_at(asked, StepKind::Released, format!("{own} resigned and released"));
        match self.successor(ours).await {
            Some(now) => {
                let node = sender(&self.peer_views(ours), &now).map_or(now, |peer| peer.name.clone());
                course.step(StepKind::Advertised, format!("{node} heard"));
                course.answer.to_node.clone_from(&node);
                let hold = self.0.store.kept().of(&ours.place).hold;
                course.answer.hold = hold.as_ref().map(Into::into);
                let then = self.aftermath(name, &node, after, wish.hold_for);
                course.end(Outcome::Resigned, format!("{own} resigned from {name}, {node} took over{then}"))
            }
            None => {
                if after == After::Hold {
                    self.alter(|kept| kept.set_hold(&ours.place, None)).await;
                }
                course.step(StepKind::TakenBack, "taken back");
                let text = format!(
                    "{own} resigned from {name} and nobody took over within {} s: {own} rules again as soon as \
                     its own timer has run out. Look whether VRRP runs on a neighbour, with VRID {}",
                    RESIGNED_MAX.as_secs(),
                    ours.now.vrid
                );
                course.end(Outcome::Failed, text)
            }
        }
    }

    /// The address of whoever is heard ruling instead of us; `None` when nobody is.
    async fn successor(&self, ours: &Ours) -> Option<String> {
        let until = Instant::now() + RESIGNED_MAX;
        while Instant::now() < until {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let now = self.at(&ours.place)?.now;
            if now.state() == v1::State::Backup && !now.master_address.is_empty() {
                return Some(now.master_address);
            }
        }
        None
    }

    /// Has `from`, which rules, hand `ours` over to this node.
    async fn pull(&self, ours: &Ours, from: &str, wish: &Wish, failback: bool) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        let mut course = Course::new(name).between(from, &own);
        let against = self.against_ruling_here(ours, &ours.now.master_address);
        let fits = against.is_empty();
        course.answer.candidates = vec![judge::candidate(&own, Some(&ours.now), against)];
        if !fits {
            let text = format!("{name} stays on {from}: {}", all_against(&course.answer.candidates));
            return course.end(Outcome::Refused, text);
        }
        let gone = |mut course: Course, error: &str| {
            course.answer.candidates = vec![unreachable(from, error)];
            course.end(Outcome::Failed, format!("{from}, which rules {name}, does not answer: {error}"))
        };
        let mut client = match self.peer(from).map(|peer| peer.client()) {
            Some(Ok(client)) => client,
            Some(Err(error)) => return gone(course, &error),
            None => return gone(course, "it is no peer any more"),
        };
        if wish.dry_run {
            let then = if failback { String::new() } else { format!("; {from} then holds back") };
            let text = format!("{name} would move from {from} to {own}, without a gap{then}");
            return course.end(Outcome::WouldMove, text);
        }
        let request = v1::HandOverRequest {
            router: Some(super::known::key_of(&ours.now)),
            to_node: own,
            reason: wish.reason.clone(),
            failback,
            by: wish.by.clone(),
            hold_for: wish.hold_for.and_then(|limit| limit.try_into().ok()),
        };
        let (trail, step) = (wish.trail.map(Trail::child), self.step_with("peer.hand_over", from));
        let call = async |request| client.hand_over(request).await;
        let answer = bounded_on(HAND_OVER_MAX, trail, request, call).await;
        self.ended(Some(&ours.identity), trail, step.of(&answer));
        match answer.map(|answer| answer.r#move) {
            Ok(Some(answer)) => {
                if failback && answer.outcome() == Outcome::Moved {
                    self.alter(|kept| kept.set_hold(&ours.place, None)).await;
                }
                v1::Move { router: name.clone(), ..answer }
            }
            Ok(None) => gone(course, "it gave no answer"),
            Err(status) => gone(course, &words(status)),
        }
    }

    /// Rules over a master that runs no agent, by a higher priority.
    async fn lead_over(&self, ours: &Ours, master: Ipv4Addr, priority: u8, wish: &Wish) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        let from = master.to_string();
        let mut course = Course::new(name).between(&from, &own);
        let against = self.against_ruling_here(ours, &from);
        let fits = against.is_empty();
        course.answer.candidates = vec![judge::candidate(&own, Some(&ours.now), against)];
        if !fits {
            let text = format!("{name} stays on {from}: {}", all_against(&course.answer.candidates));
            return course.end(Outcome::Refused, text);
        }
        let lead = lead_priority([u32::from(priority) + 1, ours.now.priority_effective]);
        let then = format!("{from} runs no agent: it gets {name} back when the lead ends");
        if wish.dry_run {
            let text = format!("{own} would take {name} from {from} with priority {lead}; {then}");
            return course.end(Outcome::WouldMove, text);
        }
        let _under_way = match self.begin(ours, &own, &wish.by) {
            Ok(under_way) => under_way,
            Err(busy) => return course.end(Outcome::Busy, judge::under_way(name, &busy)),
        };
        course.step(StepKind::Asked, format!("asked {own}"));
        match self.rule_here(ours, master, lead, &from, wish).await {
            Ok((announced, advertised)) => {
                course.step_at(announced, StepKind::Announced, format!("{own} announced"));
                course.step_at(advertised, StepKind::Advertised, format!("{own} advertised"));
                course.end(Outcome::Moved, format!("{name} moved from {from} to {own}; {then}"))
            }
            Err(error) => course.end(Outcome::Failed, format!("{name} stays on {from}: {error}")),
        }
    }

    /// Only ends the hold.
    async fn release(&self, ours: &Ours, hold: &Hold, wish: &Wish) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        let course = Course::new(name).between(&hold.to_node, &own);
        let then = match ours.now.master_address.as_str() {
            "" => "nobody rules it that is heard here".to_owned(),
            master if ours.now.master_priority < ours.now.priority_base => format!(
                "{master} rules it with the lower priority {}, so {own} takes it over",
                ours.now.master_priority
            ),
            master => format!("{master} rules it with priority {} and keeps it", ours.now.master_priority),
        };
        if wish.dry_run {
            let text = format!("{own} would hold back no more, and plain VRRP decide: {then}");
            return course.end(Outcome::WouldMove, text);
        }
        self.alter(|kept| kept.set_hold(&ours.place, None)).await;
        self.router_changed(&ours.identity);
        course.end(Outcome::Released, format!("{own} holds back no more, plain VRRP decides: {then}"))
    }

    /// Ends our lead over a node without an agent.
    async fn end_lead(&self, ours: &Ours, to: &str, wish: &Wish) -> v1::Move {
        let (own, name) = (self.name(), &ours.now.name);
        let course = Course::new(name).between(&own, to);
        let then =
            format!("goes on with its own priority {}, and plain VRRP decides", ours.now.priority_base);
        if wish.dry_run {
            return course.end(Outcome::WouldMove, format!("{own} would lead {name} no more: it {then}"));
        }
        self.step_back(ours).await;
        course.end(Outcome::Released, format!("{own} leads {name} no more: it {then}"))
    }

    /// A hold reached its time limit: the router goes back, without a gap where that is possible.
    pub(super) fn return_after_expiry(&self, ours: Ours, hold: Hold) {
        let cluster = self.clone();
        tokio::spawn(async move {
            let by = format!("time limit of {}", hold.by);
            let wish = Wish { by, reason: hold.reason.clone(), ..Wish::default() };
            let step = Step::begin("agent.hold_expired", wish.by.clone());
            let wish = Wish { trail: Some(Trail::begin()), ..wish };
            let answer = cluster.go_back(&ours, &hold, &wish).await;
            cluster.ended(Some(&ours.identity), wish.trail, step.moved(&answer));
            let well = matches!(answer.outcome(), Outcome::Moved | Outcome::Released);
            cluster.say(Some(&ours.identity), !well, answer.text);
        });
    }
}

/// Whether the peer rules because it was handed the router.
fn leads(view: &PeerView) -> bool {
    view.router.as_ref().is_some_and(|router| router.state() == v1::State::Master && router.lead.is_some())
}

fn is(candidate: &v1::Candidate, kind: ObjectionKind) -> bool {
    candidate.objections.iter().any(|objection| objection.kind() == kind)
}
