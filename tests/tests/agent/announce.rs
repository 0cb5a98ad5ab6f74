//! Gratuitous ARP: rounds, delays, gaps, and the answer to a rival.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Forger, Instance, Running, Suite, VIP, Wire, hold, pair};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("five_announcements_at_once_and_five_more_later", defaults);
    suite.trial("garp_master_refresh_goes_on", refresh);
    suite.trial("garp_interval_spaces_and_garp_master_repeat_counts", spaced);
    suite.trial("a_lower_priority_is_answered_and_announced_against", rival);
}

fn defaults() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let begin = Instant::now();
        let _agent = Running::start(left, Instance::new(255))?;
        wire.announced("left", VIP, begin, 10)?;
        let sixth = wire.announcements("left", VIP, begin)[5].at;
        let first = wire.announcements("left", VIP, begin)[0].at;
        let advert = wire.adverts("left", 51)[0].at;
        // Five seconds less what reading the packets may have been late.
        ensure!(sixth - first.min(advert) >= Duration::from_millis(4_500), "{}", wire.capture.summary());
        // One more advert interval: that was all.
        wire.count("left", 51, Instant::now(), 2)?;
        let count = wire.announcements("left", VIP, begin).len();
        ensure!(count == 10, "{count} announcements:\n{}", wire.capture.summary());
        let seen = &wire.announcements("left", VIP, begin)[0].packet;
        let mac = left.netlink(|requests| Ok(requests.link("eth0")?.mac))?;
        ensure!(seen.sender_mac == mac, "{seen:?}");
        Ok(())
    })
}

fn refresh() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let config = Instance::new(255)
            .with("garp_master_delay 60")
            .with("garp_master_repeat 1")
            .with("garp_master_refresh 1")
            .with("garp_master_refresh_repeat 2");
        let begin = Instant::now();
        let _agent = Running::start(lab.host("left")?, config)?;
        wire.announced("left", VIP, begin, 1 + 2 + 2)?;
        let announcements = wire.announcements("left", VIP, begin);
        let length = announcements[4].at - announcements[0].at;
        ensure!(length >= Duration::from_millis(1_500), "two refreshes within {length:?}");
        Ok(())
    })
}

fn spaced() -> Result<()> {
    const GAP: Duration = Duration::from_millis(100);
    const ADDRESSES: u8 = 5;
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let addresses = (100..100 + ADDRESSES).map(|last| format!("10.9.0.{last}/24"));
        let instance =
            Instance::new(255).addresses(addresses).with("garp_master_repeat 2").with("garp_master_delay 60");
        let config = format!("global_defs {{\n    vrrp_garp_interval 0.1\n}}\n{instance}");
        let begin = Instant::now();
        let _agent = Running::start(lab.host("left")?, config)?;
        for last in 100..100 + ADDRESSES {
            wire.announced("left", Ipv4Addr::new(10, 9, 0, last), begin, 2)?;
        }
        wire.count("left", 51, Instant::now(), 1)?;
        let mut arps = wire.capture.arps();
        arps.retain(|seen| seen.host == "left" && seen.packet.is_gratuitous());
        ensure!(arps.len() == usize::from(ADDRESSES) * 2, "{}", wire.capture.summary());
        let length = arps[arps.len() - 1].at - arps[0].at;
        let least = GAP * (u32::from(ADDRESSES) * 2 - 1) - GAP / 2;
        ensure!(length >= least, "{length:?}, not {least:?}:\n{}", wire.capture.summary());
        Ok(())
    })
}

fn rival() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let config = Instance::new(150).master().with("garp_master_delay 60");
        let agent = Running::start(left, config)?;
        hold(left, VIP)?;
        wire.announced("left", VIP, Instant::now() - Duration::from_secs(30), 5)?;
        // Within the first interval it would be the former master's last word, which is no news.
        wire.count("left", 51, Instant::now(), 2)?;
        let forger = Forger::on(client, Ipv4Addr::new(10, 9, 0, 9))?;
        let forged = Instant::now();
        forger.send(&forger.advert(50, |_| ())?)?;
        wire.announced("left", VIP, forged, 5)?;
        let answer = wire.advert("left", 51, forged, |advert| advert.priority == 150)?.at;
        let after = wire.advert("left", 51, answer + Duration::from_millis(1), |_| true)?.at;
        let before = wire.adverts("left", 51).iter().rev().find(|seen| seen.at < forged).map(|seen| seen.at);
        // The answer came out of turn: earlier than an interval after the advert before it.
        let wait = answer - before.context("no advert before")?;
        ensure!(wait < Duration::from_millis(990), "not answered at once but {wait:?} later, then {after:?}");
        agent.logged(&["10.9.0.9 also rules, with priority 50"])?;
        ensure!(agent.lines(&["Master -> "]).is_empty(), "it yielded to a lower priority");
        Ok(())
    })
}
