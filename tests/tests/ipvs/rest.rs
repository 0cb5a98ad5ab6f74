//! Checks rest on the director that does not have the address (`ha_suspend`).

use crate::{
    scene::{LIMIT, Scene, VIP, both, flat, router},
    web::Server,
};
use anyhow::{Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::Suite;
use std::net::Ipv4Addr;

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "checks_rest_where_the_address_is_not", flat, &["ip"], rest);
}

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 12);

/// One of a virtual router's address, one of an IPv6 address that somebody else has to set.
const SERVICES: &str = "virtual_server 10.0.0.100 80 {\n delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol \
    TCP\n ha_suspend\n real_server 10.0.0.21 80 {\n  TCP_CHECK {\n   connect_timeout 30\n  }\n }\n}\n\
    virtual_server 2001:db8::100 80 {\n delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol TCP\n ha_suspend\n \
    real_server 2001:db8::21 80 {\n  TCP_CHECK {\n   connect_ip 10.0.0.21\n   connect_port 81\n   connect_timeout \
    30\n  }\n }\n}\n";

fn rest(scene: &Scene<'_>) -> Result<()> {
    scene.serve("one")?;
    let sixth = Server::web(scene.host("one")?, 81)?;
    let start = |name, priority| scene.start(name, &(router(name, priority, "10.0.0.100/32") + SERVICES));
    let _first = start("director1", 100)?;
    scene.holds("director1", VIP)?;
    let _second = start("director2", 90)?; // later: it must never have been master
    scene.tables(&[
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1",
        "-A -t [2001:db8::100]:80 -s rr",
        "-a -t [2001:db8::100]:80 -r [2001:db8::21]:80 -g -w 1",
    ])?;
    let asked = |what: &str, count: &dyn Fn() -> usize, more: usize| {
        let before = count();
        wait_until(what, LIMIT, || Ok((count() >= before + more).then_some(())))
    };
    asked("checks of the master", &|| scene.taken("one", FIRST), 3)?;
    let others = (scene.taken("one", SECOND), sixth.taken_from(FIRST), sixth.taken_from(SECOND));
    ensure!(others == (0, 0, 0), "asked without the address: {others:?}");
    scene.run("director2", "ip -6 address add 2001:db8::100/128 dev eth0 nodad")?;
    asked("checks where the IPv6 address is", &|| sixth.taken_from(SECOND), 2)?;
    scene.run("director2", "ip -6 address del 2001:db8::100/128 dev eth0")?;
    scene.host("director1")?.cut()?;
    scene.holds("director2", VIP)?;
    asked("checks of the new master", &|| scene.taken("one", SECOND), 1)?;
    let before = sixth.taken_from(SECOND);
    asked("more checks of the new master", &|| scene.taken("one", SECOND), 3)?;
    let after = (sixth.taken_from(FIRST), sixth.taken_from(SECOND));
    ensure!(after == (0, before), "asked without the IPv6 address: {after:?}, {before} before");
    Ok(())
}
