//! Addresses that are held and do not answer, because that was asked for.

use super::findings::Finding;
use super::group::Group;
use hacluster_proto::v1;
use serde::Serialize;

/// What becomes of packets to the addresses of a virtual router on a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Filter {
    /// What asks for it.
    pub(crate) reason: String,
    /// It is not in force.
    pub(crate) missing: bool,
}

impl From<v1::PacketFilter> for Filter {
    fn from(of: v1::PacketFilter) -> Self {
        Self { reason: of.reason, missing: of.missing }
    }
}

/// Which nodes drop packets to the addresses, and why; nothing when they serve them.
pub(super) fn note(group: &Group) -> Option<Finding> {
    let dropping = |on: &&super::group::OnNode| on.router.filter.as_ref().is_some_and(|f| !f.missing);
    let on: Vec<_> = group.nodes.iter().filter(dropping).collect();
    let reason = &on.first()?.router.filter.as_ref()?.reason;
    let nodes: Vec<_> = on.iter().map(|on| on.node.as_str()).collect();
    let text = format!("filtered on purpose ({reason}): its addresses do not answer on {}", nodes.join(", "));
    let mend = "write `accept` in the virtual router to serve them".to_owned();
    Some(Finding::of(group, "filtered", text, mend))
}

/// Nodes that serve what they should not.
pub(super) fn missing(group: &Group) -> impl Iterator<Item = Finding> {
    group.nodes.iter().filter_map(|on| {
        let filter = on.router.filter.as_ref().filter(|filter| filter.missing)?;
        let text = format!(
            "{} serves its addresses in spite of {}: the packet filter is not in force",
            on.node, filter.reason
        );
        let mend = "haclusterctl events".to_owned();
        Some(Finding::of(group, "filter_missing", text, mend).on(on))
    })
}
