//! When something happened, said so that it is certainly true. Pure but for the clocks.
//!
//! ```text
//!   A   asked ---------------------------------------- answered
//!   B         arrived --- announced --------- answered
//!                             |<-- later ------>|
//! ```
//!
//! Two nodes share no clock. What B did, it did at least `later` before its answer came to A: true
//! however long request and answer were under way. Of our own protocol thread the moment is known to
//! the microsecond, on a clock read a moment before or after this one: on which side is chosen.

use hacluster_core::time::Instant as Monotonic;
use hacluster_net::clock;
use hacluster_proto::v1;
use std::time::{Duration, Instant};

/// The protocol's clock counts in these.
const TICK: Duration = Duration::from_micros(1);

fn since(at: Monotonic) -> Duration {
    Duration::from_micros(clock::now().since(at).as_micros())
}

/// `at` on tokio's clock, or a little later.
pub(super) fn not_after(at: Monotonic) -> Instant {
    let ago = since(at).saturating_sub(TICK);
    let now = Instant::now();
    now.checked_sub(ago).unwrap_or(now)
}

/// `at` on tokio's clock, or a little earlier.
pub(super) fn not_before(at: Monotonic) -> Instant {
    let now = Instant::now();
    now.checked_sub(since(at) + TICK).unwrap_or(now)
}

/// What a peer says of a takeover, on our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TookOver {
    /// It had announced the addresses.
    pub(super) announced: Instant,
    /// Its advert had left.
    pub(super) advertised: Instant,
    /// In this order, as it should be: whoever heard the advert knows of the announcement.
    pub(super) announced_first: bool,
}

impl TookOver {
    /// Of `answer` to what was asked at `asked`, which came at `answered`.
    pub(super) fn of(answer: &v1::TakeOverResponse, asked: Instant, answered: Instant) -> Self {
        let span = |span: Option<prost_types::Duration>| span.and_then(|span| Duration::try_from(span).ok());
        let [announced, advertised, handled] =
            [answer.announced_after, answer.advertised_after, answer.answered_after].map(span);
        let on_ours = |after: Option<Duration>| {
            let later = handled.zip(after).map(|(handled, after)| handled.saturating_sub(after));
            let at = later.and_then(|later| answered.checked_sub(later));
            at.unwrap_or(answered).clamp(asked, answered)
        };
        Self {
            announced: on_ours(announced),
            advertised: on_ours(advertised),
            announced_first: announced.zip(advertised).is_some_and(|(first, then)| first <= then),
        }
    }

    /// With the former master's `release`, which happened because it heard the advert.
    pub(super) fn heard_by(mut self, release: Instant) -> Self {
        self.advertised = self.advertised.min(release);
        if self.announced_first {
            self.announced = self.announced.min(release);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn answer(announced: Option<u64>, advertised: Option<u64>, handled: Option<u64>) -> v1::TakeOverResponse {
        let span = |at: Option<u64>| at.and_then(|at| ms(at).try_into().ok());
        v1::TakeOverResponse {
            rules: true,
            candidate: None,
            announced_after: span(announced),
            advertised_after: span(advertised),
            answered_after: span(handled),
        }
    }

    #[test]
    fn our_own_moments_are_bounded_from_both_sides() {
        for _ in 0..1_000 {
            let (before, at, after) = (Instant::now(), clock::now(), Instant::now());
            assert!(not_before(at) <= after && not_after(at) >= before);
            assert!(not_before(at) <= not_after(at));
        }
    }

    /// The request needed 10 ms, the answer 20: neither may make the announcement look earlier than it was.
    #[test]
    fn an_announcement_is_dated_not_earlier_than_it_was() {
        let asked = Instant::now();
        let (truth, answered) = (asked + ms(10 + 3), asked + ms(10 + 5 + 20));
        let told = TookOver::of(&answer(Some(3), Some(4), Some(5)), asked, answered);
        assert!(told.announced >= truth, "only that is certain");
        assert_eq!(told.announced, answered - ms(2));
        assert_eq!(told.advertised, answered - ms(1));
        // Who has heard the advert was released from knowing less.
        let release = asked + ms(10 + 4);
        let told = told.heard_by(release);
        assert_eq!((told.announced, told.advertised), (release, release));
    }

    #[test]
    fn what_a_peer_does_not_tell_or_cannot_have_done_is_not_believed() {
        let asked = Instant::now();
        let answered = asked + ms(30);
        for (told, announced) in [
            (answer(None, None, None), answered),
            (answer(Some(3), Some(4), None), answered),
            (answer(None, Some(4), Some(5)), answered),
            (answer(Some(3), Some(4), Some(9_000)), asked),
            (answer(Some(9_000), Some(4), Some(5)), answered),
        ] {
            assert_eq!(TookOver::of(&told, asked, answered).announced, announced, "{told:?}");
        }
        // It ruled by its own timer: the advert left before the addresses were announced.
        let told = TookOver::of(&answer(Some(8), Some(4), Some(9)), asked, answered);
        assert!(!told.announced_first);
        assert_eq!(told.heard_by(asked + ms(1)).announced, answered - ms(1));
    }
}
