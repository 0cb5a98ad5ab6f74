//! Health of a virtual server decides who directs.

use crate::scene::{SERVERS, Scene, VIP, behind, ours, router};
use anyhow::Result;
use hacluster_lab::wait_until;
use hacluster_tests::harness::{Running, Suite};
use std::fs;

pub(crate) fn trials(suite: &mut Suite) {
    ours(suite, "a_director_that_reaches_no_server_gives_up_the_address", behind, &["ip"], gives_up);
}

const TRACKS: &str =
    "[[virtual_router]]\nname = \"VI\"\ntrack = [{ virtual_server = \"10.0.0.100 80\", weight = -20 }]\n";

fn service() -> String {
    let server = |ip| {
        format!(" real_server {ip} 80 {{\n  TCP_CHECK {{\n   connect_timeout 5\n   retry 0\n  }}\n }}\n")
    };
    let servers = ["10.1.0.21", "10.1.0.22"].map(server).concat();
    format!(
        "virtual_server 10.0.0.100 80 {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n{servers}}}\n"
    )
}

/// Both directors check the same servers; one is cut off from them, and nothing else tells.
fn gives_up(scene: &Scene<'_>) -> Result<()> {
    for server in SERVERS {
        scene.serve(server)?;
        scene.run(server, "ip route add default via 10.1.0.1")?;
    }
    let start = |name, priority| {
        let host = scene.host(name)?;
        host.set_sysctl("net/ipv4/ip_forward", "1")?;
        let toml = host.directory().join("agent.toml");
        fs::write(&toml, TRACKS)?;
        let config = router(name, priority, "10.0.0.100/32\n 10.1.0.1/24 dev eth1") + &service();
        Running::start_with(host, config, &["--agent-config", &toml.display().to_string()])
    };
    let [first, _second] = [start("director1", 100)?, start("director2", 90)?];
    scene.holds("director1", VIP)?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 2)])?;
    let director = scene.host("director1")?;
    director.isolate_from("inside")?;
    first.logged(&["lost its quorum"])?;
    scene.holds("director2", VIP)?;
    wait_until("director1 without it", crate::scene::LIMIT, || Ok((!director.holds(VIP)?).then_some(())))?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 2)])?;
    director.restore()?;
    scene.holds("director1", VIP)?;
    scene.answered(VIP)?;
    scene.shares(VIP, &[("one", 2), ("two", 2)])
}
