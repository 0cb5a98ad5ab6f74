//! Sync groups in the shell: whose machine is fed, its group is asked, in the same round.
//!
//! ```text
//!   feed(member) --> Machine --> settle --> core::group::Group --> Input of the others
//!                                   `--> told: What::Group, What::Waits, Fact::Group
//! ```
//!
//! A definition names places; whichever of them runs is a member. Definitions come whole, so a reload
//! sends all of them again, and routers may come and go before and after.

mod told;

use super::engine::Engine;
use crate::event::Place;
use crate::kernel::RouterId;
use crate::story::Trail;
use hacluster_core::group::{Group, Member};
use hacluster_core::machine::{ANYBODY, Fault, Input, State};
use hacluster_core::priority::Priority;
use hacluster_core::time::Instant;
use hacluster_net::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use told::{Outlook, Told, because};

/// A group comes to rest in a few steps: faults, then the end of a reign or its begin.
const STEPS_MAX: usize = 16;

/// Virtual routers that change state together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDefinition {
    /// As configured, unique.
    pub name: Arc<str>,
    /// Its virtual routers.
    pub members: Vec<Place>,
}

/// A group that runs.
#[derive(Debug)]
pub(super) struct Company {
    definition: GroupDefinition,
    /// Those of its members that run.
    members: Vec<RouterId>,
    group: Group,
    /// What was told last.
    told: Told,
    /// When to ask it although nothing happened.
    deadline: Option<Instant>,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Companies {
    all: Vec<Company>,
    /// Which one has the router at a place.
    by_place: BTreeMap<Place, usize>,
    /// Who must be asked when, although nothing happened.
    due: BTreeSet<(Instant, usize)>,
    /// Room for how the members of one stand, kept for the next.
    standing: Vec<Member>,
}

impl Companies {
    /// Takes the definitions; what runs is found out afterwards. A group that stays keeps what it told.
    fn of(definitions: Vec<GroupDefinition>, before: &[Company]) -> Self {
        let known = |name: &str| before.iter().find(|company| &*company.definition.name == name);
        let company = |definition: GroupDefinition| Company {
            told: known(&definition.name)
                .map_or_else(|| Told::nothing(&definition.name), |company| company.told.anew()),
            members: Vec::new(),
            group: Group::default(),
            deadline: None,
            definition,
        };
        let all: Vec<Company> = definitions.into_iter().map(company).collect();
        let places = all.iter().enumerate().flat_map(|(number, company)| {
            company.definition.members.iter().map(move |place| (place.clone(), number))
        });
        Self { by_place: places.collect(), all, ..Self::default() }
    }

    /// The earliest moment at which a group must be asked although nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn set_deadline(&mut self, number: usize, deadline: Option<Instant>) {
        let before = std::mem::replace(&mut self.all[number].deadline, deadline);
        if before != deadline {
            before.map(|at| self.due.remove(&(at, number)));
            deadline.map(|at| self.due.insert((at, number)));
        }
    }
}

impl Engine {
    /// These groups are in force, and no others.
    pub(super) fn define_groups(&mut self, definitions: Vec<GroupDefinition>) {
        self.groups = Companies::of(definitions, &self.groups.all);
        let places: Vec<_> = self.routers.iter().map(|(id, router)| (*id, router.identity.place())).collect();
        for (id, place) in places {
            if !self.groups.by_place.contains_key(&place) {
                self.join(id, None);
            }
        }
        for number in 0..self.groups.all.len() {
            self.regroup(number);
        }
    }

    /// The router at `place` came or went.
    pub(super) fn regroup_at(&mut self, place: &Place) {
        if let Some(number) = self.groups.by_place.get(place) {
            self.regroup(*number);
        }
    }

    /// Finds out who belongs to a group now.
    fn regroup(&mut self, number: usize) {
        let Some(company) = self.groups.all.get(number) else { return };
        let places = company.definition.members.iter();
        let members: Vec<RouterId> = places.filter_map(|place| self.router_at(place).ok()).collect();
        let company = &mut self.groups.all[number];
        if company.members != members {
            company.members.clone_from(&members);
            company.group = Group::default(); // who rules tells it all it needs to remember
            company.told = company.told.anew();
        }
        for id in members {
            self.join(id, Some(number));
        }
        self.settle(number, None);
    }

    fn join(&mut self, id: RouterId, group: Option<usize>) {
        let Some(router) = self.routers.get_mut(&id) else { return };
        let was_bound = std::mem::replace(&mut router.group, group).is_some();
        let told = group.and_then(|number| self.groups.all.get(number)).map(|company| &company.told.now);
        router.tell_group(told, &self.queues.events);
        if was_bound != group.is_some() {
            self.feed_alone(id, clock::now(), Input::Bind(group.is_some()));
        }
        if group.is_none() {
            self.set_fault(id, Fault::Group, false); // nobody else would ever clear it
        }
    }

    /// Members of the same group beside `id`.
    pub(super) fn companions(&self, id: RouterId) -> impl Iterator<Item = RouterId> {
        let number = self.routers.get(&id).and_then(|router| router.group);
        let members = number.and_then(|number| self.groups.all.get(number)).map(|company| &company.members);
        members.into_iter().flatten().copied().filter(move |member| *member != id)
    }

    pub(super) fn serve_groups(&mut self) {
        let now = clock::now();
        while let Some((_, number)) = self.groups.due.first().copied().filter(|(at, _)| *at <= now) {
            self.groups.set_deadline(number, None);
            self.settle(number, None);
        }
    }

    /// Carries out what follows for the others from what happened to `cause`.
    pub(super) fn settle_group_of(&mut self, cause: RouterId) {
        if let Some(number) = self.routers.get(&cause).and_then(|router| router.group) {
            self.settle(number, Some(cause));
        }
    }

    /// Every packet of a member comes here, and hardly any changes something: nothing is allocated then.
    fn settle(&mut self, number: usize, cause: Option<RouterId>) {
        let mut tale =
            cause.and_then(|id| self.routers.get(&id)).and_then(|it| it.just_changed(clock::now()));
        for _ in 0..STEPS_MAX {
            let now = clock::now();
            let Some(company) = self.groups.all.get_mut(number) else { return };
            let standing = &mut self.groups.standing;
            standing.clear();
            let members = company.members.iter().filter_map(|id| self.routers.get(id));
            standing.extend(members.map(|router| Member::of(&router.machine, now)));
            let told = company.group.step(now, standing);
            let outlook = Outlook::of(&company.group, standing);
            let asked = company.group.next_deadline(now);
            let deadline = asked.into_iter().chain(company.told.deadline(outlook, now)).min();
            self.groups.set_deadline(number, deadline);
            if told.is_empty() {
                return self.tell_group(number, outlook, cause, now);
            }
            self.tell_members(number, told, (cause, &mut tale), now);
        }
    }

    fn tell_members(
        &mut self,
        number: usize,
        told: Vec<(usize, Input)>,
        (cause, tale): (Option<RouterId>, &mut Option<Trail>),
        now: Instant,
    ) {
        let words = cause.and_then(|id| self.routers.get(&id)).map(because);
        let name = &self.groups.all[number].definition.name;
        let words: Option<Arc<str>> = words.map(|words| format!("sync group {name}: {words}").into());
        for (place, input) in told {
            let Some(id) = self.groups.all[number].members.get(place).copied() else { continue };
            if let Some(router) = self.routers.get_mut(&id) {
                router.companion.clone_from(&words);
                if let Some(tale) = tale.filter(|_| Some(id) != cause) {
                    router.follow(tale, now);
                }
            }
            self.feed_alone(id, now, input);
            *tale = tale.or_else(|| self.routers.get(&id).and_then(|it| it.just_changed(now)));
        }
    }

    /// The others of its group take over as well; each leads as far as its own network needs it.
    pub(super) fn take_over_with(&mut self, id: RouterId, lead: Option<Priority>) {
        for companion in self.companions(id).collect::<Vec<_>>() {
            let Some(router) = self.routers.get(&companion) else { continue };
            let heard = match router.machine.state() {
                State::Backup(backup) => backup.master.map(|(heard, _)| heard),
                State::Initialize | State::Master(_) | State::Fault => None,
            };
            let from = heard.map_or(ANYBODY, |heard| heard.sender);
            let enough = heard.map(|heard| heard.priority.max(router.machine.priority()));
            let lead = lead.and(enough);
            self.feed_alone(companion, clock::now(), Input::TakeOver { from, lead });
        }
    }

    /// The others of its group yield to whoever speaks: one node takes all, and only one of its addresses
    /// is known here.
    pub(super) fn yield_with(&mut self, id: RouterId, to: Option<Ipv4Addr>) {
        for companion in self.companions(id).collect::<Vec<_>>() {
            self.feed_alone(companion, clock::now(), Input::YieldTo(to.map(|_| ANYBODY)));
        }
    }

    /// A lead that ends for one ends for all.
    pub(super) fn end_lead_with(&mut self, id: RouterId) {
        for companion in self.companions(id).collect::<Vec<_>>() {
            self.feed_alone(companion, clock::now(), Input::Lead(None));
        }
    }
}

#[cfg(test)]
mod tests;
