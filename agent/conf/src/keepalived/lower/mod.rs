//! From the tree to the model: what is in force, with keepalived's defaults and corrections.
//!
//! ```text
//!   tree -> global::read -> Globals -.
//!   tree -> instance::read -> Draft -+-> complete -> VirtualRouter | Refused -> across (neighbours)
//! ```

mod address;
mod complete;
mod global;
mod instance;
mod values;

use super::parser::Statement;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::{Config, Refused, VirtualRouter};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Builds the model of what is written.
pub(super) fn lower(top: &[Statement], findings: &Findings) -> Config {
    let globals = global::read(top, findings);
    let mut config =
        Config { agent: globals.agent.clone(), global: globals.model.clone(), ..Config::default() };
    let mut neighbours = Neighbours::default();
    let mut written = 0;
    for statement in top.iter().filter(|statement| statement.keyword() == "vrrp_instance") {
        written += 1;
        let name = statement.params().first().map_or("", |word| &word.text);
        let at = statement.params().first().or(statement.words.first()).map(|word| &word.span);
        let made = neighbours.name(name, at).and_then(|()| {
            let draft = instance::read(statement, findings);
            let router = complete::complete(draft, &globals, findings)?;
            neighbours.vrid(&router, at)?;
            Ok(router)
        });
        match made {
            Ok(router) => {
                neighbours.addresses(&router, at, findings);
                config.routers.push(router);
            }
            Err(refusal) => config.refused.push(refusal.report(name, findings)),
        }
    }
    if written > 0 && config.routers.is_empty() {
        let message = "none of the virtual routers written here can run";
        findings.push(Diagnostic::new(Severity::Fatal, "nothing-runs", message));
    } else if written == 0 {
        let message = "no `vrrp_instance` is written: no virtual router runs";
        findings.push(Diagnostic::new(Severity::Warning, "no-virtual-router", message));
    }
    config
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

/// What virtual routers must not share.
#[derive(Default)]
struct Neighbours {
    /// By lower-case spelling, as written.
    names: HashMap<String, Vec<String>>,
    vrids: HashMap<(String, u8), String>,
    addresses: HashMap<Ipv4Addr, String>,
    /// A name that differs from another in case only, until it can be reported.
    alike: Option<String>,
}

impl Neighbours {
    fn name(&mut self, name: &str, at: Option<&Span>) -> Result<(), Refusal> {
        self.alike = None;
        if name.is_empty() {
            return Err(Refusal::new(
                "missing-parameter",
                "it has no name",
                at,
                "write `vrrp_instance NAME {`",
            ));
        }
        let alike = self.names.entry(name.to_lowercase()).or_default();
        if alike.iter().any(|other| other == name) {
            return Err(Refusal::new(
                "duplicate-name",
                "another one above has the same name",
                at,
                "the first one runs, as with keepalived; give this one a name of its own",
            ));
        }
        self.alike = alike.first().cloned();
        alike.push(name.to_owned());
        Ok(())
    }

    fn vrid(&mut self, router: &VirtualRouter, at: Option<&Span>) -> Result<(), Refusal> {
        match self.vrids.insert((router.interface.clone(), router.vrid.get()), router.name.clone()) {
            None => Ok(()),
            Some(other) => {
                let reason = format!(
                    "VRID {} on {} belongs to `{}` already",
                    router.vrid,
                    show(&router.interface),
                    show(&other)
                );
                self.vrids.insert((router.interface.clone(), router.vrid.get()), other);
                let note = "a VRID names one virtual router on a network; keepalived does not start with such a file";
                Err(Refusal::new("duplicate-vrid", reason, at, note))
            }
        }
    }

    fn addresses(&mut self, router: &VirtualRouter, at: Option<&Span>, findings: &Findings) {
        let warn = |code, message: String, note: &str| {
            let mut found = Diagnostic::new(Severity::Warning, code, message).note(note);
            found.span = at.cloned();
            findings.push(found);
        };
        if let Some(other) = self.alike.take() {
            let message = format!("`{}` and `{}` differ in case only", show(&router.name), show(&other));
            warn(
                "alike-names",
                message,
                "both run; commands take names without regard to case, so rename one",
            );
        }
        let mut shared = None;
        for address in router.addresses.iter().chain(&router.excluded) {
            let owner = self.addresses.entry(address.ip).or_insert_with(|| router.name.clone());
            if *owner != router.name {
                shared.get_or_insert((address.ip, owner.clone()));
            }
        }
        if let Some((ip, owner)) = shared {
            let message = format!("{ip} is an address of `{}` and of `{}`", show(&owner), show(&router.name));
            warn(
                "shared-address",
                message,
                "when the two have different masters, two nodes hold the address",
            );
        }
    }
}
