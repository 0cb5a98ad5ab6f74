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
        3 => any_request(),
        1 => (1_u8..=255, any::<bool>()).prop_map(|(priority, helped)| {
            let lowered_advert_delay = Duration::from_millis(if helped { 100 } else { 0 });
            Input::Parameters(Parameters { lowered_advert_delay, ..parameters(priority) })
        }),
    ]
}

/// What comes of moves between nodes, in any order.
fn any_request() -> impl Strategy<Value = Input> {
    let node = prop_oneof![Just(US), Just(LOWER), Just(HIGHER)];
    let lead = || proptest::option::of(any::<u8>()).prop_map(|lead| lead.map(Priority::from_wire));
    prop_oneof![
        (node.clone(), lead()).prop_map(|(from, lead)| Input::TakeOver { from, lead }),
        Just(Input::Claimed),
        proptest::option::of(node).prop_map(Input::YieldTo),
        Just(Input::Resign),
        lead().prop_map(Input::Lead),
    ]
}

proptest! {
    /// The addresses follow the state: claimed exactly while Master, or while a takeover on request
    /// is prepared; nothing announced otherwise.
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
            prop_assert_eq!(claimed, bench.kind() == StateKind::Master || bench.is_preparing());
            prop_assert_eq!(bench.kind() == StateKind::Fault, bench.kind() != StateKind::Initialize && !bench.machine.faults().is_empty());
        }
    }

    /// What is advertised is the own priority, the lead, or the farewell; a lead is never 0 or 255.
    #[test]
    fn nothing_else_than_priority_lead_and_farewell_is_advertised(
        life in proptest::collection::vec((0_u64..2_000_000, any_input()), 0..200),
    ) {
        let mut bench = Bench::new(parameters(100));
        for (pause, input) in life {
            bench.wait(pause);
            let before = bench.machine.priority();
            let actions = bench.give(input);
            let base = bench.machine.parameters().priority;
            let lead = bench.machine.lead();
            prop_assert!(lead.is_none_or(|lead| !lead.is_resign() && !lead.is_owner()));
            let master = bench.kind() == StateKind::Master;
            let expected = lead.filter(|_| master).map_or(base, |lead| lead.max(base));
            prop_assert_eq!(bench.machine.priority(), expected);
            for action in actions {
                let Action::Advertise(said) = action else { continue };
                prop_assert!(said.is_resign() || said == expected || said == before, "{said}");
            }
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
