//! Messages as bytes, for the subsystems that netlink-packet-* does not know.
//!
//! ```text
//!   nlmsghdr (16, native order)   length | type | flags | sequence | port
//!   subsystem's own (4)           nf_tables: family, version, resource    generic: command, version, 0
//!   attributes                    length | type | value, padded to 4
//! ```

const NESTED: u16 = 0x8000;
/// More than any name the kernel takes: what is longer is cut, and refused there.
const STRING_BYTES_MAX: usize = 1024;

/// What stands in a netlink header, but for the length and the kernel's port (0).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
}

/// Appends one message, shorter than 4 GiB, to a datagram.
pub(super) fn append(
    bytes: &mut Vec<u8>,
    header: &Header,
    own: [u8; 4],
    fill: impl FnOnce(&mut Attributes<'_>),
) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(header.kind.to_ne_bytes());
    bytes.extend(header.flags.to_ne_bytes());
    bytes.extend(header.sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(own);
    fill(&mut Attributes(bytes));
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Attributes being appended to a message.
#[derive(Debug)]
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    /// Bytes as they are: fewer than 64 KiB, as every length in an attribute has 16 bits.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.open(kind, |bytes| bytes.extend(value));
    }

    /// A NUL-terminated string.
    pub(super) fn string(&mut self, kind: u16, value: &str) {
        self.open(kind, |bytes| {
            bytes.extend(value.as_bytes().iter().take(STRING_BYTES_MAX));
            bytes.push(0);
        });
    }

    /// A byte.
    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// A native 16-bit number.
    pub(super) fn ne16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A native 32-bit number.
    pub(super) fn ne32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A big-endian 16-bit number.
    pub(super) fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A big-endian 32-bit number.
    pub(super) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.open(kind | NESTED, |bytes| fill(&mut Attributes(bytes)));
    }

    fn open(&mut self, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        fill(self.0);
        let length = self.0.len() - start;
        debug_assert!(length <= usize::from(u16::MAX), "an attribute of {length} bytes");
        self.0[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_numbers_have_their_order_and_are_padded() {
        let mut bytes = Vec::new();
        Attributes(&mut bytes).nest(4, |hook| {
            hook.be32(1, 3);
            hook.ne16(2, 9);
        });
        let mut expected = 20u16.to_ne_bytes().to_vec();
        expected.extend((4u16 | NESTED).to_ne_bytes());
        expected.extend(8u16.to_ne_bytes());
        expected.extend(1u16.to_ne_bytes());
        expected.extend([0, 0, 0, 3]);
        expected.extend(6u16.to_ne_bytes());
        expected.extend(2u16.to_ne_bytes());
        expected.extend(9u16.to_ne_bytes());
        expected.extend([0, 0]);
        assert_eq!(bytes, expected);
    }
}
