//! Cutting a datagram into netlink messages, and a message's body into attributes.

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use nix::errno::Errno;

pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const HEADER_BYTES: usize = 16;

/// One netlink message, borrowed from the datagram it came in.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// Port id of the socket whose request caused this; 0 for the kernel itself.
    pub(super) port: u32,
    pub(super) body: &'a [u8],
}

/// The messages of a datagram; stops at the first that does not fit.
pub(super) fn frames(mut rest: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(rest).ok()?;
        let length = usize::try_from(header.length()).ok()?;
        let frame = Frame {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            port: header.port_number(),
            body: rest.get(HEADER_BYTES..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// `(kind, value)` of every attribute; stops at the first that does not fit.
pub(super) fn attributes(body: &[u8], f: &mut dyn FnMut(u16, &[u8])) {
    for attribute in NlasIterator::new(body).map_while(Result::ok) {
        f(attribute.kind(), attribute.value());
    }
}

/// The kernel's verdict on one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `None` when the request was carried out.
    pub(super) errno: Option<Errno>,
    /// The kernel's explanation (extended ACK).
    pub(super) detail: Option<String>,
}

impl Frame<'_> {
    /// What an `NLMSG_ERROR` or `NLMSG_DONE` says; a body too short to say anything is an `EBADMSG`.
    pub(super) fn verdict(&self) -> Verdict {
        let Some((code, rest)) = self.body.split_first_chunk::<4>() else {
            return Verdict { errno: (self.kind == NLMSG_ERROR).then_some(Errno::EBADMSG), detail: None };
        };
        let code = i32::from_ne_bytes(*code);
        let errno = (code < 0).then(|| Errno::from_raw(code.wrapping_neg()));
        Verdict { errno, detail: errno.and_then(|_| self.explanation(rest)) }
    }

    fn explanation(&self, rest: &[u8]) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        // The refused request is echoed before the explanation: whole, or its header alone.
        let echoed = match self.kind {
            NLMSG_DONE => 0,
            _ if self.flags & NLM_F_CAPPED != 0 => HEADER_BYTES,
            _ => u32::from_ne_bytes(*rest.first_chunk()?) as usize,
        };
        let mut text = None;
        attributes(rest.get(echoed.next_multiple_of(4)..)?, &mut |kind, value| {
            if kind == NLMSGERR_ATTR_MSG {
                text = Some(string(value));
            }
        });
        text
    }
}

/// A NUL-terminated string; bytes that are not UTF-8 are shown as such.
pub(super) fn string(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A native 32-bit number.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(9u32.to_ne_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_datagram_of_two_messages_is_cut_in_two() {
        let datagram = [message(20, 0, b"odd"), message(3, 0, &[])].concat();
        let kinds: Vec<_> = frames(&datagram).map(|f| (f.kind, f.sequence, f.port, f.body.len())).collect();
        assert_eq!(kinds, [(20, 7, 9, 3), (3, 7, 9, 0)]);
    }

    #[test]
    fn every_cut_of_a_datagram_is_survived() {
        let datagram = [message(NLMSG_ERROR, NLM_F_ACK_TLVS, &[0xff; 40]), message(3, 0, &[1; 9])].concat();
        for end in 0..datagram.len() {
            for frame in frames(&datagram[..end]) {
                let _ = frame.verdict();
            }
        }
        for byte in 0..datagram.len() {
            let mut broken = datagram.clone();
            broken[byte] ^= 0xff;
            let _ = frames(&broken).map(|frame| frame.verdict()).take(100).count();
        }
    }

    #[test]
    fn the_kernels_explanation_is_found_behind_the_echoed_header() {
        let mut body = (-(Errno::EINVAL as i32)).to_ne_bytes().to_vec();
        body.extend([0; HEADER_BYTES]);
        body.extend(8u16.to_ne_bytes());
        body.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        body.extend(b"no.\0");
        let bytes = message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, &body);
        let verdict = frames(&bytes).next().unwrap().verdict();
        assert_eq!(verdict, Verdict { errno: Some(Errno::EINVAL), detail: Some("no.".into()) });
    }
}
