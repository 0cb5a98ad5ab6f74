//! SIGHUP: what did not change is not touched, what is wrong is refused as a whole.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{
    Instance, Running, Suite, VIP, Wire, free, hold, left_alone, pair, settle_first,
};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("reload_touches_only_what_changed", only_what_changed);
    suite.trial("reload_changes_priority_and_addresses_live", live_changes);
    suite.trial("reload_with_new_errors_is_refused", refused);
    suite.trial("a_master_lowered_below_its_backup_is_replaced_at_once", lowered);
    suite.trial("a_router_on_an_interface_that_was_watched_before_starts", watched_before);
}

fn other(vrid: u8, last: u8) -> Instance {
    Instance::new(150).master().vrid(vrid).addresses([format!("10.9.0.{last}/24")])
}

fn only_what_changed() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let (second, third) = (Ipv4Addr::new(10, 9, 0, 102), Ipv4Addr::new(10, 9, 0, 103));
        let kept = Instance::new(150).master();
        let agent = Running::start(left, format!("{kept}{}", other(52, 102)))?;
        hold(left, VIP)?;
        hold(left, second)?;
        agent.logged(&["-> Master", "router=\"VI_1\""])?; // the address may be seen before the line
        let of_kept = || agent.lines(&[" -> ", "router=\"VI_1\""]).len();
        let transitions = of_kept();
        agent.reload(format!("{kept}{}{}", other(52, 102), other(53, 103)))?;
        hold(left, third)?;
        agent.reload(format!("{kept}{}", other(53, 103)))?;
        free(left, second)?;
        wire.advert("left", 52, Instant::now() - LIMIT, |advert| advert.priority == 0)?;
        agent.reload(format!("{kept}{}", other(53, 104)))?;
        hold(left, Ipv4Addr::new(10, 9, 0, 104))?;
        free(left, third)?;
        agent.reload(format!("# a comment\n{kept}{}", other(53, 104)))?;
        agent.logged(&["reload: nothing changed"])?;
        left_alone(left, VIP, Duration::from_millis(1_200))?;
        ensure!(of_kept() == transitions, "the untouched one changed its state");
        let resigned = wire.adverts("left", 51).iter().any(|seen| seen.packet.priority == 0);
        ensure!(!resigned, "the untouched one resigned");
        agent.never_logged(&["had been removed"])?;
        agent.stop()?;
        ensure!(left.addresses()?.len() == 1, "left behind: {:?}", left.addresses()?);
        Ok(())
    })
}

fn live_changes() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let added = Ipv4Addr::new(10, 9, 0, 101);
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let transitions = agent.transitions().len();
        agent.reload(Instance::new(160).master())?;
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 160)?;
        let begin = Instant::now();
        agent.reload(Instance::new(160).master().addresses(["10.9.0.100/24", "10.9.0.101/24"]))?;
        hold(left, added)?;
        wire.announced("left", added, begin, 1)?;
        wire.advert("left", 51, begin, |advert| advert.addresses == [VIP, added])?;
        agent.reload(Instance::new(160).master().addresses(["10.9.0.101/24"]))?;
        free(left, VIP)?;
        wire.advert("left", 51, begin, |advert| advert.addresses == [added])?;
        ensure!(left.holds(added)?, "the one that stays was taken off");
        ensure!(agent.transitions().len() == transitions, "the state changed");
        wire.never_resigned("left")?;
        agent.never_logged(&["had been removed"])
    })
}

fn refused() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let broken =
            Instance::new(90).master().to_string().replace("virtual_router_id 51", "virtual_router_id 0");
        agent.reload(broken)?;
        agent.logged(&["reload refused", "the former configuration stays in force"])?;
        agent.logged(&["ERROR", "keepalived.conf:4"])?;
        let refused = Instant::now();
        wire.count("left", 51, refused, 2)?;
        let priorities = wire.adverts_since("left", 51, refused);
        ensure!(priorities.iter().all(|seen| seen.packet.priority == 150), "{}", wire.capture.summary());
        std::fs::remove_file(agent.config())?;
        agent.process.signal(nix::sys::signal::Signal::SIGHUP)?;
        wait_for("a second refusal", LIMIT, || agent.lines(&["reload refused"]).len() == 2)?;
        // A file that is empty, or only half written, must not stop everything.
        agent.reload("# nothing yet\n")?;
        agent.logged(&["reload refused", "is the file whole?"])?;
        // The next good one counts.
        agent.reload(Instance::new(120).master())?;
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 120)?;
        ensure!(left.holds(VIP)?, "the address is lost");
        Ok(())
    })
}

/// RFC 3768 alone would take the silence of three intervals.
fn lowered() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let master = (left, Instance::new(150).master().to_string());
        let (master, backup) = settle_first(master, (right, Instance::new(100).to_string()), VIP)?;
        wire.count("left", 51, Instant::now(), 2)?;
        master.reload(Instance::new(80).master())?;
        hold(right, VIP)?;
        free(left, VIP)?;
        let first = wire.adverts("right", 51).first().map(|seen| seen.at).context("no advert of right")?;
        let mut lowered = wire.adverts("left", 51);
        lowered.retain(|seen| seen.packet.priority == 80 && seen.at < first);
        ensure!((1..=2).contains(&lowered.len()), "{}", wire.capture.summary());
        backup.logged(&["Backup -> Master", "master 10.9.0.1 has the lower priority 80"])?;
        master.logged(&["Master -> Backup", "10.9.0.2 is master with priority 100"])?;
        master.reload(Instance::new(150).master())?;
        hold(left, VIP)?;
        free(right, VIP)
    })
}

/// The kernel thread told of the interface when nobody ran there yet, and has nothing new to say.
fn watched_before() -> Result<()> {
    let plugs = [("eth0", "lan", "10.9.0.1/24"), ("eth1", "wan", "10.8.0.1/24")];
    let topology = Topology::new("two-nets").network("lan").network("wan").node("left", &plugs);
    Lab::run(topology, |lab| {
        let left = lab.host("left")?;
        let late = Ipv4Addr::new(10, 8, 0, 100);
        let first = Instance::new(150).master().with("track_interface {\n        eth1\n    }");
        let second = Instance::new(150).master().vrid(52).interface("eth1").addresses(["10.8.0.100/24"]);
        let agent = Running::start(left, first.clone())?;
        hold(left, VIP)?;
        agent.reload(format!("{first}{second}"))?;
        hold(left, late)?;
        agent.never_logged(&["-> Fault"])
    })
}
