//! The two tables, whole, as pictures.

use super::*;
use alloc::{format, string::String};
use transition::Event;

#[test]
fn the_transition_matrix() {
    let mut picture = String::new();
    for event in Event::ALL {
        for from in StateKind::ALL {
            let (to, response) = transition(from, event);
            let step = if from == to { String::from("stays") } else { format!("-> {to}") };
            picture.push_str(&format!("{from:<11}{:<25}{step:<14}{response:?}\n", format!("{event:?}")));
        }
    }
    insta::assert_snapshot!(picture);
}

#[test]
fn the_effect_matrix() {
    let mut picture = String::new();
    for from in StateKind::ALL {
        for to in StateKind::ALL {
            picture.push_str(&format!("{from:<11}-> {to:<11}{:?}\n", effects(from, to)));
        }
    }
    insta::assert_snapshot!(picture);
}

/// The ways through the machine, as a drawing (Graphviz).
#[test]
fn the_drawing() {
    let mut drawing = String::from("digraph vrrp {\n");
    for from in StateKind::ALL {
        for event in Event::ALL {
            let (to, _) = transition(from, event);
            if from != to {
                drawing.push_str(&format!("  {from} -> {to} [label=\"{event:?}\"];\n"));
            }
        }
    }
    drawing.push_str("}\n");
    insta::assert_snapshot!(drawing);
}

/// Nothing gets on or off the interface without the effect that says so.
#[test]
fn whoever_leaves_master_releases_and_whoever_enters_claims() {
    for from in StateKind::ALL {
        for to in StateKind::ALL.into_iter().filter(|to| *to != from) {
            let owed = effects(from, to);
            assert_eq!(owed.contains(&Effect::Claim), to == StateKind::Master, "{from} -> {to}");
            assert!(from != StateKind::Master || owed.contains(&Effect::Release), "{from} -> {to}");
        }
    }
}

/// Trap: an advert that reaches an instance still in Initialize. Every input, in every state.
#[test]
fn every_input_is_legal_in_every_state() {
    let inputs = [
        Input::Start { adopt: false },
        Input::Start { adopt: true },
        Input::Stop,
        Input::Tick,
        heard(LOWER, 0),
        heard(LOWER, 1),
        heard(LOWER, 100),
        heard(HIGHER, 100),
        heard(US, 100),
        heard(HIGHER, 255),
        Input::Fault(Fault::Link),
        Input::FaultCleared(Fault::Link),
        Input::ClaimRefused,
        Input::Parameters(parameters(7)),
        Input::Source(HIGHER),
        Input::TakeOver { from: HIGHER, lead: Some(Priority::DEFAULT) },
        Input::Claimed,
        Input::YieldTo(Some(HIGHER)),
        Input::YieldTo(None),
        Input::Resign,
        Input::Lead(Some(Priority::DEFAULT)),
        Input::Lead(Some(Priority::OWNER)),
        Input::Lead(None),
    ];
    let states: [fn() -> Bench; 5] = [
        || Bench::new(parameters(100)),
        || Bench::backup(parameters(100)),
        || Bench::master(parameters(100)),
        || {
            let mut bench = Bench::backup(parameters(100));
            bench.give(Input::TakeOver { from: HIGHER, lead: None });
            bench
        },
        || {
            let mut bench = Bench::backup(parameters(100));
            bench.give(Input::Fault(Fault::Link));
            bench
        },
    ];
    for state in states {
        for input in inputs {
            let mut bench = state();
            bench.give(input);
            let ruling = bench.kind() == StateKind::Backup || bench.kind() == StateKind::Master;
            assert_eq!(bench.machine.next_deadline().is_some(), ruling, "{input:?}");
        }
    }
}
