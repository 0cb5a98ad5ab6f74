//! Tracked virtual servers: which there are is known last.

use super::read::Layers;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::Config;
use crate::model::lvs::{VirtualServer, is_called};
use crate::model::track::{Tracked, TrackerKind};
use crate::suggest::nearest;
use std::collections::HashSet;

/// Gives each tracked virtual server the name it is configured by; one that does not run is told, and not
/// tracked.
pub(super) fn virtual_servers(config: &mut Config, layers: &Layers, findings: &Findings) {
    let services = &config.lvs.services;
    let mut unknown_to_groups = HashSet::new();
    for group in &mut config.groups {
        let path = format!("sync_group.{}.track", group.name.to_ascii_lowercase());
        for (name, at) in settle(&mut group.tracked, services, &path, layers) {
            report(&name, at, services, findings);
            unknown_to_groups.insert(name);
        }
    }
    for router in &mut config.routers {
        let path = format!("virtual_router.{}.track", router.name.to_ascii_lowercase());
        for (name, at) in settle(&mut router.tracked, services, &path, layers) {
            if at.is_some() || !unknown_to_groups.contains(&name) {
                report(&name, at, services, findings);
            }
        }
    }
}

/// Takes out what nobody is called; returns it, with the place where it is written.
fn settle(
    tracked: &mut Vec<Tracked>,
    services: &[VirtualServer],
    path: &str,
    layers: &Layers,
) -> Vec<(String, Option<Span>)> {
    let place = |at: &usize| Some(layers.place(&format!("{path}.{at}.virtual_server"))?.value.clone());
    let last = (0..).take_while(|at| layers.place(&format!("{path}.{at}")).is_some());
    let mut places = last.filter_map(|at| place(&at));
    let (mut unknown, mut known) = (Vec::new(), HashSet::new());
    tracked.retain_mut(|of| {
        if of.tracker.kind != TrackerKind::VirtualServer {
            return true;
        }
        let at = places.next();
        match services.iter().find(|service| is_called(&service.name, &of.tracker.name)) {
            Some(service) => {
                of.tracker.name.clone_from(&service.name);
                known.insert(service.name.clone())
            }
            None => {
                unknown.push((of.tracker.name.clone(), at));
                false
            }
        }
    });
    unknown
}

fn report(name: &str, at: Option<Span>, services: &[VirtualServer], findings: &Findings) {
    let message = format!("no virtual server `{}` runs: it is not tracked", show(name));
    let mut found = Diagnostic::new(Severity::Warning, "unknown-tracker", message).not_in_force();
    found.span = at;
    let near = nearest(name, services.iter().map(|service| service.name.as_str()));
    let label = match (near, services.first()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(first)) => format!("they are called as they are written, such as `{}`", first.name),
        (None, None) => "no virtual server is configured".to_owned(),
    };
    findings.push(found.label(label));
}
