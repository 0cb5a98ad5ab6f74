//! The seeded simulation. See `hacluster_tests::sim` for what a seed is.
//!
//! `HACLUSTER_SIM_SEEDS=20000` runs that many; `HACLUSTER_SIM_SEED=7` runs one and shows it,
//! `HACLUSTER_SIM_GROUP_SEED=7` one with sync groups.

use hacluster_core::machine::{Action, Input, Note, Reason, State, StateKind, TakeoverCause, Transition};
use hacluster_tests::sim::trace::{Stimulus, What};
use hacluster_tests::sim::{Outcome, Sabotage, run, run_grouped, run_without_moves};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

/// Enough to meet every kind of fault many times, few enough for every `cargo test`.
const SEEDS_DEFAULT: u64 = 300;
/// Worlds of sync groups last longer.
const GROUP_SEEDS_DEFAULT: u64 = 100;

fn number_from(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}")))
}

fn demand_success(outcome: &Outcome) {
    let Some(report) = outcome.report() else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sim-{}.trace", outcome.seed));
    fs::write(&file, outcome.trace_text()).expect("the trace can be written");
    panic!("{report}the whole trace: {}", file.display());
}

#[test]
fn every_world_is_safe_and_settles() {
    if let Some(seed) = number_from("HACLUSTER_SIM_SEED") {
        let outcome = run(seed, Sabotage::None);
        println!("{}", outcome.trace_text());
        return demand_success(&outcome);
    }
    for seed in 0..number_from("HACLUSTER_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT) {
        demand_success(&run(seed, Sabotage::None));
    }
}

/// No node ever has half of its group, and once nothing goes wrong any more one node has all of it.
#[test]
fn every_world_of_sync_groups_is_whole_and_settles() {
    if let Some(seed) = number_from("HACLUSTER_SIM_GROUP_SEED") {
        let outcome = run_grouped(seed, Sabotage::None);
        println!("{}", outcome.trace_text());
        return demand_success(&outcome);
    }
    for seed in 0..number_from("HACLUSTER_SIM_SEEDS").unwrap_or(GROUP_SEEDS_DEFAULT) {
        demand_success(&run_grouped(seed, Sabotage::None));
    }
}

/// Groups rule, fail and give way, or their worlds prove nothing.
#[test]
fn the_worlds_of_sync_groups_are_eventful() {
    let mut seen = BTreeSet::new();
    for outcome in (0..GROUP_SEEDS_DEFAULT / 2).map(|seed| run_grouped(seed, Sabotage::None)) {
        for record in &outcome.trace {
            let What::Met { stimulus: Stimulus::Told(input), before, after, .. } = &record.what else {
                continue;
            };
            match input {
                Input::GroupRules | Input::GroupYields | Input::Fault(_) | Input::FaultCleared(_)
                    if before.kind() != after.kind() =>
                {
                    seen.insert(format!("{input:?}"));
                }
                Input::GroupHastens => _ = seen.insert(format!("{input:?}")),
                _ => {}
            }
        }
    }
    for needed in ["GroupRules", "GroupYields", "GroupHastens", "Fault(Group)", "FaultCleared(Group)"] {
        assert!(seen.contains(needed), "{needed} never happens: {seen:?}");
    }
}

#[test]
fn worlds_that_once_failed_stay_safe() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/sim-regressions/seeds.txt");
    let text = fs::read_to_string(file).expect("the list of seeds");
    let seeds: Vec<u64> = text
        .lines()
        .map(|line| line.split_whitespace().next().unwrap_or_default().parse().expect("a seed"))
        .collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        demand_success(&run(seed, Sabotage::None));
        demand_success(&run_without_moves(seed)); // as it was when it failed
    }
}

/// The same seed gives the same world, or no failure could be seen again.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(run(seed, Sabotage::None).fingerprint(), run(seed, Sabotage::None).fingerprint());
    }
    for seed in 0..20 {
        let traces = [0, 1].map(|_| run_grouped(seed, Sabotage::None).fingerprint());
        assert_eq!(traces[0], traces[1]);
    }
    assert_ne!(run(1, Sabotage::None).fingerprint(), run(2, Sabotage::None).fingerprint());
}

/// Worlds in which little happens prove little: every way from state to state and every kind of
/// injected packet must occur.
#[test]
fn the_default_worlds_are_eventful() {
    let (mut ways, mut injections) = (BTreeSet::new(), BTreeSet::new());
    for outcome in (0..SEEDS_DEFAULT).map(|seed| run(seed, Sabotage::None)) {
        for record in &outcome.trace {
            let What::Met { before, after, injected, .. } = &record.what else { continue };
            ways.insert((before.kind(), after.kind()));
            injections.extend(injected.map(|garbage| format!("{garbage:?}")));
        }
    }
    // No way leads from Fault straight to Master; all others are walked, standing still included.
    assert_eq!(ways.len(), 15, "{ways:?}");
    assert!(!ways.contains(&(StateKind::Fault, StateKind::Master)));
    assert_eq!(injections.len(), 7, "{injections:?}");
}

/// Every way that a move can end occurs, and in time: also a crash of either side on the way.
#[test]
fn the_default_worlds_move_routers() {
    let mut seen = BTreeMap::<&str, u64>::new();
    for outcome in (0..SEEDS_DEFAULT).map(|seed| run(seed, Sabotage::None)) {
        // Per node: which routers prepare to rule, and which are being handed over.
        let (mut preparing, mut yielding) = (BTreeSet::new(), BTreeSet::new());
        for record in &outcome.trace {
            let (node, place) = (record.node, (record.node, record.vr));
            match &record.what {
                What::World(text) if text == "crashes" => {
                    let struck = |places: &BTreeSet<_>| places.iter().any(|(index, _)| *index == node);
                    *seen.entry("mover crashed").or_default() += u64::from(struck(&yielding));
                    *seen.entry("target crashed").or_default() += u64::from(struck(&preparing));
                    preparing.retain(|(index, _)| *index != node);
                    yielding.retain(|(index, _)| *index != node);
                }
                What::Met { stimulus, after, actions, .. } => {
                    let (prepares, yields) = match after {
                        State::Backup(backup) => (backup.preparing.is_some(), false),
                        State::Master(master) => (false, master.handover.yield_to.is_some()),
                        State::Initialize | State::Fault => (false, false),
                    };
                    let note = |places: &mut BTreeSet<_>, is: bool| {
                        let _ = if is { places.insert(place) } else { places.remove(&place) };
                    };
                    note(&mut preparing, prepares);
                    note(&mut yielding, yields);
                    if *stimulus == Stimulus::Told(Input::YieldTo(None)) {
                        *seen.entry("given up").or_default() += 1;
                    }
                    for happening in actions.iter().filter_map(happening) {
                        *seen.entry(happening).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
    }
    println!("{seen:?}");
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 1), "{seen:?}");
}

fn happening(action: &Action) -> Option<&'static str> {
    match action {
        Action::Note(Note::TakeOverTooSlow(_)) => Some("claim too slow"),
        Action::Note(Note::TakeOverRefused(_)) => Some("claim refused"),
        Action::Transition(Transition { reason, .. }) => match reason {
            Reason::GaveAway(_) => Some("gave away"),
            Reason::ResignedOnRequest => Some("resigned"),
            Reason::TookOver(TakeoverCause::HandedOver(_)) => Some("handed over"),
            _ => None,
        },
        _ => None,
    }
}

/// Each deliberate defect is found by the check that is there for it.
#[test]
fn every_check_can_fail() {
    let defects = [
        (Sabotage::AnnounceEarly, "announce"),
        (Sabotage::BelieveGarbage, "invalid"),
        (Sabotage::ForgetRelease, "addresses"),
        (Sabotage::PreemptAnyway, "nopreempt"),
        (Sabotage::DeafToResign, "resign"),
        (Sabotage::StubbornMaster, "rivals"),
        (Sabotage::LazyBackup, "progress"),
        (Sabotage::PreemptNever, "liveness"),
        (Sabotage::LeadNobody, "moved"),
        (Sabotage::BreakBeforeMake, "moved"),
        (Sabotage::ForgetSuccessor, "moved"),
        (Sabotage::DeafToClaimed, "moved"),
    ];
    for (defect, check) in [(Sabotage::ForgetGroup, "together"), (Sabotage::DeafToGroup, "liveness")] {
        let caught = |seed| run_grouped(seed, defect).failure.is_some_and(|failure| failure.check == check);
        assert!((0..SEEDS_DEFAULT).any(caught), "{defect:?} is not caught by `{check}`");
    }
    for (defect, check) in defects {
        let caught = |seed| run(seed, defect).failure.is_some_and(|failure| failure.check == check);
        assert!((0..SEEDS_DEFAULT).any(caught), "{defect:?} is not caught by `{check}`");
    }
}
