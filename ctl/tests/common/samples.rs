//! Moves as agents report them.

use super::fake::{self, Script, by};
use hacluster_proto::v1::{self, MoveOutcome, State, StepKind};

pub fn candidate(node: &str, priority: u32, objection: &str) -> v1::Candidate {
    let objection = Some(objection).filter(|text| !text.is_empty());
    let objections = objection
        .map(|text| v1::Objection { kind: v1::ObjectionKind::Drained.into(), text: text.to_owned() });
    v1::Candidate {
        node: node.to_owned(),
        priority,
        fit: objections.is_none(),
        objections: objections.into_iter().collect(),
        ..Default::default()
    }
}

pub fn step(kind: StepKind, text: &str, micros: i32) -> v1::Step {
    let after = prost_types::Duration { seconds: 0, nanos: micros * 1_000 };
    v1::Step { text: text.to_owned(), after: Some(after), kind: kind.into() }
}

/// VI_1 goes from node1 to node2.
pub fn a_move(outcome: MoveOutcome, text: &str) -> v1::Move {
    let mut of = v1::Move {
        router: "VI_1".to_owned(),
        outcome: outcome.into(),
        text: text.to_owned(),
        from_node: "node1".to_owned(),
        to_node: "node2".to_owned(),
        candidates: vec![candidate("node2", 101, ""), candidate("node3", 90, "it is drained")],
        ..Default::default()
    };
    if outcome == MoveOutcome::Moved {
        of.steps = vec![
            step(StepKind::Asked, "asked node2", 400),
            step(StepKind::Announced, "node2 announced", 1_900),
            step(StepKind::Released, "node1 released", 2_600),
        ];
        of.hold = Some(hold());
    }
    of
}

pub fn hold() -> v1::Hold {
    v1::Hold {
        kind: v1::HoldKind::Failover.into(),
        by: "root".to_owned(),
        reason: "disk".to_owned(),
        to_node: "node2".to_owned(),
        ..Default::default()
    }
}

pub fn failover(outcome: MoveOutcome, text: &str) -> v1::FailoverResponse {
    v1::FailoverResponse { r#move: Some(a_move(outcome, text)) }
}

/// node1 rules VI_1 and can move it to node2.
pub fn willing() -> Script {
    let trial = failover(MoveOutcome::WouldMove, "VI_1 would go to node2, the best of 2 nodes");
    let done = failover(MoveOutcome::Moved, "node2 rules VI_1");
    Script {
        snapshot: fake::snapshot("node1", vec![fake::router("VI_1", 51, State::Master, 201)]),
        failover: by(|request: &v1::FailoverRequest| request.dry_run, trial, done),
        ..Default::default()
    }
}
