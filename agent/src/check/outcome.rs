//! What came of one try, and why in words.

use crate::script::readable;
use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer that are shown.
pub(super) const SHOWN_MAX: usize = 120;
/// Bytes of a whole reason.
const WHY_MAX: usize = 512;

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The server does what it should.
    pub good: bool,
    /// The try failed on this node (no socket, no such interface, no program): it says nothing of the
    /// server, and [`Self::good`] is false.
    pub ours: bool,
    /// What is said of the weight: `MISC_CHECK` sets it to this, `FILE_CHECK` adds this.
    pub weight: Option<i32>,
    /// Why, for people: one line, at most 512 bytes.
    pub why: Arc<str>,
    /// How long it took.
    pub took: Duration,
}

/// What a good server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) weight: Option<i32>,
    pub(super) why: String,
}

/// Why there is nothing good to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// The server, or the way to it.
    Server(String),
    /// This node.
    Ours(String),
}

pub(super) type Answer = Result<Good, Bad>;

pub(super) fn good(why: impl Into<String>) -> Answer {
    Ok(Good { weight: None, why: why.into() })
}

pub(super) fn bad(why: impl Into<String>) -> Bad {
    Bad::Server(why.into())
}

pub(super) fn ours(what: &str, error: impl Display) -> Bad {
    Bad::Ours(format!("this node cannot try: {what}: {error}"))
}

impl Outcome {
    pub(super) fn of(answer: Answer, took: Duration) -> Self {
        let (good, ours, weight, why) = match answer {
            Ok(Good { weight, why }) => (true, false, weight, why),
            Err(Bad::Server(why)) => (false, false, None, why),
            Err(Bad::Ours(why)) => (false, true, None, why),
        };
        Self { good, ours, weight, why: cut(&why, WHY_MAX).into(), took }
    }
}

/// The first bytes of an answer, in quotes and harmless; nothing when there are none.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = readable(&bytes[..bytes.len().min(SHOWN_MAX)]);
    if text.is_empty() { String::new() } else { format!(": \"{text}\"") }
}

/// A text from elsewhere as a part of a line.
pub(super) fn line(text: &str) -> String {
    cut(&readable(text.as_bytes()), SHOWN_MAX).into_owned()
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().map(|(at, char)| at + char.len_utf8()).take_while(|end| *end <= most).last() {
        Some(end) if end < text.len() => format!("{}...", &text[..end]).into(),
        _ => text.into(),
    }
}

/// `3 s`, `1.5 s`, `50 ms`.
pub(super) fn span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{} s", span.as_secs_f64()),
    }
}

/// What the kernel says, without its number.
pub(super) fn words(error: &io::Error) -> String {
    use nix::libc;
    let known = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "connection refused",
        Some(libc::ECONNRESET) => "connection reset by the server",
        Some(libc::EPIPE) => "connection closed by the server",
        Some(libc::EHOSTUNREACH) => "no route to host",
        Some(libc::ENETUNREACH) => "network is unreachable",
        Some(libc::ETIMEDOUT) => "connection timed out",
        _ if error.kind() == io::ErrorKind::UnexpectedEof => "connection closed by the server",
        _ => {
            let text = error.to_string();
            return line(text.split(" (os error").next().unwrap_or_default());
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_short_and_harmless() {
        assert_eq!(shown(b""), "");
        assert_eq!(shown(b" \r\n"), "");
        assert_eq!(shown(b"up\x1b[31m\r\nstream\0 down\n"), ": \"up [31m stream down\"");
        assert!(shown(&[b'x'; 100_000]).len() < SHOWN_MAX + 10);
        assert!(shown(&[0xff; 100_000]).len() < 3 * SHOWN_MAX + 10);
        let why = "\u{e9}".repeat(10_000);
        let outcome = Outcome::of(Err(bad(why)), Duration::ZERO);
        assert!(outcome.why.len() <= WHY_MAX + 3 && outcome.why.ends_with("..."));
    }

    #[test]
    fn spans_and_errors_in_words() {
        for (millis, text) in [(50, "50 ms"), (3_000, "3 s"), (1_500, "1.5 s")] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(words(&io::Error::from_raw_os_error(nix::libc::ECONNREFUSED)), "connection refused");
        assert_eq!(words(&io::Error::from_raw_os_error(nix::libc::EADDRINUSE)), "Address already in use");
    }
}
