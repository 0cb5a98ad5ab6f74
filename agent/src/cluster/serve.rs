//! What peers ask of this node, and what a move asks of its own machine.

use super::holds::{Lead, this_boot};
use super::judge::{self, Question, candidate, objection, objections};
use super::known::matching;
use super::moments::not_after;
use super::moves::{After, Course, ORDER_MAX};
use super::{Cluster, NoAnswer, Ours, Wish};
use crate::protocol::{Answer, Command, Refusal};
use crate::story::Trail;
use hacluster_core::priority::Priority;
use hacluster_proto::v1::{self, MoveOutcome as Outcome, ObjectionKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

/// How long the machine may take to rule: it gives up after a second by itself.
const RULE_MAX: Duration = Duration::from_millis(1_200);

impl Cluster {
    /// Our side of the virtual router `key`.
    fn ours_by(&self, key: &v1::RouterKey) -> Option<Ours> {
        let all = self.all_of(|vrid| u32::from(vrid.get()) == key.vrid);
        let found = matching(all.iter().map(|ours| &ours.now), key)?;
        all.iter().find(|ours| std::ptr::eq(&ours.now, found)).cloned()
    }

    fn unknown_router(&self, key: &v1::RouterKey) -> v1::Candidate {
        let own = self.name();
        let text = format!(
            "{own} runs no virtual router {} (VRID {}{})",
            key.name,
            key.vrid,
            if key.addresses.is_empty() { String::new() } else { format!(", {}", key.addresses.join(" ")) }
        );
        candidate(&own, None, vec![objection(ObjectionKind::UnknownRouter, text)])
    }

    /// What speaks against ruling `ours` here, instead of the master that sends from `master`.
    pub(super) fn against_ruling_here(&self, ours: &Ours, master: &str) -> Vec<v1::Objection> {
        let question = Question { agreement: &ours.now.agreement, master: Some(master) };
        self.objections_to(ours, question)
    }

    fn objections_to(&self, ours: &Ours, question: Question<'_>) -> Vec<v1::Objection> {
        let drain = self.0.store.kept().drain.as_ref().map(v1::Hold::from);
        objections(&self.name(), &ours.now, drain.as_ref(), question)
    }

    /// Whether we could rule, for a peer.
    pub(crate) fn consider_for(&self, request: &v1::ConsiderRequest) -> v1::Candidate {
        let key = request.router.clone().unwrap_or_default();
        let Some(ours) = self.ours_by(&key) else { return self.unknown_router(&key) };
        let question = Question { agreement: &key.agreement, master: Some(&request.from_address) };
        let against = self.objections_to(&ours, question);
        candidate(&self.name(), Some(&ours.now), against)
    }

    /// We shall rule, says the peer `from`.
    pub(crate) async fn take_over(
        &self,
        from: &str,
        request: v1::TakeOverRequest,
        trail: Option<Trail>,
    ) -> v1::TakeOverResponse {
        let step = self.step_with("peer.take_over", from).served();
        let identity = request.router.as_ref().and_then(|key| self.ours_by(key)).map(|ours| ours.identity);
        let answer = self.try_to_take_over(from, request, trail).await;
        self.ended(identity.as_ref(), trail, step.moved(&answer));
        answer
    }

    async fn try_to_take_over(
        &self,
        from: &str,
        request: v1::TakeOverRequest,
        trail: Option<Trail>,
    ) -> v1::TakeOverResponse {
        let arrived = Instant::now();
        let key = request.router.clone().unwrap_or_default();
        let declined = |candidate| v1::TakeOverResponse { candidate: Some(candidate), ..Default::default() };
        let Some(ours) = self.ours_by(&key) else { return declined(self.unknown_router(&key)) };
        let master = (!request.master_gone).then_some(request.from_address.as_str());
        let mut against = self.objections_to(&ours, Question { agreement: &key.agreement, master });
        let sender = request.from_address.parse::<Ipv4Addr>();
        if sender.is_err() && against.is_empty() {
            let text = format!("{from} does not tell where its adverts come from");
            against.push(objection(ObjectionKind::DoesNotHearMaster, text));
        }
        let (Ok(sender), true) = (sender, against.is_empty()) else {
            return declined(candidate(&self.name(), Some(&ours.now), against));
        };
        let wish = Wish { by: request.by, reason: request.reason, trail, ..Wish::default() };
        let _under_way = match self.begin(&ours, &self.name(), &wish.by) {
            Ok(under_way) => under_way,
            Err(busy) => {
                let busy = objection(ObjectionKind::Busy, judge::under_way(&ours.now.name, &busy));
                return declined(candidate(&self.name(), Some(&ours.now), vec![busy]));
            }
        };
        match self.rule_here(&ours, sender, request.lead_priority, from, &wish).await {
            Ok((announced, advertised)) => {
                if request.failback {
                    self.alter(|kept| kept.set_hold(&ours.place, None)).await;
                }
                let text = format!("handed over by {from}, asked by {}: {}", wish.by, wish.reason);
                self.say(Some(&ours.identity), false, text);
                let after = |at: Instant| at.saturating_duration_since(arrived).try_into().ok();
                v1::TakeOverResponse {
                    rules: true,
                    candidate: None,
                    announced_after: after(announced),
                    advertised_after: after(advertised),
                    answered_after: after(Instant::now()),
                }
            }
            Err(error) => {
                let own = self.name();
                let text = format!("{own} did not take {} over: {error}", ours.now.name);
                self.say(Some(&ours.identity), true, text.clone());
                declined(candidate(&own, Some(&ours.now), vec![objection(kind_of(error), text)]))
            }
        }
    }

    /// Has our machine rule with at least `lead` (0: its own priority); when it had announced and
    /// advertised at the latest.
    pub(super) async fn rule_here(
        &self,
        ours: &Ours,
        from: Ipv4Addr,
        lead: u32,
        from_node: &str,
        wish: &Wish,
    ) -> Result<(Instant, Instant), NoAnswer> {
        let lead = u8::try_from(lead).ok().filter(|lead| (1..=254).contains(lead));
        let kept = |priority| Lead {
            priority,
            from_node: from_node.to_owned(),
            by: wish.by.clone(),
            reason: wish.reason.clone(),
            since: SystemTime::now(),
            boot: this_boot(),
        };
        if let Some(priority) = lead {
            let mut leads = self.leads_along(ours);
            leads.push((ours.place.clone(), priority));
            self.alter(|all| {
                for (place, priority) in leads {
                    all.set_lead(&place, Some(kept(priority)));
                }
            })
            .await;
        }
        let (place, trail) = (ours.place.clone(), wish.trail);
        let lead = lead.and_then(Priority::configured);
        let answer = self.ask(RULE_MAX, |ticket| Command::TakeOver { place, from, lead, ticket, trail });
        let answer = answer.await;
        match answer {
            Ok(Answer::Ruling { announced, advertised }) => {
                self.router_changed(&ours.identity);
                Ok((not_after(announced), not_after(advertised)))
            }
            Ok(Answer::Done) => Ok((Instant::now(), Instant::now())),
            Err(error) => {
                if lead.is_some() {
                    self.step_back(ours).await;
                }
                Err(error)
            }
        }
    }

    /// Ends our lead, if there is one.
    pub(super) async fn step_back(&self, ours: &Ours) -> bool {
        let along = self.companions(ours);
        let had = self
            .alter(|kept| {
                for companion in &along {
                    kept.set_lead(&companion.place, None);
                }
                kept.set_lead(&ours.place, None)
            })
            .await
            .is_some();
        let place = ours.place.clone();
        // A router that runs no more leads no more.
        let _ = self.ask(ORDER_MAX, |ticket| Command::Lead { place, lead: None, ticket }).await;
        self.router_changed(&ours.identity);
        had
    }

    /// The peer `from` takes its handing over back.
    pub(crate) async fn step_back_for(&self, from: &str, request: &v1::StepBackRequest) -> bool {
        let key = request.router.clone().unwrap_or_default();
        let Some(ours) = self.ours_by(&key) else { return false };
        let lead = self.0.store.kept().of(&ours.place).lead;
        if lead.is_some_and(|lead| !lead.from_node.eq_ignore_ascii_case(from)) {
            return false; // handed over by another node since
        }
        let had = self.step_back(&ours).await;
        if had {
            let text = format!("{from} took the handing over back: {}", request.reason);
            self.say(Some(&ours.identity), true, text);
        }
        had
    }

    /// The peer `from` wants to rule what rules here.
    pub(crate) async fn hand_over_to(
        &self,
        from: &str,
        request: v1::HandOverRequest,
        trail: Option<Trail>,
    ) -> v1::Move {
        let step = self.step_with("peer.hand_over", from).served();
        let key = request.router.clone().unwrap_or_default();
        let own = self.name();
        let refuse = |why: String| Course::new(&key.name).end(Outcome::Refused, why);
        let Some(ours) = self.ours_by(&key) else {
            return refuse(judge::all_against(&[self.unknown_router(&key)]));
        };
        if ours.now.state() != v1::State::Master {
            return refuse(format!("{own} does not rule {}; ask the node that does", ours.now.name));
        }
        let Some(peer) = self.peer(from) else {
            return refuse(format!("{own} knows no peer {from}: add a [[peer]] section for it on {own}"));
        };
        if judge::owns(&ours.now) {
            return refuse(format!("{own} owns the addresses of {} (priority 255)", ours.now.name));
        }
        let hold_for = request.hold_for.and_then(|limit| limit.try_into().ok());
        let wish = Wish { by: request.by, reason: request.reason, hold_for, trail, ..Wish::default() };
        let after = if request.failback { After::Return } else { After::Hold };
        let answer = self.push(&ours, Some(&peer.target.name), &wish, after).await;
        self.ended(Some(&ours.identity), trail, step.moved(&answer));
        let warning = answer.outcome() != Outcome::Moved;
        let text = format!("{from} asked for it, by {} ({}): {}", wish.by, wish.reason, answer.text);
        self.say(Some(&ours.identity), warning, text);
        answer
    }
}

fn kind_of(error: NoAnswer) -> ObjectionKind {
    match error {
        NoAnswer::Silent | NoAnswer::Refused(Refusal::TooSlow) => ObjectionKind::TooSlow,
        NoAnswer::Refused(Refusal::UnknownRouter) => ObjectionKind::UnknownRouter,
        NoAnswer::Refused(Refusal::NotBackup(hacluster_core::machine::StateKind::Master)) => {
            ObjectionKind::RulesAlready
        }
        NoAnswer::Refused(Refusal::NotBackup(_) | Refusal::NotMaster(_)) => ObjectionKind::NotRunning,
        NoAnswer::Refused(Refusal::Fault(_)) => ObjectionKind::Fault,
        NoAnswer::Refused(Refusal::Busy) => ObjectionKind::Busy,
        NoAnswer::Refused(Refusal::ClaimRefused) => ObjectionKind::ClaimRefused,
        NoAnswer::Refused(Refusal::Owner) => ObjectionKind::Owner,
    }
}
