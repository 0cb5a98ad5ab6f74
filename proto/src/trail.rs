//! Which story something belongs to, as everybody names it: ids of the W3C Trace Context.
//!
//! `haclusterctl` chooses the name of a story that an operator begins, agents of all others. It goes
//! from one to the next as the gRPC metadata [`TRACEPARENT`], with the flag that says whether whoever began it
//! wants it recorded.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// Metadata of a call: the story and the part of it that the call continues.
pub const TRACEPARENT: &str = "traceparent";
/// Metadata of a call: what vendors add; see [`NOBODYS_PART`].
pub const TRACESTATE: &str = "tracestate";
/// A member of [`TRACESTATE`]: nobody will ever tell of the part that [`TRACEPARENT`] names, so the
/// story begins with what the call does.
pub const NOBODYS_PART: &str = "hacluster=root";

/// A place in a story: the trace, this part of it, and the part it follows from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trail {
    trace: u128,
    span: u64,
    parent: u64,
    /// Whoever began the story wants it recorded.
    sampled: bool,
}

/// Never 0, which the standard reserves. The keys of [`RandomState`] come from the operating system;
/// ids must be unlike each other, not secret.
fn fresh() -> u64 {
    RandomState::new().hash_one(0_u8).max(1)
}

impl Trail {
    /// The beginning of a story.
    pub fn begin() -> Self {
        Self {
            trace: u128::from(fresh()) << 64 | u128::from(fresh()),
            span: fresh(),
            parent: 0,
            sampled: true,
        }
    }

    /// A part that follows from this one.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: fresh(), parent: self.span, ..self }
    }

    /// The beginning of a story whose name was chosen elsewhere, by somebody who tells no part of it.
    #[must_use]
    pub fn root(self) -> Self {
        Self { span: fresh(), parent: 0, ..self }
    }

    /// The story, never 0.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// This part, never 0.
    pub fn span(self) -> u64 {
        self.span
    }

    /// The part it follows from; `None` at the beginning.
    pub fn parent(self) -> Option<u64> {
        Some(self.parent).filter(|parent| *parent != 0)
    }

    /// Whether whoever began the story wants it recorded: the flag goes along.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The story as people and tools write it: 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// This part as people and tools write it: 16 hexadecimal digits.
    pub fn span_id(self) -> String {
        format!("{:016x}", self.span)
    }

    /// A trail of the story `trace_id` and its part `span_id` as others wrote them; `None` where they
    /// are no ids.
    pub fn of_ids(trace_id: &str, span_id: &str) -> Option<Self> {
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !digits(trace_id, 32) || !digits(span_id, 16) {
            return None;
        }
        let trace = u128::from_str_radix(trace_id, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span_id, 16).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, parent: 0, sampled: true })
    }
}

/// As `traceparent` has it: what follows continues this part.
impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}/{:016x}<{:016x}", self.trace, self.span, self.parent)
    }
}

/// Not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTrail;

impl FromStr for Trail {
    type Err = NoTrail;

    /// Reads a `traceparent` [W3C Trace Context, section 3.2]; later versions may say more at the end.
    fn from_str(text: &str) -> Result<Self, NoTrail> {
        let mut parts = text.splitn(5, '-');
        let mut next = || parts.next().ok_or(NoTrail);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let more = parts.next().is_some();
        let hex = |text: &str| text.len() == 2 && u8::from_str_radix(text, 16).is_ok();
        if !hex(version) || !hex(flags) || version == "ff" || version == "00" && more {
            return Err(NoTrail);
        }
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Self::of_ids(trace, span).map(|trail| Self { sampled, ..trail }).ok_or(NoTrail)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STANDARD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_standards_example_is_read_and_written() {
        let trail: Trail = STANDARD.parse().unwrap();
        assert_eq!(trail.to_string(), STANDARD);
        assert_eq!((trail.trace_id().as_str(), trail.parent()), ("4bf92f3577b34da6a3ce929d0e0e4736", None));
        let unsampled = STANDARD.replace("-01", "-00");
        let trail = unsampled.parse::<Trail>().unwrap();
        assert_eq!((trail.to_string(), trail.child().is_sampled()), (unsampled, false));
        let trail: Trail = STANDARD.parse().unwrap();
        let later = STANDARD.replacen("00", "01", 1) + "-more";
        assert_eq!(later.parse::<Trail>(), Ok(trail));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<Trail>(), Err(NoTrail), "{text}");
        }
    }

    #[test]
    fn parts_of_a_story_differ_and_hang_together() {
        let root = Trail::begin();
        let (one, other) = (root.child(), root.child());
        assert_eq!((one.trace(), one.parent()), (root.trace(), Some(root.span())));
        assert_ne!(one.span(), other.span());
        assert_eq!(one.root().parent(), None);
        let all: std::collections::BTreeSet<_> = (0..10_000).map(|_| Trail::begin().trace()).collect();
        assert_eq!(all.len(), 10_000);
    }
}
