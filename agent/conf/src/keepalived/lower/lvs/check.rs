//! Checks of real servers: `TCP_CHECK { .. }` and the like.

use super::super::super::parser::{Statement, Word};
use super::super::values::{number, wrong};
use super::super::{command, track};
use super::http;
use super::pace;
use super::{Context, address, error, lines, port_of};
use crate::findings::{Findings, show};
use crate::model::lvs::{Check, CheckKind, CheckRoute, DnsRecord, UdpCheck, UdpReply};
use crate::model::track::TrackerKind;
use crate::notation::is_interface_name;
use crate::notation::lvs::{DNS_RECORDS, hex, is_domain};
use crate::notation::pace::{Pace, usual_port};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Longest answer of a datagram that is good, when nothing is written.
const REPLY_MAX: u16 = 255;
/// What a check takes over from the server it belongs to.
pub(super) struct Around<'a> {
    pub(super) pace: Pace,
    /// Address and port, 0 where neither the server nor its service has one.
    pub(super) to: SocketAddr,
    pub(super) virtualhost: Option<&'a str>,
}

/// The checks that `block` asks for; none when it is no check, or a wrong one.
pub(super) fn read(block: &Statement, around: &Around<'_>, context: &Context<'_>) -> Vec<Check> {
    let findings = context.findings;
    let (mut pace, mut way) = (Pace::default(), Way::default());
    let mut rest = Vec::new();
    for line in lines(block) {
        if !pace::read(&mut pace, line, findings) && !way.read(line, findings) {
            rest.push(line);
        }
    }
    let mut pace = pace.within(&around.pace);
    let mut ways = vec![way];
    let kind = match block.keyword() {
        "HTTP_GET" | "SSL_GET" => {
            Some(CheckKind::Http(http::read(block, &rest, around.virtualhost, findings)))
        }
        "TCP_CHECK" => Some(CheckKind::Tcp),
        "SMTP_CHECK" => Some(smtp(&rest, &mut ways, context)),
        "DNS_CHECK" => Some(dns(&rest, findings)),
        "UDP_CHECK" => Some(CheckKind::Udp(udp(&rest, findings))),
        "PING_CHECK" => Some(CheckKind::Ping),
        "MISC_CHECK" => misc(block, &rest, &mut pace, findings),
        "FILE_CHECK" => file(block, &rest, context),
        _ => None,
    };
    let Some(kind) = kind else { return Vec::new() };
    let pace = pace.complete(&kind, context.log_all_failures);
    let route = |way: &Way| way.complete(block, &kind, around.to, findings);
    let routes: Vec<CheckRoute> = ways.iter().filter_map(route).collect();
    routes.into_iter().map(|route| Check { kind: kind.clone(), route, pace }).collect()
}

/// Where a check goes to, as far as it is written.
#[derive(Clone, Default)]
struct Way {
    ip: Option<IpAddr>,
    port: Option<u16>,
    from: Option<IpAddr>,
    from_port: Option<u16>,
    interface: Option<String>,
    fwmark: u32,
}

impl Way {
    fn read(&mut self, line: &Statement, findings: &Findings) -> bool {
        let Some(word) = line.params().first() else { return false };
        let kept = "the line is ignored";
        match line.keyword() {
            "connect_ip" => self.ip = address(line.keyword(), word, kept, findings).or(self.ip),
            "connect_port" => self.port = port_of(line.keyword(), word, kept, findings).or(self.port),
            "bindto" => self.from = address(line.keyword(), word, kept, findings).or(self.from),
            "bind_port" => self.from_port = port_of(line.keyword(), word, kept, findings).or(self.from_port),
            "bind_if" if is_interface_name(&word.text) => self.interface = Some(word.text.clone()),
            "bind_if" => wrong(findings, "bind_if", word, "the name of an interface", kept),
            "fwmark" => self.fwmark = number(findings, line, 0..=u32::MAX, kept).unwrap_or(self.fwmark),
            _ => return false,
        }
        true
    }

    /// The way, or nothing when no port is known and the check needs one.
    fn complete(
        &self,
        block: &Statement,
        kind: &CheckKind,
        server: SocketAddr,
        findings: &Findings,
    ) -> Option<CheckRoute> {
        if matches!(kind, CheckKind::Misc { .. } | CheckKind::File { .. }) {
            let to = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
            return Some(CheckRoute { to, from: None, interface: None, fwmark: 0 });
        }
        let ip = self.ip.unwrap_or(server.ip());
        let port = self.port.or(Some(server.port()).filter(|port| *port > 0)).or(usual_port(kind));
        let to = match (kind, port) {
            (CheckKind::Ping, _) => SocketAddr::new(ip, 0),
            (_, Some(port)) => SocketAddr::new(ip, port),
            (_, None) => {
                let message = format!("`{}` has no port to connect to: it is left out", block.keyword());
                error(findings, "no-port", &message, &block.words[0], "write `connect_port NUMBER`");
                return None;
            }
        };
        let any =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let mut from = self.from;
        if from.is_some_and(|from| from.is_ipv4() != ip.is_ipv4()) {
            let message = format!("a connection to {ip} cannot come from the `bindto` of the other family");
            error(findings, "mixed-families", &message, &block.words[0], "`bindto` is ignored");
            from = None;
        }
        let from_port = self.from_port.filter(|_| !matches!(kind, CheckKind::Ping));
        let bound = from.is_some() || from_port.is_some();
        let from = bound.then(|| SocketAddr::new(from.unwrap_or(any), from_port.unwrap_or(0)));
        Some(CheckRoute { to, from, interface: self.interface.clone(), fwmark: self.fwmark })
    }
}

/// `host { .. }` blocks of old files each name a way of their own.
fn smtp(rest: &[&Statement], ways: &mut Vec<Way>, context: &Context<'_>) -> CheckKind {
    let mut helo = context.host_name.to_owned();
    let mut hosts = Vec::new();
    for line in rest {
        match line.keyword() {
            "helo_name" => {
                let Some(word) = line.params().first() else { continue };
                if word.text.chars().all(|char| char.is_ascii_graphic()) && !word.text.is_empty() {
                    helo.clone_from(&word.text);
                } else {
                    wrong(
                        context.findings,
                        "helo_name",
                        word,
                        "one word of ASCII",
                        "the host's name is used",
                    );
                }
            }
            "host" => {
                let mut way = ways[0].clone();
                lines(line).for_each(|line| {
                    way.read(line, context.findings);
                });
                hosts.push(way);
            }
            _ => {}
        }
    }
    if !hosts.is_empty() {
        *ways = hosts;
    }
    CheckKind::Smtp { helo }
}

fn dns(rest: &[&Statement], findings: &Findings) -> CheckKind {
    let (mut record, mut name) = (DnsRecord::default(), ".".to_owned());
    for line in rest {
        let Some(word) = line.params().first() else { continue };
        match line.keyword() {
            "type" => match DNS_RECORDS.iter().find(|(known, _)| *known == word.text) {
                Some((_, known)) => record = *known,
                None => {
                    wrong(findings, "type", word, "A, NS, CNAME, SOA, MX, TXT or AAAA", "SOA is used");
                }
            },
            "name" if is_domain(&word.text) => name.clone_from(&word.text),
            "name" => wrong(findings, "name", word, "a domain name", "`.` is used"),
            _ => {}
        }
    }
    CheckKind::Dns { record, name }
}

fn udp(rest: &[&Statement], findings: &Findings) -> UdpCheck {
    let mut check = UdpCheck { max_len: REPLY_MAX, ..UdpCheck::default() };
    for line in rest {
        let words = || line.params().iter().map(|word| word.text.as_str());
        let length =
            |used: &str| number(findings, line, 0..=65_535, used).and_then(|n| u16::try_from(n).ok());
        match line.keyword() {
            "payload" => match hex(words()).filter(|bytes| bytes.iter().all(|(_, mask)| mask & 0xf == 0xf)) {
                Some(bytes) => check.payload = bytes.into_iter().map(|(byte, _)| byte).collect(),
                None => digits(line, "an empty datagram is sent", findings),
            },
            "require_reply" => {
                check.reply = Some(UdpReply(hex(words()).unwrap_or_else(|| {
                    digits(line, "any answer is good", findings);
                    Vec::new()
                })))
            }
            "min_reply_length" => check.min_len = length("0 is used").unwrap_or(0),
            "max_reply_length" => check.max_len = length("255 is used").unwrap_or(REPLY_MAX),
            _ => {}
        }
    }
    if check.min_len > check.max_len
        && let Some(line) = rest.iter().find(|line| line.keyword() == "min_reply_length")
    {
        let message =
            format!("no answer is at least {} and at most {} bytes long", check.min_len, check.max_len);
        error(findings, "contradiction", &message, &line.words[0], "any length is good");
        (check.min_len, check.max_len) = (0, u16::MAX);
    }
    check
}

fn digits(line: &Statement, used: &str, findings: &Findings) {
    if let Some(word) = line.params().first() {
        wrong(findings, line.keyword(), word, "hexadecimal digits", used);
    }
}

fn misc(block: &Statement, rest: &[&Statement], pace: &mut Pace, findings: &Findings) -> Option<CheckKind> {
    let (mut run, mut user, mut dynamic, mut timeout) = (None, None, false, None);
    for line in rest {
        match line.keyword() {
            "misc_path" => run = command::whole_line(line, findings).or(run),
            "misc_timeout" => timeout = pace::span(line, 1_000, "`delay_loop` is used", findings),
            "misc_dynamic" => dynamic = true,
            "user" => user = command::user(line.params(), findings),
            _ => {}
        }
    }
    pace.times_out_after(timeout);
    let Some(mut command) = run else {
        let label = "write `misc_path \"/path arguments\"`";
        error(findings, "no-program", "it has no `misc_path`: the check is left out", &block.words[0], label);
        return None;
    };
    command.user = user;
    Some(CheckKind::Misc { command, dynamic })
}

fn file(block: &Statement, rest: &[&Statement], context: &Context<'_>) -> Option<CheckKind> {
    let (mut name, mut weight): (Option<&Word>, _) = (None, None);
    for line in rest {
        match line.keyword() {
            "track_file" => name = line.params().first(),
            "weight" => weight = track::weight_of(line.params(), track::FILE_WEIGHT, context.findings),
            _ => {}
        }
    }
    let Some(name) = name else {
        let label = "write `track_file NAME`";
        error(
            context.findings,
            "no-file",
            "it has no `track_file`: the check is left out",
            &block.words[0],
            label,
        );
        return None;
    };
    let of = |tracker: &&crate::model::Tracker| {
        tracker.id.kind == TrackerKind::File && tracker.id.name == name.text
    };
    let Some(tracker) = context.trackers.iter().find(of) else {
        let message = format!("no `track_file` defines `{}`: the check is left out", show(&name.text));
        error(context.findings, "undefined-reference", &message, name, "");
        return None;
    };
    let weight = weight.unwrap_or(tracker.weight);
    Some(CheckKind::File { tracker: name.text.clone(), weight: weight.points, reverse: weight.reverse })
}
