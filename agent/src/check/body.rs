//! What the body of an answer must be. It is hashed as it comes; only what a pattern is looked for in is
//! kept.

use super::outcome::{Bad, SHOWN_MAX, bad, line, ours, shown};
use hacluster_conf::model::lvs::Pattern;
use md5::{Digest, Md5};
use regex::bytes::Regex;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes that are read of a body at which nobody looks: servers do not like to be cut short.
const READ_MAX: u64 = 64 << 10;
/// Bytes that are hashed.
const DIGEST_MAX: u64 = 16 << 20;
/// Bytes in which a pattern is looked for.
const PATTERN_MAX: usize = 256 << 10;
/// Bytes that every check may keep; more than this only so many at one time.
const KEPT_FREELY: usize = 16 << 10;
/// Checks that keep more at one time.
pub(super) const LARGE_MAX: usize = 256;
/// Bytes before a pattern's range that it may depend on (`\b`, `^`).
const CONTEXT: usize = 4;

/// What a body must be.
#[derive(Default)]
pub(super) struct Expectation {
    pub(super) digest: Option<[u8; 16]>,
    pub(super) search: Option<Search>,
}

/// A pattern, ready to be looked for.
pub(super) struct Search {
    regex: Regex,
    pattern: Pattern,
}

/// Compiled patterns: thousands of servers share a few.
#[derive(Default)]
pub(super) struct Patterns(Mutex<HashMap<Pattern, Regex>>);

impl Patterns {
    /// # Errors
    /// When it does not compile.
    pub(super) fn search(&self, pattern: &Pattern) -> Result<Search, Bad> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let regex = match known.get(pattern) {
            Some(regex) => regex.clone(),
            None => {
                let regex = pattern.compile().map_err(|error| ours("pattern", line(&error)))?;
                known.insert(pattern.clone(), regex.clone());
                regex
            }
        };
        Ok(Search { regex, pattern: pattern.clone() })
    }
}

/// A body on its way.
pub(super) struct Body<'a> {
    expectation: &'a Expectation,
    large: &'a Semaphore,
    permit: Option<SemaphorePermit<'a>>,
    digest: Option<Md5>,
    /// Bytes that came.
    pub(super) seen: u64,
    first: Vec<u8>,
    /// From `CONTEXT` before the pattern's range on.
    kept: Vec<u8>,
}

impl<'a> Body<'a> {
    pub(super) fn new(expectation: &'a Expectation, large: &'a Semaphore) -> Self {
        let digest = expectation.digest.map(|_| Md5::new());
        let (permit, first, kept) = (None, Vec::new(), Vec::new());
        Self { expectation, large, permit, digest, seen: 0, first, kept }
    }

    /// Takes the next bytes; returns whether more are wanted.
    pub(super) async fn take(&mut self, bytes: &[u8]) -> Result<bool, Bad> {
        let missing = SHOWN_MAX.saturating_sub(self.first.len());
        self.first.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        let hash = self.digest.as_mut().map(|digest| digest.update(bytes)).is_some();
        let keep = match &self.expectation.search {
            Some(search) => {
                let skipped = search.base().saturating_sub(usize::try_from(self.seen).unwrap_or(usize::MAX));
                self.keep(bytes.get(skipped..).unwrap_or_default()).await
            }
            None => false,
        };
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        match hash {
            true if self.seen > DIGEST_MAX => {
                Err(bad(format!("the body is longer than {} MiB: no digest", DIGEST_MAX >> 20)))
            }
            true => Ok(true),
            false => Ok(keep || self.expectation.search.is_none() && self.seen < READ_MAX),
        }
    }

    async fn keep(&mut self, bytes: &[u8]) -> bool {
        if self.kept.len() + bytes.len() > KEPT_FREELY && self.permit.is_none() {
            self.permit = self.large.acquire().await.ok(); // within the time of the check
        }
        let room = PATTERN_MAX - self.kept.len().min(PATTERN_MAX);
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.kept.len() < PATTERN_MAX
    }

    /// The first bytes, in quotes.
    pub(super) fn shown(&self) -> String {
        shown(&self.first)
    }

    /// Says whether it was what it should be; `cut` is why it ended too early.
    pub(super) fn judge(self, cut: Option<String>) -> Result<(), Bad> {
        let early = cut.map(|why| format!(" ({why})")).unwrap_or_default();
        if let (Some(wanted), Some(digest)) = (&self.expectation.digest, self.digest) {
            let is: [u8; 16] = digest.finalize().into();
            if is != *wanted {
                let (is, wanted) = (hex(&is), hex(wanted));
                return Err(bad(format!("digest differs: is {is}, wanted {wanted}{early}")));
            }
        }
        let Some(search) = &self.expectation.search else { return Ok(()) };
        let text = line(&search.pattern.regex);
        match (search.find(&self.kept), search.pattern.forbidden) {
            (Some(_), false) | (None, true) => Ok(()),
            (None, false) => {
                let place = match self.kept.len() {
                    PATTERN_MAX => format!("the first {} KiB", PATTERN_MAX >> 10),
                    _ => format!("{} bytes", self.seen),
                };
                Err(bad(format!("pattern `{text}` not found in {place}{early}{}", shown(&self.first))))
            }
            (Some(at), true) => {
                let found = shown(&self.kept[at..]);
                Err(bad(format!("forbidden pattern `{text}` found at byte {}{found}", at + search.base())))
            }
        }
    }
}

impl Search {
    /// Where what is kept begins.
    fn base(&self) -> usize {
        self.pattern.within.0.saturating_sub(CONTEXT)
    }

    /// Where it begins in `kept`, within its range.
    fn find(&self, kept: &[u8]) -> Option<usize> {
        let (from, to) = self.pattern.within;
        let start = from - self.base();
        let found = if start <= kept.len() { self.regex.find_at(kept, start)? } else { return None };
        to.is_none_or(|to| found.start() + self.base() < to).then_some(found.start())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str) -> Pattern {
        Pattern {
            regex: regex.into(),
            forbidden: false,
            within: (0, None),
            caseless: false,
            multiline: false,
            dot_all: false,
        }
    }

    async fn judge(pattern: Pattern, parts: &[&[u8]]) -> Result<(), Bad> {
        let search = Some(Patterns::default().search(&pattern).unwrap());
        let (expectation, large) = (Expectation { digest: None, search }, Semaphore::new(1));
        let mut body = Body::new(&expectation, &large);
        for part in parts {
            body.take(part).await?;
        }
        body.judge(None)
    }

    #[tokio::test]
    async fn a_pattern_is_looked_for_where_it_was_written() {
        let within = |from, to| Pattern { within: (from, to), ..pattern("up") };
        let table = [
            (pattern("up"), true),
            (pattern("UP"), false),
            (Pattern { caseless: true, ..pattern("UP") }, true),
            (Pattern { forbidden: true, ..pattern("up") }, false),
            (Pattern { forbidden: true, ..pattern("down") }, true),
            (within(7, None), true),
            (within(8, None), false),
            (within(1_000, None), false),
            (within(0, Some(7)), false),
            (within(0, Some(8)), true),
            (pattern("^up"), false),
            (Pattern { multiline: true, ..pattern("^up") }, true),
            (Pattern { within: (7, None), multiline: true, ..pattern("^up") }, true),
            (Pattern { within: (6, None), ..pattern("^up") }, false),
            (pattern(r"is.up"), false),
            (Pattern { dot_all: true, ..pattern(r"is.up") }, true),
        ];
        for (pattern, good) in table {
            // "up" is byte 7 and comes in two pieces.
            let judged = judge(pattern.clone(), &[b"all is", b"\nu", b"p\xff"]).await;
            assert_eq!(judged.is_ok(), good, "{pattern:?} {judged:?}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_has_a_limit_and_so_has_what_is_read() {
        let (expectation, large) = (Expectation::default(), Semaphore::new(1));
        let mut body = Body::new(&expectation, &large);
        let chunk = [b'x'; 10_000];
        let mut chunks = 1;
        while body.take(&chunk).await.unwrap() {
            chunks += 1;
        }
        assert!(chunks < 10 && body.first.len() == SHOWN_MAX && body.kept.is_empty(), "{chunks}");
        let search = Some(Patterns::default().search(&pattern("y")).unwrap());
        let expectation = Expectation { digest: None, search };
        let mut body = Body::new(&expectation, &large);
        while body.take(&chunk).await.unwrap() {}
        assert!(body.kept.len() == PATTERN_MAX && large.available_permits() == 0);
        body.judge(None).unwrap_err();
        assert_eq!(large.available_permits(), 1);
        let expectation = Expectation { digest: Some([0; 16]), search: None };
        let mut body = Body::new(&expectation, &large);
        let why = loop {
            match body.take(&[b'x'; 1 << 20]).await {
                Ok(more) => assert!(more && body.seen <= DIGEST_MAX),
                Err(why) => break why,
            }
        };
        assert_eq!(why, bad("the body is longer than 16 MiB: no digest"));
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_our_fault() {
        assert!(matches!(Patterns::default().search(&pattern("(")), Err(Bad::Ours(_))));
    }
}
