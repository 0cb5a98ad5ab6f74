//! `vrrp_instance` as written: values read, nothing decided.

use super::super::parser::{Statement, Word};
use super::address::{self, Line};
use super::global::{Garp, MAX_TIMER, Switches};
use super::values::{group, number, span_of_time, switch, wrong};
use super::{Places, Refusal, notify, route, track};
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::Findings;
use crate::model::validate::ADDRESSES_MAX;
use crate::model::{Address, Authentication, InitialState, Route, Rule, Tracked};
use crate::notation::is_host;
use crate::suggest::nearest;
use hacluster_core::time::Duration;
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// A virtual router as far as it is written; later lines win.
pub(super) struct Draft<'a> {
    pub(super) name: &'a Word,
    pub(super) places: Places<'a>,
    pub(super) interface: Option<&'a Word>,
    pub(super) vrid: Option<&'a Word>,
    pub(super) state: Option<(InitialState, Span)>,
    pub(super) priority: Option<u8>,
    pub(super) advert_interval: Option<(Duration, Span)>,
    /// `auth_type PASS`.
    pub(super) password_wanted: Option<Span>,
    pub(super) password: Authentication,
    pub(super) password_at: Option<Span>,
    /// An `auth_type` that nobody knows is already reported.
    pub(super) auth_type_wrong: bool,
    pub(super) addresses: Vec<Address>,
    pub(super) excluded: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    seen: HashSet<(Ipv4Addr, Option<String>)>,
    pub(super) source: Option<Ipv4Addr>,
    pub(super) mcast_group: Option<Ipv4Addr>,
    pub(super) nopreempt: Option<Span>,
    pub(super) preempt_delay: Option<(Duration, Span)>,
    pub(super) strict: Option<bool>,
    /// VRRPv2 is asked for in so many words.
    pub(super) version2: bool,
    pub(super) accept: Option<(bool, Span)>,
    pub(super) garp: Garp,
    pub(super) switches: Switches,
    pub(super) down_timer_adverts: Option<u8>,
    pub(super) dont_track_primary: bool,
    pub(super) promote_secondaries: bool,
    pub(super) tracked: Vec<Tracked>,
    pub(super) notify: notify::Draft,
    /// The first thing that would change the packets and is not in force.
    pub(super) refusal: Option<Refusal>,
}

impl<'a> Draft<'a> {
    fn new(name: &'a Word) -> Self {
        Self {
            name,
            places: Places { name: Some(&name.span), ..Places::default() },
            interface: None,
            vrid: None,
            state: None,
            priority: None,
            advert_interval: None,
            password_wanted: None,
            password: Authentication::None,
            password_at: None,
            auth_type_wrong: false,
            addresses: Vec::new(),
            excluded: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            seen: HashSet::new(),
            source: None,
            mcast_group: None,
            nopreempt: None,
            preempt_delay: None,
            strict: None,
            version2: false,
            accept: None,
            garp: Garp::default(),
            switches: Switches::default(),
            down_timer_adverts: None,
            dont_track_primary: false,
            promote_secondaries: false,
            tracked: Vec::new(),
            notify: notify::Draft::default(),
            refusal: None,
        }
    }

    pub(super) fn refuse(&mut self, code: &'static str, reason: &str, at: &Span, note: &'static str) {
        self.refusal.get_or_insert_with(|| Refusal::new(code, reason, Some(at), note));
    }
}

/// Reads one block. The caller has made sure of the name.
pub(super) fn read<'a>(statement: &'a Statement, findings: &Findings) -> Draft<'a> {
    let mut draft = Draft::new(statement.params().first().unwrap_or(&statement.words[0]));
    for line in statement.block.iter().flatten() {
        let keyword = line.keyword();
        draft.places.values.extend(line.value_span().map(|at| (keyword, at)));
        let known = draft.garp.read(keyword, line, findings)
            || draft.switches.read(keyword, line, findings)
            || draft.notify.read(line, findings)
            || track::list(line, &mut draft.tracked, findings)
            || draft.flag(line)
            || draft.wire(line, findings);
        if !known && (!line.params().is_empty() || line.block.is_some() || keyword == "strict_mode") {
            draft.value(line, findings);
        }
    }
    draft
}

impl<'a> Draft<'a> {
    fn flag(&mut self, line: &Statement) -> bool {
        let at = line.words.first().map(|word| word.span.clone());
        match line.keyword() {
            "nopreempt" => self.nopreempt = at,
            "preempt" => self.nopreempt = None,
            "dont_track_primary" => self.dont_track_primary = true,
            "promote_secondaries" => self.promote_secondaries = true,
            "no_virtual_ipaddress" => {}
            "accept" => self.accept = at.map(|at| (true, at)),
            "no_accept" => self.accept = at.map(|at| (false, at)),
            _ => return false,
        }
        true
    }

    /// What would change the packets or the MAC address and is not in force: the router cannot run,
    /// for its neighbours would not understand it.
    fn wire(&mut self, line: &Statement, findings: &Findings) -> bool {
        let Some(word) = line.words.first() else { return true };
        let at = &word.span;
        match line.keyword() {
            "auth_hmac" => self.refuse(
                "refused-auth",
                "HMAC authentication is not in force yet",
                at,
                "neighbours with it drop adverts without it",
            ),
            "use_vmac" => self.refuse(
                "refused-vmac",
                "virtual MAC addresses are not in force yet",
                at,
                "neighbours and clients would see another MAC address",
            ),
            "use_ipvlan" => self.refuse(
                "refused-vmac",
                "ipvlan interfaces are not in force yet",
                at,
                "its addresses would stand on another interface",
            ),
            "unicast_peer" if line.block.as_ref().is_some_and(|peers| peers.is_empty()) => {
                let message = "`unicast_peer` is empty: adverts are multicast";
                findings.push(Diagnostic::new(Severity::Warning, "empty-list", message).at(at));
            }
            "unicast_peer" => {
                for entry in line.block.iter().flatten() {
                    if let Some(extra) =
                        entry.words.get(1).filter(|word| word.text.parse::<std::net::IpAddr>().is_ok())
                    {
                        let message = "several peers stand on one line";
                        let found = Diagnostic::new(Severity::Error, "bad-option", message).at(&extra.span);
                        findings.push(found.label(
                            "write each peer on a line of its own: keepalived takes this one as an option",
                        ));
                    }
                }
                self.refuse(
                    "refused-unicast",
                    "unicast adverts are not in force yet",
                    at,
                    "its peers do not listen to multicast",
                );
            }
            _ => return false,
        }
        true
    }

    fn value(&mut self, line: &'a Statement, findings: &Findings) {
        let first = line.params().first();
        let at = first.or(line.words.first()).map(|word| word.span.clone());
        match line.keyword() {
            "state" => self.state(line, findings),
            "interface" => self.interface = first,
            "virtual_router_id" => self.vrid = first,
            "priority" => {
                self.priority = Some(number(findings, line, 1..=255, "100 is used").map_or(100, |n| n as u8))
            }
            "advert_int" => {
                let used = "1 second is used";
                let interval = span_of_time(findings, line, 255, used);
                if let (Some(interval), Some(at)) = (interval, at) {
                    self.advert_interval = Some((interval, at));
                }
            }
            "authentication" => {
                for line in line.block.iter().flatten() {
                    self.authentication(line, findings);
                }
            }
            "virtual_ipaddress" => self.list(line, false, findings),
            "virtual_ipaddress_excluded" => self.list(line, true, findings),
            "virtual_routes" => route::routes(line, &mut self.routes, findings),
            "virtual_rules" => route::rules(line, &mut self.rules, findings),
            "mcast_src_ip" | "unicast_src_ip" => {
                let Some(word) = first else { return };
                match word.text.parse().ok().filter(is_host) {
                    Some(ip) => self.source = Some(ip),
                    None => wrong(
                        findings,
                        line.keyword(),
                        word,
                        "an IPv4 address of this host",
                        "the interface's first address is used",
                    ),
                }
            }
            "mcast_dst_ip" => self.mcast_group = group(findings, line).or(self.mcast_group),
            "preempt_delay" => {
                let delay = span_of_time(findings, line, MAX_TIMER, "no delay is used");
                self.preempt_delay = delay.zip(at);
            }
            "strict_mode" => self.strict = switch(findings, line).or(self.strict),
            "down_timer_adverts" => {
                self.down_timer_adverts = number(findings, line, 1..=100, "3 is used").map(|n| n as u8);
            }
            "version" => match (first.map(|word| word.text.as_str()), at) {
                (Some("2"), _) => self.version2 = true,
                (Some("3"), Some(at)) => self.refuse(
                    "refused-version",
                    "VRRPv3 is not in force yet",
                    &at,
                    "its neighbours drop packets of version 2",
                ),
                (Some(_), _) => wrong(findings, "version", &line.params()[0], "2 or 3", "version 2 is used"),
                (None, _) => {}
            },
            _ => {}
        }
    }

    fn state(&mut self, line: &Statement, findings: &Findings) {
        let Some(word) = line.params().first() else { return };
        let state = match word.text.as_str() {
            "MASTER" => InitialState::Master,
            "BACKUP" => InitialState::Backup,
            other => {
                let message =
                    format!("unknown state `{}`: BACKUP is used, as keepalived does", super::show(other));
                let mut found = Diagnostic::new(Severity::Error, "bad-state", message).at(&word.span);
                if let Some(near) = nearest(other, ["MASTER", "BACKUP"].into_iter()) {
                    found = found.label(format!("did you mean `{near}`?"));
                }
                findings.push(found.note("it is only the state to start from: priority decides who rules"));
                InitialState::Backup
            }
        };
        self.state = Some((state, word.span.clone()));
    }

    fn authentication(&mut self, line: &Statement, findings: &Findings) {
        let Some(word) = line.params().first() else { return };
        match (line.keyword(), word.text.as_str()) {
            ("auth_type", "PASS") => self.password_wanted = Some(word.span.clone()),
            ("auth_type", "AH") => self.refuse(
                "refused-auth",
                "AH authentication is not in force yet",
                &word.span,
                "its neighbours drop packets without it; PASS or no authentication can run",
            ),
            ("auth_type", other) => {
                self.auth_type_wrong = true;
                let message = format!(
                    "unknown authentication type `{}`: this instance runs WITHOUT authentication, as keepalived does",
                    super::show(other)
                );
                let mut found = Diagnostic::new(Severity::Error, "bad-auth-type", message).at(&word.span);
                if let Some(near) = nearest(other, ["PASS", "AH"].into_iter()) {
                    found = found.label(format!("did you mean `{near}`?"));
                }
                findings.push(
                    found.note(
                        "its neighbours must agree: a node with PASS and one without both become master",
                    ),
                );
            }
            ("auth_pass", password) => self.password(password, &line.words[0].span, findings),
            _ => {}
        }
    }

    fn password(&mut self, password: &str, at: &Span, findings: &Findings) {
        if password.contains('\u{fffd}') {
            let note = "neighbours would compare other bytes; save the file as UTF-8";
            return self.refuse("bad-password", "its password holds bytes that are not UTF-8", at, note);
        }
        if password.len() > Authentication::PASSWORD_BYTES {
            let message = format!(
                "the password is longer than {} bytes: the rest is cut off",
                Authentication::PASSWORD_BYTES
            );
            let found = Diagnostic::new(Severity::Warning, "long-password", message).at(at);
            findings.push(found.note("keepalived does the same, so nodes with the same text still agree"));
        }
        self.password = Authentication::password(password);
        self.password_at = Some(at.clone());
    }

    fn list(&mut self, block: &'a Statement, excluded: bool, findings: &Findings) {
        for entry in block.block.iter().flatten() {
            let Some(at) = entry.words.first().map(|word| &word.span) else { continue };
            match address::line(entry, findings) {
                Line::Nothing => {}
                Line::Vmac(vmac_at) => {
                    self.refuse(
                        "refused-vmac",
                        "virtual MAC addresses are not in force yet",
                        &vmac_at,
                        "clients would see another MAC address",
                    );
                }
                Line::V6 if !excluded && self.addresses.is_empty() => {
                    self.refuse(
                        "refused-ipv6",
                        "IPv6 addresses are not in force yet",
                        at,
                        "VRRPv2 carries IPv4 only, so its neighbours speak version 3",
                    );
                }
                Line::V6 => findings.push(
                    Diagnostic::new(
                        Severity::Error,
                        "mixed-family",
                        "IPv6 addresses are not in force yet: this one is dropped",
                    )
                    .at(at)
                    .note("one virtual router advertises addresses of one family"),
                ),
                Line::V4(address) if !self.seen.insert((address.ip, address.dev.clone())) => findings.push(
                    Diagnostic::new(
                        Severity::Warning,
                        "duplicate-address",
                        format!("{} is written twice: the first one counts", address.ip),
                    )
                    .at(at),
                ),
                Line::V4(address) if excluded => {
                    self.excluded.push(address);
                    self.places.excluded.push(at);
                }
                Line::V4(_) if self.addresses.len() == ADDRESSES_MAX => {
                    let message =
                        format!("an advert carries at most {ADDRESSES_MAX} addresses: this one is dropped");
                    findings.push(
                        Diagnostic::new(Severity::Error, "too-many-addresses", message)
                            .at(at)
                            .label("move it to `virtual_ipaddress_excluded`"),
                    );
                }
                Line::V4(address) => {
                    self.addresses.push(address);
                    self.places.addresses.push(at);
                }
            }
        }
    }
}
