//! Times: relative in tables, RFC 3339 in JSON.

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

/// The clock's time here.
pub(crate) fn clock(time: Option<Timestamp>) -> String {
    let time = time.map(|time| time.to_zoned(TimeZone::system()));
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
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
}
