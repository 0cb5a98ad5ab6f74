//! A sync group is moved by moving one of its members: the protocol thread takes the others along.

use super::plan::lead_priority;
use super::{Cluster, Ours, Place};
use hacluster_proto::v1;
use std::collections::BTreeSet;

/// Of each group the first member, with all routers of no group; and the others.
pub(super) fn one_per_group(all: Vec<Ours>) -> (Vec<Ours>, Vec<Ours>) {
    let mut seen = BTreeSet::new();
    all.into_iter().partition(|ours| {
        let group = &ours.now.sync_group;
        group.is_empty() || seen.insert(group.clone())
    })
}

/// The answer for `ours`, which went the way of the member that `answer` is about.
pub(super) fn went_along(ours: &Ours, answer: &v1::Move) -> v1::Move {
    let (name, group) = (&ours.now.name, &ours.now.sync_group);
    let text = format!("{name} goes with {} (sync group {group}): {}", answer.router, answer.text);
    v1::Move { router: name.clone(), text, ..answer.clone() }
}

impl Cluster {
    /// The other members of its sync group.
    pub(super) fn companions(&self, ours: &Ours) -> Vec<Ours> {
        if ours.now.sync_group.is_empty() {
            return Vec::new();
        }
        let mut all = self.all();
        all.retain(|other| other.now.sync_group == ours.now.sync_group && other.place != ours.place);
        all
    }

    /// What the others of its group lead with when `ours` is told to lead: as much as their masters say,
    /// so that nobody takes part of the group back. The protocol thread concludes the same; here it is
    /// kept over a restart.
    pub(super) fn leads_along(&self, ours: &Ours) -> Vec<(Place, u8)> {
        let leads = self.companions(ours).into_iter().filter(|other| other.now.master_priority > 0);
        let enough = |now: &v1::VirtualRouter| lead_priority([now.master_priority, now.priority_effective]);
        leads.filter_map(|other| Some((other.place, u8::try_from(enough(&other.now)).ok()?))).collect()
    }
}

/// What moves with `router`, for people.
pub(super) fn along(router: &v1::VirtualRouter) -> String {
    if router.sync_group.is_empty() {
        return String::new();
    }
    format!(" with its sync group {}", router.sync_group)
}
