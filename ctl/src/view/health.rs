//! What is not as it should be with nodes: reachability, configuration, clocks, versions, peers,
//! certificates; and what operators ordered of a node as a whole.

use super::Status;
use super::directors;
use super::findings::{Finding, circumstances};
use super::node::{Agent, Certificate, Node, Tracker};
use super::telemetry;
use crate::output::text::word;
use crate::times::{ago, span};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Clocks that differ by more make histories hard to read.
const CLOCK_MS: f64 = 500.0;
/// Said this long before a certificate ends.
const CERTIFICATE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Adds what there is to say of all nodes, and of `own`, the certificate we ask with.
pub(super) fn of_nodes(status: &mut Status, own: Option<&Certificate>, now: Timestamp) {
    let local = status.is_local();
    let (mut warnings, mut notes) = (Vec::new(), Vec::new());
    for node in &status.nodes {
        match &node.agent {
            None => warnings.push(unreachable(node)),
            Some(agent) => {
                configuration(node, agent, local, &mut warnings, &mut notes);
                peers(node, agent, &status.nodes, &mut warnings);
                balancing(node, agent, &mut warnings);
                warnings.extend(agent.trackers.iter().filter_map(|of| tracker(node, agent, of, local)));
                let certificate = agent.certificate.as_ref();
                warnings
                    .extend(certificate.and_then(|of| ends_soon(of, &format!("node {}", node.name), now)));
                warnings.extend(certificate.and_then(|of| stale_list(node, of, now)));
                notes.extend(orders(node, agent));
                notes.extend(telemetry::note(node, agent));
                if !local && !agent.name.is_empty() && !agent.name.eq_ignore_ascii_case(&node.name) {
                    let text = format!("{} calls itself {}", node.name, agent.name);
                    notes.push(finding(
                        node,
                        "name_differs",
                        text,
                        "one name in router_id and context".into(),
                    ));
                }
            }
        }
    }
    warnings.extend(directors::drift(status));
    clocks(&status.nodes, &mut warnings);
    notes.extend(versions(&status.nodes));
    warnings.extend(own.and_then(|own| ends_soon(own, "the operator", now)));
    status.warnings.extend(warnings);
    status.notes.extend(notes);
}

fn finding(node: &Node, kind: &'static str, text: String, mend: String) -> Finding {
    Finding { kind, router: None, node: Some(node.name.clone()), text, mend }
}

/// Virtual servers that are not served as they should be.
fn balancing(node: &Node, agent: &Agent, warnings: &mut Vec<Finding>) {
    let Some(lvs) = &node.lvs else { return };
    if let Some(absent) = &lvs.absent {
        let (text, mend) = absent.rsplit_once("; ").unwrap_or((absent, ""));
        let text = format!("{} balances nothing: {text}", node.name);
        warnings.push(finding(node, "lvs_absent", text, mend.to_owned()));
    }
    for lost in &lvs.lost {
        let since = ago(lost.since, agent.now);
        let text =
            format!("virtual server {} has no quorum on {} for {since}: {}", lost.name, node.name, lost.text);
        let mend = format!("haclusterctl lvs {}", word(&lost.name));
        warnings.push(finding(node, "lvs_no_quorum", text, mend));
    }
    for refused in &lvs.refused {
        let text = format!("{}: {refused}", node.name);
        warnings.push(finding(node, "lvs_refused", text, "haclusterctl lvs".to_owned()));
    }
}

fn unreachable(node: &Node) -> Finding {
    let error = node.error.as_deref().unwrap_or("no answer");
    // What TLS says names node and address already.
    let text = match error.strip_prefix(&format!("{} at {} ", node.name, node.address)) {
        Some(rest) => format!("{} ({}) {rest}", node.name, node.address),
        None => format!("{} ({}) cannot be asked: {error}", node.name, node.address),
    };
    let mend = "its virtual routers may well run; the other nodes say whom they hear".to_owned();
    finding(node, "node_unreachable", text, mend)
}

fn configuration(
    node: &Node,
    agent: &Agent,
    local: bool,
    warnings: &mut Vec<Finding>,
    notes: &mut Vec<Finding>,
) {
    let of = &agent.configuration;
    let path = &of.path;
    let at = if local { String::new() } else { format!(" on {}", node.name) };
    let check = if local {
        format!("haclusterctl config check {path}")
    } else {
        format!("{at}: haclusterctl config check {path}")
    };
    let check = check.trim_start().to_owned();
    for refused in &node.refused {
        let mut refusal = finding(node, "refused", format!("refused{at}: {}", refused.reason), check.clone());
        refusal.router = Some(refused.name.clone());
        warnings.push(refusal);
    }
    match of.file_state {
        "changed" => {
            let text = format!("{path}{at} changed and is not loaded");
            let whom = if local { String::new() } else { format!(" {}", node.name) };
            let mend = format!("haclusterctl reload{whom} --dry-run says what it would change");
            warnings.push(finding(node, "file_changed", text, mend));
        }
        "unreadable" => {
            let text = format!("{path}{at} cannot be read any more; the agent goes on with what it loaded");
            let mend = "put the file back before the next start".to_owned();
            warnings.push(finding(node, "file_unreadable", text, mend));
        }
        _ => {}
    }
    if of.errors > 0 && node.refused.is_empty() {
        let text = format!("{} error(s) in the configuration in force{at}", of.errors);
        warnings.push(finding(node, "configuration_errors", text, check));
    } else if of.not_in_force > 0 && of.errors == 0 {
        let text = format!("{} thing(s) written{at} are not in force", of.not_in_force);
        notes.push(finding(node, "not_in_force", text, check));
    }
}

/// What is watched and not as it should be.
fn tracker(node: &Node, agent: &Agent, of: &Tracker, local: bool) -> Option<Finding> {
    // What was looked at and is not known cannot be tried at all.
    if of.as_wanted && (of.reading != "unknown" || of.looked.is_none()) {
        return None;
    }
    let at = if local { String::new() } else { format!(" on {}", node.name) };
    let wish = if of.reading == "good" { " and wanted bad (reverse)" } else { "" };
    let since = ago(of.since, agent.now);
    let text = format!("{}{at} is {}{wish} for {since}: {}", of.name, of.reading, of.text);
    Some(finding(node, "tracker_bad", text, "haclusterctl status -o wide shows what it lowers".to_owned()))
}

fn peers(node: &Node, agent: &Agent, nodes: &[Node], warnings: &mut Vec<Finding>) {
    for peer in agent.peers.iter().filter(|peer| !peer.connected) {
        if nodes.iter().any(|node| !node.reachable && node.name.eq_ignore_ascii_case(&peer.name)) {
            continue; // said already: nobody reaches it
        }
        let error = peer.error.as_deref().unwrap_or("no reason told");
        let text = format!(
            "{} does not reach its peer {} ({}) for {}: {error}",
            node.name,
            peer.name,
            peer.address,
            ago(peer.since, agent.now)
        );
        let mend = "plain VRRP goes on; moves between the two wait for it".to_owned();
        warnings.push(finding(node, "peer_not_connected", text, mend));
    }
}

/// `certificate` of `whom` ends within 30 days, or its authority.
fn ends_soon(certificate: &Certificate, whom: &str, now: Timestamp) -> Option<Finding> {
    let ends = [(certificate.expires, "the certificate"), (certificate.authority_expires, "the authority")];
    let ends = ends.into_iter().filter_map(|(at, what)| Some((at?, what)));
    let (at, what) = ends.min_by_key(|(at, _)| *at)?;
    let left = at.duration_since(now);
    if left > CERTIFICATE {
        return None;
    }
    let when = if left.is_positive() {
        format!("ends in {}", ago(Some(now), Some(at)))
    } else {
        format!("ended {} ago", ago(Some(at), Some(now)))
    };
    let text = format!("{what} of {whom} {when} ({})", certificate.path);
    let mend = match what {
        "the authority" => "haclusterctl pki renew ca, then copy ca.crt and ca.crl to every node".to_owned(),
        _ => format!("haclusterctl pki renew {}", certificate.subject),
    };
    let node = whom.strip_prefix("node ").map(str::to_owned);
    Some(Finding { kind: "certificate", router: None, node, text, mend })
}

/// The list of revoked certificates should have been replaced: who was revoked since is let in.
fn stale_list(node: &Node, certificate: &Certificate, now: Timestamp) -> Option<Finding> {
    let due = certificate.revoked_due.filter(|due| *due <= now)?;
    let text = format!(
        "the list of revoked certificates on {} was to be replaced {} ago: whoever was revoked since is let in",
        node.name,
        ago(Some(due), Some(now))
    );
    let mend = "copy the authority's new ca.crl to it, as what `revoked` in agent.toml names".to_owned();
    Some(finding(node, "revocation_list", text, mend))
}

fn orders(node: &Node, agent: &Agent) -> Vec<Finding> {
    let drain = agent.drain.as_ref().map(|drain| {
        let text = format!("{} is drained{}", node.name, circumstances(drain, agent.now));
        finding(node, "drained", text, format!("haclusterctl undrain {}", node.name))
    });
    let pause = agent.pause.as_ref().map(|pause| {
        let text = format!("automatic moves are paused on {}{}", node.name, circumstances(pause, agent.now));
        finding(node, "paused", text, format!("haclusterctl resume {}", node.name))
    });
    drain.into_iter().chain(pause).collect()
}

/// Clocks are compared with ours, unless most nodes agree against us.
fn clocks(nodes: &[Node], warnings: &mut Vec<Finding>) {
    let told = nodes.iter().filter_map(|node| Some((node, node.clock_offset_ms?)));
    let told: Vec<(&Node, f64)> = told.collect();
    let mut sorted: Vec<f64> = told.iter().map(|(_, offset)| *offset).collect();
    sorted.sort_by(f64::total_cmp);
    let ours_is_right = told.len() < 2 || sorted.iter().any(|offset| offset.abs() <= CLOCK_MS);
    let right = if ours_is_right { 0.0 } else { sorted.get(sorted.len() / 2).copied().unwrap_or(0.0) };
    let ahead = |ms: f64| {
        let way = if ms > 0.0 { "ahead" } else { "behind" };
        format!("{} {way}", span(Duration::from_secs_f64(ms.abs() / 1_000.0)))
    };
    let mend = "histories of the nodes do not fit together; start a time service (chrony)";
    for (node, offset) in told {
        let off = offset - right;
        if off.abs() - node.clock_uncertainty_ms.unwrap_or(0.0) > CLOCK_MS {
            let text = format!("the clock of {} is {}", node.name, ahead(off));
            warnings.push(finding(node, "clock", text, mend.to_owned()));
        }
    }
    if !ours_is_right {
        let text = format!("the clock of this machine is {}, says every node", ahead(-right));
        warnings.push(Finding { kind: "clock", router: None, node: None, text, mend: mend.to_owned() });
    }
}

fn versions(nodes: &[Node]) -> Option<Finding> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for node in nodes {
        let Some(agent) = &node.agent else { continue };
        match found.iter_mut().find(|(version, _)| *version == agent.version) {
            Some((_, nodes)) => nodes.push(&node.name),
            None => found.push((&agent.version, vec![&node.name])),
        }
    }
    if found.len() < 2 {
        return None;
    }
    let shown: Vec<_> =
        found.iter().map(|(version, nodes)| format!("{version} on {}", nodes.join(", "))).collect();
    let text = format!("agent versions differ: {}", shown.join("; "));
    Some(Finding { kind: "versions_differ", router: None, node: None, text, mend: String::new() })
}
