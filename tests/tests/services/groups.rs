//! Two hosts on two networks: what one network does to a host decides for both.
//!
//! ```text
//!           left .1    right .2
//!   lan  10.9.0.0 |--------|     VI_51: 10.9.0.100
//!   side 10.7.0.0 |--------|     VI_52: 10.7.0.100
//! ```

use anyhow::{Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, Topology, peer::Keepalived, wait_for};
use hacluster_tests::harness::{
    Cluster, Instance, LAN, Running, SIDE, Skip, Suite, VIP, Vigil, Wire, free, hold, trio,
};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const SIDE_VIP: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 100);
const VIPS: [Ipv4Addr; 2] = [VIP, SIDE_VIP];
const GROUP: &str = "vrrp_sync_group BOTH {\n    group {\n        VI_51\n        VI_52\n    }\n}\n";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_link_lost_on_one_network_moves_both_addresses_and_back", || link(LAN));
    suite.trial("a_link_lost_on_the_other_network_does_too", || link(SIDE));
    suite.trial("a_crash_moves_both_addresses_in_one_round", crash);
    suite.trial("a_stop_moves_both_addresses_at_once", stop);
    suite.trial("nodes_that_are_each_better_on_one_network_agree", each_better);
    suite.trial("a_group_that_is_made_and_undone_by_reload", reload);
    suite.trial("keepalived_with_the_same_group_takes_both_and_gives_both_back", keepalived);
    suite.trial("an_agent_takes_both_from_keepalived_that_lost_a_link", from_keepalived);
    suite.trial("a_failover_of_one_moves_both_without_a_gap", failover);
    suite.trial("all_members_lead_as_before_when_the_agent_is_back", leads_survive);
    suite.trial("a_group_of_which_a_peer_outranks_one_member_stays", outranked_in_part);
    suite.trial("a_drain_and_a_stop_hand_the_group_over", drain);
}

fn wires() -> Topology {
    let node = |topology: Topology, name: &str, last: u8| {
        let [lan, side] = [9, 7].map(|network| format!("10.{network}.0.{last}/24"));
        topology.node(name, &[("eth0", LAN, &*lan), ("eth2", SIDE, &*side)])
    };
    node(node(Topology::new("wires").network(LAN).network(SIDE), "left", 1), "right", 2)
}

fn instances(priorities: [u8; 2]) -> String {
    let lan = Instance::new(priorities[0]).vrid(51);
    let side = Instance::new(priorities[1]).vrid(52).interface("eth2").addresses(["10.7.0.100/24"]);
    format!("{lan}{side}")
}

fn config(priority: u8) -> String {
    format!("{GROUP}{}", instances([priority; 2]))
}

fn hold_both(host: &Host) -> Result<()> {
    VIPS.into_iter().try_for_each(|ip| hold(host, ip))
}

fn free_both(host: &Host) -> Result<()> {
    VIPS.into_iter().try_for_each(|ip| free(host, ip))
}

/// `left` rules with 150, `right` follows with 100.
fn pair(lab: &Lab) -> Result<(Running<'_>, Running<'_>)> {
    let left = Running::start(lab.host("left")?, config(150))?;
    hold_both(left.host)?;
    let right = Running::start(lab.host("right")?, config(100))?;
    wait_for("both members on right", LIMIT, || right.lines(&["Initialize -> Backup, priority"]).len() == 2)?;
    Ok((left, right))
}

/// The first advert of `host` on both networks, and how far apart they are.
fn together(wires: [&Wire; 2], host: &str, since: Instant) -> Result<(Instant, Duration)> {
    let lan = wires[0].advert(host, 51, since, |_| true)?.at;
    let side = wires[1].advert(host, 52, since, |_| true)?.at;
    Ok((lan.max(side), lan.max(side).duration_since(lan.min(side))))
}

fn link(network: &'static str) -> Result<()> {
    Lab::run(wires(), |lab| {
        let (lan, side) = (Wire::tap(lab, LAN)?, Wire::tap(lab, SIDE)?);
        let (left, right) = pair(lab)?;
        // Who never heard the master has no advert to miss.
        let begun = Instant::now();
        lan.count("left", 51, begun, 2)?;
        side.count("left", 52, begun, 2)?;
        let cut = Instant::now();
        left.host.cut_from(network)?;
        let (last, apart) = together([&lan, &side], "right", cut)?;
        // The healthy network hears it at once; the cut one misses a single advert.
        let (healthy, vrid) = if network == LAN { (&side, 52) } else { (&lan, 51) };
        healthy.advert("left", vrid, cut, |advert| advert.priority == 0)?;
        ensure!(apart < Duration::from_millis(100), "{apart:?} apart");
        ensure!(last.duration_since(cut) < Duration::from_millis(2_600), "after {:?}", last - cut);
        hold_both(right.host)?;
        free_both(left.host)?;
        left.logged(&["sync group BOTH: Master -> Fault", "the interface has no link"])?;
        left.logged(&["Master -> Fault, priority", "sync group BOTH: VI_5"])?;
        right.logged(&["sync group BOTH: Backup -> Master"])?;
        let restored = Instant::now();
        left.host.restore()?;
        let (_, apart) = together([&lan, &side], "left", restored)?;
        ensure!(apart < Duration::from_millis(100), "{apart:?} apart");
        hold_both(left.host)?;
        free_both(right.host)?;
        left.logged(&["sync group BOTH: Fault -> Backup"])?;
        right.logged(&["sync group BOTH: Master -> Backup"])?;
        Ok(())
    })
}

fn crash() -> Result<()> {
    Lab::run(wires(), |lab| {
        let (lan, side) = (Wire::tap(lab, LAN)?, Wire::tap(lab, SIDE)?);
        let (left, right) = pair(lab)?;
        let begin = Instant::now();
        left.kill()?;
        let (_, apart) = together([&lan, &side], "right", begin)?;
        ensure!(apart < Duration::from_millis(100), "{apart:?} apart");
        hold_both(right.host)
    })
}

fn stop() -> Result<()> {
    Lab::run(wires(), |lab| {
        let (lan, side) = (Wire::tap(lab, LAN)?, Wire::tap(lab, SIDE)?);
        let (left, right) = pair(lab)?;
        let begin = Instant::now();
        left.stop()?;
        let (last, apart) = together([&lan, &side], "right", begin)?;
        ensure!(apart < Duration::from_millis(100), "{apart:?} apart");
        ensure!(last - begin < Duration::from_secs(2), "a farewell was not enough: {:?}", last - begin);
        hold_both(right.host)
    })
}

fn each_better() -> Result<()> {
    Lab::run(wires(), |lab| {
        let of = |priorities| format!("{GROUP}{}", instances(priorities));
        let (lan, side) = (Wire::tap(lab, LAN)?, Wire::tap(lab, SIDE)?);
        let _left = Running::start(lab.host("left")?, of([200, 150]))?;
        let _right = Running::start(lab.host("right")?, of([150, 200]))?;
        // They may unseat each other at first; then one speaks six times in a row, on both networks.
        let since = |wire: &Wire, vrid, name: &str| {
            let other = if name == "left" { "right" } else { "left" };
            let last = wire.adverts(other, vrid).last().map(|advert| advert.at);
            wire.adverts(name, vrid).iter().filter(|advert| last.is_none_or(|last| advert.at > last)).count()
        };
        let alone = |name: &str| since(&lan, 51, name) >= 6 && since(&side, 52, name) >= 6;
        wait_for("one that rules both", LIMIT, || alone("left") || alone("right"))?;
        let (name, other) = if alone("left") { ("left", "right") } else { ("right", "left") };
        hold_both(lab.host(name)?)?;
        free_both(lab.host(other)?)
    })
}

fn reload() -> Result<()> {
    Lab::run(wires(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let left = Running::start(left, instances([150, 100]))?;
        let right = Running::start(right, instances([100, 150]))?;
        hold(left.host, VIP)?;
        hold(right.host, SIDE_VIP)?;
        left.reload(format!("{GROUP}{}", instances([150, 100])))?;
        // It must follow on one network: so it follows on both.
        hold_both(right.host)?;
        free_both(left.host)?;
        left.logged(&["could rule, its sync group BOTH waits: VI_52: it follows a master", "VI_51"])?;
        left.reload(instances([150, 100]))?;
        hold(left.host, VIP)?;
        free(right.host, VIP)?;
        hold(right.host, SIDE_VIP)
    })
}

fn with_keepalived(body: impl FnOnce(&Lab, &Keepalived) -> Result<()>) -> Result<()> {
    let keepalived = Keepalived::find().map_err(|absent| Skip(absent.0))?;
    Lab::run(wires(), |lab| body(lab, &keepalived))
}

fn keepalived() -> Result<()> {
    with_keepalived(|lab, keepalived| {
        let left = Running::start(lab.host("left")?, config(150))?;
        hold_both(left.host)?;
        let right = lab.host("right")?;
        let _keepalived = keepalived.start(right, &config(100))?;
        left.host.cut_from(SIDE)?;
        hold_both(right)?;
        free_both(left.host)?;
        left.host.restore()?;
        hold_both(left.host)?;
        free_both(right)
    })
}

fn from_keepalived() -> Result<()> {
    with_keepalived(|lab, keepalived| {
        let left = lab.host("left")?;
        let _keepalived = keepalived.start(left, &config(150))?;
        hold_both(left)?;
        let right = Running::start(lab.host("right")?, config(100))?;
        wait_for("both members on right", LIMIT, || right.lines(&["Initialize -> Backup"]).len() >= 2)?;
        left.cut_from(SIDE)?;
        hold_both(right.host)?;
        free_both(left)?;
        left.restore()?;
        hold_both(left)?;
        free_both(right.host)
    })
}

fn failover() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair_of(config(100), config(98))?;
        hold_both(pair.left.host)?;
        let hosts = [pair.left.host, pair.right.host];
        let vigils = [Vigil::start(&hosts, VIP)?, Vigil::start(&hosts, SIDE_VIP)?];
        cluster.ctl(&["failover", "VI_52", "--yes"])?.well()?.with(&["sync group BOTH", "right"])?;
        hold_both(pair.right.host)?;
        free_both(pair.left.host)?;
        let shown = cluster.ctl(&["status", "-o", "wide"])?;
        shown.with(&["SYNC GROUP", "BOTH left backup VI_51, VI_52 -", "BOTH right master VI_51, VI_52 -"])?;
        pair.right.logged(&["sync group BOTH: Backup -> Master", "handed it over"])?;
        for vigil in &vigils {
            vigil.never_without()?;
        }
        cluster.ctl(&["failback", "VI_52", "--yes"])?.well()?;
        hold_both(pair.left.host)?;
        free_both(pair.right.host)?;
        for vigil in &vigils {
            vigil.never_without()?;
        }
        cluster.ready()
    })
}

/// The one that leads crashes and adopts its addresses: no member must be less than it was, lest a third
/// node takes the group apart.
fn leads_survive() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair_of(config(100), config(98))?;
        cluster.ctl(&["failover", "VI_52", "--yes"])?.well()?;
        hold_both(pair.right.host)?;
        free_both(pair.left.host)?;
        let (lan, side) = (Wire::tap(lab, LAN)?, Wire::tap(lab, SIDE)?);
        pair.right.kill()?;
        let killed = Instant::now();
        let _again = cluster.start("right", config(98))?;
        let said = [lan.advert("right", 51, killed, |_| true)?, side.advert("right", 52, killed, |_| true)?];
        let said = said.map(|seen| seen.packet.priority);
        ensure!(said == [100, 100], "it came back with {said:?}");
        // And it ends for all.
        cluster.ctl(&["failback", "VI_52", "--yes"])?.well()?;
        hold_both(pair.left.host)?;
        cluster.shows("no lead", |status| !status.contains(r#""lead":{"#))
    })
}

/// By plain VRRP it would not move either: on the other network the peer is the lower one.
fn outranked_in_part() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let of = |priorities| format!("{GROUP}{}", instances(priorities));
        let pair = cluster.pair_of(of([100, 100]), of([98, 50]))?;
        hold_both(pair.left.host)?;
        let (lan, before) = (Wire::tap(lab, LAN)?, pair.left.transitions().len());
        let lowered = Instant::now();
        pair.left.reload(of([80, 100]))?;
        lan.advert("left", 51, lowered, |advert| advert.priority == 80)?;
        lan.count("left", 51, lowered, 5)?;
        ensure!(pair.left.transitions().len() == before, "{:#?}", pair.left.transitions());
        hold_both(pair.left.host)
    })
}

fn drain() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair_of(config(100), config(98))?;
        hold_both(pair.left.host)?;
        cluster.ctl(&["drain", "left", "--yes"])?.well()?.with(&["VI_51", "VI_52"])?;
        hold_both(pair.right.host)?;
        free_both(pair.left.host)?;
        cluster.ctl(&["undrain", "left"])?.well()?;
        hold_both(pair.left.host)?;
        free_both(pair.right.host)?;
        cluster.ready()?;
        pair.left.stop()?;
        hold_both(pair.right.host)?;
        pair.left.never_logged(&["only a master can give way"])
    })
}
