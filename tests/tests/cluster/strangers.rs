//! Certificates that nobody should believe: refused with the mend, in both directions.

use anyhow::{Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, LAN, Stranger, Suite, VIP, Wire, hold, trio};
use std::time::Instant;

const HOUR: i64 = 3_600;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("operators_nobody_knows_are_refused_with_the_mend", operators);
    suite.trial("a_viewer_looks_and_moves_nothing", viewer);
    suite.trial("an_expired_node_certificate_costs_only_the_comfort", expired_node);
    suite.trial("a_clock_off_by_an_hour_is_told_and_moves_nothing", clock);
    suite.trial("a_node_with_anothers_certificate_is_not_believed", impostor);
}

/// Left rules, and nobody was asked to.
fn untouched(cluster: &Cluster<'_>, wire: &Wire) -> Result<()> {
    wire.count("left", 51, Instant::now(), 2)?;
    wire.never_ruled("right", 51)?;
    wire.never_resigned("left")?;
    cluster.served_by("left")
}

fn operators() -> Result<()> {
    let operator = Stranger::operator;
    let cases = [
        (Stranger { foreign: true, ..operator("foreign") }, "authority"),
        (Stranger { validity: -2 * HOUR..-HOUR, ..operator("expired") }, "expired"),
        (Stranger { validity: HOUR..2 * HOUR, ..operator("early") }, "not yet valid"),
        (Stranger { uris: Vec::new(), ..operator("plain") }, "role"),
        (Stranger { uris: vec!["hacluster://role/admin".to_owned()], ..operator("misspelt") }, "role"),
    ];
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        for (stranger, word) in cases {
            stranger.join(&cluster.fleet)?;
            for verb in [&["failover", "vi_1", "--yes"][..], &["status"], &["drain", "left", "--yes"]] {
                cluster.ctl_as(stranger.name, verb)?.refused(&[word])?;
            }
        }
        // A peer's certificate is not an operator's.
        cluster.fleet.write_context("as-peer", "right")?;
        cluster.ctl_as("as-peer", &["failover", "vi_1", "--yes"])?.refused(&["operator"])?;
        untouched(&cluster, &wire)?;
        cluster.ready()
    })
}

fn viewer() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl_as("viewer", &["status"])?.well()?;
        cluster.ctl_as("viewer", &["failover", "vi_1", "--yes"])?.refused(&["operator"])?;
        cluster.ctl_as("viewer", &["pause"])?.refused(&["operator"])?;
        untouched(&cluster, &wire)
    })
}

/// Right's certificate, `validity` from now, and the pair as far as it then comes.
fn pair_with(validity: std::ops::Range<i64>, words: &[&str]) -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        Stranger { validity, ..Stranger::node("right") }.join(&cluster.fleet)?;
        let wire = Wire::tap(lab, LAN)?;
        let left = cluster.start("left", Instance::new(100).master())?;
        hold(left.host, VIP)?;
        let right = cluster.start("right", Instance::new(98))?;
        right.logged(&["-> Backup"])?;
        right.logged(&["API listens"])?;
        cluster.ctl(&["failover", "vi_1", "--to", "right", "--yes"])?.refused(words)?;
        untouched(&cluster, &wire)?;
        // Plain VRRP as before.
        left.stop()?;
        right.logged(&["Backup -> Master", "resigned"])?;
        cluster.served_by("right")
    })
}

fn expired_node() -> Result<()> {
    pair_with(-2 * HOUR..-HOUR, &["right", "expired"])
}

/// A node whose clock is an hour late sees certificates made now as the others see this one.
fn clock() -> Result<()> {
    pair_with(HOUR..2 * HOUR, &["right", "valid only from", "clock"])
}

/// `third`'s certificate shown by `right`: signed by the right authority, for the wrong node.
fn impostor() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let other = Stranger { name: "right", ..Stranger::node("third") };
        other.join(&cluster.fleet)?;
        let wire = Wire::tap(lab, LAN)?;
        let left = cluster.start("left", Instance::new(100).master())?;
        hold(left.host, VIP)?;
        let _right = cluster.start("right", Instance::new(98))?;
        let said = cluster.ctl(&["failover", "vi_1", "--to", "right", "--yes"])?.refused(&["right"])?;
        ensure!(!said.out.contains("is on right"), "{said:?}");
        untouched(&cluster, &wire)
    })
}
