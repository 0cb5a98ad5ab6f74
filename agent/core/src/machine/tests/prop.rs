//! Random lives: whatever happens, in whatever order.

use super::*;
use proptest::prelude::*;

fn any_input() -> impl Strategy<Value = Input> {
    let sender = prop_oneof![Just(US), Just(LOWER), Just(HIGHER)];
    let fault = prop_oneof![Just(Fault::Link), Just(Fault::Source), Just(Fault::Claim)];
    prop_oneof![
        6 => (sender, any::<u8>()).prop_map(|(sender, priority)| heard(sender, priority)),
        3 => Just(Input::Tick),
        1 => any::<bool>().prop_map(|adopt| Input::Start { adopt }),
        1 => Just(Input::Stop),
        1 => fault.clone().prop_map(Input::Fault),
        1 => fault.prop_map(Input::FaultCleared),
        1 => Just(Input::ClaimRefused),
        1 => (1_u8..=255).prop_map(|priority| Input::Parameters(parameters(priority))),
    ]
}

proptest! {
    /// The addresses follow the state: claimed exactly while Master; nothing announced otherwise.
    #[test]
    fn addresses_follow_the_state(life in proptest::collection::vec((0_u64..2_000_000, any_input()), 0..200)) {
        let mut bench = Bench::new(parameters(100));
        let mut claimed = false;
        for (pause, input) in life {
            bench.wait(pause);
            for action in bench.give(input) {
                match action {
                    Action::Claim { .. } => claimed = true,
                    Action::Release => claimed = false,
                    Action::Announce { .. } => prop_assert!(claimed, "announced what is not ours"),
                    Action::Advertise(_) | Action::Transition(_) | Action::Note(_) => {}
                }
            }
            prop_assert_eq!(claimed, bench.kind() == StateKind::Master);
            prop_assert_eq!(bench.kind() == StateKind::Fault, bench.kind() != StateKind::Initialize && !bench.machine.faults().is_empty());
        }
    }

    /// With nopreempt, whoever is heard in time is never displaced.
    #[test]
    fn a_newcomer_without_preemption_displaces_nobody_it_hears(priorities in proptest::collection::vec(1_u8..=255, 1..50)) {
        let mut bench = Bench::backup(Parameters { preemption: Preemption::Never, ..parameters(200) });
        for priority in priorities {
            bench.wait(1_500_000);
            bench.give(Input::Tick);
            bench.give(heard(LOWER, priority));
            prop_assert_eq!(bench.kind(), StateKind::Backup);
        }
    }

    /// Serving a deadline always moves it: the machine cannot spin.
    #[test]
    fn a_served_deadline_lies_in_the_future(life in proptest::collection::vec((0_u64..2_000_000, any_input()), 0..100)) {
        let mut bench = Bench::new(parameters(100));
        for (pause, input) in life {
            bench.wait(pause);
            bench.give(input);
            bench.give(Input::Tick);
            prop_assert!(bench.machine.next_deadline().is_none_or(|due| due > bench.now));
        }
    }
}
