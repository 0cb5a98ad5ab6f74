//! Open connections carry on when their director is killed and comes back, and when it is reloaded.

use crate::{
    scene::{LIMIT, SERVERS, Scene, VIP, behind, flat, ours, router},
    stage::open,
    web::{Server, Talk},
};
use anyhow::{Result, ensure};
use hacluster_lab::wait_until;
use hacluster_net::netlink::ipvs::Ipvs;
use hacluster_tests::harness::{Running, Suite};
use nix::sys::signal::Signal;

pub(crate) fn trials(suite: &mut Suite) {
    ours(suite, "killed_and_reloaded_with_direct_routing", flat, &[], direct_routing);
    ours(suite, "killed_and_reloaded_with_masquerading", behind, &["ip"], masquerading);
    ours(suite, "restarted_and_reloaded_with_direct_routing", flat, &[], restarted);
}

/// What servers and their director are like.
struct Setting {
    addresses: &'static str,
    kind: &'static str,
    /// As ipvsadm writes it.
    flag: &'static str,
    servers: [&'static str; 2],
}

fn direct_routing(scene: &Scene<'_>) -> Result<()> {
    directly(scene, Signal::SIGKILL)
}

/// What a service manager does.
fn restarted(scene: &Scene<'_>) -> Result<()> {
    directly(scene, Signal::SIGQUIT)
}

fn directly(scene: &Scene<'_>, end: Signal) -> Result<()> {
    scene.take(VIP)?;
    let servers = ["10.0.0.21", "10.0.0.22"];
    survives(scene, &Setting { addresses: "10.0.0.100/32", kind: "DR", flag: "-g", servers }, end)
}

fn masquerading(scene: &Scene<'_>) -> Result<()> {
    for server in SERVERS {
        scene.run(server, "ip route add default via 10.1.0.11")?;
    }
    scene.host("director1")?.set_sysctl("net/ipv4/ip_forward", "1")?;
    let servers = ["10.1.0.21", "10.1.0.22"];
    survives(
        scene,
        &Setting { addresses: "10.0.0.100/32", kind: "NAT", flag: "-m", servers },
        Signal::SIGKILL,
    )
}

impl Setting {
    fn config(&self, weight: u32) -> String {
        let server = |ip: &str| {
            format!(
                " real_server {ip} 7 {{\n  weight {weight}\n  TCP_CHECK {{\n   connect_timeout 30\n   retry 0\n  }}\n }}\n"
            )
        };
        let servers: String = self.servers.into_iter().map(server).collect();
        let head =
            format!("virtual_server {VIP} 7 {{\n delay_loop 1\n lb_algo wrr\n lb_kind {}\n", self.kind);
        router("director1", 100, self.addresses) + &head + " protocol TCP\n" + &servers + "}\n"
    }

    fn table(&self, weight: u32) -> Vec<String> {
        let flag = self.flag;
        let server = |ip| format!("-a -t {VIP}:7 -r {ip}:7 {flag} -w {weight}");
        [format!("-A -t {VIP}:7 -s wrr")].into_iter().chain(self.servers.map(server)).collect()
    }
}

/// What the kernel counted: connections and packets from clients, of the service since it was added.
/// Waits for more packets than `before`: it counts some seconds late.
fn counted(ipvs: &mut Ipvs, before: u64) -> Result<(u64, u64)> {
    wait_until("more packets", LIMIT, || {
        let stats = ipvs.services()?.pop().map(|service| service.stats);
        let stats = stats.filter(|stats| stats.packets_in > before);
        Ok(stats.map(|stats| (stats.connections, stats.packets_in)))
    })
}

/// One that is deleted and added again begins to count at zero.
fn survives(scene: &Scene<'_>, setting: &Setting, end: Signal) -> Result<()> {
    let _servers: Vec<Server> =
        SERVERS.into_iter().map(|name| Server::echo(scene.host(name)?, 7)).collect::<Result<_>>()?;
    let (director, client) = (scene.host("director1")?, scene.host("client")?);
    let first = Running::start(director, setting.config(1))?;
    scene.holds("director1", VIP)?;
    scene.table("director1", &setting.table(1))?;
    let mut ipvs = open(director)?;
    let mut talk = wait_until("a connection", LIMIT, || Ok(Talk::open(client, VIP, 7).ok()))?;
    let who = talk.say("somebody directs")?;
    let before = counted(&mut ipvs, 0)?;
    first.process.signal(end)?;
    let status = first.process.wait(LIMIT)?;
    ensure!(status.code() == (end == Signal::SIGQUIT).then_some(75), "{status}");
    scene.table("director1", &setting.table(1))?;
    ensure!(talk.say("nobody directs")? == who, "somebody else answers");
    let second = Running::start(director, setting.config(3))?;
    scene.table("director1", &setting.table(3))?;
    ensure!(talk.say("a successor directs")? == who, "somebody else answers");
    second.reload(setting.config(5))?;
    scene.table("director1", &setting.table(5))?;
    ensure!(talk.say("it was reloaded")? == who, "somebody else answers");
    let now = counted(&mut ipvs, before.1)?;
    ensure!(now.0 == before.0, "connections and packets {before:?}, then {now:?}");
    ensure!(second.lines(&["changed our services"]).is_empty(), "a predecessor is no stranger");
    second.stop()?;
    ensure!(ipvs.services()?.is_empty(), "a service stayed");
    Ok(())
}
