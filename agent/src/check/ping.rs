//! Whether a host answers an echo request. The kernel's own echo sockets are used where this user may
//! (`net.ipv4.ping_group_range`), else raw ones, which need CAP_NET_RAW.

use super::outcome::{Answer, Bad, bad, good, span, words};
use super::route::{datagrams, receive};
use hacluster_conf::model::lvs::CheckRoute;
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpType, checksum};
use socket2::{Protocol, Type};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Type, code, checksum, number, sequence.
const HEADER: usize = 8;
/// What makes our request known among others.
const MARK: usize = 8;
/// Longest answer: an IPv4 header with options and what was sent.
const ANSWER_MAX: usize = 60 + HEADER + MARK;

pub(super) async fn ask(route: &CheckRoute, limit: Duration) -> Answer {
    let mut route = route.clone();
    route.to.set_port(0);
    let (protocol, request, reply) = match route.to.is_ipv4() {
        true => (Protocol::ICMPV4, 8, 0),
        false => (Protocol::ICMPV6, 128, 129),
    };
    let socket = open(&route, protocol)?;
    let mark = RandomState::new().hash_one(route.to).to_be_bytes();
    let failed = |error: std::io::Error| bad(words(&error));
    socket.send(&message(request, mark)).await.map_err(failed)?;
    let wait = async {
        loop {
            if is_reply(&receive(&socket, ANSWER_MAX).await?, reply, &mark) {
                return good("answers echo requests");
            }
        }
    };
    timeout(limit, wait).await.unwrap_or_else(|_| Err(bad(format!("no echo reply within {}", span(limit)))))
}

fn open(route: &CheckRoute, protocol: Protocol) -> Result<UdpSocket, Bad> {
    match datagrams(route, Type::DGRAM, protocol) {
        Err(Bad::Ours(_)) => datagrams(route, Type::RAW, protocol).map_err(|why| match why {
            Bad::Ours(why) => {
                Bad::Ours(format!("{why}; grant CAP_NET_RAW, or widen net.ipv4.ping_group_range"))
            }
            why => why,
        }),
        opened => opened,
    }
}

/// ICMP and ICMPv6 write an echo request the same way; the checksum of the latter is the kernel's work.
fn message(request: u8, mark: [u8; MARK]) -> [u8; HEADER + MARK] {
    let mut bytes = [0; HEADER + MARK];
    if let Some(mut packet) = MutableEchoRequestPacket::new(&mut bytes) {
        packet.set_icmp_type(IcmpType(request));
        packet.set_identifier(u16::from_be_bytes([mark[0], mark[1]]));
        packet.set_payload(&mark);
    }
    let sum = IcmpPacket::new(&bytes).map_or(0, |packet| checksum(&packet));
    if let Some(mut packet) = MutableEchoRequestPacket::new(&mut bytes) {
        packet.set_checksum(sum);
    }
    bytes
}

/// Whether `bytes` answer our request; raw sockets bring an IPv4 header before, and others' answers.
fn is_reply(bytes: &[u8], reply: u8, mark: &[u8; MARK]) -> bool {
    let Some(at) = bytes.len().checked_sub(HEADER + MARK) else { return false };
    let header = match bytes.first() {
        Some(first) if at > 0 && first >> 4 == 4 => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    at == header && bytes[at] == reply && bytes[at + HEADER..] == *mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_request_counts() {
        let mark = [7; MARK];
        let mut answer = message(8, mark).to_vec();
        assert!(!is_reply(&answer, 0, &mark), "our own request");
        answer[0] = 0;
        assert!(is_reply(&answer, 0, &mark));
        assert!(!is_reply(&answer, 0, &[8; MARK]));
        assert!(!is_reply(&answer, 129, &mark));
        assert!(is_reply(&[&[0x45; 20], &answer[..]].concat(), 0, &mark));
        assert!(!is_reply(&[&[0x46; 20], &answer[..]].concat(), 0, &mark));
        assert!(!is_reply(&[&[0; 20], &answer[..]].concat(), 0, &mark));
        for length in 0..answer.len() {
            assert!(!is_reply(&answer[..length], 0, &mark), "{length} bytes");
        }
    }
}
