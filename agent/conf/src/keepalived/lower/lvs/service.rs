//! `virtual_server`.

use super::super::super::parser::{Statement, Word};
use super::super::command::with_user;
use super::super::values::{number, switch, wrong};
use super::frontend::{self, Match};
use super::pace;
use super::server::{self, Outer, method, place, weight};
use super::{Context, Place, ServerPlace, error, http, lines};
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::model::Command;
use crate::model::lvs::{
    Forwarding, Persistence, Protocol, RealServer, Scheduler, SorryServer, VirtualServer,
};
use crate::notation::lvs::{
    DEFAULT_SCHEDULER, PERSISTENCE_MAX_SECS, PERSISTENCE_SECS, PROTOCOLS, SCHEDULERS, granularity,
};
use crate::notation::pace::Pace;
use hacluster_core::time::Duration;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// A virtual server as far as it is read.
#[derive(Default)]
struct Draft<'a> {
    scheduler: Option<&'a str>,
    flags: [bool; 3],
    /// Flags by the scheduler they belong to, where they are written.
    named_flags: Vec<(&'a Word, usize)>,
    forwarding: Forwarding,
    protocol: Protocol,
    persistent: Option<Duration>,
    granularity: Option<&'a Word>,
    engine: Option<String>,
    one_packet: Option<&'a Word>,
    ha_suspend: bool,
    virtualhost: Option<String>,
    mail: Option<bool>,
    omega: bool,
    quorum: Option<u32>,
    hysteresis: Option<(u32, &'a Word)>,
    quorum_up: Option<Command>,
    quorum_down: Option<Command>,
    ipv6: Option<bool>,
    sorry: Option<SocketAddr>,
    sorry_inhibit: bool,
    sorry_method: Option<Forwarding>,
    inhibit_on_failure: bool,
    weight: Option<u16>,
    pace: Pace,
    servers: Vec<&'a Statement>,
    values: Vec<(&'a str, &'a crate::diag::Span)>,
}

/// One virtual server; none when it cannot be set up.
pub(super) fn read<'a>(
    statement: &'a Statement,
    context: &Context<'_>,
) -> Option<(VirtualServer, Place<'a>)> {
    let findings = context.findings;
    let (name, matches) = frontend::named(statement, &context.groups, findings)?;
    let mut draft = Draft::default();
    for line in lines(statement) {
        draft.values.extend(line.value_span().map(|at| (line.keyword(), at)));
        let _ = pace::read(&mut draft.pace, line, findings)
            || draft.balance(line, findings)
            || draft.quorum(line, findings)
            || draft.servers(line, findings);
    }
    let at = statement.params().first().unwrap_or(&statement.words[0]);
    Some(draft.complete(name, &matches, at, context))
}

impl<'a> Draft<'a> {
    fn balance(&mut self, line: &'a Statement, findings: &Findings) -> bool {
        let Some(word) = line.params().first() else { return self.balance_flag(line) };
        match line.keyword() {
            "lb_algo" | "lvs_sched" => {
                let found = SCHEDULERS.into_iter().find(|known| *known == word.text);
                if found.is_none() {
                    scheduler(word, line.keyword(), findings);
                }
                self.scheduler = found;
            }
            "lb_kind" | "lvs_method" => {
                self.forwarding =
                    method(line, "NAT is used, as with keepalived", findings).unwrap_or_default()
            }
            "protocol" => match PROTOCOLS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word.text)) {
                Some((_, known)) => self.protocol = *known,
                None => wrong(findings, "protocol", word, "TCP, UDP or SCTP", "TCP is used"),
            },
            "persistence_timeout" => self.persistent = persistence(word, findings),
            "persistence_granularity" => self.granularity = Some(word),
            "persistence_engine" if word.text == "sip" => self.engine = Some(word.text.clone()),
            "persistence_engine" => wrong(findings, "persistence_engine", word, "`sip`", "none is used"),
            "virtualhost" => {
                self.virtualhost = http::name("virtualhost", word, findings).or(self.virtualhost.take())
            }
            "ip_family" => match word.text.as_str() {
                "inet" => self.ipv6 = Some(false),
                "inet6" => self.ipv6 = Some(true),
                _ => wrong(findings, "ip_family", word, "`inet` or `inet6`", "the line is ignored"),
            },
            _ => return self.balance_flag(line),
        }
        true
    }

    fn balance_flag(&mut self, line: &'a Statement) -> bool {
        match line.keyword() {
            "persistence_timeout" => self.persistent = Some(Duration::from_secs(PERSISTENCE_SECS)),
            "flag-1" => self.flags[0] = true,
            "flag-2" => self.flags[1] = true,
            "flag-3" => self.flags[2] = true,
            "sh-fallback" | "mh-fallback" => self.named_flags.push((&line.words[0], 0)),
            "sh-port" | "mh-port" => self.named_flags.push((&line.words[0], 1)),
            "ops" => self.one_packet = line.words.first(),
            "ha_suspend" => self.ha_suspend = true,
            "omega" => self.omega = true,
            _ => return false,
        }
        true
    }

    fn quorum(&mut self, line: &'a Statement, findings: &Findings) -> bool {
        match line.keyword() {
            "quorum" => self.quorum = number(findings, line, 1..=u32::MAX, "1 is used"),
            "hysteresis" => {
                self.hysteresis =
                    number(findings, line, 0..=u32::MAX, "0 is used").zip(line.params().first());
            }
            "quorum_up" => self.quorum_up = with_user(line, findings).or(self.quorum_up.take()),
            "quorum_down" => self.quorum_down = with_user(line, findings).or(self.quorum_down.take()),
            "smtp_alert" => self.mail = switch(findings, line).or(self.mail),
            _ => return false,
        }
        true
    }

    fn servers(&mut self, line: &'a Statement, findings: &Findings) -> bool {
        match line.keyword() {
            "sorry_server" => self.sorry = place("sorry_server", line.params(), findings).or(self.sorry),
            "sorry_server_inhibit" => self.sorry_inhibit = true,
            "sorry_server_lvs_method" => {
                self.sorry_method = method(line, "the virtual server's is used", findings)
            }
            "inhibit_on_failure" => {
                self.inhibit_on_failure = switch(findings, line).unwrap_or(self.inhibit_on_failure)
            }
            "weight" => self.weight = weight(line, findings).or(self.weight),
            "real_server" => self.servers.push(line),
            _ => return false,
        }
        true
    }

    fn complete(
        self,
        name: String,
        matches: &[Match],
        at: &'a Word,
        context: &Context<'_>,
    ) -> (VirtualServer, Place<'a>) {
        let findings = context.findings;
        let scheduler = self.scheduler(findings);
        let (quorum, hysteresis) = self.least(findings);
        let ipv6 = self.is_ipv6(matches);
        let (servers, places) = self.real_servers(matches, ipv6, context);
        let persistence = self.persistence(matches, ipv6, at, findings);
        let one_packet = self.one_packet(matches, findings);
        let suffix = match (self.protocol, matches) {
            (_, [Match::Mark(..)]) if ipv6 => " inet6",
            (_, [Match::Mark(..)]) | (Protocol::Tcp, _) => "",
            (Protocol::Udp, _) => " UDP",
            (Protocol::Sctp, _) => " SCTP",
        };
        let forwarding = self.sorry_method.unwrap_or(self.forwarding);
        let sorry =
            self.sorry.filter(|to| self.fits(*to, forwarding, matches, ipv6, "sorry_server", at, findings));
        let service = VirtualServer {
            name: format!("{name}{suffix}"),
            frontends: frontend::complete(matches, self.protocol, ipv6),
            scheduler,
            persistence,
            one_packet,
            forwarding: self.forwarding,
            ha_suspend: self.ha_suspend,
            omega: self.omega,
            quorum,
            hysteresis,
            quorum_up: self.quorum_up,
            quorum_down: self.quorum_down,
            mail: self.mail.or(context.mails).unwrap_or(false),
            sorry: sorry.map(|to| SorryServer { to, forwarding, inhibit: self.sorry_inhibit }),
            servers,
        };
        (service, Place { name: &at.span, values: self.values, servers: places })
    }

    fn scheduler(&self, findings: &Findings) -> Scheduler {
        let name = self.scheduler.unwrap_or(DEFAULT_SCHEDULER);
        let mut flags = self.flags;
        for (word, flag) in &self.named_flags {
            if word.text.starts_with(name) && word.text[name.len()..].starts_with('-') {
                flags[*flag] = true;
            } else {
                let message = format!("`{}` means nothing to the scheduler `{name}`", word.text);
                error(findings, "contradiction", &message, word, "it is ignored");
            }
        }
        Scheduler { name: name.to_owned(), flags }
    }

    fn least(&self, findings: &Findings) -> (u32, u32) {
        let quorum = self.quorum.unwrap_or(1);
        let Some((hysteresis, word)) = self.hysteresis else { return (quorum, 0) };
        if hysteresis >= quorum {
            let message = format!("`hysteresis {hysteresis}` must be below the quorum of {quorum}");
            let found = Diagnostic::new(Severity::Warning, "out-of-range", message).at(&word.span);
            findings.push(found.label(format!("{} is used, as with keepalived", quorum - 1)));
        }
        (quorum, hysteresis.min(quorum - 1))
    }

    /// The family of the addresses, else what is written, else that of the real servers.
    fn is_ipv6(&self, matches: &[Match]) -> bool {
        let of_first = || {
            let first = self.servers.first().and_then(|server| server.params().first());
            first.is_some_and(|word| word.text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()))
        };
        match matches.first() {
            Some(Match::Address(ip, _)) => ip.is_ipv6(),
            Some(Match::Mark(_, Some(ipv6))) => *ipv6,
            _ => self.ipv6.unwrap_or_else(of_first),
        }
    }

    fn real_servers(
        &self,
        matches: &[Match],
        ipv6: bool,
        context: &Context<'_>,
    ) -> (Vec<RealServer>, Vec<ServerPlace<'a>>) {
        let findings = context.findings;
        let outer = Outer {
            pace: self.pace.clone(),
            forwarding: self.forwarding,
            inhibit_on_failure: self.inhibit_on_failure,
            weight: self.weight.unwrap_or(1),
            virtualhost: self.virtualhost.as_deref(),
            port: one_port(matches),
        };
        let mut seen = HashSet::new();
        let mut all = (Vec::new(), Vec::new());
        for block in &self.servers {
            let Some((server, place)) = server::read(block, &outer, context) else { continue };
            let at = &block.params()[0];
            if !self.fits(server.to, server.forwarding, matches, ipv6, "real_server", at, findings) {
                continue;
            }
            if !seen.insert(server.to) {
                let message = format!("`{}` is a real server of this virtual server already", block.title());
                error(findings, "duplicate-server", &message, at, "the first one counts");
                continue;
            }
            all.0.push(server);
            all.1.push(place);
        }
        all
    }

    /// Only a tunnel leads from one family to the other.
    #[expect(clippy::too_many_arguments, reason = "one sentence about all of them")]
    fn fits(
        &self,
        to: SocketAddr,
        forwarding: Forwarding,
        matches: &[Match],
        ipv6: bool,
        what: &str,
        at: &Word,
        findings: &Findings,
    ) -> bool {
        let other = |found: &Match| match found {
            Match::Address(ip, _) => ip.is_ipv6() != to.is_ipv6(),
            Match::Mark(_, own) => own.unwrap_or(ipv6) != to.is_ipv6(),
        };
        if matches!(forwarding, Forwarding::Tunnel(_)) || !matches.iter().any(other) {
            return true;
        }
        let message = format!("`{what} {}` is of another family than the virtual server", to.ip());
        error(findings, "mixed-families", &message, at, "it is left out; only a tunnel (TUN) leads there");
        false
    }

    fn persistence(
        &self,
        matches: &[Match],
        ipv6: bool,
        at: &Word,
        findings: &Findings,
    ) -> Option<Persistence> {
        let every_port = matches.iter().any(|found| matches!(found, Match::Address(_, 0)));
        let mut timeout = self.persistent;
        if every_port && timeout.is_none() {
            let message = "without a port every port is balanced, which takes persistence";
            let found = Diagnostic::new(Severity::Warning, "no-port", message).at(&at.span);
            findings.push(
                found.label("`persistence_timeout 360` is used, as with keepalived; or write the port"),
            );
            timeout = Some(Duration::from_secs(PERSISTENCE_SECS));
        }
        let most = if ipv6 { 128 } else { 32 };
        let prefix_len = self.granularity.and_then(|word| {
            let length = granularity(&word.text, ipv6);
            if length.is_none() {
                let expected =
                    if ipv6 { "a length from 1 to 128" } else { "a netmask such as 255.255.255.0" };
                wrong(findings, "persistence_granularity", word, expected, "each address counts by itself");
            }
            length
        });
        if let Some(word) = self.granularity.filter(|_| timeout.is_none()) {
            let message = "`persistence_granularity` does nothing without `persistence_timeout`";
            findings.push(Diagnostic::new(Severity::Warning, "contradiction", message).at(&word.span));
        }
        let prefix_len = prefix_len.unwrap_or(most);
        timeout.map(|timeout| Persistence { timeout, prefix_len, engine: self.engine.clone() })
    }

    fn one_packet(&self, matches: &[Match], findings: &Findings) -> bool {
        let Some(word) = self.one_packet else { return false };
        let marks = matches.iter().all(|found| matches!(found, Match::Mark(..)));
        if self.protocol != Protocol::Udp && !marks {
            let message = format!("`ops` is for UDP: packets of {} belong to connections", self.protocol);
            error(findings, "contradiction", &message, word, "it is ignored");
            return false;
        }
        true
    }
}

/// The port of all frontends, 0 when there is none or several.
fn one_port(matches: &[Match]) -> u16 {
    let mut ports = matches.iter().filter_map(|found| match found {
        Match::Address(_, port) => Some(*port),
        Match::Mark(..) => None,
    });
    let first = ports.next().unwrap_or(0);
    if ports.all(|port| port == first) { first } else { 0 }
}

/// Seconds; 0, which many files have, means none.
fn persistence(word: &Word, findings: &Findings) -> Option<Duration> {
    let seconds: Option<u32> = word.text.parse().ok();
    match seconds {
        Some(0) => {
            let message = "`persistence_timeout 0` switches persistence off";
            let found = Diagnostic::new(Severity::Hint, "no-persistence", message).at(&word.span);
            findings.push(
                found.note("keepalived reports it as out of range and does the same; leave the line out"),
            );
            None
        }
        Some(seconds) if seconds <= PERSISTENCE_MAX_SECS => Some(Duration::from_secs(seconds.into())),
        _ => {
            let expected = format!("seconds from 1 to {PERSISTENCE_MAX_SECS}");
            wrong(findings, "persistence_timeout", word, &expected, "there is no persistence");
            None
        }
    }
}

fn scheduler(word: &Word, keyword: &str, findings: &Findings) {
    let near = findings.suggest(&word.text, &SCHEDULERS);
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let message = format!("`{}` is no scheduler for `{keyword}`", show(&word.text));
    let label = format!("`{DEFAULT_SCHEDULER}` is used, as with keepalived{near}");
    error(findings, "unknown-scheduler", &message, word, &label);
}
