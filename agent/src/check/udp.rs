//! Whether a server takes a datagram, and answers it where an answer is asked for.

use super::outcome::{Answer, Bad, bad, good, shown, span, words};
use super::route::{datagrams, receive};
use hacluster_conf::model::lvs::{CheckRoute, UdpCheck, UdpReply};
use socket2::{Protocol, Type};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that are looked at; a longer one counts as so long.
const ANSWER_MAX: usize = 65_536;

/// Sends, and waits for an answer or a refusal. Where no answer is required, silence is good.
pub(super) async fn ask(route: &CheckRoute, check: &UdpCheck, limit: Duration) -> Answer {
    let socket = datagrams(route, Type::DGRAM, Protocol::UDP)?;
    socket.send(&check.payload).await.map_err(|error| bad(words(&error)))?;
    match (timeout(limit, receive(&socket, ANSWER_MAX)).await, &check.reply) {
        (Ok(Ok(answer)), Some(reply)) => judge(&answer, reply, check),
        (Ok(Ok(answer)), None) => good(format!("answers{}", shown(&answer))),
        (Ok(Err(why)), _) => Err(why),
        (Err(_), Some(_)) => Err(bad(format!("no answer within {}", span(limit)))),
        (Err(_), None) => good(format!("not refused within {}", span(limit))),
    }
}

/// As with keepalived, of an answer and what it must begin with only the shorter length is compared.
fn judge(answer: &[u8], UdpReply(wanted): &UdpReply, check: &UdpCheck) -> Answer {
    let (length, text) = (answer.len(), shown(answer));
    let lengths = usize::from(check.min_len)..=usize::from(check.max_len);
    if !lengths.contains(&length) {
        let (least, most) = lengths.into_inner();
        return Err(bad(format!("answer of {length} bytes (wants {least} to {most}){text}")));
    }
    let differs = |(is, (byte, mask)): (&u8, &(u8, u8))| (is ^ byte) & mask != 0;
    match answer.iter().zip(wanted).position(differs) {
        None => good(format!("answers{text}")),
        Some(at) => {
            let (is, (byte, mask)) = (answer[at], wanted[at]);
            let why =
                format!("answer differs at byte {at}: is {is:02x}, wanted {byte:02x} (mask {mask:02x})");
            Err(Bad::Server(format!("{why}{text}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compared_bit_by_bit() {
        let check = |min_len, max_len, wanted: &[(u8, u8)]| UdpCheck {
            payload: Vec::new(),
            reply: Some(UdpReply(wanted.to_vec())),
            min_len,
            max_len,
        };
        let table: [(UdpCheck, &[u8], Option<&str>); 7] = [
            (check(0, 255, &[]), b"", None),
            (check(0, 255, &[(0xab, 0xff), (0x10, 0xf0)]), &[0xab, 0x17, 0xff], None),
            (check(0, 255, &[(0xab, 0xff), (0x10, 0xf0)]), &[0xab], None),
            (
                check(0, 255, &[(0xab, 0xff), (0x10, 0xf0)]),
                &[0xab, 0x27],
                Some("at byte 1: is 27, wanted 10"),
            ),
            (check(3, 255, &[]), b"ok", Some("answer of 2 bytes (wants 3 to 255): \"ok\"")),
            (check(0, 1, &[]), b"ok", Some("answer of 2 bytes (wants 0 to 1)")),
            (check(2, 2, &[(b'o', 0xff)]), b"ok", None),
        ];
        for (check, answer, wrong) in table {
            let UdpCheck { reply: Some(reply), .. } = &check else { unreachable!() };
            match (judge(answer, reply, &check), wrong) {
                (Ok(_), None) => {}
                (Err(Bad::Server(why)), Some(wrong)) => assert!(why.contains(wrong), "{why}"),
                (judged, wrong) => panic!("{judged:?} {wrong:?}"),
            }
        }
    }
}
