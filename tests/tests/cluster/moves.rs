//! Moves that an operator asks for: between agents, past and with others.

use crate::third::{Kind, Third};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, Probe, wait_for};
use hacluster_tests::harness::{Cluster, Instance, LAN, Running, Suite, VIP, Vigil, Wire, free, hold, trio};
use std::time::{Duration, Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("failover_there_and_back_never_leaves_the_address_alone", there_and_back);
    suite.trial("the_target_announces_then_advertises_then_the_old_master_releases", order);
    for kind in [Kind::Keepalived, Kind::Frr] {
        suite.trial(format!("a_third_{kind}_between_them_sees_nothing_odd"), move || third_node(kind));
    }
    suite.trial("a_plain_keepalived_takes_over_when_the_master_resigns", to_keepalived);
    suite.trial("a_plain_keepalived_master_is_replaced_without_a_gap", from_keepalived);
    suite.trial("a_client_who_leaves_does_not_stop_the_move", client_leaves);
}

/// Moves, and moves back, and gives what was told.
fn there_and_back() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let vigil = Vigil::start(&[pair.left.host, pair.right.host], VIP)?;
        let probe = Probe::start(lab.host("client")?, VIP, Duration::from_millis(1))?;
        let begin = Instant::now();
        wait_for("an answer", LIMIT, || probe.answered_since(begin))?;
        cluster
            .ctl(&["failover", "vi_1", "--yes", "--reason", "a trial"])?
            .well()?
            .with(&["VI_1", "right"])?;
        cluster.served_by("right")?;
        pair.right.logged(&["Backup -> Master", "master 10.9.0.1 handed it over"])?;
        pair.left.logged(&["Master -> Backup", "handed over to 10.9.0.2"])?;
        vigil.never_without()?;
        cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
        cluster.served_by("left")?;
        let holders = vigil.never_without()?;
        ensure!(holders.releases == 2, "{holders:?}");
        cluster.ready()?;
        ensure!(pair.left.transitions().len() == 4, "{:#?}", pair.left.transitions());
        let answered = Instant::now();
        wait_for("an answer", LIMIT, || probe.answered_since(answered))
    })
}

fn order() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        let begin = Instant::now();
        cluster.ctl(&["failover", "VI_1", "--to", "right", "--yes"])?.well()?;
        cluster.served_by("right")?;
        let advert = wire.advert("right", 51, begin, |_| true)?;
        let announced = wire.announcements("right", VIP, begin);
        let first = announced.first().context("right announced nothing")?;
        ensure!(first.at <= advert.at, "right advertised before it announced");
        ensure!(advert.packet.priority == 100, "it leads with {}", advert.packet.priority);
        wire.never_resigned("left")?;
        // Once it has heard the other, the old master says nothing more.
        wire.count("right", 51, advert.at, 3)?;
        let late = Instant::now();
        wire.count("right", 51, late, 2)?;
        ensure!(wire.adverts_since("left", 51, late).is_empty(), "two speak");
        crate::valid::everything(&wire)
    })
}

/// `third` has a priority between the two: plain VRRP would give it the address, and back again.
fn third_node(kind: Kind) -> Result<()> {
    kind.present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let wire = Wire::tap(lab, LAN)?;
        let pair = cluster.pair_of(Instance::new(100).master().password(None), plain(98))?;
        let third = Third::start(kind, lab.host("third")?, 99)?;
        third.listens()?;
        let vigil = Vigil::start(&[pair.left.host, pair.right.host], VIP)?;
        for (verb, holder) in [("failover", "right"), ("failback", "left")] {
            let arguments: &[&str] = &[verb, "vi_1", "--yes", "--to", "right"];
            let arguments = if verb == "failover" { arguments } else { &arguments[..3] };
            cluster.ctl(arguments)?.well()?;
            hold(cluster.host(holder)?, VIP)?;
            free(cluster.host(if holder == "left" { "right" } else { "left" })?, VIP)?;
            // Longer than anybody's patience for a silent master.
            wire.count(holder, 51, Instant::now(), 5)?;
        }
        vigil.never_without()?;
        wire.never_ruled("third", 51)?;
        third.never_complained()?;
        crate::valid::everything(&wire)
    })
}

fn plain(priority: u8) -> Instance {
    Instance::new(priority).password(None)
}

fn to_keepalived() -> Result<()> {
    Kind::Keepalived.present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let left = cluster.start("left", Instance::new(100).master().password(None))?;
        hold(left.host, VIP)?;
        let third = Third::start(Kind::Keepalived, lab.host("third")?, 99)?;
        third.listens()?;
        let wire = Wire::tap(lab, LAN)?;
        let said = cluster.ctl(&["failover", "vi_1", "--to", "10.9.0.3", "--yes", "--dry-run"])?.well()?;
        ensure!(left.host.holds(VIP)?, "a dry run moved it: {said:?}");
        cluster.ctl(&["failover", "vi_1", "--to", "10.9.0.3", "--yes"])?.well()?.with(&["10.9.0.3"])?;
        cluster.served_by("third")?;
        let resigned = wire.adverts("left", 51).iter().any(|seen| seen.packet.priority == 0);
        ensure!(resigned, "left did not resign");
        // It would preempt by its priority, and holds back.
        wire.count("third", 51, Instant::now(), 5)?;
        ensure!(!left.host.holds(VIP)?, "left did not hold back");
        crate::valid::everything(&wire)?;
        cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
        cluster.served_by("left")
    })
}

fn from_keepalived() -> Result<()> {
    Kind::Keepalived.present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let third = Third::start(Kind::Keepalived, lab.host("third")?, 150)?;
        hold(lab.host("third")?, VIP)?;
        let right = cluster.start("right", plain(98))?;
        right.logged(&["-> Backup"])?;
        let wire = Wire::tap(lab, LAN)?;
        wire.count("third", 51, Instant::now(), 2)?;
        let vigil = Vigil::start(&[lab.host("third")?, right.host], VIP)?;
        let socket = right.host.directory().join("run/agent.sock");
        let local = ["--socket", &socket.to_string_lossy(), "failover", "vi_1", "--yes"];
        let said = cluster.fleet.program().run(right.host, &local)?;
        hacluster_tests::harness::Said::from(said).well()?;
        cluster.served_by("right")?;
        vigil.never_without()?;
        let advert = wire.advert("right", 51, Instant::now() - LIMIT, |_| true)?;
        ensure!(advert.packet.priority == 151, "it leads with {}", advert.packet.priority);
        third.never_complained()?;
        crate::valid::everything(&wire)
    })
}

fn client_leaves() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let client = lab.host("client")?;
        let context = cluster.fleet.context("operator");
        let context = context.to_string_lossy();
        let command = cluster.fleet.program().command(&["--config", &context, "failover", "vi_1", "--yes"]);
        let asking = client.spawn("haclusterctl", command)?;
        // At whatever moment this ends it: one of them serves, and alone.
        let transitions = |running: &Running<'_>| running.transitions().len();
        let before = transitions(&pair.right);
        wait_for("the move to begin, or the client's end", LIMIT, || {
            !asking.is_running() || transitions(&pair.right) > before
        })?;
        asking.kill()?;
        wait_for("one holder", LIMIT, || {
            let holders = [&pair.left, &pair.right].map(|one| one.host.holds(VIP).unwrap_or(false));
            holders[0] != holders[1]
        })?;
        cluster.ready()
    })
}
