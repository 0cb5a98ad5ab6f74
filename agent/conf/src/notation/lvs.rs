//! How values of virtual servers and checks are written: the same in keepalived.conf and agent.toml.

use crate::model::lvs::{DnsRecord, Forwarding, Protocol, Tunnel, TunnelChecksum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Schedulers that kernels have.
pub(crate) const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf", "twos"];
/// Used where none, or an unknown one, is written.
pub(crate) const DEFAULT_SCHEDULER: &str = "wlc";
/// Transport protocols as written in agent.toml.
pub(crate) const PROTOCOLS: [(&str, Protocol); 3] =
    [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];
/// Kinds of DNS record.
pub(crate) const DNS_RECORDS: [(&str, DnsRecord); 7] = [
    ("A", DnsRecord::A),
    ("NS", DnsRecord::Ns),
    ("CNAME", DnsRecord::Cname),
    ("SOA", DnsRecord::Soa),
    ("MX", DnsRecord::Mx),
    ("TXT", DnsRecord::Txt),
    ("AAAA", DnsRecord::Aaaa),
];
/// Addresses and marks that one group may have: the kernel gets a service for each.
pub(crate) const GROUP_MAX: usize = 4096;
/// Of all groups together.
pub(crate) const GROUPS_MAX: usize = 65_536;
/// Longest persistence, in seconds, as the kernel has it.
pub(crate) const PERSISTENCE_MAX_SECS: u32 = 31 * 86_400;
/// Persistence when no time is written, in seconds.
pub(crate) const PERSISTENCE_SECS: u64 = 360;
/// Statuses of HTTP that are good when nothing else is asked for.
pub(crate) const GOOD_STATUS: (u16, u16) = (200, 299);
/// Any status, for answers that are known by their body.
pub(crate) const ANY_STATUS: (u16, u16) = (100, 599);

/// Longest name that DNS knows, and longest part of one.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// `A`, `A-B` (two addresses, or the last part of the second one alone) or `A/LENGTH`.
pub(crate) fn addresses(text: &str) -> Result<Vec<IpAddr>, &'static str> {
    const EXPECTED: &str =
        "an address, or a range such as 192.0.2.1-10, 192.0.2.1-192.0.2.10 or 192.0.2.8/29";
    const TOO_MANY: &str = "at most 4096 addresses";
    let (first, last) = if let Some((first, last)) = text.split_once('-') {
        let first: IpAddr = first.parse().map_err(|_| EXPECTED)?;
        (first, end(first, last).ok_or(EXPECTED)?)
    } else if let Some((first, length)) = text.split_once('/') {
        let first: IpAddr = first.parse().map_err(|_| EXPECTED)?;
        subnet(first, length).ok_or(EXPECTED)?
    } else {
        let only: IpAddr = text.parse().map_err(|_| EXPECTED)?;
        return Ok(vec![only]);
    };
    let (from, to) = (number(first), number(last));
    if first.is_ipv4() != last.is_ipv4() || from > to {
        return Err(EXPECTED);
    }
    if to - from >= GROUP_MAX as u128 {
        return Err(TOO_MANY);
    }
    let address = |number: u128| match first {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    };
    Ok((from..=to).map(address).collect())
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The end of a range: an address, or what takes the place of the last part of `first`.
fn end(first: IpAddr, last: &str) -> Option<IpAddr> {
    if let Ok(ip) = last.parse::<IpAddr>() {
        return Some(ip);
    }
    Some(match first {
        IpAddr::V4(ip) => {
            let mut octets = ip.octets();
            octets[3] = last.parse().ok()?;
            IpAddr::from(octets)
        }
        IpAddr::V6(ip) => {
            let mut segments = ip.segments();
            segments[7] = u16::from_str_radix(last, 16).ok()?;
            IpAddr::from(segments)
        }
    })
}

/// First and last address of a subnet.
fn subnet(ip: IpAddr, length: &str) -> Option<(IpAddr, IpAddr)> {
    let length: u32 = length.parse().ok()?;
    Some(match ip {
        IpAddr::V4(ip) => {
            let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(ip) & !hosts;
            (length <= 32).then_some((Ipv4Addr::from(first).into(), Ipv4Addr::from(first | hosts).into()))?
        }
        IpAddr::V6(ip) => {
            let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
            let first = u128::from(ip) & !hosts;
            (length <= 128).then_some((Ipv6Addr::from(first).into(), Ipv6Addr::from(first | hosts).into()))?
        }
    })
}

/// A netmask, or its length; at least 1.
pub(crate) fn granularity(text: &str, ipv6: bool) -> Option<u8> {
    let most = if ipv6 { 128 } else { 32 };
    let length = match text.parse::<Ipv4Addr>() {
        Ok(mask) if !ipv6 => {
            let bits = u32::from(mask);
            u8::try_from(bits.leading_ones())
                .ok()
                .filter(|_| bits.leading_ones() + bits.trailing_zeros() == 32)?
        }
        _ => text.trim_start_matches('/').parse().ok()?,
    };
    (1..=most).contains(&length).then_some(length)
}

/// `NAT`, `DR`, or `TUN [type ipip|gue port NUMBER|gre] [nocsum|csum|remcsum]`.
pub(crate) fn forwarding<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Forwarding, &'static str> {
    const EXPECTED: &str = "`NAT`, `DR` or `TUN`";
    const TUNNEL: &str = "`TUN [type ipip|gue port NUMBER|gre] [nocsum|csum|remcsum]`";
    let plain = |forwarding, rest: Option<&str>| if rest.is_none() { Ok(forwarding) } else { Err(EXPECTED) };
    match words.next() {
        Some("NAT") => return plain(Forwarding::Masquerade, words.next()),
        Some("DR") => return plain(Forwarding::DirectRouting, words.next()),
        Some("TUN") => {}
        _ => return Err(EXPECTED),
    }
    let (mut kind, mut port, mut checksum) = ("ipip", None, TunnelChecksum::None);
    while let Some(word) = words.next() {
        match word {
            "type" => kind = words.next().ok_or(TUNNEL)?,
            "port" => port = words.next().and_then(|port| port.parse().ok()).filter(|port: &u16| *port > 0),
            "nocsum" => checksum = TunnelChecksum::None,
            "csum" => checksum = TunnelChecksum::Full,
            "remcsum" => checksum = TunnelChecksum::Remote,
            _ => return Err(TUNNEL),
        }
    }
    Ok(Forwarding::Tunnel(match (kind, port, checksum) {
        ("ipip", None, TunnelChecksum::None) => Tunnel::Ipip,
        ("gue", Some(port), checksum) => Tunnel::Gue { port, checksum },
        ("gre", None, TunnelChecksum::None | TunnelChecksum::Full) => Tunnel::Gre { checksum },
        _ => return Err(TUNNEL),
    }))
}

/// `200` or `200-299`.
pub(crate) fn statuses(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (ANY_STATUS.0 <= first && first <= last && last <= ANY_STATUS.1).then_some((first, last))
}

/// 32 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Option<[u8; 16]> {
    let good = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// Hexadecimal digits in words, two for a byte; a digit left over at the end of a word is a byte of its
/// own, and `x` stands for any digit. Each byte comes with the bits that count.
pub(crate) fn hex<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<(u8, u8)>> {
    let nibble = |char: u8| match char {
        b'x' | b'X' => Some((0, 0)),
        char => char::from(char).to_digit(16).map(|digit| (digit as u8, 0xf)),
    };
    let mut bytes = Vec::new();
    for word in words {
        for pair in word.as_bytes().chunks(2) {
            bytes.push(match *pair {
                [high, low] => {
                    let ((high, of_high), (low, of_low)) = (nibble(high)?, nibble(low)?);
                    (high << 4 | low, of_high << 4 | of_low)
                }
                [low] => {
                    let (low, of_low) = nibble(low)?;
                    (low, 0xf0 | of_low)
                }
                _ => return None,
            });
        }
    }
    Some(bytes)
}

/// Whether a question can ask for it.
pub(crate) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    let inner = name.strip_suffix('.').unwrap_or(name);
    name == "." || inner.len() <= NAME_MAX && inner.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses() {
        let count = |text| {
            addresses(text).map(|list| (list.len(), list[0].to_string(), list[list.len() - 1].to_string()))
        };
        let some = |count: usize, first: &str, last: &str| Ok((count, first.to_owned(), last.to_owned()));
        assert_eq!(count("192.0.2.1"), some(1, "192.0.2.1", "192.0.2.1"));
        assert_eq!(count("192.0.2.1-10"), some(10, "192.0.2.1", "192.0.2.10"));
        assert_eq!(count("192.0.2.250-192.0.3.10"), some(17, "192.0.2.250", "192.0.3.10"));
        assert_eq!(count("192.0.2.9/29"), some(8, "192.0.2.8", "192.0.2.15"));
        assert_eq!(count("192.0.2.9/32"), some(1, "192.0.2.9", "192.0.2.9"));
        assert_eq!(count("2001:db8::1-ff"), some(255, "2001:db8::1", "2001:db8::ff"));
        assert_eq!(count("2001:db8::/126"), some(4, "2001:db8::", "2001:db8::3"));
        assert_eq!(count("10.0.0.0/20").map(|found| found.0), Ok(4096));
        for too_many in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/64", "10.0.0.0-10.0.16.0"] {
            assert_eq!(count(too_many), Err("at most 4096 addresses"), "{too_many}");
        }
        for wrong in [
            "",
            "-",
            "/",
            "10.0.0.9-1",
            "10.0.0.1-256",
            "10.0.0.1-::1",
            "10.0.0.0/33",
            "::/129",
            "a-b",
            "10.0.0.0/",
        ] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn masks_and_lengths() {
        for (text, ipv6, length) in [
            ("255.255.255.0", false, Some(24)),
            ("255.255.255.255", false, Some(32)),
            ("255.0.255.0", false, None),
            ("0.0.0.0", false, None),
            ("24", false, Some(24)),
            ("/24", false, Some(24)),
            ("64", true, Some(64)),
            ("129", true, None),
            ("64", false, None),
            ("255.255.255.0", true, None),
        ] {
            assert_eq!(granularity(text, ipv6), length, "{text}");
        }
    }

    #[test]
    fn ways_to_a_server() {
        let read = |text: &str| forwarding(text.split(' '));
        assert_eq!(read("NAT"), Ok(Forwarding::Masquerade));
        assert_eq!(read("DR"), Ok(Forwarding::DirectRouting));
        assert_eq!(read("TUN"), Ok(Forwarding::Tunnel(Tunnel::Ipip)));
        let checksum = TunnelChecksum::Remote;
        assert_eq!(
            read("TUN type gue port 6080 remcsum"),
            Ok(Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum }))
        );
        assert_eq!(
            read("TUN type gre csum"),
            Ok(Forwarding::Tunnel(Tunnel::Gre { checksum: TunnelChecksum::Full }))
        );
        for wrong in
            ["dr", "NAT|DR|TUN", "DR csum", "TUN type gue", "TUN type gre remcsum", "TUN type", "TUN 1", ""]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_words() {
        let bytes = |text: &str| {
            hex(text.split(' ')).map(|bytes| bytes.iter().map(|(byte, _)| *byte).collect::<Vec<_>>())
        };
        let expected = vec![0xab, 0x12, 0x0f, 3, 0x45, 6, 0x54, 0x64, 0x43, 0x12, 3];
        assert_eq!(bytes("Ab12f 3 456 546443123"), Some(expected));
        assert_eq!(hex(["1xX2x"].into_iter()), Some(vec![(0x10, 0xf0), (2, 0x0f), (0, 0xf0)]));
        assert_eq!(bytes("0g"), None);
        assert_eq!(bytes("é"), None);
        assert_eq!(digest("9b3a0c85a887a256d6939da88aabd8cd").map(|digest| digest[0]), Some(0x9b));
        for wrong in ["", "+b3a0c85a887a256d6939da88aabd8cd", "9b3a", "zb3a0c85a887a256d6939da88aabd8cd"] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
