//! Where nodes differ.

use super::*;
use std::time::Duration;

/// A director of this version with one virtual server of this fingerprint.
fn director(name: &str, version: &str, agreement: &str) -> Answer<v1::ListLvsResponse> {
    let service = v1::LvsService {
        name: "10.0.0.1 80".to_owned(),
        up: true,
        agreement: agreement.to_owned(),
        ..Default::default()
    };
    let of = v1::ListLvsResponse {
        services: vec![service],
        agent_version: version.to_owned(),
        ..Default::default()
    };
    Answer {
        node: name.to_owned(),
        address: String::new(),
        result: Ok(of),
        round_trip: Duration::ZERO,
        middle: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn what_no_column_shows_is_a_difference_all_the_same() {
    for (one, two, differ) in [
        (("1", "a"), ("1", "b"), true),
        (("1", "a"), ("1", "a"), false),
        (("1", "a"), ("2", "b"), false),
        (("", "a"), ("", "b"), false),
    ] {
        let answers = vec![director("left", one.0, one.1), director("right", two.0, two.1)];
        let lvs = Lvs::of(None, answers, Timestamp::UNIX_EPOCH);
        let said: Vec<_> = lvs.warnings.iter().map(|of| (of.kind, of.text.as_str())).collect();
        let expected = [("differs", "is not configured the same on left and right")];
        assert_eq!(said, expected[..usize::from(differ)], "{one:?} {two:?}");
    }
}
