//! Every complete file on its own: it starts, says what it does not do, holds what it names, and goes.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{Running, Skip, Suite};
use std::{fs, path::PathBuf};

/// Numbers of the complete configurations of the collection, and how many addresses each holds.
const COMPLETE: [(u8, usize); 19] = [
    (2, 1),
    (3, 1),
    (12, 2),
    (13, 2),
    (14, 1),
    (15, 1),
    (16, 1),
    (17, 1),
    (18, 1),
    (19, 1),
    (22, 1),
    (23, 1),
    (24, 2),
    (25, 1),
    (33, 1),
    (34, 1),
    (35, 2),
    (36, 2),
    (37, 2),
];

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("seeds_every_complete_file_runs_alone", every_file);
}

fn every_file() -> Result<()> {
    let collection = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/seed-configs");
    if !collection.is_dir() {
        return Err(Skip("../shared/seed-configs is not here".to_owned()).into());
    }
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&collection)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let hosts: Vec<_> = COMPLETE.iter().map(|(number, _)| format!("host{number}")).collect();
    // One network each: they must not meet.
    let topology = hosts.iter().enumerate().fold(Topology::new("alone"), |topology, (index, host)| {
        let address = format!("10.1.{index}.1/24");
        let cards: Vec<_> =
            ["eth0", "eth1", "ens33", "ens34"].map(|card| (card, host.as_str(), address.as_str())).to_vec();
        topology.network(host).node(host, &cards)
    });
    Lab::run(topology, |lab| {
        let mut agents = Vec::new();
        for ((number, count), host) in COMPLETE.iter().zip(lab.hosts()) {
            let start = format!("{number:02}-");
            let name = names.iter().find(|name| name.starts_with(&start)).context(start)?;
            let agent = Running::start(host, fs::read_to_string(collection.join(name))?)?;
            agents.push((agent, *count, name));
        }
        for (agent, count, name) in &agents {
            let all = count + 4;
            let held = || agent.host.addresses().is_ok_and(|addresses| addresses.len() == all);
            wait_for(&format!("{count} address(es) of {name}"), LIMIT, held)?;
        }
        for (agent, _, name) in &agents {
            agent.stop()?;
            let left = agent.host.addresses()?.len();
            ensure!(left == 4, "{name} leaves {} address(es) behind", left - 4);
        }
        Ok(())
    })
}
