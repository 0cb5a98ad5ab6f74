//! A pair of hosts with a virtual router on each of two networks, as in `cases/dual-nic`: what happens to one
//! network, with and without a sync group over both.
//!
//! ```text
//!                    left .1             right .2
//!   192.168.224.0 ens33 |-------------------|     VI_1 100, 99: 192.168.224.100, and a check of the service
//!   192.168.198.0 ens37 |-------------------|     VI_2 100, 100: 192.168.198.100
//! ```

use super::stage::fails_while;
use anyhow::{Context, Result};
use hacluster_lab::{Host, LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{Running, Suite, Wire, free, hold};
use std::{fs, net::Ipv4Addr, path::Path, time::Instant};

const FRONT: Ipv4Addr = Ipv4Addr::new(192, 168, 224, 100);
const BACK: Ipv4Addr = Ipv4Addr::new(192, 168, 198, 100);
const GROUP: &str = "vrrp_sync_group BOTH {\n    group {\n        VI_1\n        VI_2\n    }\n}\n";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_dual_nic_pair_without_a_sync_group_parts", || apart("link"));
    suite.trial("the_dual_nic_pair_whose_service_fails_parts_without_a_sync_group", || apart("service"));
    suite.trial("the_dual_nic_pair_with_a_sync_group_stays_together", || together("link"));
    suite
        .trial("the_dual_nic_pair_whose_service_fails_moves_whole_with_a_sync_group", || together("service"));
}

fn wires() -> Topology {
    let node = |topology: Topology, name: &str, last: u8| {
        let [front, back] = [224, 198].map(|network| format!("192.168.{network}.{last}/24"));
        topology.node(name, &[("ens33", "front", &*front), ("ens37", "back", &*back)])
    };
    node(node(Topology::new("dual-nic").network("front").network("back"), "left", 1), "right", 2)
}

/// The case's file, with a check that this host can run.
fn config(host: &Host, file: &str, group: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/dual-nic").join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let check = fails_while(host, &host.directory().join("down"))?;
    let text = text.replace("/usr/local/httpd.sh", &check.display().to_string());
    Ok(format!("{}{group}", text.replace("global_defs {", "global_defs {\n    script_user root")))
}

/// `left` rules both, `right` follows on both networks.
fn pair<'a>(lab: &'a Lab, group: &str) -> Result<[Running<'a>; 2]> {
    let (left, right) = (lab.host("left")?, lab.host("right")?);
    let left = Running::start(left, config(left, "master.conf", group)?)?;
    hold(left.host, FRONT)?;
    hold(left.host, BACK)?;
    let right = Running::start(right, config(right, "backup.conf", group)?)?;
    wait_for("both routers on right", LIMIT, || right.lines(&["Initialize -> Backup, priority"]).len() == 2)?;
    let (front, back) = (Wire::tap(lab, "front")?, Wire::tap(lab, "back")?);
    let now = Instant::now();
    front.count("left", 51, now, 2)?; // who never heard a master has nothing to miss
    back.count("left", 52, now, 2)?;
    Ok([left, right])
}

/// Makes the front side of `left` useless.
fn strike(left: &Running<'_>, blow: &str) -> Result<()> {
    match blow {
        "link" => left.host.cut_from("front"),
        _ => Ok(fs::write(left.host.directory().join("down"), "")?),
    }
}

fn heal(left: &Running<'_>, blow: &str) -> Result<()> {
    match blow {
        "link" => left.host.restore(),
        _ => Ok(fs::remove_file(left.host.directory().join("down"))?),
    }
}

fn apart(blow: &'static str) -> Result<()> {
    Lab::run(wires(), |lab| {
        let [left, right] = pair(lab, "")?;
        strike(&left, blow)?;
        hold(right.host, FRONT)?;
        free(left.host, FRONT)?;
        // The service now has one leg on each host.
        hold(left.host, BACK)?;
        free(right.host, BACK)?;
        heal(&left, blow)?;
        hold(left.host, FRONT)?;
        free(right.host, FRONT)
    })
}

fn together(blow: &'static str) -> Result<()> {
    Lab::run(wires(), |lab| {
        let [left, right] = pair(lab, GROUP)?;
        strike(&left, blow)?;
        for ip in [FRONT, BACK] {
            hold(right.host, ip)?;
            free(left.host, ip)?;
        }
        left.logged(&["sync group BOTH: Master -> Fault: VI_1"])?;
        right.logged(&["sync group BOTH: Backup -> Master"])?;
        heal(&left, blow)?;
        // On the back network both have 100, and nobody preempts an equal: so the group stays.
        left.logged(&["could rule, its sync group BOTH waits: VI_2: it follows a master"])?;
        hold(right.host, FRONT)?;
        hold(right.host, BACK)?;
        right.stop()?;
        for ip in [FRONT, BACK] {
            hold(left.host, ip)?;
            free(right.host, ip)?;
        }
        Ok(())
    })
}
