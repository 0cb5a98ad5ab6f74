//! Addresses on and off, and hearing of them.

use super::{
    Body,
    world::{World, plain, wait_for_event},
};
use hacluster_net::{
    Errno,
    netlink::{AddressSpec, Event, Group, Monitor, PROTOCOL_MARK, Requests},
};
use libtest_mimic::Failed;
use std::{net::Ipv4Addr, time::Instant};

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("addresses::batch_of_500_on_and_off", batch_of_500_on_and_off),
    ("addresses::ornaments_are_seen_in_the_dump", ornaments_are_seen_in_the_dump),
    ("addresses::present_and_absent_are_success", present_and_absent_are_success),
    ("addresses::a_foreign_address_is_taken_over", a_foreign_address_is_taken_over),
    ("addresses::each_refusal_meets_its_request", each_refusal_meets_its_request),
    ("addresses::monitor_names_who_removed_one", monitor_names_who_removed_one),
    ("addresses::echoes_of_our_own_additions_can_be_left_out", echoes_of_our_own_additions_can_be_left_out),
    ("addresses::overrun_is_reported_and_recovered_from", overrun_is_reported_and_recovered_from),
];

fn batch_of_500_on_and_off(world: &mut World) -> Result<(), Failed> {
    let specs: Vec<_> = (1..=500).map(|number| plain(world.a.index, number)).collect();
    let start = Instant::now();
    let results = world.requests.add_addresses(&specs);
    eprintln!("500 addresses added in {:?}", start.elapsed());
    assert_eq!(results.len(), 500);
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let there = world.requests.dump_addresses()?;
    assert_eq!(
        there.iter().map(|entry| entry.ip).collect::<Vec<_>>(),
        specs.iter().map(|s| s.ip).collect::<Vec<_>>()
    );
    assert!(there.iter().all(|entry| entry.protocol == PROTOCOL_MARK && entry.label == "a"));
    assert!(!there[0].secondary && there[1..].iter().all(|entry| entry.secondary));
    // Backwards: removing the first of a network takes its secondaries along.
    world.requests.remove_addresses(specs.iter().rev()).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(world.requests.dump_addresses()?, []);
    Ok(())
}

fn ornaments_are_seen_in_the_dump(world: &mut World) -> Result<(), Failed> {
    let spec = AddressSpec {
        label: Some("a:vip".into()),
        scope: 253,
        broadcast: Some(Ipv4Addr::new(10, 0, 255, 255)),
        ..plain(world.a.index, 1)
    };
    let peered = AddressSpec {
        prefix_len: 32,
        peer: Some(Ipv4Addr::new(172, 16, 0, 1)),
        no_prefix_route: true,
        ..plain(world.a.index, 2)
    };
    world.requests.add_addresses([&spec, &peered]).into_iter().collect::<Result<Vec<_>, _>>()?;
    let there = world.requests.dump_addresses()?;
    let one = there.iter().find(|entry| entry.ip == spec.ip).ok_or("the first is missing")?;
    assert_eq!(
        (one.label.as_str(), one.scope, one.broadcast, one.peer),
        ("a:vip", 253, spec.broadcast, None)
    );
    assert_eq!((one.index, one.prefix_len, one.protocol), (world.a.index, 16, PROTOCOL_MARK));
    let two = there.iter().find(|entry| entry.ip == peered.ip).ok_or("the second is missing")?;
    assert_eq!((two.peer, two.broadcast, two.scope), (peered.peer, None, 0));
    world.requests.remove_addresses([&spec, &peered]).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(world.requests.dump_addresses()?, []);
    Ok(())
}

fn present_and_absent_are_success(world: &mut World) -> Result<(), Failed> {
    let specs: Vec<_> = (1..=3).map(|number| plain(world.a.index, number)).collect();
    for _ in 0..2 {
        assert_eq!(world.requests.add_addresses(&specs), [Ok(()), Ok(()), Ok(())]);
    }
    assert_eq!(world.requests.dump_addresses()?.len(), 3);
    for _ in 0..2 {
        assert_eq!(world.requests.remove_addresses(specs.iter().rev()), [Ok(()), Ok(()), Ok(())]);
    }
    world.requests.delete_link("a")?;
    assert_eq!(world.requests.remove_addresses(&specs), [Ok(()), Ok(()), Ok(())]);
    Ok(())
}

fn a_foreign_address_is_taken_over(world: &mut World) -> Result<(), Failed> {
    use hacluster_net::netlink::{Request, address};
    use netlink_packet_route::{RouteNetlinkMessage, address::AddressAttribute};
    let spec = plain(world.a.index, 1);
    let Request { message: RouteNetlinkMessage::NewAddress(mut message), flags } = address::add(&spec) else {
        return Err("not an addition".into());
    };
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Protocol(_)));
    let foreign = Request { message: RouteNetlinkMessage::NewAddress(message), flags };
    assert_eq!(world.requests.execute([foreign]), [Ok(())]);
    assert_eq!(world.requests.dump_addresses()?[0].protocol, 0);
    assert_eq!(world.requests.add_addresses([&spec]), [Ok(())]);
    let there = world.requests.dump_addresses()?;
    assert_eq!((there.len(), there[0].protocol), (1, PROTOCOL_MARK));
    Ok(())
}

fn each_refusal_meets_its_request(world: &mut World) -> Result<(), Failed> {
    let mut specs: Vec<_> = (1..=450).map(|number| plain(world.a.index, number)).collect();
    let wrong = [0, 17, 199, 200, 399, 449];
    for &position in &wrong {
        specs[position].index = 9999;
    }
    let results = world.requests.add_addresses(&specs);
    let refused: Vec<_> = (0..specs.len()).filter(|&position| results[position].is_err()).collect();
    assert_eq!(refused, wrong);
    let error = results[17].as_ref().err().ok_or("no error")?;
    assert_eq!(error.errno(), Errno::ENODEV);
    let text = error.to_string();
    let start = "cannot add address 10.0.0.18/16 to interface number 9999: No such device (ENODEV)";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(world.requests.dump_addresses()?.len(), 450 - wrong.len());
    Ok(())
}

fn monitor_names_who_removed_one(world: &mut World) -> Result<(), Failed> {
    let spec = plain(world.a.index, 7);
    let mut monitor = Monitor::open(&[Group::Ipv4Addresses])?;
    let mut other = Requests::open()?;
    assert_ne!(other.port_id(), world.requests.port_id());
    world.requests.add_addresses([&spec]).into_iter().collect::<Result<Vec<_>, _>>()?;
    let added = wait_for_event(&mut monitor, "the addition is heard", |_| true)?;
    let Event::AddressAdded { address, sender } = added else { return Err(format!("{added:?}").into()) };
    assert_eq!((address.ip, sender), (spec.ip, Some(world.requests.port_id())));
    other.remove_addresses([&spec]).into_iter().collect::<Result<Vec<_>, _>>()?;
    let removed = wait_for_event(&mut monitor, "the removal is heard", |_| true)?;
    let Event::AddressRemoved { address, sender } = removed else {
        return Err(format!("{removed:?}").into());
    };
    assert_eq!((address.ip, sender), (spec.ip, Some(other.port_id())));
    Ok(())
}

fn echoes_of_our_own_additions_can_be_left_out(world: &mut World) -> Result<(), Failed> {
    let (ours, foreign) = (plain(world.a.index, 1), plain(world.a.index, 2));
    let mut monitor = Monitor::open(&[Group::Links, Group::Ipv4Addresses])?;
    monitor.ignore_additions_by(world.requests.port_id())?;
    let mut other = Requests::open()?;
    assert_eq!(world.requests.add_addresses([&ours]), [Ok(())]);
    assert_eq!(other.add_addresses([&foreign]), [Ok(())]);
    assert_eq!(world.requests.remove_addresses([&ours]), [Ok(())]);
    world.requests.set_mtu("a", 1300)?;
    let first = wait_for_event(&mut monitor, "the foreign addition is heard", |_| true)?;
    assert!(matches!(first, Event::AddressAdded { address, .. } if address.ip == foreign.ip));
    // Ours was the first of its network: the kernel took the other along.
    for expected in [foreign.ip, ours.ip] {
        let event = wait_for_event(&mut monitor, "a removal is heard", |_| true)?;
        assert!(matches!(event, Event::AddressRemoved { address, .. } if address.ip == expected));
    }
    let last = wait_for_event(&mut monitor, "links are heard as before", |_| true)?;
    assert!(matches!(last, Event::Link(link) if link.mtu == 1300));
    Ok(())
}

fn overrun_is_reported_and_recovered_from(world: &mut World) -> Result<(), Failed> {
    let mut monitor = Monitor::open(&[Group::Ipv4Addresses])?;
    monitor.limit_queue(4096)?;
    let specs: Vec<_> = (1..=300).map(|number| plain(world.a.index, number)).collect();
    world.requests.add_addresses(&specs).into_iter().collect::<Result<Vec<_>, _>>()?;
    wait_for_event(&mut monitor, "the overrun is reported", |event| *event == Event::Overrun)?;
    assert_eq!(world.requests.dump_addresses()?.len(), 300);
    assert!(!monitor.read(10, &mut |event| panic!("older than the list: {event:?}"))?);
    world.requests.remove_addresses([&specs[299]]).into_iter().collect::<Result<Vec<_>, _>>()?;
    let event = wait_for_event(&mut monitor, "the monitor hears again", |_| true)?;
    assert!(matches!(event, Event::AddressRemoved { address, .. } if address.ip == specs[299].ip));
    Ok(())
}
