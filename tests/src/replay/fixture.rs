//! Packets as lines of text: what is expected, and the whole IPv4 packet in hexadecimal.
//!
//! ```text
//!   # a comment
//!   vrid=51 priority=100 interval=1 auth=0 addresses=1 | 45c0...
//!   Checksum | 45c0...
//! ```

use anyhow::{Context, Result};
use hacluster_core::receive::DiscardKind;
use hacluster_core::wire::v2::Advert;
use std::path::Path;

/// One line.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Where it stands, for messages.
    pub place: String,
    /// What is expected, as text.
    pub expected: String,
    /// The packet.
    pub packet: Vec<u8>,
}

/// Reads the fixtures of a file.
///
/// # Errors
/// The file cannot be read, or a line is not as described above.
pub fn read(path: &Path) -> Result<Vec<Fixture>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(index, line)| {
            let place = format!("{}:{}", path.display(), index + 1);
            let (expected, hex) = line.split_once(" | ").with_context(|| format!("{place}: no ` | `"))?;
            let packet = unhex(hex.trim()).with_context(|| format!("{place}: not hexadecimal"))?;
            Ok(Fixture { place, expected: expected.trim().to_owned(), packet })
        })
        .collect()
}

/// Bytes from hexadecimal digits; `None` if they are none, or an odd number.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// An advert as the left side of a line.
pub fn describe(advert: &Advert<'_>) -> String {
    format!(
        "vrid={} priority={} interval={} auth={} addresses={}",
        advert.vrid,
        advert.priority,
        advert.interval_secs,
        advert.auth_type,
        advert.addresses().len()
    )
}

/// A dropped packet as the left side of a line.
pub fn describe_discard(kind: DiscardKind) -> String {
    format!("{kind:?}")
}
