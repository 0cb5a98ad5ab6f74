//! How single values are written: the same in keepalived.conf and agent.toml.

pub(crate) mod lvs;
pub(crate) mod pace;
pub(crate) mod pattern;

use crate::model::{AddressScope, Broadcast};
use std::net::{IpAddr, Ipv4Addr};

/// Longest name of an interface, and longest label, in bytes, as the kernel has it.
const NAME_MAX_BYTES: usize = 15;

/// Whether the kernel could know an interface of this name.
pub(crate) fn is_interface_name(name: &str) -> bool {
    is_label(name) && !matches!(name, "." | "..") && !name.contains(['/', ':'])
}

/// Whether the kernel takes it as the label of an address.
pub(crate) fn is_label(label: &str) -> bool {
    let plain = !label.contains(|c: char| c.is_whitespace() || c.is_control());
    (1..=NAME_MAX_BYTES).contains(&label.len()) && plain
}

/// Whether a host can have `ip` as its own.
pub(crate) fn is_host(ip: &Ipv4Addr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
}

/// Whether a node can have this name: it stands in certificates as a host name does.
pub(crate) fn is_node_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| {
        label.chars().all(inner) && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.chars().all(|c| c.is_ascii_digit());
    (1..=63).contains(&name.len()) && name.split('.').all(label) && !number
}

/// Whether it is `HOST:PORT`: an IPv4 address, a host name or `[IPv6]`, and a port that is not 0.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let port = port.parse::<u16>().is_ok_and(|number| number > 0) && port.bytes().all(|b| b.is_ascii_digit());
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_node_name(host) || host.parse::<Ipv4Addr>().is_ok_and(|ip| is_host(&ip)),
    };
    host && port
}

/// `IP` or `IP/LENGTH`; without a length it is one address alone.
pub(crate) fn prefixed(text: &str) -> Option<(IpAddr, u8)> {
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

/// A scope's name, or its number, also in hexadecimal.
pub(crate) fn scope(text: &str) -> Option<AddressScope> {
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

/// `+`, `-` or the address itself.
pub(crate) fn broadcast(text: &str) -> Option<Broadcast> {
    Some(match text {
        "+" => Broadcast::HostBitsSet,
        "-" => Broadcast::HostBitsClear,
        ip => Broadcast::Address(ip.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_and_labels() {
        for (name, interface, label) in [
            ("eth0", true, true),
            ("eth0:1", false, true),
            ("a123456789012345", false, false),
            ("a12345678901234", true, true),
            ("", false, false),
            ("..", false, true),
            ("a/b", false, true),
            ("a b", false, false),
            ("a\u{7}", false, false),
        ] {
            assert_eq!((is_interface_name(name), is_label(name)), (interface, label), "{name:?}");
        }
    }

    #[test]
    fn nodes_and_where_they_listen() {
        for (name, good) in [
            ("node1", true),
            ("LVS_DEVEL", true),
            ("a.example", true),
            ("1a", true),
            ("", false),
            ("a b", false),
            ("-a", false),
            ("a..b", false),
            ("a/b", false),
            ("192.0.2.1", false),
            ("7", false),
        ] {
            assert_eq!(is_node_name(name), good, "{name:?}");
        }
        for (text, good) in [
            ("192.0.2.1:9443", true),
            ("node2.example:9443", true),
            ("[2001:db8::1]:9443", true),
            ("192.0.2.1", false),
            ("192.0.2.1:0", false),
            ("192.0.2.1:+1", false),
            ("192.0.2.1:65536", false),
            ("224.0.0.18:9443", false),
            ("2001:db8::1:9443", false),
            ("192.0.2.300:9443", false),
            ("https://a:1", false),
            (":9443", false),
        ] {
            assert_eq!(is_host_and_port(text), good, "{text:?}");
        }
    }

    #[test]
    fn prefix_lengths() {
        let v4 = |length| Some(("192.0.2.1".parse().unwrap(), length));
        let v6 = |length| Some(("2001:db8::1".parse().unwrap(), length));
        for (text, expected) in [
            ("192.0.2.1", v4(32)),
            ("192.0.2.1/0", v4(0)),
            ("192.0.2.1/33", None),
            ("192.0.2.1/+8", None),
            ("192.0.2.1/", None),
            ("192.0.2/24", None),
            ("2001:db8::1/64", v6(64)),
            ("2001:db8::1/129", None),
        ] {
            assert_eq!(prefixed(text), expected, "{text}");
        }
    }

    #[test]
    fn scopes() {
        for (text, expected) in
            [("link", Some(253)), ("universe", Some(0)), ("0xc8", Some(200)), ("256", None), ("Link", None)]
        {
            assert_eq!(scope(text).map(|scope| scope.0), expected, "{text}");
        }
    }
}
