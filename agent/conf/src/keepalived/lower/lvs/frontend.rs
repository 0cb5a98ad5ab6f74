//! What the kernel matches: the words after `virtual_server`, and `virtual_server_group`.

use super::super::super::parser::{Statement, Word};
use super::super::values::wrong;
use super::{address, error, extra, lines, port_of};
use crate::findings::{Findings, show};
use crate::model::lvs::{Frontend, Protocol};
use crate::notation::lvs::{GROUP_MAX, GROUPS_MAX, addresses};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// A frontend before protocol and family are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Match {
    /// Port 0 for all.
    Address(IpAddr, u16),
    /// A mark, and whether it is said to be IPv6.
    Mark(u32, Option<bool>),
}

/// A `virtual_server_group`.
pub(super) struct Group<'a> {
    pub(super) name: &'a Word,
    pub(super) matches: Vec<Match>,
}

/// All groups by name. Of several with one name the first counts.
pub(super) fn groups<'a>(top: &'a [Statement], findings: &Findings) -> HashMap<&'a str, Group<'a>> {
    let mut groups: HashMap<&str, Group<'_>> = HashMap::new();
    let mut all = 0;
    for statement in top.iter().filter(|statement| statement.keyword() == "virtual_server_group") {
        let Some(name) = statement.params().first() else {
            let label = "write `virtual_server_group NAME {`";
            error(findings, "missing-parameter", "the group has no name", &statement.words[0], label);
            continue;
        };
        if groups.contains_key(name.text.as_str()) {
            let message = format!("another group above is called `{}`, too", show(&name.text));
            error(findings, "duplicate-name", &message, name, "the first one counts");
            continue;
        }
        extra(statement.params().get(1..).unwrap_or_default(), findings);
        let matches = members(statement, findings);
        all += matches.len();
        if all > GROUPS_MAX {
            let message = format!("all groups together have more than {GROUPS_MAX} addresses and marks");
            error(findings, "too-many-addresses", &message, name, "this one and all after it are left out");
            break;
        }
        groups.insert(&name.text, Group { name, matches });
    }
    groups
}

fn members(statement: &Statement, findings: &Findings) -> Vec<Match> {
    let mut all = Vec::new();
    for entry in lines(statement) {
        let Some(first) = entry.words.first() else { continue };
        let before = all.len();
        if first.text == "fwmark" {
            all.extend(mark(&entry.words[1..], first, findings));
        } else {
            range(&entry.words, &mut all, findings);
        }
        if all.len() > GROUP_MAX {
            let message = format!("the group has more than {GROUP_MAX} addresses and marks");
            error(findings, "too-many-addresses", &message, first, "this line is left out");
            all.truncate(before);
        }
    }
    all
}

/// `RANGE [PORT]`.
fn range(words: &[Word], all: &mut Vec<Match>, findings: &Findings) {
    let [first, rest @ ..] = words else { return };
    let port = match rest.first() {
        None => Some(0),
        Some(word) => port_of("the port", word, "the line is left out", findings),
    };
    extra(rest.get(1..).unwrap_or_default(), findings);
    match (addresses(&first.text), port) {
        (Ok(ips), Some(port)) => all.extend(ips.into_iter().map(|ip| Match::Address(ip, port))),
        (Ok(_), None) => {}
        (Err(expected), _) => {
            wrong(findings, "virtual_server_group", first, expected, "the line is left out")
        }
    }
}

/// `NUMBER [inet|inet6]`.
fn mark(words: &[Word], at: &Word, findings: &Findings) -> Option<Match> {
    let Some(number) = words.first() else {
        error(findings, "missing-parameter", "`fwmark` needs a number", at, "it is left out");
        return None;
    };
    let Some(mark) = number.text.parse().ok().filter(|mark: &u32| *mark > 0) else {
        wrong(findings, "fwmark", number, "a number from 1 to 4294967295", "it is left out");
        return None;
    };
    let ipv6 = match words.get(1) {
        None => None,
        Some(word) if word.text == "inet" => Some(false),
        Some(word) if word.text == "inet6" => Some(true),
        Some(word) => {
            wrong(findings, "fwmark", word, "`inet` or `inet6`", "the family of the real servers is used");
            None
        }
    };
    Some(Match::Mark(mark, ipv6))
}

/// The words after `virtual_server`, with the name that people use; an error when they name nothing.
pub(super) fn named(
    statement: &Statement,
    groups: &HashMap<&str, Group<'_>>,
    findings: &Findings,
) -> Option<(String, Vec<Match>)> {
    let not = "is not set up";
    let Some(first) = statement.params().first() else {
        let label = "write `virtual_server ADDRESS PORT {`";
        error(findings, "missing-parameter", "the virtual server has no address", &statement.words[0], label);
        return None;
    };
    let rest = &statement.params()[1..];
    match (first.text.as_str(), rest) {
        ("group", [name, more @ ..]) => {
            extra(more, findings);
            let Some(group) = groups.get(name.text.as_str()).filter(|group| !group.matches.is_empty()) else {
                let message = match groups.get(name.text.as_str()) {
                    Some(group) => format!("group `{}` names no address: it {not}", show(&group.name.text)),
                    None => format!("no `virtual_server_group` defines `{}`: it {not}", show(&name.text)),
                };
                let known = groups.keys().filter(|known| **known != name.text);
                let known: Vec<&str> = known.copied().take(200).collect();
                let near = findings.suggest(&name.text, &known);
                let label = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
                error(findings, "undefined-reference", &message, name, &label);
                return None;
            };
            Some((format!("group {}", name.text), group.matches.clone()))
        }
        ("fwmark", [_, ..]) => {
            extra(rest.get(1..).unwrap_or_default(), findings);
            let Match::Mark(mark, ipv6) = mark(&rest[..1], first, findings)? else { return None };
            Some((format!("fwmark {mark}"), vec![Match::Mark(mark, ipv6)]))
        }
        _ => {
            let ip = address("virtual_server", first, "it is not set up", findings)?;
            let port = match rest.first() {
                None => 0,
                Some(word) if word.text == "0" => 0,
                Some(word) => port_of("virtual_server", word, "it is not set up", findings)?,
            };
            extra(rest.get(1..).unwrap_or_default(), findings);
            let name = if port == 0 { ip.to_string() } else { format!("{ip} {port}") };
            Some((name, vec![Match::Address(ip, port)]))
        }
    }
}

/// With protocol and family.
pub(super) fn complete(matches: &[Match], protocol: Protocol, ipv6: bool) -> Vec<Frontend> {
    let frontend = |found: &Match| match *found {
        Match::Address(ip, port) => Frontend::Address { protocol, to: SocketAddr::new(ip, port) },
        Match::Mark(mark, own) => Frontend::Mark { mark, ipv6: own.unwrap_or(ipv6) },
    };
    matches.iter().map(frontend).collect()
}
