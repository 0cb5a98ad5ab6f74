//! `real_server`, and the words it shares with its virtual server.

use super::super::super::parser::{Statement, Word};
use super::super::command::with_user;
use super::super::values::{number, switch, wrong};
use super::check::{self, Around};
use super::pace;
use super::{Context, ServerPlace, address, error, extra, lines, port_of};
use crate::findings::Findings;
use crate::model::lvs::{Forwarding, RealServer};
use crate::notation::lvs::forwarding;
use crate::notation::pace::Pace;
use std::net::{IpAddr, SocketAddr};

/// What a real server takes over from its virtual server.
pub(super) struct Outer<'a> {
    pub(super) pace: Pace,
    pub(super) forwarding: Forwarding,
    pub(super) inhibit_on_failure: bool,
    pub(super) weight: u16,
    pub(super) virtualhost: Option<&'a str>,
    /// The one port of all frontends; 0 when there is none, or several.
    pub(super) port: u16,
}

/// `ADDRESS [PORT]`; port 0 when none is written.
pub(super) fn place(keyword: &str, words: &[Word], findings: &Findings) -> Option<SocketAddr> {
    let used = "it is left out";
    let ip: IpAddr = address(keyword, words.first()?, used, findings)?;
    let port = match words.get(1) {
        None => 0,
        Some(word) if word.text == "0" => 0,
        Some(word) => port_of(keyword, word, used, findings)?,
    };
    extra(words.get(2..).unwrap_or_default(), findings);
    Some(SocketAddr::new(ip, port))
}

/// `lvs_method` and its likes; a wrong one is reported.
pub(super) fn method(line: &Statement, used: &str, findings: &Findings) -> Option<Forwarding> {
    let first = line.params().first()?;
    let words = line.params().iter().map(|word| word.text.as_str());
    match forwarding(words) {
        Ok(way) => Some(way),
        Err(expected) => {
            let likely = forwarding([first.text.to_ascii_uppercase().as_str()].into_iter());
            let meant = likely.is_ok() && line.params().len() == 1;
            let used = if meant { format!("{used}; write it in capitals") } else { used.to_owned() };
            wrong(findings, line.keyword(), first, expected, &used);
            None
        }
    }
}

pub(super) fn weight(line: &Statement, findings: &Findings) -> Option<u16> {
    number(findings, line, 0..=65_535, "the line is ignored").and_then(|weight| u16::try_from(weight).ok())
}

/// One real server.
pub(super) fn read<'a>(
    block: &'a Statement,
    outer: &Outer<'_>,
    context: &Context<'_>,
) -> Option<(RealServer, ServerPlace<'a>)> {
    let findings = context.findings;
    let Some(name) = block.params().first() else {
        let label = "write `real_server ADDRESS PORT {`";
        error(findings, "missing-parameter", "the real server has no address", &block.words[0], label);
        return None;
    };
    let to = place("real_server", block.params(), findings)?;
    let mut server = RealServer {
        to,
        weight: outer.weight,
        forwarding: outer.forwarding,
        upper_threshold: 0,
        lower_threshold: 0,
        inhibit_on_failure: outer.inhibit_on_failure,
        notify_up: None,
        notify_down: None,
        // keepalived mails about real servers unless it is told not to.
        mail: context.mails.unwrap_or(true),
        checks: Vec::new(),
    };
    let (mut pace, mut virtualhost) = (Pace::default(), None);
    let mut at = ServerPlace { name: &name.span, weight: None };
    for line in lines(block) {
        if pace::read(&mut pace, line, findings) {
            continue;
        }
        match line.keyword() {
            "weight" => {
                server.weight = weight(line, findings).unwrap_or(server.weight);
                at.weight = line.value_span();
            }
            "virtualhost" => {
                let word = line.params().first();
                virtualhost = word.and_then(|word| super::http::name("virtualhost", word, findings));
            }
            _ => setting(&mut server, line, findings),
        }
    }
    let port = if to.port() > 0 { to.port() } else { outer.port };
    let around = Around {
        pace: pace.within(&outer.pace),
        to: SocketAddr::new(to.ip(), port),
        virtualhost: virtualhost.as_deref().or(outer.virtualhost),
    };
    server.checks = lines(block).flat_map(|line| check::read(line, &around, context)).collect();
    Some((server, at))
}

fn setting(server: &mut RealServer, line: &Statement, findings: &Findings) {
    match line.keyword() {
        "lvs_method" => {
            let used = "the virtual server's is used";
            server.forwarding = method(line, used, findings).unwrap_or(server.forwarding);
        }
        "uthreshold" => {
            server.upper_threshold = number(findings, line, 0..=u32::MAX, "no limit is used").unwrap_or(0)
        }
        "lthreshold" => {
            server.lower_threshold = number(findings, line, 0..=u32::MAX, "no limit is used").unwrap_or(0)
        }
        "inhibit_on_failure" => {
            server.inhibit_on_failure = switch(findings, line).unwrap_or(server.inhibit_on_failure)
        }
        "notify_up" => server.notify_up = with_user(line, findings).or(server.notify_up.take()),
        "notify_down" => server.notify_down = with_user(line, findings).or(server.notify_down.take()),
        "smtp_alert" => server.mail = switch(findings, line).unwrap_or(server.mail),
        _ => {}
    }
}
