//! Words one after the other, and what is wrong with one.

use super::tables;
use crate::findings::show;
use crate::model::route::Network;
use crate::notation::{is_interface_name, prefixed};
use crate::suggest::look_alike;
use std::net::{IpAddr, Ipv4Addr};

/// Why a line is no route or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Which word, from 0; the first one when one is missing.
    pub(crate) at: usize,
    pub(crate) code: &'static str,
    /// What is wrong, without what becomes of the line.
    pub(crate) message: String,
    pub(crate) mend: Option<String>,
}

/// The words of a line.
pub(super) struct Reader<'a> {
    words: &'a [&'a str],
    /// Of the word that comes next.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a [&'a str]) -> Self {
        Self { words, at: 0 }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    /// Passes over `word` if it comes next.
    pub(super) fn skip(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.at += usize::from(there);
        there
    }

    /// The value of the option just read.
    pub(super) fn value<T>(
        &mut self,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Wrong> {
        let option = self.at.saturating_sub(1);
        let Some(word) = self.next() else {
            let message =
                format!("`{}` needs a value", show(self.words.get(option).copied().unwrap_or_default()));
            return Err(Wrong {
                at: option,
                code: "missing-parameter",
                message,
                mend: Some(format!("write {expected}")),
            });
        };
        read(word).ok_or_else(|| self.wrong("bad-value", word, expected))
    }

    pub(super) fn number(&mut self, most: u32) -> Result<u32, Wrong> {
        self.value(&format!("a number from 0 to {most}"), |text| {
            number(text).filter(|number| *number <= most)
        })
    }

    pub(super) fn byte(&mut self) -> Result<u8, Wrong> {
        self.number(255).map(|number| number as u8)
    }

    pub(super) fn table(&mut self) -> Result<u32, Wrong> {
        self.value("a table's number, or its name in /etc/iproute2/rt_tables", tables::number)
    }

    pub(super) fn interface(&mut self) -> Result<String, Wrong> {
        self.value("the name of an interface", |text| is_interface_name(text).then(|| text.to_owned()))
    }

    pub(super) fn ip(&mut self) -> Result<Ipv4Addr, Wrong> {
        self.skip("inet");
        match self.value("an IPv4 address", |text| text.parse().ok())? {
            IpAddr::V4(ip) => Ok(ip),
            IpAddr::V6(_) => Err(self.ipv6()),
        }
    }

    pub(super) fn network(&mut self) -> Result<Network, Wrong> {
        self.skip("inet");
        let word = self.value("an IPv4 network, as in 192.0.2.0/24", |text| Some(text.to_owned()))?;
        self.as_network(&word)
    }

    /// The word just read as a network.
    pub(super) fn as_network(&self, word: &str) -> Result<Network, Wrong> {
        if matches!(word, "default" | "all" | "any") {
            return Ok(Network { ip: Ipv4Addr::UNSPECIFIED, prefix_len: 0 });
        }
        match prefixed(word) {
            Some((IpAddr::V4(ip), length)) => Ok(Network::of(ip, length)),
            Some((IpAddr::V6(_), _)) => Err(self.ipv6()),
            None => Err(self.wrong("bad-address", word, "an IPv4 network, as in 192.0.2.0/24")),
        }
    }

    /// The word just read belongs to IPv6.
    fn ipv6(&self) -> Wrong {
        Wrong {
            at: self.at.saturating_sub(1),
            code: "refused-ipv6",
            message: "IPv6 is not in force yet".to_owned(),
            mend: None,
        }
    }

    /// The word just read is not `expected`.
    fn wrong(&self, code: &'static str, word: &str, expected: &str) -> Wrong {
        let mend = look_alike(word).map(|strange| format!("{}: {}", strange.title(), strange.mend));
        let message = format!("`{}` is not {expected}", show(word));
        Wrong { at: self.at.saturating_sub(1), code, message, mend }
    }

    /// The word just read means nothing in `what`.
    pub(super) fn unknown(&self, word: &str, what: &str) -> Wrong {
        self.wrong("bad-option", word, &format!("an option of {what}"))
    }

    /// Something that is not there.
    pub(super) fn lacking(&self, message: &str, mend: &str) -> Wrong {
        Wrong { at: 0, code: "missing-parameter", message: message.to_owned(), mend: Some(mend.to_owned()) }
    }
}

/// Decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}
