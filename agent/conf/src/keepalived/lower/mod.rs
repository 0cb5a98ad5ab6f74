//! From the tree to the model: what is in force, with keepalived's defaults and corrections.
//!
//! ```text
//!   tree -> global::read -> Globals -.
//!   tree -> instance::read -> Draft -+-> complete -> VirtualRouter | Refused -> model::validate
//!   tree -> service, track, group: what runs beside the protocol
//!   tree -> lvs: virtual servers, once virtual routers and trackers are known
//! ```

mod address;
mod command;
mod complete;
mod filter;
mod global;
mod group;
mod instance;
mod lvs;
mod notify;
mod route;
mod service;
mod track;
mod values;

use super::parser::Statement;
use super::source::Source;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::validate::{self, About, Remark};
use crate::model::{Config, Refused};
use global::Globals;
use std::collections::HashSet;

/// Builds the model of what is written.
pub(super) fn lower(top: &[Statement], source: &dyn Source, findings: &Findings) -> Config {
    let host_name = &source.host_name();
    let globals = global::read(top, findings);
    let services = service::read(top, findings);
    let mut config = Config {
        agent: globals.agent.clone(),
        global: globals.model.clone(),
        filter: globals.filter.clone(),
        ..Config::default()
    };
    config.statics = route::statics(top, findings);
    let mut names = HashSet::new();
    let mut places = Vec::new();
    let mut written = 0;
    for statement in top.iter().filter(|statement| statement.keyword() == "vrrp_instance") {
        written += 1;
        let name = statement.params().first().map_or("", |word| &word.text);
        let made = check_name(name, statement, &mut names).and_then(|()| {
            let mut draft = instance::read(statement, findings);
            let place = std::mem::take(&mut draft.places);
            Ok((complete::complete(draft, &globals, &services, findings)?, place))
        });
        match made {
            Ok((router, place)) => {
                config.routers.push(router);
                places.push(place);
            }
            Err(refusal) => config.refused.push(refusal.report(name, findings)),
        }
    }
    validate(&mut config, &places, &globals, findings);
    config.groups = group::read(top, &config.routers, &services, findings);
    config.share_trackers();
    config.trackers = track::read(top, findings);
    lvs::read(top, &mut config, services.alert, source, findings);
    (config.scripts, config.fifos, config.mail) = services.complete(host_name);
    let serves = !config.lvs.services.is_empty();
    if written > 0 && config.routers.is_empty() && !serves {
        let message = "none of the virtual routers written here can run";
        findings.push(Diagnostic::new(Severity::Fatal, "nothing-runs", message));
    } else if written == 0 && !serves {
        let message = "no `vrrp_instance` and no `virtual_server` is written: nothing runs";
        findings.push(Diagnostic::new(Severity::Warning, "no-virtual-router", message));
    }
    config
}

/// Names must be there, and differ.
fn check_name<'a>(name: &'a str, statement: &Statement, names: &mut HashSet<&'a str>) -> Result<(), Refusal> {
    let at = statement.params().first().or(statement.words.first()).map(|word| &word.span);
    if name.is_empty() {
        let note = "write `vrrp_instance NAME {`";
        return Err(Refusal::new("missing-parameter", "it has no name", at, note));
    }
    if !names.insert(name) {
        let reason = "another one above has the same name";
        let note = "the first one runs, as with keepalived; give this one a name of its own";
        return Err(Refusal::new("duplicate-name", reason, at, note));
    }
    Ok(())
}

/// Says what the rules of the model find, where it is written, and takes out what they refuse.
fn validate(config: &mut Config, places: &[Places<'_>], globals: &Globals<'_>, findings: &Findings) {
    let mut refused = HashSet::new();
    for Remark { router, about, mut finding, refusal } in validate::check(&config.routers) {
        let place = &places[router];
        if finding.code == "no-address" && place.written("no_virtual_ipaddress").is_some() {
            continue;
        }
        finding.span = place.of(about, globals).cloned();
        findings.push(finding);
        if let Some(reason) = refusal {
            refused.insert(router);
            config.refused.push(Refused { name: config.routers[router].name.clone(), reason });
        }
    }
    let mut at = 0..;
    config.routers.retain(|_| at.next().is_none_or(|at| !refused.contains(&at)));
}

/// Where the values of a virtual router are written.
#[derive(Default)]
struct Places<'a> {
    name: Option<&'a Span>,
    /// Keywords and their values, in the order of the text.
    values: Vec<(&'a str, &'a Span)>,
    addresses: Vec<&'a Span>,
    excluded: Vec<&'a Span>,
}

impl<'a> Places<'a> {
    /// The line that counts is the last one.
    fn written(&self, keyword: &str) -> Option<&'a Span> {
        self.values.iter().rev().find(|(name, _)| *name == keyword).map(|(_, at)| *at)
    }

    /// The value itself, else the default of all routers, else the name.
    fn of(&self, about: About, globals: &Globals<'a>) -> Option<&'a Span> {
        let keywords: &[&str] = match about {
            About::Router => &[],
            About::Accept => &["no_accept", "strict_mode", "vrrp_strict"],
            About::Vrid => &["virtual_router_id"],
            About::State => &["state"],
            About::Priority => &["priority"],
            About::Interval => &["advert_int"],
            About::DownTimer => &["down_timer_adverts", "vrrp_down_timer_adverts"],
            About::Source => &["mcast_src_ip", "unicast_src_ip"],
            About::Group => &["mcast_dst_ip", "vrrp_mcast_group4"],
            About::GarpRefresh => &["garp_master_refresh", "vrrp_garp_master_refresh"],
            About::Addresses => &["virtual_ipaddress"],
            About::Address(place) => {
                return self.addresses.iter().chain(&self.excluded).nth(place).copied().or(self.name);
            }
        };
        let own = keywords.iter().find_map(|keyword| self.written(keyword));
        own.or_else(|| keywords.iter().find_map(|keyword| globals.places.written(keyword))).or(self.name)
    }
}

/// Why a virtual router does not run.
#[derive(Clone)]
struct Refusal {
    code: &'static str,
    reason: String,
    at: Option<Span>,
    note: &'static str,
}

impl Refusal {
    fn new(code: &'static str, reason: impl Into<String>, at: Option<&Span>, note: &'static str) -> Self {
        Self { code, reason: reason.into(), at: at.cloned(), note }
    }

    fn report(self, name: &str, findings: &Findings) -> Refused {
        let message = format!("virtual router `{}` is not run: {}", show(name), self.reason);
        let mut found = Diagnostic::new(Severity::Error, self.code, message);
        if !self.note.is_empty() {
            found = found.note(self.note);
        }
        found.span = self.at;
        findings.push(found);
        Refused { name: name.to_owned(), reason: self.reason }
    }
}
