//! `virtual_routes`, `virtual_rules` and what is static: `static_ipaddress`, `static_routes`,
//! `static_rules`.
//!
//! A line that makes no sense is dropped with a word, the others are in force.

use super::super::parser::Statement;
use super::address::{self, Line};
use super::values::undefined;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::Findings;
use crate::iproute::{self, Wrong};
use crate::model::{Address, Route, Rule, Statics};
use crate::notation::is_interface_name;

/// Adds the lines of a block of routes to `routes`.
pub(super) fn routes(block: &Statement, routes: &mut Vec<Route>, findings: &Findings) {
    for (line, route) in read(block, "route", iproute::route, findings) {
        if routes.iter().any(|other| other.key() == route.key()) {
            twice(line, "route", "destination, type of service, table and metric are the same", findings);
        } else {
            routes.push(route);
        }
    }
}

/// Adds the lines of a block of rules to `rules`.
pub(super) fn rules(block: &Statement, rules: &mut Vec<Rule>, findings: &Findings) {
    for (line, rule) in read(block, "rule", iproute::rule, findings) {
        let same = |other: &Rule| Rule { no_track: rule.no_track, ..other.clone() } == rule;
        if rules.iter().any(same) {
            twice(line, "rule", "all of it is the same", findings);
        } else {
            rules.push(rule);
        }
    }
}

/// Everything static.
pub(super) fn statics(top: &[Statement], findings: &Findings) -> Statics {
    let mut statics = Statics::default();
    for statement in top {
        match statement.keyword() {
            "static_ipaddress" => addresses(statement, top, &mut statics.addresses, findings),
            "static_routes" => routes(statement, &mut statics.routes, findings),
            "static_rules" => rules(statement, &mut statics.rules, findings),
            _ => {}
        }
    }
    statics
}

fn read<'a, T>(
    block: &'a Statement,
    what: &'static str,
    parse: fn(&[&str]) -> Result<T, Wrong>,
    findings: &Findings,
) -> Vec<(&'a Span, T)> {
    let mut found = Vec::new();
    for line in block.block.iter().flatten() {
        let group = line.words.iter().position(|word| word.text == "track_group");
        let count = group.unwrap_or(line.words.len());
        if let Some(at) = group {
            track_group(&line.words[at].span, findings);
        }
        let words: Vec<&str> = line.words[..count].iter().map(|word| word.text.as_str()).collect();
        match (parse(&words), line.words.first()) {
            (Ok(made), Some(first)) => found.push((&first.span, made)),
            (Err(wrong), Some(first)) => {
                let word = line.words.get(wrong.at).unwrap_or(first);
                let message = format!("{}: this {what} is not set", wrong.message);
                let mut diagnostic = Diagnostic::new(Severity::Error, wrong.code, message).at(&word.span);
                diagnostic.label = wrong.mend.or_else(|| undefined(&word.text));
                if let Some(mend) = undefined(&word.text) {
                    diagnostic.label = Some(mend);
                }
                findings.push(diagnostic);
            }
            (_, None) => {}
        }
    }
    found
}

fn twice(at: &Span, what: &str, why: &str, findings: &Findings) {
    let message = format!("this {what} is written twice: the first one counts");
    let code = if what == "route" { "duplicate-route" } else { "duplicate-rule" };
    findings.push(Diagnostic::new(Severity::Warning, code, message).at(at).note(why));
}

fn track_group(at: &Span, findings: &Findings) {
    let message = "`track_group` is not in force yet: the group does not follow this line";
    findings.push(Diagnostic::new(Severity::Warning, "not-in-force-yet", message).at(at).not_in_force());
}

fn addresses(block: &Statement, top: &[Statement], addresses: &mut Vec<Address>, findings: &Findings) {
    for line in block.block.iter().flatten() {
        let Some(first) = line.words.first() else { continue };
        let at = &first.span;
        let dropped = |code, message: String| Diagnostic::new(Severity::Error, code, message).at(at);
        let mut address = match address::line(line, findings) {
            Line::V4(address) => address,
            Line::V6 => {
                let message = "IPv6 addresses are not in force yet: this one is not set".to_owned();
                findings.push(dropped("refused-ipv6", message));
                continue;
            }
            Line::Vmac(_) => {
                let message = "a static address has no virtual MAC address: it is not set".to_owned();
                findings.push(dropped("refused-vmac", message));
                continue;
            }
            Line::Nothing => continue,
        };
        if address.dev.is_none() {
            let dev = default_interface(top).unwrap_or_else(|| {
                let message = format!("{address} names no interface: eth0 is used, as with keepalived");
                let found = Diagnostic::new(Severity::Warning, "no-interface", message).at(at);
                findings.push(found.label("write `dev INTERFACE`"));
                "eth0".to_owned()
            });
            address.dev = Some(dev);
        }
        if addresses.iter().any(|other| (other.ip, &other.dev) == (address.ip, &address.dev)) {
            let message = format!("{} is written twice: the first one counts", address.ip);
            findings.push(Diagnostic::new(Severity::Warning, "duplicate-address", message).at(at));
        } else {
            addresses.push(address);
        }
    }
}

/// Of `global_defs`, wherever it stands.
fn default_interface(top: &[Statement]) -> Option<String> {
    let globals = top.iter().filter(|statement| statement.keyword() == "global_defs");
    let lines = globals.flat_map(|statement| statement.block.iter().flatten());
    let named = lines.filter(|line| line.keyword() == "default_interface");
    let last = named.filter_map(|line| line.params().first()).next_back()?;
    is_interface_name(&last.text).then(|| last.text.clone())
}
