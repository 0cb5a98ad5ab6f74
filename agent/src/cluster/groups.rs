//! A sync group is moved by moving one of its members: the protocol thread takes the others along.

use super::Ours;
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

/// What moves with `router`, for people.
pub(super) fn along(router: &v1::VirtualRouter) -> String {
    if router.sync_group.is_empty() {
        return String::new();
    }
    format!(" with its sync group {}", router.sync_group)
}
