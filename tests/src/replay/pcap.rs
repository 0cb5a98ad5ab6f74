//! The classic capture format, as far as Ethernet with microseconds needs it.
//!
//! ```text
//!   file:   magic a1b2c3d4 (4, either byte order) | version (4) | zone, accuracy (8) | snap (4) | link (4)
//!   record: seconds (4) | microseconds (4) | bytes here (4) | bytes on the wire (4) | frame
//! ```

use anyhow::{Context, Result, bail, ensure};
use hacluster_core::time::Instant;
use std::path::Path;

const HEADER_LEN: usize = 24;
const RECORD_LEN: usize = 16;
const MAGIC: u32 = 0xa1b2_c3d4;
const LINK_ETHERNET: u32 = 1;
const ETHERNET_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// One Ethernet frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When, since the first frame's time plus an arbitrary origin.
    pub at: Instant,
    /// All its bytes.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The IPv4 packet in it, padding included.
    pub fn ipv4(&self) -> Option<&[u8]> {
        let is_ipv4 = self.bytes.get(12..ETHERNET_LEN)? == ETHERTYPE_IPV4;
        if is_ipv4 { self.bytes.get(ETHERNET_LEN..) } else { None }
    }
}

/// Reads a capture file.
///
/// # Errors
/// The file cannot be read, is no capture of Ethernet with microseconds, or ends early.
pub fn read(path: &Path) -> Result<Vec<Frame>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is no capture we can read", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<Frame>> {
    let order = match word(bytes, 0, u32::from_le_bytes)? {
        MAGIC => u32::from_le_bytes,
        other if other.swap_bytes() == MAGIC => u32::from_be_bytes,
        other => bail!("magic number {other:#x}"),
    };
    let link = word(bytes, 20, order)?;
    ensure!(link == LINK_ETHERNET, "link type {link}, not Ethernet");
    let mut frames = Vec::new();
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        let [secs, micros, len] =
            [word(bytes, at, order)?, word(bytes, at + 4, order)?, word(bytes, at + 8, order)?];
        let from = at + RECORD_LEN;
        at = from + len as usize;
        let frame = bytes.get(from..at).with_context(|| format!("frame {} ends early", frames.len() + 1))?;
        let micros = u64::from(secs) * 1_000_000 + u64::from(micros);
        frames.push(Frame { at: Instant::from_micros(micros), bytes: frame.to_vec() });
    }
    Ok(frames)
}

fn word(bytes: &[u8], at: usize, order: fn([u8; 4]) -> u32) -> Result<u32> {
    let octets = bytes.get(at..at + 4).context("the file ends early")?;
    Ok(order(octets.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(order: fn(u32) -> [u8; 4]) -> Vec<u8> {
        let words = [MAGIC, 0x0004_0002, 0, 0, 65_535, LINK_ETHERNET, 7, 500_000, 3, 3];
        words.into_iter().flat_map(order).chain([1, 2, 3]).collect()
    }

    #[test]
    fn both_byte_orders() {
        for order in [u32::to_le_bytes, u32::to_be_bytes] {
            let frames = parse(&file(order)).unwrap();
            assert_eq!(frames[0].bytes, [1, 2, 3]);
            assert_eq!(frames[0].at.as_micros(), 7_500_000);
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_empty() {
        let whole = file(u32::to_le_bytes);
        for len in 0..whole.len() {
            let frames = parse(&whole[..len]);
            assert!(frames.is_err() || len == HEADER_LEN, "{len} bytes");
        }
    }
}
