//! What goes with a virtual router beside its addresses: routes, rules, and the programs that are told.

use super::findings::{Finding, events};
use super::group::Group;
use crate::times::timestamp;
use hacluster_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

/// A route or a rule on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Route {
    /// As `ip` takes it, after `route` or `rule`.
    pub(crate) text: String,
    /// The kernel has it.
    pub(crate) present: bool,
}

/// A run of a program that was told of a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Hook {
    /// The keyword that names it: `notify_master`.
    pub(crate) hook: String,
    /// What it was told: `MASTER`.
    pub(crate) state: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) success: bool,
    /// Exit, output and duration, in words.
    pub(crate) text: String,
}

impl From<v1::Route> for Route {
    fn from(of: v1::Route) -> Self {
        Self { text: of.text, present: of.present }
    }
}

impl From<v1::HookRun> for Hook {
    fn from(of: v1::HookRun) -> Self {
        Self {
            hook: of.hook,
            state: of.state,
            at: timestamp(of.at.as_ref()),
            success: of.success,
            text: of.text,
        }
    }
}

/// Masters without their routes.
pub(super) fn missing(group: &Group) -> impl Iterator<Item = Finding> {
    group.nodes.iter().filter_map(|on| {
        let router = &on.router;
        let missing: Vec<_> = router.routes.iter().filter(|route| !route.present).collect();
        let first = missing.first().filter(|_| router.rules() && !on.is_settling() && !group.moving());
        let (count, all) = (missing.len(), router.routes.len());
        let text = format!(
            "{} is master, but {count} of {all} routes and rules are not in place: {}",
            on.node, first?.text
        );
        Some(Finding::of(group, "route_missing", text, events(group)).on(on))
    })
}

/// Hooks that failed last: nothing of the protocol, but somebody was not told.
pub(super) fn failed(group: &Group) -> impl Iterator<Item = Finding> {
    group.nodes.iter().filter_map(|on| {
        let hook = on.router.last_hook.as_ref().filter(|hook| !hook.success)?;
        let text = format!("{} on {} failed when told {}: {}", hook.hook, on.node, hook.state, hook.text);
        Some(Finding::of(group, "hook_failed", text, events(group)).on(on))
    })
}
