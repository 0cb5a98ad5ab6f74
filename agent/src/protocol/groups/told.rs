//! What is said of a sync group: how it stands, and for whom it waits.

use super::Engine;
use crate::event::{Event, What, explain};
use crate::fact::{GroupNow, Waits};
use crate::kernel::RouterId;
use crate::protocol::router::Router;
use hacluster_core::group::{Group, Hindrance, Member};
use hacluster_core::machine::{Reason, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::time::{Duration, Instant};
use std::sync::Arc;

/// A wait that lasts this long makes a line in the log: members hardly ever get ready in the same instant.
const WAIT_SPOKEN: Duration = Duration::from_secs(1);

/// How a group stands at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outlook {
    state: StateKind,
    /// The place of a member, and what is the matter with it.
    waits: Option<(usize, Hindrance)>,
}

impl Outlook {
    pub(super) fn of(group: &Group, members: &[Member]) -> Self {
        Self { state: group.state(members), waits: group.waits_for(members) }
    }

    /// A fault has lines of its own.
    fn waits_unspoken(self) -> bool {
        self.waits.is_some_and(|(_, hindrance)| !matches!(hindrance, Hindrance::Fault(_)))
    }
}

/// What was told of a group last.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// To those who keep the state.
    pub(super) now: Arc<GroupNow>,
    outlook: Outlook,
    since: Instant,
    /// The log knows of this wait.
    spoken: bool,
}

impl Told {
    pub(super) fn nothing(name: &Arc<str>) -> Self {
        let state = StateKind::Initialize;
        Self {
            now: Arc::new(GroupNow { name: name.clone(), state, waits: None }),
            outlook: Outlook { state, waits: None },
            since: Instant::ZERO,
            spoken: false,
        }
    }

    /// As it was told, but for whom it waits: who that is by name may be another one now.
    pub(super) fn anew(&self) -> Self {
        let outlook = Outlook { waits: None, ..self.outlook };
        let now = GroupNow { waits: None, ..GroupNow::clone(&self.now) };
        Self { now: Arc::new(now), outlook, ..self.clone() }
    }

    /// When a wait is to be spoken of, if `outlook` lasts.
    pub(super) fn deadline(&self, outlook: Outlook, now: Instant) -> Option<Instant> {
        let since = if outlook == self.outlook { self.since } else { now };
        let spoken = outlook == self.outlook && self.spoken;
        (outlook.waits_unspoken() && !spoken).then(|| (since + WAIT_SPOKEN).max(now))
    }
}

impl Engine {
    /// Says how the group stands if that is news, and which member made it so.
    pub(super) fn tell_group(
        &mut self,
        number: usize,
        outlook: Outlook,
        cause: Option<RouterId>,
        now: Instant,
    ) {
        let Some(company) = self.groups.all.get_mut(number) else { return };
        let told = &mut company.told;
        if told.outlook == outlook {
            if outlook.waits_unspoken() && !told.spoken && now.since(told.since) >= WAIT_SPOKEN {
                told.spoken = true;
                self.speak_of_wait(number, now);
            }
            return;
        }
        let from = std::mem::replace(&mut told.outlook, outlook).state;
        (told.since, told.spoken) = (now, false);
        let member = |place: usize| company.members.get(place).and_then(|id| self.routers.get(id));
        let waits = outlook.waits.and_then(|(place, hindrance)| Some(waits_for(member(place)?, hindrance)));
        let name = company.definition.name.clone();
        told.now = Arc::new(GroupNow { name: name.clone(), state: outlook.state, waits });
        let cause = cause.or(company.members.first().copied()).and_then(|id| self.routers.get(&id));
        if from != outlook.state {
            let what = What::Group {
                name,
                from,
                to: outlook.state,
                priority: cause.map_or(Priority::DEFAULT, |router| router.machine.priority()),
                reason: cause.map_or_else(String::new, because).into(),
            };
            self.queues.events.send_or_drop(Event::now(None, what));
        }
        for id in &company.members {
            if let Some(router) = self.routers.get_mut(id) {
                router.tell_group(Some(&company.told.now), &self.queues.events);
            }
        }
    }

    /// A line for each member that could rule.
    fn speak_of_wait(&self, number: usize, now: Instant) {
        let company = &self.groups.all[number];
        let Some(waits) = &company.told.now.waits else { return };
        let reason: Arc<str> = match &*waits.router {
            "" => waits.text.as_str().into(),
            router => format!("{router}: {}", waits.text).into(),
        };
        for router in company.members.iter().filter_map(|id| self.routers.get(id)) {
            if router.machine.would_rule(now).is_some() {
                let group = company.definition.name.clone();
                router.tell(&self.queues.events, What::Waits { group, reason: reason.clone() });
            }
        }
    }
}

fn waits_for(member: &Router, hindrance: Hindrance) -> Waits {
    let words = match hindrance {
        Hindrance::Fault(fault) => explain(&Reason::Fault(fault), member.watched.fault().as_deref()),
        Hindrance::NotRunning => "it does not run".to_owned(),
        Hindrance::Follows => "it follows a master that it must not replace".to_owned(),
        Hindrance::Prepares => "its addresses are not in place yet".to_owned(),
        Hindrance::Listens => "it still listens whether there is a master".to_owned(),
        Hindrance::Collided => {
            let text = "another node took over at the same time; it tries again in a moment".to_owned();
            return Waits { router: String::new(), text };
        }
    };
    Waits { router: member.identity.name.clone(), text: words }
}

/// Why the member is where it is, in words.
pub(super) fn because(router: &Router) -> String {
    let reason = router.last_transition().map(|transition| transition.reason);
    let words = reason.map(|reason| explain(&reason, router.watched.fault().as_deref()));
    format!("{}: {}", router.identity.name, words.unwrap_or_else(|| "it does not run yet".to_owned()))
}
