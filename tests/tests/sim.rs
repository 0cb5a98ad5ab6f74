//! The seeded simulation. See `hacluster_tests::sim` for what a seed is.
//!
//! `HACLUSTER_SIM_SEEDS=20000` runs that many; `HACLUSTER_SIM_SEED=7` runs one and shows it.

use hacluster_tests::sim::{Outcome, Sabotage, run};
use std::{env, fs, path::Path};

/// Enough to meet every kind of fault many times, few enough for every `cargo test`.
const SEEDS_DEFAULT: u64 = 300;

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

/// The same seed gives the same world, or no failure could be seen again.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(run(seed, Sabotage::None).fingerprint(), run(seed, Sabotage::None).fingerprint());
    }
    assert_ne!(run(1, Sabotage::None).fingerprint(), run(2, Sabotage::None).fingerprint());
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
    ];
    for (defect, check) in defects {
        let caught = |seed| run(seed, defect).failure.is_some_and(|failure| failure.check == check);
        assert!((0..SEEDS_DEFAULT).any(caught), "{defect:?} is not caught by `{check}`");
    }
}
