//! Wishes that cannot be fulfilled: refused in words, and the address stays served.

use anyhow::{Result, ensure};
use hacluster_lab::{Lab, fleet::PORT};
use hacluster_tests::harness::{Cluster, Instance, LAN, SIDE, Suite, VIP, Wire, trio};
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("names_that_are_not_there_are_refused_with_the_ones_that_are", unknown);
    suite.trial("a_move_to_itself_says_so_and_does_nothing", itself);
    suite.trial("a_faulted_target_is_refused_with_its_fault", faulted);
    suite.trial("a_dead_target_is_refused_as_unreachable", dead);
    suite.trial("a_target_configured_otherwise_is_refused", disagrees);
    suite.trial("an_address_owner_stays_master", owner);
    suite.trial("a_dry_run_of_anything_changes_nothing", dry_run);
    suite.trial("a_reload_is_tried_then_done_and_a_bad_file_refused", reload);
    suite.trial("garbage_on_the_tls_port_harms_nothing", garbage);
}

/// Left still rules, as if nothing had been asked.
fn nothing_happened(cluster: &Cluster<'_>, wire: &Wire) -> Result<()> {
    wire.count("left", 51, Instant::now(), 2)?;
    wire.never_ruled("right", 51)?;
    wire.never_resigned("left")?;
    cluster.served_by("left")
}

fn unknown() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["failover", "vi_1", "--to", "rihgt", "--yes"])?.refused(&["rihgt", "right"])?;
        cluster.ctl(&["failover", "vi_9", "--yes"])?.refused(&["vi_9", "VI_1"])?;
        cluster.ctl(&["failback", "vi_9", "--yes"])?.refused(&["vi_9", "VI_1"])?;
        cluster.ctl(&["drain", "lfet", "--yes"])?.refused(&["lfet", "left"])?;
        cluster.ctl(&["failover", "vi_1"])?.refused(&["--yes"])?;
        nothing_happened(&cluster, &wire)
    })
}

fn itself() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["failover", "vi_1", "--to", "left", "--yes"])?.with(&["already"])?;
        // Nothing is held either: there is nothing to go back from.
        cluster.ctl(&["failback", "vi_1", "--yes"])?.refused(&["nothing to go back from"])?;
        nothing_happened(&cluster, &wire)?;
        cluster.ready()
    })
}

fn faulted() -> Result<()> {
    let side = |priority| Instance::new(priority).addresses(["10.9.0.100/24", "10.7.0.100/24 dev eth2"]);
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair_of(side(100).master(), side(98))?;
        let wire = Wire::tap(lab, LAN)?;
        pair.right.host.cut_from(SIDE)?;
        pair.right.logged(&["Backup -> Fault"])?;
        cluster.ctl(&["failover", "vi_1", "--to", "right", "--yes"])?.refused(&["right", "fault"])?;
        cluster.ctl(&["failover", "vi_1", "--yes"])?.refused(&["right", "fault"])?;
        nothing_happened(&cluster, &wire)
    })
}

fn dead() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        pair.right.kill()?;
        cluster.ctl(&["failover", "vi_1", "--to", "right", "--yes"])?.refused(&["right"])?;
        nothing_happened(&cluster, &wire)
    })
}

/// Another list of addresses: it would take what is not the same router.
fn disagrees() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        pair.right.reload(Instance::new(98).addresses(["10.9.0.100/24", "10.9.0.101/24"]))?;
        pair.right.logged(&["reload: "])?;
        cluster.ctl(&["failover", "vi_1", "--to", "right", "--yes"])?.refused(&["right", "differ"])?;
        wire.count("left", 51, Instant::now(), 2)?;
        wire.never_resigned("left")?;
        ensure!(cluster.host("left")?.holds(VIP)?, "left lost its address");
        Ok(())
    })
}

fn owner() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _pair = cluster.pair_of(Instance::new(255).master(), Instance::new(98))?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["failover", "vi_1", "--yes"])?.refused(&["left owns the addresses"])?;
        nothing_happened(&cluster, &wire)
    })
}

fn dry_run() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        cluster.ctl(&["failover", "vi_1", "--dry-run"])?.well()?.with(&["right"])?;
        cluster.ctl(&["failback", "vi_1", "--dry-run"])?;
        for verb in [&["drain", "left"][..], &["undrain", "left"], &["pause"], &["resume"], &["reload"]] {
            cluster.ctl(&[verb, &["--dry-run"]].concat())?.well()?;
        }
        nothing_happened(&cluster, &wire)?;
        cluster.ready()?;
        // The wish itself is known to have been made.
        let audit = pair.left.host.directory().join("run/state/audit.log");
        let audit = fs::read_to_string(audit)?;
        ensure!(audit.contains("operator") && audit.contains("dry_run"), "{audit}");
        Ok(())
    })
}

fn reload() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        let write = |text: &str| fs::write(pair.left.config(), text);
        write(&Instance::new(110).master().to_string())?;
        cluster.ctl(&["reload", "left", "--dry-run"])?.well()?.with(&["priority"])?;
        let begin = Instant::now();
        wire.count("left", 51, begin, 2)?;
        ensure!(wire.adverts_since("left", 51, begin).iter().all(|seen| seen.packet.priority == 100));
        cluster.ctl(&["reload", "left", "--yes"])?.well()?;
        wire.advert("left", 51, begin, |advert| advert.priority == 110)?;
        fs::remove_file(pair.left.config())?;
        cluster.ctl(&["reload", "left", "--yes"])?.refused(&["left"])?;
        let begin = Instant::now();
        wire.advert("left", 51, begin, |advert| advert.priority == 110)?;
        nothing_happened(&cluster, &wire)
    })
}

fn garbage() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let pair = cluster.pair()?;
        let wire = Wire::tap(lab, LAN)?;
        let at = (Ipv4Addr::new(10, 8, 0, 1), PORT);
        let hello = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..], &[0xff; 64]].concat();
        let long = [0x16; 70_000];
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &hello, &long, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        {
            let mut stream = lab.host("client")?.namespace().run(move || Ok(TcpStream::connect(at)?))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        // Connections that never say a word must not keep others out.
        let client = lab.host("client")?.namespace();
        let _crowd = client.run(move || Ok((0..200).map(|_| TcpStream::connect(at)).collect::<Vec<_>>()))?;
        nothing_happened(&cluster, &wire)?;
        cluster.ready()?;
        ensure!(pair.left.process.is_running() && pair.left.transitions().len() == 2, "left was moved");
        Ok(())
    })
}
