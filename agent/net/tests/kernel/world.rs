//! Where a trial lives: a network namespace with a cable from `a` to `b`, both ends up.

use hacluster_net::{
    NetError,
    netlink::{AddressSpec, Event, Link, Monitor, Requests},
    netns::NetNs,
};
use libtest_mimic::Failed;
use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

/// Far beyond what any condition needs; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// One trial's network, seen from inside.
pub(crate) struct World {
    pub(crate) requests: Requests,
    pub(crate) a: Link,
    pub(crate) b: Link,
}

impl World {
    /// Runs a trial in a world of its own.
    pub(crate) fn run(body: super::Body) -> Result<(), Failed> {
        NetNs::new()?.run_in(|| body(&mut Self::lay_cable()?))?
    }

    fn lay_cable() -> Result<Self, Failed> {
        let mut requests = Requests::open()?;
        requests.create_veth("a", "b", None)?;
        requests.set_up("a")?;
        requests.set_up("b")?;
        wait_until("the cable carries", || Ok(requests.link("a")?.running && requests.link("b")?.running))?;
        Ok(Self { a: requests.link("a")?, b: requests.link("b")?, requests })
    }
}

/// Asks again and again until `condition` holds.
pub(crate) fn wait_until(
    what: &str,
    mut condition: impl FnMut() -> Result<bool, NetError>,
) -> Result<(), Failed> {
    let end = Instant::now() + PATIENCE;
    while !condition()? {
        if Instant::now() > end {
            return Err(format!("waited in vain until {what}").into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Reads events until one matches; returns it and how many came before.
pub(crate) fn wait_for_event(
    monitor: &mut Monitor,
    what: &str,
    matches: impl Fn(&Event) -> bool,
) -> Result<Event, Failed> {
    let mut found = None;
    wait_until(what, || {
        // One at a time: what follows the match stays for the next wait.
        while found.is_none() && monitor.read(1, &mut |event| found = matches(&event).then_some(event))? {}
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| what.into())
}

/// 10.0.x.y/16 without any ornament.
pub(crate) fn plain(index: u32, number: u16) -> AddressSpec {
    let [x, y] = number.to_be_bytes();
    AddressSpec {
        index,
        ip: Ipv4Addr::new(10, 0, x, y),
        prefix_len: 16,
        label: None,
        scope: 0,
        broadcast: None,
        peer: None,
        no_prefix_route: false,
    }
}
