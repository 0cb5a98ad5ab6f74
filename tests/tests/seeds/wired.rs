//! What other people's tools read on the wire.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Running, Skip, Suite, Wire, hold};
use std::{
    fs::File,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Instant,
};

/// As the guides print it.
const LINE: &str = "VRRPv2, Advertisement, vrid 50, prio 100, authtype simple, intvl 1s, length 20";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("tcpdump_prints_the_line_of_the_guides", tcpdump);
}

fn tcpdump() -> Result<()> {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        return Err(Skip("tcpdump is not installed".to_owned()).into());
    }
    let mut printed = String::new();
    let topology = hacluster_tests::harness::topology_of(
        "tcpdump",
        &[("node11", "eth1", "172.18.10.11/16")],
        "172.18.0.9/16",
    );
    Lab::run(topology, |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let host = lab.host("node11")?;
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/cases/node-pair/master.conf");
        let _agent = Running::start(host, std::fs::read_to_string(config)?)?;
        hold(host, Ipv4Addr::new(172, 18, 50, 50))?;
        wire.count("node11", 50, Instant::now(), 1)?;
        let file = lab.directory().join("adverts.pcap");
        wire.capture.write_pcap(&file)?;
        // By standard input: tcpdump gives up the right to open our files.
        let output = Command::new("tcpdump")
            .args(["-n", "-t", "-r", "-", "ip proto 112"])
            .stdin(Stdio::from(File::open(&file)?))
            .output()
            .context("cannot run tcpdump")?;
        printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok(())
    })?;
    if printed.contains("change to") {
        return Err(Skip(format!("tcpdump wants another user here: {}", printed.trim())).into());
    }
    let wanted = format!("172.18.10.11 > 224.0.100.50: {LINE}");
    ensure!(printed.lines().any(|line| line.contains(&wanted)), "no `{wanted}` in:\n{printed}");
    Ok(())
}
