//! What is tried again and again: programs and connections.
//!
//! ```text
//!   |x--x-------x-------x------   the first try at once, the second after a part of the interval,
//!   |x-----x-------x-------x---   another one for each tracker: a thousand do not run together
//! ```

use super::connect::Target;
use super::desk::{Observation, Reporter};
use super::view::Ran;
use crate::script::Purpose;
use crate::script::program::Program;
use hacluster_conf::model::track::Pace;
use hacluster_core::track::{Judge, Reading};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How something is tried.
pub(super) enum Way {
    Program(Box<Program>),
    Connection(Target),
}

/// What came of a try.
pub(super) struct Tried {
    /// None when it cannot be tried at all, which says nothing of the service.
    pub(super) good: Option<bool>,
    pub(super) text: String,
    pub(super) took: Duration,
    /// Of a program: how it ended.
    pub(super) ran: Option<Ran>,
}

impl Way {
    async fn once(&mut self, limit: Duration) -> Tried {
        match self {
            Self::Program(program) => match program.once(limit).await {
                Ok(outcome) => {
                    Purpose::Tracker.ended(&outcome);
                    Tried {
                        good: Some(outcome.is_success()),
                        text: outcome.to_string(),
                        took: outcome.took,
                        ran: Some(Ran {
                            end: outcome.end.to_string().into(),
                            output: outcome.output.as_str().into(),
                        }),
                    }
                }
                Err(text) => Tried { good: None, text, took: Duration::ZERO, ran: None },
            },
            Self::Connection(target) => target.once(limit).await,
        }
    }
}

/// Tries at `pace` and tells every result. `phase`, above 0 and at most 1, is the part of an interval
/// between the first two tries. `known` is what a former tracker of the name said.
pub(super) async fn watch(mut way: Way, pace: Pace, phase: f64, known: Reading, to: Reporter) {
    let begins_bad = pace.starts_bad && known == Reading::Unknown;
    let mut judge = Judge::new(pace.rise, pace.fall, begins_bad);
    let (interval, limit) = (duration(pace.interval), duration(pace.timeout));
    let mut due = Instant::now();
    let mut step = interval.mul_f64(phase.clamp(0.0, 1.0));
    loop {
        let tried = way.once(limit).await;
        let observation = match tried.good {
            None => Observation::new(Reading::Unknown, format!("counts for nothing: {}", tried.text)),
            Some(good) => {
                judge.take(good);
                let why = text(&judge, tried.text);
                let (took, against) = (Some(tried.took), judge.progress());
                Observation { reading: judge.reading(), why, took, against, ran: tried.ran }
            }
        };
        if !to.tell(observation).await {
            return;
        }
        due = next(due + step, interval);
        step = interval;
        sleep_until(due).await;
    }
}

/// `due`, or the first turn after it that is not over: turns that were missed are left out.
fn next(due: Instant, interval: Duration) -> Instant {
    let late = Instant::now().saturating_duration_since(due);
    let missed = late.as_nanos().div_ceil(interval.as_nanos().max(1));
    due + interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}

/// `exit 1: "no process"`, and how far it is from changing its mind.
fn text(judge: &Judge, seen: String) -> String {
    match judge.progress() {
        (0, _) => seen,
        (against, needed) => {
            let now = if judge.reading() == Reading::Bad { "bad" } else { "good" };
            format!("{seen} ({against} of {needed} in a row, still {now})")
        }
    }
}

pub(super) fn duration(of: hacluster_core::time::Duration) -> Duration {
    Duration::from_micros(of.as_micros())
}

/// Evenly spread phases, however many there will be: 1, 0.38, 0.76 ...
pub(super) fn phase(number: u32) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    1.0 - (f64::from(number) * GOLDEN).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_are_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..1_000 {
            let phase = phase(number);
            assert!(phase > 0.0 && phase <= 1.0, "{phase}");
            tenths[((phase * 10.0) as usize).min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (90..=110).contains(count)), "{tenths:?}");
        assert_eq!(phase(0), 1.0, "a single one is regular from the beginning");
    }

    #[tokio::test(start_paused = true)]
    async fn missed_turns_are_left_out() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(next(start, second), start);
        assert_eq!(next(start + second, second), start + second);
        tokio::time::advance(Duration::from_millis(3_500)).await;
        assert_eq!(next(start + second, second), start + 4 * second);
        assert!(next(start, Duration::from_nanos(1)) >= Instant::now());
    }
}
