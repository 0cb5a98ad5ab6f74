//! Messages of nf_tables as bytes: what netlink-packet-* does not know.
//!
//! ```text
//!   nlmsghdr (16, native order)   length | type = 10 << 8 | message | flags | sequence | port
//!   nfgenmsg (4)                  family | version 0 | resource id (big-endian)
//!   attributes                    length | type | value, padded to 4    numbers are big-endian
//! ```
//!
//! Changes travel between `BATCH_BEGIN` and `BATCH_END` in one datagram and happen all or not at all.

use super::super::build::{Attributes, Header, append};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};

/// Subsystem number of nf_tables within netfilter netlink.
pub(super) const SUBSYSTEM: u16 = 10;
/// IPv4, the family of our table.
pub(super) const IPV4: u8 = 2;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// What a message is about (`NFT_MSG_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    GetRule = 7,
    NewSet = 9,
    GetSet = 10,
    NewElements = 12,
    GetElements = 13,
    DelElements = 14,
    NewGeneration = 15,
}

impl Kind {
    /// The type in the netlink header.
    pub(super) fn number(self) -> u16 {
        SUBSYSTEM << 8 | self as u16
    }
}

/// A datagram being built. Sequence numbers count on from the first.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    /// Of the next message.
    pub(super) sequence: u32,
    /// Where the last message begins.
    last: usize,
}

impl Datagram {
    pub(super) fn new(sequence: u32) -> Self {
        Self { bytes: Vec::new(), sequence, last: 0 }
    }

    /// Opens a transaction; [`end`](Self::end) closes it.
    pub(super) fn begin(&mut self) {
        self.append(BATCH_BEGIN, 0, 0, SUBSYSTEM, |_| ());
    }

    pub(super) fn end(&mut self) {
        self.append(BATCH_END, 0, 0, SUBSYSTEM, |_| ());
    }

    /// Asks for an answer to the last message even when all went well; its sequence number.
    pub(super) fn acknowledge(&mut self) -> u32 {
        const FLAGS_OFFSET: usize = 6;
        let at = self.last + FLAGS_OFFSET;
        if let Some(flags) = self.bytes.get_mut(at..at + 2) {
            let asked = NLM_F_ACK.to_ne_bytes();
            flags.iter_mut().zip(asked).for_each(|(flag, ask)| *flag |= ask);
        }
        self.sequence.wrapping_sub(1)
    }

    /// One message about IPv4 tables.
    pub(super) fn message(&mut self, kind: Kind, flags: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.append(kind.number(), flags, IPV4, 0, fill);
    }

    fn append(
        &mut self,
        number: u16,
        flags: u16,
        family: u8,
        resource: u16,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let [high, low] = resource.to_be_bytes();
        self.last = self.bytes.len();
        let header = Header { kind: number, flags: NLM_F_REQUEST | flags, sequence: self.sequence };
        append(&mut self.bytes, &header, [family, 0, high, low], fill);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// A comment as the nft tool stores and shows it: `type | length | text, NUL`. At most 255 bytes with
/// the NUL; what is longer is cut.
pub(super) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(254)];
    let mut bytes = vec![kind, (text.len() + 1) as u8];
    bytes.extend(text);
    bytes.push(0);
    bytes
}

/// The comment of this kind in stored user data.
pub(super) fn find_comment(kind: u8, mut data: &[u8]) -> Option<String> {
    loop {
        let ([of, length], rest) = data.split_first_chunk::<2>().map(|(head, rest)| (*head, rest))?;
        let value = rest.get(..usize::from(length))?;
        if of == kind {
            return Some(super::super::frame::string(value));
        }
        data = &rest[usize::from(length)..];
    }
}

/// Bytes of the `nfgenmsg` that precede the attributes in a message's body.
pub(super) const GENERIC_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_these_bytes() {
        let mut datagram = Datagram::new(7);
        datagram.message(Kind::NewTable, 0x400, |attributes| attributes.string(1, "vip"));
        #[rustfmt::skip]
        let expected = [
            28, 0, 0, 0, 0x00, 0x0a, 0x01, 0x04, 7, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
            2, 0, 0, 0,                                                  // nfgenmsg
            8, 0, 1, 0, b'v', b'i', b'p', 0,                             // NFTA_TABLE_NAME
        ];
        if cfg!(target_endian = "little") {
            assert_eq!(datagram.bytes, expected);
        }
        assert_eq!(datagram.sequence, 8);
    }

    #[test]
    fn a_transaction_names_its_subsystem() {
        let mut datagram = Datagram::new(1);
        datagram.begin();
        assert_eq!(datagram.acknowledge(), 1);
        assert_eq!(datagram.bytes[6..8], (NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        datagram.end();
        assert_eq!(datagram.bytes.len(), 40);
        assert_eq!(datagram.bytes[4..6], 0x10u16.to_ne_bytes());
        assert_eq!(datagram.bytes[16..20], [0, 0, 0, 10]);
        assert_eq!(datagram.bytes[24..26], 0x11u16.to_ne_bytes());
    }

    #[test]
    fn comments_come_back_and_damage_is_survived() {
        let mut data = vec![0, 4, 1, 2, 3, 4];
        data.extend(comment(7, "hacluster-agent /run/x"));
        assert_eq!(find_comment(7, &data).as_deref(), Some("hacluster-agent /run/x"));
        assert_eq!(find_comment(9, &data), None);
        for end in 0..data.len() {
            assert_eq!(find_comment(7, &data[..end]), None);
        }
        assert_eq!(find_comment(0, &comment(0, &"x".repeat(300))).unwrap().len(), 254);
    }
}
