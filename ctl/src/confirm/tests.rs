//! The texts, and what counts as yes.

use super::*;
use crate::plan::{Known, cast};
use hacluster_proto::v1::{self, State};

fn nodes(addresses: &[&str]) -> Vec<Known> {
    let address = |address: &&str| v1::Address {
        address: (*address).to_owned(),
        advertised: true,
        ..Default::default()
    };
    let node = |member: usize, state: State, priority| {
        let name = format!("node{}", member + 1);
        let router = v1::VirtualRouter {
            name: "VI_1".to_owned(),
            vrid: 191,
            state: state.into(),
            priority_effective: priority,
            addresses: addresses.iter().map(address).collect(),
            ..Default::default()
        };
        let node = v1::Node { name: name.clone(), ..Default::default() };
        let snapshot =
            v1::GetSnapshotResponse { node: Some(node), routers: vec![router], ..Default::default() };
        Known { member, alias: name, snapshot: Ok(snapshot) }
    };
    vec![node(0, State::Master, 201), node(1, State::Backup, 101)]
}

fn a_move(outcome: MoveOutcome, text: &str, steps: Vec<v1::Step>) -> Move {
    let objection = v1::Objection {
        kind: v1::ObjectionKind::DoesNotHearMaster.into(),
        text: "it does not hear node1: let VRRP (IP protocol 112) through its firewall".to_owned(),
    };
    let candidate = |node: &str, priority, objections: Vec<v1::Objection>| v1::Candidate {
        node: node.to_owned(),
        priority,
        fit: objections.is_empty(),
        objections,
        ..Default::default()
    };
    Move::from(v1::Move {
        router: "VI_1".to_owned(),
        outcome: outcome.into(),
        text: text.to_owned(),
        from_node: "node1".to_owned(),
        to_node: "node2".to_owned(),
        candidates: vec![candidate("node2", 101, vec![]), candidate("node10", 0, vec![objection])],
        steps,
        hold: None,
    })
}

fn shown(of: &Move) -> String {
    let nodes = nodes(&["192.168.20.187/24"]);
    let mut cast = cast("vi_1", &nodes).unwrap();
    let silent = crate::client::NodeError::Unreachable("no answer within 3 s".to_owned());
    cast.silent.push(("node3", &silent));
    before(of, &cast)
}

#[test]
fn before_a_move_without_a_gap() {
    let text = "VI_1 would move from node1 (priority 201) to node2 (priority 101), without a gap; node1 then holds \
                back until `haclusterctl failback VI_1` or until node2 is gone";
    insta::assert_snapshot!(shown(&a_move(MoveOutcome::WouldMove, text, vec![])));
}

#[test]
fn before_a_resignation() {
    let text = "node1 would resign from VI_1 (priority 0), and node2 take over after its skew time";
    insta::assert_snapshot!(shown(&a_move(MoveOutcome::WouldResign, text, vec![])));
}

#[test]
fn a_refused_move_promises_nothing() {
    let text = shown(&a_move(MoveOutcome::Refused, "no", vec![]));
    assert!(!text.contains("->") && text.contains("does not fit"), "{text}");
}

#[test]
fn after_a_move_the_time_of_its_end_is_said() {
    let mut of = a_move(MoveOutcome::Moved, "VI_1 moved from node1 to node2", vec![]);
    let hold =
        v1::Hold { until: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }), ..Default::default() };
    of.hold = Some(hold.into());
    let nodes = nodes(&[]);
    let text = after(&of, &cast("vi_1", &nodes).unwrap());
    assert!(text.starts_with(
        "VI_1 moved from node1 to node2.\nThe way back: haclusterctl failback VI_1, by itself at 19"
    ));
}

fn step(kind: v1::StepKind, micros: i32) -> v1::Step {
    let after = prost_types::Duration { seconds: 0, nanos: micros * 1_000 };
    v1::Step { kind: kind.into(), text: "x".to_owned(), after: Some(after) }
}

#[test]
fn only_what_was_measured_is_said() {
    use v1::StepKind::{Announced, Asked, Released};
    let said = |steps: Vec<v1::Step>, addresses: &[&str]| {
        let nodes = nodes(addresses);
        let text =
            after(&a_move(MoveOutcome::Moved, "VI_1 is on node2", steps), &cast("vi_1", &nodes).unwrap());
        text.lines().last().unwrap_or_default().to_owned()
    };
    let one = &["192.168.20.187/24"][..];
    assert_eq!(
        said(vec![step(Announced, 1_900), step(Released, 2_600)], one),
        "VI_1 is on node2. 192.168.20.187 was never unserved: node2 announced it at least 0.7 ms before node1 released it."
    );
    assert_eq!(
        said(
            vec![step(Released, 1_000), step(Announced, 3_500)],
            &["10.0.0.1/8", "10.0.0.2/8", "10.0.0.3/8"]
        ),
        "VI_1 is on node2. All 3 addresses were unserved for at most 2.5 ms: node1 released them before node2 \
         announced them."
    );
    assert_eq!(said(vec![step(Asked, 1), step(Announced, 2)], one), "VI_1 is on node2.");
    assert_eq!(
        said(vec![step(Announced, 900), step(Released, 900)], one),
        "VI_1 is on node2. 192.168.20.187 was never unserved: node2 announced it before node1 released it."
    );
    assert_eq!(
        said(vec![step(Announced, 1), step(Announced, 900), step(Released, 1_000)], one),
        "VI_1 is on node2. 192.168.20.187 was never unserved: node2 announced it at least 0.1 ms before node1 released it.",
        "the last announcement counts: the first was of a node that failed"
    );
}

#[test]
fn text_of_others_moves_no_cursor() {
    let mut of = a_move(MoveOutcome::WouldMove, "a\x1b[2J\nb", vec![]);
    of.to_node = Some("no\x1bde2".to_owned());
    let text = shown(&of);
    assert!(!text.contains('\x1b') && text.contains("a\u{fffd}[2J\u{fffd}b"), "{text:?}");
}

#[test]
fn only_yes_is_yes() {
    for (typed, yes) in
        [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("yep\n", false), ("n\n", false)]
    {
        let mut shown = Vec::new();
        assert_eq!(ask_at("Move?", &mut typed.as_bytes(), &mut shown).unwrap(), yes, "{typed:?}");
        assert!(shown.starts_with(b"Move? [y/N] "));
    }
}

#[test]
fn limits_in_their_largest_unit() {
    for (secs, text) in [(90, "90 s"), (1_800, "30 m"), (7_200, "2 h"), (86_400, "1 d"), (5_400, "90 m")] {
        assert_eq!(held(Duration::from_secs(secs)), text);
    }
}
