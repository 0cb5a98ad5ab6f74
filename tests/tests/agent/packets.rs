//! Adverts that must change nothing: broken, of strangers, with another password; few and many.

use anyhow::{Result, ensure};
use hacluster_core::{interval::Seconds, vrid::Vrid, wire::Auth};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Forger, Instance, Running, Suite, VIP, Wire, pair, settle_first};
use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

/// Where the VRRP checksum stands behind an IPv4 header without options.
const CHECKSUM: usize = 20 + 6;
const TTL: usize = 8;
/// A second line about the same kind of packet comes no sooner than after this.
const LINES_PER_KIND: usize = 8;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("bad_adverts_change_nothing", || flood(Some(Duration::from_millis(80))));
    suite.trial("bad_adverts_as_fast_as_possible_change_nothing", || flood(None));
    suite.trial("adverts_of_unknown_vrids_are_ignored", unknown_vrids);
}

/// One of each kind; each would take over if it were believed.
fn bad(forger: &Forger) -> Result<Vec<Vec<u8>>> {
    let mut checksum = forger.advert(254, |_| ())?;
    checksum[CHECKSUM] ^= 0xff;
    let mut ttl = forger.advert(254, |_| ())?;
    ttl[TTL] = 1;
    let whole = forger.advert(254, |_| ())?;
    let mut version = whole.clone();
    version[20] = 0x41;
    Ok(vec![
        forger.advert(254, |outgoing| outgoing.auth = Auth::pass(b"wrong"))?,
        forger.advert(254, |outgoing| outgoing.auth = Auth::None)?,
        forger.advert(254, |outgoing| outgoing.interval = Seconds::new(7).unwrap_or(Seconds::ONE))?,
        checksum,
        ttl,
        version,
        whole[..whole.len() - 5].to_vec(),
        whole[..23].to_vec(),
        forger.advert(0, |outgoing| outgoing.auth = Auth::pass(b"wrong"))?,
    ])
}

/// Sends them for three seconds, `pause` apart or without any pause.
fn flood(pause: Option<Duration>) -> Result<()> {
    const LENGTH: Duration = Duration::from_secs(3);
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        let before = [master.transitions().len(), backup.transitions().len()];
        // Only left's adverts matter, and forged ones would fill the recording.
        let forger = Forger::on(lab.host("client")?, Ipv4Addr::new(10, 9, 0, 9))?;
        let packets = bad(&forger)?;
        let served = |agent: &Running| agent.lines(&["not served"]).len();
        let unserved = served(&master) + served(&backup);
        let start = Instant::now();
        let mut sent = 0_usize;
        while start.elapsed() < LENGTH {
            for packet in &packets {
                // A full queue is the sender's trouble.
                sent += usize::from(forger.send(packet).is_ok());
                pause.into_iter().for_each(thread::sleep);
            }
        }
        let flooded = start.elapsed();
        ensure!(sent >= packets.len(), "nothing was sent");
        master.logged(&["advert(s) dropped", "the password is not ours"])?;
        backup.logged(&["advert(s) dropped", "the password is not ours"])?;
        ensure!([master.transitions().len(), backup.transitions().len()] == before, "the state changed");
        ensure!(left.holds(VIP)? && !right.holds(VIP)?, "the address moved");
        for agent in [&master, &backup] {
            let lines = agent.lines(&["advert(s) dropped"]).len();
            // A line per kind at once, and one each ten seconds.
            let most = LINES_PER_KIND * (1 + flooded.as_secs() as usize / 10) + LINES_PER_KIND;
            ensure!(lines <= most, "{lines} lines for {sent} packets");
        }
        let wire = Wire::tap(lab, "lan")?;
        wire.count("left", 51, Instant::now(), 2)?;
        ensure!(served(&master) + served(&backup) == unserved, "the flood kept the protocol from its work");
        Ok(())
    })
}

fn unknown_vrids() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let master = (left, Instance::new(150).master().to_string());
        let right = (lab.host("right")?, Instance::new(100).to_string());
        let (master, backup) = settle_first(master, right, VIP)?;
        let lines = [&master, &backup].map(|agent| agent.process.lines().len());
        let forger = Forger::on(lab.host("client")?, Ipv4Addr::new(10, 9, 0, 9))?;
        let begin = Instant::now();
        for vrid in (1..=255).filter(|vrid| *vrid != 51) {
            let foreign = |priority| {
                forger.advert(priority, |outgoing| {
                    outgoing.vrid = Vrid::new(vrid).unwrap_or(outgoing.vrid);
                })
            };
            forger.send(&foreign(254)?)?;
            forger.send(&foreign(0)?)?;
        }
        wire.count("left", 51, begin, 3)?;
        wire.never_ruled("right", 51)?;
        ensure!(left.holds(VIP)?, "the address is lost");
        let now = [&master, &backup].map(|agent| agent.process.lines().len());
        ensure!(now == lines, "strangers fill the log: {:?}", master.process.lines());
        Ok(())
    })
}
