use super::*;
use alloc::vec;
use proptest::prelude::*;

const UP: Look = Look { up: true, adjust: None };
const DOWN: Look = Look { up: false, adjust: None };

fn server(weight: u16) -> Server {
    Server::new(ServerRules { weight, inhibit: false }, vec![UP], None)
}

fn inhibited(weight: u16) -> Server {
    Server::new(ServerRules { weight, inhibit: true }, vec![UP], None)
}

fn rules(quorum: u32, hysteresis: u32, sorry: Option<Sorry>) -> Rules {
    Rules { quorum, hysteresis, sorry }
}

fn service(rules: Rules, servers: Vec<Server>) -> Service {
    Service::new(rules, servers, None)
}

/// Weights in the kernel's table: servers in their order, then the sorry server.
fn table(service: &Service) -> (Vec<Option<u16>>, Option<u16>) {
    let servers = (0..service.servers().len()).map(|number| service.destination(number));
    (servers.collect(), service.sorry())
}

fn set(service: &mut Service, server: usize, up: bool) -> Vec<Change> {
    service.look(server, 0, Look { up, adjust: None });
    service.settle()
}

#[test]
fn a_failed_server_leaves_and_returns() {
    let mut service = service(rules(1, 0, None), vec![server(3), server(5)]);
    assert!(service.settle().is_empty(), "nothing changed by itself");
    assert_eq!(table(&service), (vec![Some(3), Some(5)], None));
    assert_eq!(set(&mut service, 1, false), [Change::Server { server: 1, up: false }]);
    assert_eq!(table(&service), (vec![Some(3), None], None));
    assert!(set(&mut service, 1, false).is_empty(), "it cannot go twice");
    assert_eq!(set(&mut service, 1, true), [Change::Server { server: 1, up: true }]);
    assert_eq!(table(&service), (vec![Some(3), Some(5)], None));
}

#[test]
fn one_that_goes_on_with_other_rules_says_what_is_different_and_nothing_else() {
    let went = Server::new(ServerRules { weight: 3, inhibit: false }, vec![DOWN], None).settled(true, 3);
    let heavier = server(5).settled(true, 4);
    let came = server(1).settled(false, 1);
    let same = server(2).settled(true, 2);
    let mut service = Service::new(rules(8, 0, None), vec![went, heavier, came, same], Some(false));
    let expected = [
        Change::Server { server: 0, up: false },
        Change::Weight { server: 1, from: 4, to: 5 },
        Change::Server { server: 2, up: true },
        Change::Quorum { up: true },
    ];
    assert_eq!(service.settle(), expected);
    assert!(service.settle().is_empty());
}

#[test]
fn with_inhibit_a_failed_server_stays_with_weight_0() {
    let mut service = service(rules(1, 0, None), vec![inhibited(3), server(5)]);
    set(&mut service, 0, false);
    assert_eq!(table(&service), (vec![Some(0), Some(5)], None));
    assert_eq!(service.sum(), 5, "it counts for nothing");
}

#[test]
fn the_sorry_server_answers_while_the_quorum_is_lost_and_replaces_who_is_left() {
    for (sorry, idle) in [(Sorry::Absent, None), (Sorry::Inhibited, Some(0))] {
        let mut service = service(rules(2, 0, Some(sorry)), vec![server(1), inhibited(1), server(1)]);
        assert_eq!(table(&service), (vec![Some(1), Some(1), Some(1)], idle));
        assert_eq!(set(&mut service, 2, false).len(), 1, "two are enough");
        let expected = [Change::Server { server: 0, up: false }, Change::Quorum { up: false }];
        assert_eq!(set(&mut service, 0, false), expected);
        assert_eq!(table(&service), (vec![None, Some(0), None], Some(1)));
        let expected = [Change::Server { server: 2, up: true }, Change::Quorum { up: true }];
        assert_eq!(set(&mut service, 2, true), expected);
        assert_eq!(table(&service), (vec![None, Some(1), Some(1)], idle));
    }
}

#[test]
fn without_a_sorry_server_who_is_left_goes_on_when_the_quorum_is_lost() {
    let mut service = service(rules(2, 0, None), vec![server(1), server(1)]);
    assert!(set(&mut service, 0, false).contains(&Change::Quorum { up: false }));
    assert_eq!(table(&service), (vec![None, Some(1)], None));
}

#[test]
fn hysteresis_keeps_the_quorum_from_flapping() {
    // Ten servers of weight 1; the quorum is 5, give or take 2.
    let mut service = service(rules(5, 2, None), (0..10).map(|_| server(1)).collect());
    let mut at = |up: usize| {
        (0..10).for_each(|number| service.look(number, 0, if number < up { UP } else { DOWN }));
        service.settle();
        (service.has_quorum(), service.threshold())
    };
    let table = [
        (5, (true, 3)),
        (3, (true, 3)),
        (2, (false, 7)),
        (5, (false, 7)),
        (6, (false, 7)),
        (7, (true, 3)),
        (3, (true, 3)),
        (0, (false, 7)),
    ];
    for (up, expected) in table {
        assert_eq!(at(up), expected, "{up} up");
    }
}

#[test]
fn whatever_the_rules_nothing_is_no_quorum() {
    for (quorum, hysteresis) in [(0, 0), (1, 1), (1, u32::MAX), (5, 5)] {
        let mut service = service(rules(quorum, hysteresis, None), vec![server(9)]);
        set(&mut service, 0, false);
        assert!(!service.has_quorum(), "quorum {quorum} hysteresis {hysteresis}");
    }
    let none = service(rules(1, 0, Some(Sorry::Absent)), vec![]);
    assert_eq!((none.has_quorum(), table(&none)), (false, (vec![], Some(1))), "0 real servers");
    let largest = service(rules(u32::MAX, u32::MAX, None), vec![server(u16::MAX)]);
    assert_eq!((largest.has_quorum(), largest.threshold()), (false, 2 * u64::from(u32::MAX)));
}

#[test]
fn all_checks_must_be_good_and_those_that_are_not_are_named() {
    let several = Server::new(ServerRules { weight: 1, inhibit: false }, vec![UP, DOWN, DOWN], None);
    let mut service = service(rules(1, 0, None), vec![several]);
    assert_eq!((service.servers()[0].is_up(), service.has_quorum()), (false, false), "alpha");
    assert_eq!(service.servers()[0].failing().collect::<Vec<_>>(), [1, 2]);
    service.look(0, 1, UP);
    assert!(service.settle().is_empty());
    service.look(0, 2, UP);
    assert_eq!(service.settle(), [Change::Server { server: 0, up: true }, Change::Quorum { up: true }]);
}

#[test]
fn a_server_without_checks_is_always_up() {
    let unchecked = Server::new(ServerRules { weight: 7, inhibit: false }, vec![], None);
    let mut service = service(rules(1, 0, None), vec![unchecked]);
    service.look(0, 0, DOWN);
    service.look(5, 0, DOWN);
    assert!(service.settle().is_empty());
    assert_eq!(table(&service), (vec![Some(7)], None));
}

#[test]
fn weights_come_from_the_file_the_checks_and_the_operator() {
    use Adjust::{Add, Set};
    let table: [(&[Adjust], Option<u16>, u16); 13] = [
        (&[], None, 10),
        (&[Set(3)], None, 3),
        (&[Set(0)], None, 0),
        (&[Set(30), Set(20)], None, 40), // as keepalived: each moves it by its difference
        (&[Set(5), Set(7)], None, 2),
        (&[Set(0), Set(5)], None, 0),
        (&[Add(5)], None, 15),
        (&[Add(5), Add(-7)], None, 8),
        (&[Add(-11)], None, 0),
        (&[Set(3), Add(4)], None, 7),
        (&[Add(i32::MAX), Add(i32::MAX)], None, u16::MAX),
        (&[Add(i32::MIN), Add(i32::MIN)], None, 0),
        (&[Set(3), Add(4)], Some(99), 99),
    ];
    for (adjusts, operator, expected) in table {
        let looks = adjusts.iter().map(|&adjust| Look { up: true, adjust: Some(adjust) }).collect();
        let server = Server::new(ServerRules { weight: 10, inhibit: false }, looks, operator);
        assert_eq!(server.weight(), expected, "{adjusts:?} {operator:?}");
    }
}

#[test]
fn a_changed_weight_is_told_and_counts_for_the_quorum() {
    let mut service = service(rules(5, 0, None), vec![server(3), server(3)]);
    service.look(0, 0, Look { up: true, adjust: Some(Adjust::Set(1)) });
    let expected = [Change::Weight { server: 0, from: 3, to: 1 }, Change::Quorum { up: false }];
    assert_eq!(service.settle(), expected);
}

#[test]
fn a_drained_server_keeps_its_connections_even_behind_a_sorry_server() {
    let mut service = service(rules(1, 0, Some(Sorry::Absent)), vec![server(2), server(3)]);
    service.order(0, Some(0));
    assert_eq!(service.settle(), [Change::Weight { server: 0, from: 2, to: 0 }]);
    assert_eq!(table(&service), (vec![Some(0), Some(3)], None));
    set(&mut service, 1, false);
    assert_eq!(table(&service), (vec![Some(0), None], Some(1)), "drained, not removed");
    set(&mut service, 0, false);
    assert_eq!(table(&service), (vec![None, None], Some(1)), "down is down");
    set(&mut service, 0, true);
    service.order(0, None);
    let expected = [Change::Weight { server: 0, from: 0, to: 2 }, Change::Quorum { up: true }];
    assert_eq!(service.settle(), expected);
    assert_eq!(service.servers()[0].operator(), None);
}

#[test]
fn at_rest_what_counted_goes_on_to_count_but_orders_are_carried_out() {
    let mut service = service(rules(1, 0, None), vec![server(2), server(3)]);
    service.suspend(true);
    assert!(set(&mut service, 0, false).is_empty());
    assert_eq!(service.servers()[0].counted(), [UP]);
    service.order(1, Some(0));
    assert_eq!(service.settle(), [Change::Weight { server: 1, from: 3, to: 0 }]);
    assert!(service.is_suspended());
    service.suspend(false);
    assert_eq!(service.settle(), [Change::Server { server: 0, up: false }, Change::Quorum { up: false }]);
}

#[test]
fn a_successor_says_what_is_different_and_respects_the_hysteresis() {
    let servers = || vec![server(1), server(1), server(1)];
    assert!(service(rules(3, 1, None), servers()).has_quorum(), "nobody before: the quorum decides");
    let mut before_without = Service::new(rules(3, 1, None), servers(), Some(false));
    assert!(before_without.settle().is_empty(), "3 are below 3 + 1");
    let mut before_with = Service::new(rules(4, 0, None), servers(), Some(true));
    assert_eq!(before_with.settle(), [Change::Quorum { up: false }]);
}

fn any_look() -> impl Strategy<Value = Look> {
    let adjust = prop_oneof![
        Just(None),
        any::<u16>().prop_map(|weight| Some(Adjust::Set(weight))),
        any::<i32>().prop_map(|more| Some(Adjust::Add(more))),
    ];
    (any::<bool>(), adjust).prop_map(|(up, adjust)| Look { up, adjust })
}

proptest! {
    /// Whatever comes: nobody who is down takes connections, somebody answers if anybody can, changes
    /// are exactly the differences, and settling twice changes nothing.
    #[test]
    fn every_table_is_sound(
        quorum in 0u32..20,
        hysteresis in 0u32..20,
        sorry in prop_oneof![Just(None), Just(Some(Sorry::Absent)), Just(Some(Sorry::Inhibited))],
        weights in proptest::collection::vec((0u16..6, any::<bool>()), 0..5),
        steps in proptest::collection::vec((0usize..6, any_look(), proptest::option::of(0u16..4), any::<bool>()), 0..30),
    ) {
        let servers = weights.iter().map(|&(weight, inhibit)| {
            Server::new(ServerRules { weight, inhibit }, vec![UP], None)
        });
        let mut service = service(rules(quorum, hysteresis, sorry), servers.collect());
        for (number, look, order, suspended) in steps {
            let before = service.clone();
            service.look(number, 0, look);
            service.order(number, order);
            service.suspend(suspended);
            let changes = service.settle();
            prop_assert!(service.settle().is_empty());
            let told = |change: &Change| changes.contains(change);
            let has = service.has_quorum();
            prop_assert_eq!(before.has_quorum() != has, told(&Change::Quorum { up: has }));
            for (position, (was, is)) in before.servers().iter().zip(service.servers()).enumerate() {
                let change = Change::Server { server: position, up: is.is_up() };
                prop_assert_eq!(was.is_up() != is.is_up(), told(&change));
                let takes = service.destination(position).is_some_and(|weight| weight > 0);
                prop_assert!(!takes || is.is_up());
                prop_assert!(!takes || has || sorry.is_none(), "nobody stands beside the sorry server");
            }
            prop_assert_eq!(service.sorry() == Some(1), sorry.is_some() && !has);
            prop_assert!(!has || service.sum() > 0);
        }
    }
}
