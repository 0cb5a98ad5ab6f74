//! `[[virtual_server.real_server.check]]`.

use super::command;
use super::lvs::{Around, host_and_port};
use super::table::Table;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::lvs::{
    Check, CheckKind, CheckRoute, HttpCheck, HttpVersion, Pattern, UdpCheck, UdpReply, Url,
};
use crate::model::track::TrackerKind;
use crate::notation::is_interface_name;
use crate::notation::lvs::{ANY_STATUS, DNS_RECORDS, GOOD_STATUS, digest, hex, is_domain, statuses};
use crate::notation::pace::{MAX_SECS, Pace, usual_port};
use crate::notation::pattern::only_pcre;
use hacluster_core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};

/// Keys of when a check is done, in a virtual server, a real server and a check.
pub(super) const PACE_KEYS: [&str; 6] =
    ["delay_loop", "timeout", "retry", "delay_before_retry", "warmup", "alpha"];
const ROUTE_KEYS: [&str; 6] = ["kind", "to", "from", "interface", "fwmark", "log_all_failures"];
const HTTP_KEYS: [&str; 5] = ["version", "urls", "sni", "host", "fast_recovery"];
const URL_KEYS: [&str; 11] = [
    "path",
    "host",
    "status",
    "digest",
    "regex",
    "forbidden",
    "from_byte",
    "to_byte",
    "caseless",
    "multiline",
    "dot_all",
];
const KINDS: [&str; 9] = ["tcp", "http", "https", "smtp", "dns", "udp", "ping", "script", "file"];
const VERSIONS: [(&str, HttpVersion); 4] = [
    ("1.0", HttpVersion::V10),
    ("1.0C", HttpVersion::V10Close),
    ("1.1", HttpVersion::V11),
    ("2", HttpVersion::V2),
];
const REPLY_MAX: u16 = 255;

/// What a check takes over from its server.
pub(super) struct Of {
    /// Port 0 when there is none.
    pub(super) to: SocketAddr,
    pub(super) pace: Pace,
    pub(super) host: Option<String>,
}

/// What is written of when checks are done.
pub(super) fn pace(table: &mut Table<'_>) -> Pace {
    let mut above_zero = |key: &str| {
        let span = table.seconds(key, MAX_SECS)?;
        if span.is_zero() {
            table.report(Severity::Error, "out-of-range", key, format!("`{key}` must be above 0"), "");
        }
        Some(span).filter(|span| !span.is_zero())
    };
    let (delay_loop, connect_timeout) = (above_zero("delay_loop"), above_zero("timeout"));
    Pace {
        delay_loop,
        connect_timeout,
        retry: table.integer("retry", 0..=u32::MAX),
        delay_before_retry: table.seconds("delay_before_retry", MAX_SECS),
        warmup: table.seconds("warmup", MAX_SECS),
        alpha: table.boolean("alpha"),
        log_all_failures: None,
    }
}

/// One check; none when anything in it is wrong.
pub(super) fn read(mut table: Table<'_>, of: &Of, around: &Around<'_>) -> Option<Check> {
    if !table.has("kind") {
        let message = "a check needs `kind`".to_owned();
        table.report(Severity::Error, "missing-key", "", message, &format!("one of {}", KINDS.join(", ")));
    }
    let word = table.choice("kind", &KINDS.map(|kind| (kind, kind)))?;
    let mut own = pace(&mut table);
    own.log_all_failures = table.boolean("log_all_failures");
    let (kind, keys): (Option<CheckKind>, &[&str]) = match word {
        "tcp" => (Some(CheckKind::Tcp), &[]),
        "http" | "https" => (Some(http(&mut table, word == "https", of.host.as_deref())), &HTTP_KEYS),
        "smtp" => {
            let helo = plain(&mut table, "helo").unwrap_or_else(|| around.host_name.to_owned());
            (Some(CheckKind::Smtp { helo }), &["helo"])
        }
        "dns" => (Some(dns(&mut table)), &["record", "name"]),
        "udp" => (Some(CheckKind::Udp(udp(&mut table))), &["payload", "reply", "min_len", "max_len"]),
        "ping" => (Some(CheckKind::Ping), &[]),
        "file" => (file(&mut table, around), &["tracker", "weight", "reverse"]),
        _ => (script(&mut table, &mut own, &of.pace), &["command", "user", "group", "dynamic"]),
    };
    let route = route(&mut table, kind.as_ref(), of);
    table.finish(&[&PACE_KEYS[..], &ROUTE_KEYS, keys].concat());
    let kind = kind.filter(|_| !table.has_errors())?;
    let pace = own.within(&of.pace).complete(&kind, false);
    Some(Check { kind, route: route?, pace })
}

fn route(table: &mut Table<'_>, kind: Option<&CheckKind>, of: &Of) -> Option<CheckRoute> {
    let written = table.parsed("to", "an address, a port or both: 192.0.2.10:8080", |text| {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        port.map(|port| SocketAddr::new(of.to.ip(), port)).or_else(|| host_and_port(text))
    });
    let mut to = written.unwrap_or(of.to);
    if to.port() == 0 {
        to.set_port(if of.to.port() > 0 { of.to.port() } else { kind.and_then(usual_port).unwrap_or(0) });
    }
    let from = table.parsed("from", "an address of this node, perhaps with a port", host_and_port);
    if from.is_some_and(|from| from.is_ipv4() != to.is_ipv4()) {
        let message = format!("a connection to {} cannot come from the other family", to.ip());
        table.report(Severity::Error, "mixed-families", "from", message, "");
    }
    let interface = table.parsed("interface", "the name of an interface", |text| {
        is_interface_name(text).then(|| text.to_owned())
    });
    let fwmark = table.integer("fwmark", 0..=u32::MAX).unwrap_or(0);
    let to = match kind? {
        CheckKind::Misc { .. } | CheckKind::File { .. } => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        CheckKind::Ping => SocketAddr::new(to.ip(), 0),
        _ => to,
    };
    let aimless = to.port() == 0 && !to.ip().is_unspecified() && !matches!(kind, Some(CheckKind::Ping));
    if aimless {
        let message = "the check has no port to connect to".to_owned();
        table.report(Severity::Error, "no-port", "", message, "write to = \"80\"");
    }
    Some(CheckRoute { to, from, interface, fwmark })
}

/// One word that may stand in a request.
fn plain(table: &mut Table<'_>, key: &str) -> Option<String> {
    let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| text.to_owned());
    table.parsed(key, "one word of ASCII", graphic)
}

fn http(table: &mut Table<'_>, tls: bool, host: Option<&str>) -> CheckKind {
    let host = plain(table, "host").or_else(|| host.map(str::to_owned));
    let version = table.choice("version", &VERSIONS).unwrap_or_default();
    let fast_recovery = table.boolean("fast_recovery").unwrap_or(false);
    // Servers behind one address need a name: unlike in keepalived.conf it is sent unless left out.
    let sni = plain(table, "sni");
    let written = if table.has("urls") { table.list("urls").unwrap_or_default() } else { Vec::new() };
    let mut urls: Vec<Url> = Vec::new();
    for (key, kind) in written {
        if let Some(inner) = table.as_table(&key, kind) {
            urls.push(url(inner, host.as_deref()));
        }
    }
    if urls.is_empty() {
        let path = "/".to_owned();
        urls.push(Url { path, host, sni: None, statuses: vec![GOOD_STATUS], digest: None, pattern: None });
    }
    for url in urls.iter_mut().filter(|_| tls) {
        url.sni = sni.clone().or_else(|| url.host.clone());
    }
    CheckKind::Http(HttpCheck { tls, version, urls, fast_recovery })
}

fn url(mut table: Table<'_>, host: Option<&str>) -> Url {
    let path = table.parsed("path", "a path in ASCII that begins with `/`", |text| {
        (text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
    });
    let host = plain(&mut table, "host").or_else(|| host.map(str::to_owned));
    let digest = table.parsed("digest", "32 hexadecimal digits (MD5)", digest);
    let pattern = pattern(&mut table);
    let mut good = Vec::new();
    for text in if table.has("status") { table.texts("status").unwrap_or_default() } else { Vec::new() } {
        match statuses(&text) {
            Some(range) => good.push(range),
            None => {
                let message = format!("`{}` must be a status or a range: \"200\", \"200-299\"", show(&text));
                table.report(Severity::Error, "bad-value", "status", message, "");
            }
        }
    }
    if good.is_empty() {
        good.push(if digest.is_some() || pattern.is_some() { ANY_STATUS } else { GOOD_STATUS });
    }
    table.finish(&URL_KEYS);
    let path = path.unwrap_or_else(|| "/".to_owned());
    Url { path, host, sni: None, statuses: good, digest, pattern }
}

fn pattern(table: &mut Table<'_>) -> Option<Pattern> {
    let regex = table.text("regex");
    let mut on = |key: &str| table.boolean(key).unwrap_or(false);
    let (forbidden, caseless, multiline, dot_all) =
        (on("forbidden"), on("caseless"), on("multiline"), on("dot_all"));
    let mut byte = |key: &str| table.integer(key, 0..=u32::MAX).map(|byte| byte as usize);
    let within = (byte("from_byte").unwrap_or(0), byte("to_byte"));
    let pattern = Pattern { regex: regex?, forbidden, within, caseless, multiline, dot_all };
    if let Err(why) = pattern.compile() {
        let mend = only_pcre(&pattern.regex).map(|(what, mend)| format!("only PCRE has {what}: {mend}"));
        let message = format!("`regex` is no pattern: {why}");
        table.report(Severity::Error, "bad-pattern", "regex", message, &mend.unwrap_or_default());
    }
    Some(pattern)
}

fn dns(table: &mut Table<'_>) -> CheckKind {
    let record = table.choice("record", &DNS_RECORDS).unwrap_or_default();
    let name = table.parsed("name", "a domain name", |text| is_domain(text).then(|| text.to_owned()));
    CheckKind::Dns { record, name: name.unwrap_or_else(|| ".".to_owned()) }
}

fn udp(table: &mut Table<'_>) -> UdpCheck {
    let payload = table.parsed("payload", "hexadecimal digits", |text| {
        hex(text.split_whitespace()).filter(|bytes| bytes.iter().all(|(_, mask)| mask & 0xf == 0xf))
    });
    let reply = match table.any_text("reply") {
        None => None,
        Some(text) => match hex(text.split_whitespace()) {
            Some(bytes) => Some(UdpReply(bytes)),
            None => {
                let message =
                    "`reply` must be hexadecimal digits, `x` for any; empty for any answer".to_owned();
                table.report(Severity::Error, "bad-value", "reply", message, "");
                None
            }
        },
    };
    let mut length = |key: &str| table.integer(key, 0..=65_535).and_then(|bytes| u16::try_from(bytes).ok());
    let (min_len, max_len) = (length("min_len").unwrap_or(0), length("max_len").unwrap_or(REPLY_MAX));
    if min_len > max_len {
        let message = format!("no answer is at least {min_len} and at most {max_len} bytes long");
        table.report(Severity::Error, "contradiction", "min_len", message, "");
    }
    let payload = payload.unwrap_or_default().into_iter().map(|(byte, _)| byte).collect();
    UdpCheck { payload, reply, min_len, max_len }
}

fn script(table: &mut Table<'_>, own: &mut Pace, outer: &Pace) -> Option<CheckKind> {
    let mut run = None;
    command::set(table, "command", &mut run);
    let user = command::user(table);
    let dynamic = table.boolean("dynamic").unwrap_or(false);
    let limit: Option<Duration> = own.connect_timeout;
    *own = Pace { connect_timeout: None, ..own.within(outer) };
    own.times_out_after(limit);
    if run.is_none() && !table.has_errors() {
        let message = "the check needs `command`".to_owned();
        table.report(
            Severity::Error,
            "missing-key",
            "",
            message,
            "write command = [\"/usr/local/bin/check\"]",
        );
    }
    let mut command = run?;
    command.user = command.user.or(user);
    Some(CheckKind::Misc { command, dynamic })
}

fn file(table: &mut Table<'_>, around: &Around<'_>) -> Option<CheckKind> {
    let name = table.text("tracker");
    let (points, reverse) = (table.signed("weight", -i32::MAX..=i32::MAX), table.boolean("reverse"));
    let Some(name) = name else {
        let message = "the check needs `tracker`".to_owned();
        table.report(Severity::Error, "missing-key", "", message, "name a [[tracker]] of kind \"file\"");
        return None;
    };
    let mut files = around.config.trackers.iter().filter(|tracker| tracker.id.kind == TrackerKind::File);
    let Some(tracker) = files.find(|tracker| tracker.id.name.eq_ignore_ascii_case(&name)) else {
        let message = format!("no file tracker `{}` is defined", show(&name));
        table.report(Severity::Error, "unknown-tracker", "tracker", message, "");
        return None;
    };
    let weight = points.unwrap_or(tracker.weight.points);
    let reverse = reverse.unwrap_or(tracker.weight.reverse);
    Some(CheckKind::File { tracker: tracker.id.name.clone(), weight, reverse })
}
