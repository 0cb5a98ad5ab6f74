//! The real server's side of direct routing: `haclusterctl lvs realserver` on a host, and who answers for the
//! virtual address on the network then.
//!
//! ```text
//!   client .9 |----- lan -----| .2 server, 10.9.0.100 on lo: must take it, must not answer ARP for it
//! ```

use super::stage::ip;
use anyhow::{Result, ensure};
use hacluster_lab::{Ctl, Host, LIMIT, Lab, Probe, Topology, wait_for};
use hacluster_tests::harness::{Suite, copy_program};
use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    time::{Duration, Instant},
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Between pings.
const EVERY: Duration = Duration::from_millis(10);

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_real_server_is_set_up_answers_for_nothing_and_is_left_alone_then", applied);
    suite.trial("a_real_server_set_up_by_the_scripts_of_the_field_is_told_what_is_wrong", explained);
    suite.trial("a_real_server_whose_interface_has_a_value_of_its_own_is_told_which", overruled);
    suite.trial("a_real_server_cannot_be_set_up_without_the_right_to", refused);
}

fn stage() -> Topology {
    let lan = Topology::new("real").network("lan");
    lan.node("client", &[("eth0", "lan", "10.9.0.9/24")]).node("server", &[("eth0", "lan", "10.9.0.2/24")])
}

/// Exit code and all that was said.
fn realserver(host: &Host, mode: &str) -> Result<(Option<i32>, String)> {
    let said = Ctl::find()?.run(host, &["lvs", "realserver", "10.9.0.100", "2001:db8::100", mode])?;
    let text = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((said.status.code(), text))
}

/// What a script writes into the host's own sysctls.
fn sysctl(host: &Host, name: &'static str, value: u32) -> Result<()> {
    ["all", "lo"].into_iter().try_for_each(|of| sysctl_of(host, of, name, value))
}

fn sysctl_of(host: &Host, of: &'static str, name: &'static str, value: u32) -> Result<()> {
    let file = format!("/proc/sys/net/ipv4/conf/{of}/{name}");
    host.namespace().run(move || Ok(fs::write(file, format!("{value}\n"))?))
}

/// The client asks for the address until it has an answer.
fn is_answered(client: &Host) -> Result<()> {
    let pings = Probe::start(client, VIP, EVERY)?;
    wait_for("an answer of the virtual address", LIMIT, || pings.answered_since(Instant::now() - LIMIT))
}

/// Pings of the host's own address go through, those of the virtual one find nobody meanwhile.
fn is_silent(client: &Host) -> Result<()> {
    ip(client, "neigh flush dev eth0")?;
    let (virtual_one, own) = (Probe::start(client, VIP, EVERY)?, Probe::start(client, SERVER, EVERY)?);
    wait_for("a hundred answers", LIMIT, || {
        let seen = own.report();
        seen.pings.len() >= 100 + seen.missed()
    })?;
    let seen = virtual_one.stop();
    ensure!(seen.pings.len() > 10, "it was not asked");
    ensure!(seen.missed() == seen.pings.len(), "somebody answers for the virtual address: {}", seen.bar(60));
    Ok(())
}

fn applied() -> Result<()> {
    Lab::run(stage(), |lab| {
        let (client, server) = (lab.host("client")?, lab.host("server")?);
        let (code, text) = realserver(server, "--check")?;
        ensure!(code == Some(1) && text.contains("10.9.0.100 is not on lo"), "{code:?} {text}");
        // As it is done by hand it is answered for; with the whole network nobody is reached any more.
        ip(server, "address add 10.9.0.100/32 dev lo")?;
        is_answered(client)?;
        ip(server, "address del 10.9.0.100/32 dev lo")?;
        ip(server, "address add 10.9.0.100/24 dev lo")?;
        let (code, text) = realserver(server, "--apply")?;
        ensure!(code == Some(0) && text.contains("until the next boot"), "{code:?} {text}");
        // Not the flags: a new IPv6 address is `tentative` until the kernel has come round to it.
        let addresses = || -> Result<Vec<String>> {
            let shown = ip(server, "-o address show dev lo")?;
            Ok(shown.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect())
        };
        let found = addresses()?;
        for address in ["10.9.0.100/32", "2001:db8::100/128"] {
            ensure!(found.iter().any(|one| one == address), "{address} is not there: {found:?}");
        }
        ensure!(!found.iter().any(|one| one == "10.9.0.100/24"), "the wide one is left: {found:?}");
        is_silent(client)?;
        let (code, text) = realserver(server, "--check")?;
        ensure!(code == Some(0) && text.contains("as it should be"), "{code:?} {text}");
        let (code, text) = realserver(server, "--apply")?;
        ensure!(code == Some(0) && text.contains("nothing was changed"), "{code:?} {text}");
        let again = addresses()?;
        ensure!(again == found, "a second time changes something: {found:?}, then {again:?}");
        Ok(())
    })
}

/// A path with `/pro/sys` sets nothing; a script that writes both values to arp_ignore leaves 2 there; an
/// address on the network's interface is answered for whatever the sysctls say.
fn explained() -> Result<()> {
    Lab::run(stage(), |lab| {
        let server = lab.host("server")?;
        ip(server, "address add 10.9.0.100/32 dev lo")?;
        let says = |words: &str| -> Result<()> {
            let (code, text) = realserver(server, "--check")?;
            ensure!(code == Some(1) && text.contains(words), "{words:?} is not said: {code:?} {text}");
            Ok(())
        };
        says("/pro/sys instead of /proc/sys")?;
        sysctl(server, "arp_ignore", 2)?;
        says("net.ipv4.conf.all.arp_announce is 0, not 2")?;
        says("a script that sets arp_ignore twice leaves it so")?;
        ip(server, "address add 10.9.0.100/32 dev eth0")?;
        says("10.9.0.100 is on eth0: there it is answered for")?;
        // What is somebody else's is said, not removed.
        let (code, text) = realserver(server, "--apply")?;
        ensure!(code == Some(1) && text.contains("remove 10.9.0.100 from eth0 by hand"), "{code:?} {text}");
        ensure!(ip(server, "-o address show dev eth0")?.contains("10.9.0.100"), "it was removed");
        ip(server, "address del 10.9.0.100/32 dev eth0")?;
        let (code, text) = realserver(server, "--check")?;
        ensure!(code == Some(0), "the rest was set: {text}");
        Ok(())
    })
}

/// The kernel takes the higher of `all` and the interface's: with 3 it answers again, with 8 for nothing.
fn overruled() -> Result<()> {
    Lab::run(stage(), |lab| {
        let (client, server) = (lab.host("client")?, lab.host("server")?);
        realserver(server, "--apply")?;
        let says = |words: &str| -> Result<()> {
            let (code, text) = realserver(server, "--check")?;
            ensure!(code == Some(1) && text.contains(words), "{words:?} is not said: {code:?} {text}");
            Ok(())
        };
        // 2 is as silent as 1.
        sysctl_of(server, "eth0", "arp_ignore", 2)?;
        let (code, text) = realserver(server, "--check")?;
        ensure!(code == Some(0), "{text}");
        is_silent(client)?;
        sysctl_of(server, "eth0", "arp_ignore", 3)?;
        says("net.ipv4.conf.eth0.arp_ignore is 3")?;
        says("mend: sysctl -w net.ipv4.conf.eth0.arp_ignore=1")?;
        is_answered(client)?;
        // Of scope host it is kept to this host by 3, too.
        ip(server, "address del 10.9.0.100/32 dev lo")?;
        ip(server, "address add 10.9.0.100/32 dev lo scope host")?;
        ensure!(realserver(server, "--check")?.0 == Some(0), "{:?}", realserver(server, "--check")?);
        is_silent(client)?;
        sysctl_of(server, "eth0", "arp_ignore", 8)?;
        says("neighbours do not find this host")?;
        sysctl_of(server, "eth0", "arp_announce", 3)?;
        says("net.ipv4.conf.eth0.arp_announce is 3")?;
        let (code, text) = realserver(server, "--apply")?;
        ensure!(code == Some(0), "{text}");
        is_silent(client)
    })
}

fn refused() -> Result<()> {
    Lab::run(stage(), |lab| {
        let server = lab.host("server")?;
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"]);
        // Of its own: the user need not be able to reach the one that was built.
        let copy = server.directory().join("haclusterctl");
        copy_program(Ctl::find()?.binary, &copy)?;
        command.arg(&copy).args(["lvs", "realserver", "10.9.0.100", "--apply"]);
        let said = server.run(command)?;
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(!said.status.success() && text.contains("run it as root"), "{:?} {text}", said.status);
        ensure!(!ip(server, "-o address show dev lo")?.contains("10.9.0.100"), "half done");
        Ok(())
    })
}
