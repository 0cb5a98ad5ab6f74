//! Lateness that was counted elsewhere, as records of a histogram. Pure.
//!
//! A histogram takes one value at a time, and those who count keep only how many fell between two bounds,
//! and their sum. So of each bucket everything that is new is recorded with its mean: it lies within the
//! bucket, counts are right, and so is the sum.

use crate::tally::{Bucket, Lateness};

/// What was recorded of one source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told([Bucket; Lateness::BUCKETS]);

impl Told {
    /// As if all of `now` had been recorded.
    pub(super) fn up_to(now: &Lateness) -> Self {
        Self(now.get())
    }

    /// Records what is new in `now`, in seconds.
    pub(super) fn tell(&mut self, now: &Lateness, mut record: impl FnMut(f64)) {
        let mut low = 0;
        for (at, (told, now)) in self.0.iter_mut().zip(now.get()).enumerate() {
            let high = Lateness::BOUNDS.get(at).copied().unwrap_or(u64::MAX);
            let count = now.count.saturating_sub(told.count);
            // The sum may be that of one more already: what is too much now is right the next time.
            let most = count.saturating_mul(high);
            let micros = now.micros.saturating_sub(told.micros).min(most).max(count.saturating_mul(low));
            low = high.saturating_add(1);
            for _ in 0..count {
                record(micros as f64 / count as f64 / 1e6);
            }
            (told.count, told.micros) = (now.count, told.micros + micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::time::Duration;

    /// Bucket that a histogram with our bounds puts `seconds` in.
    fn bucket(seconds: f64) -> usize {
        let bounds = Lateness::BOUNDS.map(|micros| micros as f64 / 1e6);
        bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len())
    }

    #[test]
    fn counts_and_sums_are_exact_whatever_was_told_in_between() {
        let (lateness, mut told) = (Lateness::default(), Told::default());
        let (mut counts, mut sum, mut exact) = ([0_u64; Lateness::BUCKETS], 0.0, 0_u64);
        for number in 0..10_000_u64 {
            let micros = number * number % 1_999_999;
            lateness.add(Duration::from_micros(micros));
            exact += micros;
            if number % 37 == 0 || number == 9_999 {
                told.tell(&lateness, |seconds| {
                    counts[bucket(seconds)] += 1;
                    sum += seconds;
                });
            }
        }
        assert_eq!(counts, lateness.get().map(|bucket| bucket.count));
        assert!((sum * 1e6 - exact as f64).abs() < 1.0, "{sum} s for {exact} us");
    }

    #[test]
    fn what_was_before_is_not_told() {
        let lateness = Lateness::default();
        lateness.add(Duration::from_micros(70));
        let mut told = Told::up_to(&lateness);
        told.tell(&lateness, |_| panic!("told before"));
        lateness.add(Duration::from_micros(80));
        let mut heard = Vec::new();
        told.tell(&lateness, |seconds| heard.push(seconds));
        assert_eq!(heard, [80e-6]);
    }
}
