//! Namespaces, settings and waiting: the rest of what a host gives.

use super::{
    Body,
    world::{World, plain},
};
use hacluster_net::{
    Errno,
    clock::now,
    netlink::{Group, Monitor, Requests, ipvs::Ipvs},
    netns::NetNs,
    poll::{Waiter, Wake},
    sched::{Capability, has_capability, require_network_capabilities},
    sysctl,
};
use libtest_mimic::Failed;

pub(crate) const TRIALS: &[(&str, Body)] = &[
    ("host::a_namespace_is_left_as_it_was_entered", a_namespace_is_left_as_it_was_entered),
    ("host::settings_are_those_of_the_namespace", settings_are_those_of_the_namespace),
    ("host::promoted_secondaries_survive_the_first", promoted_secondaries_survive_the_first),
    ("host::the_waiter_tells_who_is_ready", the_waiter_tells_who_is_ready),
    ("host::root_has_the_network_capabilities", root_has_the_network_capabilities),
    ("host::a_kernel_without_ipvs_says_so", a_kernel_without_ipvs_says_so),
];

fn a_namespace_is_left_as_it_was_entered(world: &mut World) -> Result<(), Failed> {
    let (here, other) = (NetNs::current()?, NetNs::new()?);
    let names = other.run_in(|| Requests::open()?.dump_links())??;
    assert_eq!(names.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo"]);
    assert_eq!(Requests::open()?.link("a")?, world.a);
    other.enter()?;
    assert_eq!(Requests::open()?.link("a").map_err(|error| error.errno()), Err(Errno::ENODEV));
    assert_eq!(world.requests.link("a")?, world.a, "a socket stays where it was opened");
    here.enter()?;
    assert_eq!(Requests::open()?.link("a")?, world.a);
    Ok(())
}

fn settings_are_those_of_the_namespace(_: &mut World) -> Result<(), Failed> {
    sysctl::write("a", "arp_ignore", 1)?;
    assert_eq!(sysctl::read("a", "arp_ignore")?, 1);
    assert_eq!(sysctl::read("b", "arp_ignore")?, 0);
    let error = sysctl::read("missing", "arp_ignore").err().ok_or("read what is not there")?;
    assert_eq!(error.errno(), Errno::ENOENT);
    Ok(())
}

fn promoted_secondaries_survive_the_first(world: &mut World) -> Result<(), Failed> {
    let specs: Vec<_> = (1..=3).map(|number| plain(world.a.index, number)).collect();
    for (promote, left) in [(0, 0), (1, 2)] {
        sysctl::write("all", "promote_secondaries", 0)?;
        sysctl::write("a", "promote_secondaries", promote)?;
        world.requests.add_addresses(&specs).into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(world.requests.remove_addresses([&specs[0]]), [Ok(())]);
        assert_eq!(world.requests.dump_addresses()?.len(), left, "promote {promote}");
    }
    Ok(())
}

fn the_waiter_tells_who_is_ready(world: &mut World) -> Result<(), Failed> {
    const MONITOR: u64 = 1;
    const WAKE: u64 = 2;
    let mut monitor = Monitor::open(&[Group::Ipv4Addresses])?;
    let (mut waiter, wake) = (Waiter::new()?, Wake::new()?);
    waiter.add(&monitor, MONITOR)?;
    waiter.add(&wake, WAKE)?;
    assert_eq!(waiter.wait_until(Some(now()))?.count(), 0);
    assert_eq!(world.requests.add_addresses([&plain(world.a.index, 1)]), [Ok(())]);
    assert_eq!(waiter.wait_until(None)?.collect::<Vec<_>>(), [MONITOR]);
    wake.wake();
    let mut both: Vec<_> = waiter.wait_until(None)?.collect();
    both.sort_unstable();
    assert_eq!(both, [MONITOR, WAKE]);
    while monitor.read(10, &mut |_| {})? {}
    assert_eq!(waiter.wait_until(None)?.collect::<Vec<_>>(), [WAKE]);
    Ok(())
}

fn root_has_the_network_capabilities(_: &mut World) -> Result<(), Failed> {
    assert!(has_capability(Capability::NetAdmin) && has_capability(Capability::NetRaw));
    require_network_capabilities()?;
    Ok(())
}

fn a_kernel_without_ipvs_says_so(_: &mut World) -> Result<(), Failed> {
    match Ipvs::open() {
        Ok(mut ipvs) => assert!(ipvs.info()?.table_size > 0),
        Err(error) => {
            assert_eq!(error.errno(), Ipvs::ABSENT);
            assert!(error.to_string().contains("modprobe ip_vs"), "{error}");
        }
    }
    Ok(())
}
