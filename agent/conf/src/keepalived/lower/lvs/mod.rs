//! `virtual_server` and what it is made of.
//!
//! ```text
//!   global_defs, SSL ---------> process::read --> Lvs
//!   virtual_server_group -----> frontend::groups -.
//!   virtual_server -----------> service::read <---'  --> VirtualServer --> model::validate::lvs
//!       real_server ----------> server::read
//!           *_CHECK, *_GET ---> check::read, http::read
//! ```
//!
//! What is not written comes from the block around it, then from keepalived's defaults.

mod check;
mod frontend;
mod http;
mod pace;
mod process;
mod server;
mod service;

use super::super::parser::{Statement, Word};
use super::super::source::Source;
use super::values::wrong;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::lvs::VirtualServer;
use crate::model::validate::lvs::{self as rules, About, Others};
use crate::model::{Config, Tracker};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// What all blocks share.
struct Context<'a> {
    findings: &'a Findings,
    groups: HashMap<&'a str, frontend::Group<'a>>,
    trackers: &'a [Tracker],
    host_name: &'a str,
    /// `checker_log_all_failures`.
    log_all_failures: bool,
    /// `smtp_alert_checker`, else `smtp_alert`.
    mails: Option<bool>,
}

/// Where a virtual server's values are written.
pub(super) struct Place<'a> {
    name: &'a Span,
    values: Vec<(&'a str, &'a Span)>,
    servers: Vec<ServerPlace<'a>>,
}

/// Where a real server's values are written.
struct ServerPlace<'a> {
    name: &'a Span,
    weight: Option<&'a Span>,
}

/// Reads everything about IPVS into `config`, whose virtual routers and trackers are known.
pub(super) fn read(
    top: &[Statement],
    config: &mut Config,
    alert: Option<bool>,
    source: &dyn Source,
    findings: &Findings,
) {
    let host_name = source.host_name();
    let process = process::read(top, config, findings);
    config.lvs = process.lvs;
    let context = Context {
        findings,
        groups: frontend::groups(top, findings),
        trackers: &config.trackers,
        host_name: &host_name,
        log_all_failures: process.log_all_failures,
        mails: process.alert.or(alert),
    };
    // At once: two thousand that share a group must not all be kept.
    let mut names = HashSet::new();
    let written = top.iter().filter(|statement| statement.keyword() == "virtual_server");
    let (mut services, places): (Vec<VirtualServer>, Vec<Place<'_>>) = written
        .filter_map(|statement| service::read(statement, &context))
        .filter(|(service, place)| {
            let first = names.insert(service.name.clone());
            if !first {
                let message = format!("virtual server `{}` is written twice", show(&service.name));
                let found = Diagnostic::new(Severity::Error, "duplicate-service", message).at(place.name);
                findings
                    .push(found.note("the first one counts: this one, with its real servers, is left out"));
            }
            first
        })
        .unzip();
    let hosts = (&source.own_addresses(), &unicast_peers(top));
    rules::settle(&mut services, &config.routers, hosts, |at, about, mut finding| {
        finding.span = Some(places[at].of(about).clone());
        findings.push(finding);
    });
    config.lvs.services = services;
}

/// The nodes that this one's instances speak to, whether these run or not.
fn unicast_peers(top: &[Statement]) -> Others {
    let instances = top.iter().filter(|statement| statement.keyword() == "vrrp_instance");
    let peers = instances.flat_map(|instance| {
        let name = instance.params().first().map_or("", |word| &word.text);
        let lists = lines(instance).filter(|line| line.keyword() == "unicast_peer");
        let entries = lists.flat_map(lines).filter_map(|entry| entry.words.first()?.text.parse().ok());
        entries.map(move |ip| (ip, format!("unicast peer of `{}`", show(name))))
    });
    peers.collect()
}

impl<'a> Place<'a> {
    fn of(&self, about: About) -> &'a Span {
        let keywords: &[&str] = match about {
            About::Service => &[],
            About::Quorum => &["quorum", "hysteresis"],
            About::OnePacket => &["ops"],
            About::Suspend => &["ha_suspend"],
            About::Sorry => &["sorry_server"],
            About::Server(at) => return self.servers.get(at).map_or(self.name, |server| server.name),
            About::Weight(at) => {
                return self.servers.get(at).map_or(self.name, |server| server.weight.unwrap_or(server.name));
            }
        };
        let written = |keyword: &&str| self.values.iter().rev().find(|(name, _)| name == keyword);
        keywords.iter().find_map(written).map_or(self.name, |(_, at)| at)
    }
}

fn lines(statement: &Statement) -> impl Iterator<Item = &Statement> {
    statement.block.iter().flatten()
}

/// Says what is wrong at `at`, and under it what follows or what to write.
fn error(findings: &Findings, code: &'static str, message: &str, at: &Word, label: &str) {
    let found = Diagnostic::new(Severity::Error, code, message).at(&at.span);
    findings.push(if label.is_empty() { found } else { found.label(label) });
}

fn address(keyword: &str, word: &Word, used: &str, findings: &Findings) -> Option<IpAddr> {
    let ip: Option<IpAddr> =
        word.text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast());
    if ip.is_none() {
        wrong(findings, keyword, word, "an address of a host", used);
    }
    ip
}

fn port_of(keyword: &str, word: &Word, used: &str, findings: &Findings) -> Option<u16> {
    let digits = word.text.bytes().all(|byte| byte.is_ascii_digit());
    let port = word.text.parse().ok().filter(|port| *port > 0 && digits);
    if port.is_none() {
        wrong(findings, keyword, word, "a port from 1 to 65535", used);
    }
    port
}

/// Words of a line that nothing reads.
fn extra(words: &[Word], findings: &Findings) {
    if let Some(word) = words.first() {
        let message = format!("`{}` and what follows on this line are ignored", show(&word.text));
        findings.push(Diagnostic::new(Severity::Warning, "extra-words", message).at(&word.span));
    }
}
