//! Medians and percentiles.

/// The value below which `percent` of `values` lie (nearest rank); `None` without values.
pub(super) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

/// Nanoseconds of the real-time clock, the clock of the kernel's packet times.
pub(super) fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// From `earlier` to `later` (nanoseconds) in milliseconds; negative when the order is reversed.
pub(super) fn ms_between(earlier: u64, later: u64) -> f64 {
    (later as f64 - earlier as f64) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            [50.0, 99.0, 100.0].map(|percent| percentile(&values, percent)),
            [50.0, 99.0, 100.0].map(Some)
        );
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }
}
