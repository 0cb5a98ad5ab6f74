//! `vrrp_sync_group`.

use super::super::parser::Statement;
use super::notify;
use super::service::Services;
use super::track;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::{SyncGroup, VirtualRouter};
use std::collections::HashMap;

/// Every group whose members run. A member belongs to the first group that names it.
pub(super) fn read(
    top: &[Statement],
    routers: &[VirtualRouter],
    services: &Services,
    findings: &Findings,
) -> Vec<SyncGroup> {
    let mut groups: Vec<SyncGroup> = Vec::new();
    let mut taken: HashMap<String, String> = HashMap::new();
    for statement in top.iter().filter(|statement| statement.keyword() == "vrrp_sync_group") {
        let at = &statement.words[0].span;
        let Some(name) = statement.params().first() else {
            error(findings, "missing-parameter", "the group has no name: it is ignored", at);
            continue;
        };
        if groups.iter().any(|group| group.name == name.text) {
            let message = "another group above has the same name: this one is ignored";
            error(findings, "duplicate-name", message, &name.span);
            continue;
        }
        let mut group = one(statement, services, findings);
        group.name.clone_from(&name.text);
        group.members.retain(|member| {
            let runs = routers.iter().any(|router| router.name == *member);
            let other = taken.get(member).filter(|other| **other != group.name).cloned();
            if let Some(other) = &other {
                let message = format!("`{}` is in group `{}` already", show(member), show(other));
                error(findings, "duplicate-name", &message, &name.span);
            } else if runs {
                taken.insert(member.clone(), group.name.clone());
            }
            runs && other.is_none()
        });
        if group.members.is_empty() {
            let message = format!("group `{}` has no member that runs: it is ignored", show(&name.text));
            findings.push(Diagnostic::new(Severity::Warning, "empty-list", message).at(&name.span));
            continue;
        }
        if group.members.len() == 1 {
            let message = format!("group `{}` has a single member: nothing moves with it", show(&name.text));
            findings.push(Diagnostic::new(Severity::Hint, "single-member", message).at(&name.span));
        }
        groups.push(group);
    }
    groups
}

fn error(findings: &Findings, code: &'static str, message: &str, at: &Span) {
    findings.push(Diagnostic::new(Severity::Error, code, message).at(at));
}

fn one(statement: &Statement, services: &Services, findings: &Findings) -> SyncGroup {
    let mut group = SyncGroup::default();
    let mut draft = notify::Draft::default();
    for line in statement.block.iter().flatten() {
        if draft.read(line, findings) || track::list(line, &mut group.tracked, findings) {
            continue;
        }
        match line.keyword() {
            "group" => {
                for word in line.block.iter().flatten().flat_map(|entry| &entry.words) {
                    if !group.members.contains(&word.text) {
                        group.members.push(word.text.clone());
                    }
                }
            }
            "sync_group_tracking_weight" => group.tracking_weight = true,
            _ => {}
        }
    }
    group.notify = draft.complete(services.mails(), services.priority_changes);
    group
}
