//! Times: relative in tables, RFC 3339 in JSON.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A time of the contract.
pub(crate) fn timestamp(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// `3 m`, `2 d`: the largest unit that says enough.
pub(crate) fn ago(then: Option<Timestamp>, now: Option<Timestamp>) -> String {
    let (Some(then), Some(now)) = (then, now) else { return "-".to_owned() };
    let secs = (now.as_second() - then.as_second()).max(0);
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} m", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// `3 s`, `1.5 s`, `500 ms`, `0.4 ms`: at most three figures.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1_000.0;
    let (value, unit) = if ms < 999.5 { (ms, "ms") } else { (ms / 1_000.0, "s") };
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// A duration as people write it: `500ms`, `3s`, `2h`, `1h30m`; a bare number is seconds.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let meant = || format!("`{text}` is no duration: write it as 500ms, 3s, 30m or 2h");
    let secs = text.parse::<f64>().ok();
    let span = match secs {
        Some(secs) => Duration::try_from_secs_f64(secs).map_err(|_| meant())?,
        None => {
            text.parse::<SignedDuration>().ok().and_then(|span| span.try_into().ok()).ok_or_else(meant)?
        }
    };
    if span.is_zero() { Err(format!("`{text}` is no time at all")) } else { Ok(span) }
}

/// The clock's time here.
pub(crate) fn clock(time: Option<Timestamp>) -> String {
    local(time, "%Y-%m-%d %H:%M:%S")
}

/// The clock's time here, to a millisecond.
pub(crate) fn clock_ms(time: Option<Timestamp>) -> String {
    local(time, "%Y-%m-%d %H:%M:%S%.3f")
}

fn local(time: Option<Timestamp>, format: &str) -> String {
    // Tests show the same everywhere.
    let zone = if cfg!(test) { TimeZone::UTC } else { TimeZone::system() };
    time.map_or_else(|| "-".to_owned(), |time| time.to_zoned(zone).strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let at = |secs| Timestamp::from_second(secs).ok();
        for (secs, shown) in [(0, "0 s"), (119, "119 s"), (180, "3 m"), (7_300, "2 h"), (200_000, "2 d")] {
            assert_eq!(ago(at(1_000_000), at(1_000_000 + secs)), shown);
        }
        assert_eq!(ago(at(5), at(3)), "0 s", "a clock that was set back");
        assert_eq!(ago(None, at(3)), "-");
    }

    #[test]
    fn durations_have_at_most_three_figures() {
        let cases = [
            (400, "0.4 ms"),
            (12_345, "12.3 ms"),
            (999_600, "1 s"),
            (3_000_000, "3 s"),
            (1_500_000, "1.5 s"),
        ];
        for (micros, shown) in cases {
            assert_eq!(span(Duration::from_micros(micros)), shown);
        }
        assert_eq!(span(Duration::from_secs(100)), "100 s");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("500ms", 500), ("3s", 3_000), ("2", 2_000), ("0.5", 500), ("1h30m", 5_400_000)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "-3s", "soon", "1e300", "NaN"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
