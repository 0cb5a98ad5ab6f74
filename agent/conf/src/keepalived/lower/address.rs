//! Lines of `virtual_ipaddress`: an address and how it is put on an interface.

use super::super::parser::{Statement, Word};
use super::values::{is_interface_name, undefined};
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::{Address, AddressScope, Broadcast};
use crate::suggest::look_alike;
use std::net::{IpAddr, Ipv4Addr};

/// Longest label the kernel takes, in bytes.
const MAX_LABEL: usize = 15;

/// What a line holds.
pub(super) enum Line {
    V4(Address),
    V6,
    /// The address, and where `use_vmac` is asked for: its own MAC address changes the network.
    Vmac(Span),
    /// Already reported.
    Nothing,
}

struct Reader<'a> {
    findings: &'a Findings,
    words: std::slice::Iter<'a, Word>,
    vmac: Option<Span>,
    /// The address cannot be used.
    dropped: bool,
}

/// Reads one line.
pub(super) fn line(statement: &Statement, findings: &Findings) -> Line {
    let mut reader = Reader { findings, words: statement.words.iter(), vmac: None, dropped: false };
    let Some(first) = reader.words.next() else { return Line::Nothing };
    let Some((ip, prefix_len)) = address(&first.text) else {
        reader.error(
            first,
            "bad-address",
            format!("`{}` is not an IP address: the line is ignored", show(&first.text)),
            undefined(&first.text),
        );
        return Line::Nothing;
    };
    let IpAddr::V4(ip) = ip else { return Line::V6 };
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        reader.error(
            first,
            "bad-address",
            format!("{ip} cannot be the address of a host: the line is ignored"),
            None,
        );
        return Line::Nothing;
    }
    let mut address = Address::new(ip, prefix_len);
    while let Some(word) = reader.words.next() {
        if !reader.option(word, &mut address) {
            break;
        }
    }
    match (reader.dropped, reader.vmac) {
        (true, _) => Line::Nothing,
        (_, Some(at)) => Line::Vmac(at),
        _ => Line::V4(address),
    }
}

/// `IP` or `IP/LENGTH`.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, Some(length)),
        None => (text, None),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|length| *length <= most)?
        }
        Some(_) => return None,
    };
    Some((ip, length))
}

fn scope(text: &str) -> Option<AddressScope> {
    Some(match text {
        "global" | "universe" => AddressScope::GLOBAL,
        "site" => AddressScope::SITE,
        "link" => AddressScope::LINK,
        "host" => AddressScope::HOST,
        "nowhere" => AddressScope::NOWHERE,
        number => AddressScope(match number.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        }),
    })
}

impl<'a> Reader<'a> {
    /// One option; `false` when the rest of the line makes no sense.
    fn option(&mut self, word: &'a Word, address: &mut Address) -> bool {
        match word.text.as_str() {
            "dev" => self.with_value(word, |this, value| this.device(value, address)),
            "brd" | "broadcast" => self.with_value(word, |this, value| match value.text.as_str() {
                "+" => address.broadcast = Broadcast::HostBitsSet,
                "-" => address.broadcast = Broadcast::HostBitsClear,
                text => match text.parse() {
                    Ok(ip) => address.broadcast = Broadcast::Address(ip),
                    Err(_) => this.ignored(value, "`+`, `-` or an IPv4 address"),
                },
            }),
            "scope" => self.with_value(word, |this, value| match scope(&value.text) {
                Some(scope) => address.scope = scope,
                None => {
                    this.ignored(value, "`global`, `site`, `link`, `host`, `nowhere` or a number up to 255")
                }
            }),
            "label" => self.with_value(word, |this, value| this.label(value, address)),
            "peer" => self.with_value(word, |this, value| match self::address(&value.text) {
                Some((IpAddr::V4(peer), length)) => address.peer = Some((peer, length)),
                _ => this.ignored(value, "an IPv4 address"),
            }),
            "noprefixroute" => address.no_prefix_route = true,
            "no_track" => address.no_track = true,
            "use_vmac" => self.vmac = Some(word.span.clone()),
            "preferred_lft" => {
                self.with_value(word, |this, _| this.without_effect(word, "addresses are preferred for ever"))
            }
            "home" | "-nodad" | "nodad" | "mngtmpaddr" | "dadfailed" => {
                self.without_effect(word, "it concerns IPv6 addresses only")
            }
            "autojoin" => self.without_effect(word, "no multicast group is joined for an address"),
            _ => return self.unknown(word),
        }
        true
    }

    fn with_value(&mut self, option: &'a Word, use_it: impl FnOnce(&mut Self, &'a Word)) {
        match self.words.next() {
            Some(value) => use_it(self, value),
            None => self.error(
                option,
                "missing-parameter",
                format!("`{}` needs a value", show(&option.text)),
                None,
            ),
        }
    }

    fn device(&mut self, value: &Word, address: &mut Address) {
        if is_interface_name(&value.text) {
            address.dev = Some(value.text.clone());
            return;
        }
        self.dropped = true;
        self.error(
            value,
            "bad-interface",
            format!("`{}` cannot be an interface: the address is dropped", show(&value.text)),
            None,
        );
    }

    fn label(&mut self, value: &Word, address: &mut Address) {
        if value.text.len() <= MAX_LABEL {
            address.label = Some(value.text.clone());
            return;
        }
        self.dropped = true;
        let message = format!(
            "label `{}` is longer than {MAX_LABEL} characters: the address {address} is dropped",
            show(&value.text)
        );
        self.error(value, "long-label", message, Some("shorten it".to_owned()));
    }

    fn unknown(&mut self, word: &Word) -> bool {
        let mend = if let Some(strange) = look_alike(&word.text) {
            Some(format!("{}: {}", strange.title(), strange.mend))
        } else if self::address(&word.text).is_some() {
            Some("write each address on a line of its own".to_owned())
        } else {
            None
        };
        self.error(
            word,
            "bad-option",
            format!("`{}` is not an option of an address: the rest of the line is ignored", show(&word.text)),
            mend,
        );
        false
    }

    fn ignored(&mut self, value: &Word, expected: &str) {
        self.error(
            value,
            "bad-value",
            format!("`{}` is not {expected}: it is ignored", show(&value.text)),
            None,
        );
    }

    fn without_effect(&mut self, word: &Word, why: &str) {
        let message = format!("`{}` is accepted without effect", show(&word.text));
        self.findings.push(Diagnostic::new(Severity::Hint, "no-effect", message).at(&word.span).note(why));
    }

    fn error(&mut self, word: &Word, code: &'static str, message: String, label: Option<String>) {
        let mut found = Diagnostic::new(Severity::Error, code, message).at(&word.span);
        found.label = label;
        self.findings.push(found);
    }
}

/// Whether an address can be the source of adverts.
pub(super) fn source(text: &str) -> Option<Ipv4Addr> {
    text.parse::<Ipv4Addr>()
        .ok()
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast())
}
