//! Interfaces: created, switched, unplugged, renamed, moved, deleted.

use super::{
    Body,
    world::{World, wait_for_event},
};
use hacluster_net::{
    Errno,
    netlink::{Event, Group, Link, Monitor, Requests},
    netns::NetNs,
};
use libtest_mimic::Failed;
use std::os::fd::AsFd;

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("links::are_listed_as_they_are", are_listed_as_they_are),
    ("links::down_up_and_carrier_are_heard", down_up_and_carrier_are_heard),
    ("links::renaming_moving_and_deleting_are_heard", renaming_moving_and_deleting_are_heard),
    ("links::leaving_a_bridge_is_not_the_end", leaving_a_bridge_is_not_the_end),
    ("links::a_missing_interface_is_named", a_missing_interface_is_named),
];

fn are_listed_as_they_are(world: &mut World) -> Result<(), Failed> {
    world.requests.set_mac("a", [2, 0, 0, 0, 0, 0xa])?;
    world.requests.set_mtu("a", 1400)?;
    world.requests.set_multicast("a", false)?;
    let links = world.requests.dump_links()?;
    let a = links.iter().find(|link| link.name == "a").ok_or("a is missing")?;
    assert_eq!(a, &Link { mac: [2, 0, 0, 0, 0, 0xa], mtu: 1400, multicast: false, ..world.a.clone() });
    assert!(a.up && a.running && a.ethernet && !a.loopback && !a.point_to_point);
    let lo = links.iter().find(|link| link.name == "lo").ok_or("lo is missing")?;
    assert!(lo.loopback && !lo.up && !lo.ethernet);
    world.requests.set_up("lo")?;
    assert!(world.requests.link("lo")?.running);
    Ok(())
}

fn down_up_and_carrier_are_heard(world: &mut World) -> Result<(), Failed> {
    let mut monitor = Monitor::open(&[Group::Links])?;
    let is = |name: &'static str, up: bool, running: bool| move |event: &Event| matches!(event, Event::Link(l) if l.name == name && (l.up, l.running) == (up, running));
    world.requests.set_down("b")?;
    wait_for_event(&mut monitor, "a loses its carrier and stays up", is("a", true, false))?;
    world.requests.set_up("b")?;
    wait_for_event(&mut monitor, "a has its carrier again", is("a", true, true))?;
    world.requests.set_down("a")?;
    wait_for_event(&mut monitor, "a is down", is("a", false, false))?;
    Ok(())
}

fn renaming_moving_and_deleting_are_heard(world: &mut World) -> Result<(), Failed> {
    let mut monitor = Monitor::open(&[Group::Links])?;
    let (a, b) = (world.a.index, world.b.index);
    world.requests.set_down("a")?;
    world.requests.rename("a", "renamed")?;
    wait_for_event(
        &mut monitor,
        "the new name is heard",
        |event| matches!(event, Event::Link(link) if link.index == a && link.name == "renamed"),
    )?;
    let elsewhere = NetNs::new()?;
    world.requests.move_to_netns("renamed", elsewhere.as_fd())?;
    wait_for_event(&mut monitor, "the move is heard", |event| {
        *event == Event::LinkGone { index: a, name: "renamed".into() }
    })?;
    assert!(elsewhere.run_in(|| Requests::open()?.link("renamed"))?.is_ok());
    world.requests.delete_link("b")?;
    wait_for_event(&mut monitor, "the deletion is heard", |event| {
        *event == Event::LinkGone { index: b, name: "b".into() }
    })?;
    Ok(())
}

fn leaving_a_bridge_is_not_the_end(world: &mut World) -> Result<(), Failed> {
    world.requests.create_bridge("bridge")?;
    let bridge = world.requests.link("bridge")?.index;
    let mut monitor = Monitor::open(&[Group::Links])?;
    world.requests.set_master("a", Some("bridge"))?;
    assert_eq!(world.requests.link("a")?.master, Some(bridge));
    world.requests.set_master("a", None)?;
    world.requests.set_mtu("a", 1300)?;
    wait_for_event(&mut monitor, "the last change of a is heard", |event| {
        assert!(!matches!(event, Event::LinkGone { .. }), "{event:?}");
        matches!(event, Event::Link(link) if link.name == "a" && link.mtu == 1300 && link.master.is_none())
    })?;
    Ok(())
}

fn a_missing_interface_is_named(world: &mut World) -> Result<(), Failed> {
    let error = world.requests.link("missing").err().ok_or("found what is not there")?;
    assert_eq!(error.errno(), Errno::ENODEV);
    assert!(error.to_string().starts_with("cannot find interface missing: "), "{error}");
    let error = world.requests.set_up("missing").err().ok_or("changed what is not there")?;
    assert!(error.to_string().starts_with("cannot change interface missing: "), "{error}");
    Ok(())
}
