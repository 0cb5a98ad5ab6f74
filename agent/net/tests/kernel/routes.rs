//! Routes and rules on and off, never touching those of others.

use super::{
    Body,
    world::{World, plain, wait_for_event},
};
use hacluster_net::{
    Errno,
    netlink::{Event, Group, Hop, Monitor, ROUTE_PROTOCOL, Requests, RouteSpec, RuleSpec},
};
use libtest_mimic::Failed;
use std::net::Ipv4Addr;

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("routes::every_kind_is_set_listed_and_removed", every_kind),
    ("routes::one_of_another_program_stays", one_of_another_program_stays),
    ("routes::what_leads_nowhere_is_refused_with_the_kernels_words", leads_nowhere),
    ("routes::losses_of_ours_alone_are_heard", losses_of_ours_alone_are_heard),
    ("routes::a_link_switched_off_takes_them_along", a_link_switched_off_takes_them_along),
    ("routes::rules_are_set_listed_and_removed", rules),
];

/// STATIC, as of a person with `ip route add ... proto static`.
const FOREIGN: u8 = 4;

fn to(number: u8, hops: Vec<Hop>) -> RouteSpec {
    let on_link = hops.iter().all(|hop| hop.gateway.is_none()) && !hops.is_empty();
    RouteSpec {
        kind: 1,
        destination: Ipv4Addr::new(172, 16, number, 0),
        prefix_len: 24,
        tos: 0,
        table: 254,
        metric: 0,
        scope: if on_link { 253 } else { 0 },
        source: None,
        hops,
        settings: Vec::new(),
        locked: 0,
    }
}

fn dev(world: &World) -> Hop {
    Hop { index: world.a.index, ..Hop::default() }
}

fn via(number: u16) -> Hop {
    let [x, y] = number.to_be_bytes();
    Hop { gateway: Some(Ipv4Addr::new(10, 0, x, y)), ..Hop::default() }
}

fn all_well(results: Vec<Result<(), hacluster_net::NetError>>) -> Result<(), Failed> {
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

fn every_kind(world: &mut World) -> Result<(), Failed> {
    all_well(world.requests.add_addresses([&plain(world.a.index, 1)]))?;
    let specs = [
        to(1, vec![dev(world)]),
        RouteSpec { table: 1000, metric: 7, source: Some(Ipv4Addr::new(10, 0, 0, 1)), ..to(1, vec![via(2)]) },
        RouteSpec { settings: vec![(2, 1400), (8, 1000)], locked: 1 << 2, ..to(2, vec![via(2)]) },
        to(3, vec![Hop { extra_weight: 1, ..via(2) }, Hop { extra_weight: 4, ..via(3) }]),
        to(4, vec![Hop { gateway: Some(Ipv4Addr::new(192, 0, 2, 1)), onlink: true, ..dev(world) }]),
        RouteSpec { kind: 6, ..to(5, vec![]) },
        RouteSpec { kind: 7, metric: 9, ..to(5, vec![]) },
        RouteSpec { kind: 8, tos: 16, ..to(6, vec![]) },
        RouteSpec { kind: 9, table: 100, ..to(7, vec![]) },
        RouteSpec { destination: Ipv4Addr::UNSPECIFIED, prefix_len: 0, ..to(0, vec![via(9)]) },
    ];
    all_well(world.requests.add_routes(&specs))?;
    let there = world.requests.dump_routes(ROUTE_PROTOCOL)?;
    assert_eq!(there.len(), specs.len(), "{there:#?}");
    for spec in &specs {
        let found = there.iter().filter(|entry| entry.is(spec)).count();
        assert_eq!(found, 1, "{spec:?} in {there:#?}");
    }
    assert_eq!(world.requests.dump_routes(FOREIGN)?, []);
    all_well(world.requests.remove_routes(specs.iter().rev()))?;
    assert_eq!(world.requests.dump_routes(ROUTE_PROTOCOL)?, []);
    all_well(world.requests.remove_routes(&specs))
}

fn one_of_another_program_stays(world: &mut World) -> Result<(), Failed> {
    all_well(world.requests.add_addresses([&plain(world.a.index, 1)]))?;
    let (theirs, ours) = (to(1, vec![dev(world)]), to(1, vec![via(2)]));
    world.requests.add_route_as(FOREIGN, &theirs)?;
    let refused = world.requests.add_routes([&ours]).remove(0);
    assert_eq!(refused.map_err(|error| error.errno()), Err(Errno::EEXIST));
    all_well(world.requests.remove_routes([&ours, &theirs]))?;
    let there = world.requests.dump_routes(FOREIGN)?;
    assert!(there.len() == 1 && there[0].is(&theirs), "{there:?}");
    Ok(())
}

fn leads_nowhere(world: &mut World) -> Result<(), Failed> {
    let error = world.requests.add_routes([&to(1, vec![via(2)])]).remove(0).err().ok_or("no error")?;
    assert_eq!(error.errno(), Errno::ENETUNREACH);
    assert!(
        error.to_string().starts_with("cannot add route 172.16.1.0/24: Network is unreachable"),
        "{error}"
    );
    Ok(())
}

fn losses_of_ours_alone_are_heard(world: &mut World) -> Result<(), Failed> {
    let mut monitor = Monitor::open(&[Group::Ipv4Routes, Group::Ipv4Rules])?;
    monitor.only_losses_of(ROUTE_PROTOCOL)?;
    let mut other = Requests::open()?;
    let (theirs, ours) = (to(1, vec![dev(world)]), to(2, vec![dev(world)]));
    world.requests.add_route_as(FOREIGN, &theirs)?;
    all_well(world.requests.add_routes([&ours]))?;
    other.remove_route_as(FOREIGN, &theirs)?;
    all_well(other.remove_routes([&ours]))?;
    let heard = wait_for_event(&mut monitor, "the removal is heard", |_| true)?;
    assert_eq!(heard, Event::RouteRemoved { sender: Some(other.port_id()) });
    assert!(!monitor.read(10, &mut |event| panic!("one more: {event:?}"))?);
    all_well(world.requests.add_routes([&ours]))?;
    other.replace_route_as(FOREIGN, &ours)?;
    let heard = wait_for_event(&mut monitor, "the replacement is heard", |_| true)?;
    let Event::RouteReplaced { route, sender } = heard else { return Err("another event".into()) };
    assert_eq!((route.protocol, route.destination), (FOREIGN, ours.destination));
    assert_eq!(sender, Some(other.port_id()));
    let rule = RuleSpec { action: 1, table: 100, priority: Some(50), ..RuleSpec::default() };
    all_well(world.requests.add_rules([&rule]))?;
    let listed = world.requests.dump_rules(ROUTE_PROTOCOL)?;
    all_well(other.remove_rules(&listed))?;
    let heard = wait_for_event(&mut monitor, "the removal of a rule is heard", |_| true)?;
    assert_eq!(heard, Event::RouteRemoved { sender: Some(other.port_id()) });
    Ok(())
}

fn a_link_switched_off_takes_them_along(world: &mut World) -> Result<(), Failed> {
    let ours = to(2, vec![dev(world)]);
    all_well(world.requests.add_routes([&ours]))?;
    world.requests.set_down("a")?;
    assert_eq!(world.requests.dump_routes(ROUTE_PROTOCOL)?, []);
    let error = world.requests.add_routes([&ours]).remove(0).err().ok_or("no error")?;
    assert_eq!(error.errno(), Errno::ENETDOWN);
    all_well(world.requests.remove_routes([&ours]))
}

fn rules(world: &mut World) -> Result<(), Failed> {
    let plain = RuleSpec { action: 1, table: 100, ..RuleSpec::default() };
    let specs = [
        plain.clone(),
        RuleSpec {
            not: true,
            from: Some((Ipv4Addr::new(10, 1, 0, 0), 16)),
            to: Some((Ipv4Addr::new(10, 2, 3, 4), 32)),
            tos: 8,
            mark: Some((5, u32::MAX)),
            iif: Some("a".into()),
            oif: Some("b".into()),
            ip_protocol: Some(6),
            sport: Some((80, 80)),
            dport: Some((1000, 2000)),
            uids: Some((0, 99)),
            suppress_prefix_len: Some(0),
            priority: Some(50),
            action: 1,
            table: 1000,
        },
        RuleSpec { from: Some((Ipv4Addr::new(10, 9, 0, 0), 16)), action: 8, ..RuleSpec::default() },
    ];
    all_well(world.requests.add_rules(&specs))?;
    let there = world.requests.dump_rules(ROUTE_PROTOCOL)?;
    assert_eq!(there.len(), specs.len(), "{there:#?}");
    for spec in &specs {
        assert_eq!(there.iter().filter(|entry| entry.is(spec)).count(), 1, "{spec:?} in {there:#?}");
    }
    let twice = world.requests.add_rules([&specs[1]]).remove(0);
    assert_eq!(twice.map_err(|error| error.errno()), Err(Errno::EEXIST));
    for _ in 0..2 {
        all_well(world.requests.remove_rules(&there))?;
    }
    assert_eq!(world.requests.dump_rules(ROUTE_PROTOCOL)?, []);
    assert_eq!(world.requests.dump_rules(2)?.len(), 3, "the kernel's own are still there");
    Ok(())
}
