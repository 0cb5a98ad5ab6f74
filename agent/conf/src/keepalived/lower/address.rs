//! Lines of `virtual_ipaddress`: an address and how it is put on an interface.

use super::super::parser::{Statement, Word};
use super::values::undefined;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::Address;
use crate::notation::{broadcast, is_host, is_interface_name, is_label, prefixed, scope};
use crate::suggest::look_alike;
use std::net::IpAddr;

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
    let Some((ip, prefix_len)) = prefixed(&first.text) else {
        reader.error(
            first,
            "bad-address",
            format!("`{}` is not an IP address: the line is ignored", show(&first.text)),
            undefined(&first.text),
        );
        return Line::Nothing;
    };
    let IpAddr::V4(ip) = ip else { return Line::V6 };
    if !is_host(&ip) {
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

impl<'a> Reader<'a> {
    /// One option; `false` when the rest of the line makes no sense.
    fn option(&mut self, word: &'a Word, address: &mut Address) -> bool {
        match word.text.as_str() {
            "dev" => self.with_value(word, |this, value| this.device(value, address)),
            "brd" | "broadcast" => self.with_value(word, |this, value| match broadcast(&value.text) {
                Some(broadcast) => address.broadcast = broadcast,
                None => this.ignored(value, "`+`, `-` or an IPv4 address"),
            }),
            "scope" => self.with_value(word, |this, value| match scope(&value.text) {
                Some(scope) => address.scope = scope,
                None => {
                    this.ignored(value, "`global`, `site`, `link`, `host`, `nowhere` or a number up to 255")
                }
            }),
            "label" => self.with_value(word, |this, value| this.label(value, address)),
            "peer" => self.with_value(word, |this, value| match prefixed(&value.text) {
                Some((IpAddr::V4(peer), length)) => address.peer = Some((peer, length)),
                _ => this.ignored(value, "an IPv4 address"),
            }),
            "noprefixroute" => address.no_prefix_route = true,
            "no_track" => address.no_track = true,
            "use_vmac" => self.vmac = Some(word.span.clone()),
            "preferred_lft" => {
                self.with_value(word, |this, _| this.without_effect(word, "addresses are preferred for ever"))
            }
            "track_group" => {
                self.with_value(word, |this, _| {
                    this.without_effect(word, "no group follows a static address yet")
                });
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
        if is_label(&value.text) {
            address.label = Some(value.text.clone());
            return;
        }
        self.dropped = true;
        let message =
            format!("label `{}` cannot be used: the address {address} is dropped", show(&value.text));
        self.error(value, "bad-label", message, Some("write 1 to 15 bytes".to_owned()));
    }

    fn unknown(&mut self, word: &Word) -> bool {
        let mend = if let Some(strange) = look_alike(&word.text) {
            Some(format!("{}: {}", strange.title(), strange.mend))
        } else if prefixed(&word.text).is_some() {
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
