//! Addresses that are held and do not answer: `no_accept`, and `vrrp_strict` without `accept`.

use anyhow::{Context, Result, ensure};
use hacluster_agent::kernel::FilterSettings;
use hacluster_conf::model::PacketFilter;
use hacluster_lab::{Ctl, Host, LIMIT, Lab, Probe, wait_for, wait_until};
use hacluster_net::netlink::nft::{Nft, Owner, Table};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Wire, free, hold, pair};
use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("addresses_of_a_strict_pair_are_held_and_never_answer", strict);
    suite.trial("of_two_thousand_filtered_addresses_the_first_never_answers", many);
    suite.trial("accept_and_owners_answer_and_a_reload_changes_it", accept);
    suite.trial("a_flushed_packet_filter_comes_back", flushed);
    suite.trial("nothing_of_the_packet_filter_outlives_a_crash_and_its_successor", crash);
    suite.trial("tables_of_others_are_left_alone", foreign);
    suite.trial("two_agents_on_a_host_filter_apart", apart);
    suite.trial("adverts_leave_from_a_filtered_address", source);
}

/// Close enough that a millisecond of answers is seen.
const EVERY: Duration = Duration::from_millis(1);
/// Pings without answer that count as silence: a neighbour that answers does so at once.
const SILENT: usize = 100;

fn strictly(instance: Instance) -> String {
    format!("global_defs {{\n    vrrp_strict\n}}\n{}", instance.password(None))
}

/// On `host`, what the packet filter's tables are to the agent that keeps its run directory there.
fn settings(run_dir: &Path) -> FilterSettings {
    FilterSettings::new(&PacketFilter::default(), run_dir, Vec::new())
}

/// Whether a table of this name is there.
fn exists(host: &Host, name: &str) -> Result<bool> {
    let name = name.to_owned();
    host.namespace().run(move || Ok(Nft::open()?.owner(&name, "")? != Owner::Nobody))
}

/// Whether any table of an agent is there.
fn any(host: &Host) -> Result<bool> {
    let names = settings(&host.directory().join("run")).names().to_vec();
    names.iter().try_fold(false, |found, name| Ok(found || exists(host, name)?))
}

fn answers(probe: &Probe) -> Result<()> {
    let since = Instant::now();
    wait_for("an answer", LIMIT, || probe.answered_since(since))
}

/// So many pings from now on are not answered, while `control` is.
fn silent(probe: &Probe, control: &Probe) -> Result<()> {
    let since = Instant::now();
    let sent = || probe.report().between(since, Instant::now()).pings.len();
    wait_for("some pings", LIMIT, || sent() >= SILENT && control.answered_since(since))?;
    ensure!(!probe.answered_since(since), "a filtered address answered");
    Ok(())
}

fn own(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, host)
}

fn strict() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right, client) = (lab.host("left")?, lab.host("right")?, lab.host("client")?);
        let begin = Instant::now();
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(2), EVERY)?;
        let master = Running::start(left, strictly(Instance::new(150)))?;
        hold(left, VIP)?;
        let backup = Running::start(right, strictly(Instance::new(100)))?;
        backup.logged(&["-> Backup"])?;
        wire.announced("left", VIP, begin, 1)?; // it is there for ARP
        silent(&probe, &control)?;
        let socket = left.directory().join("run/agent.sock");
        let mut command = Ctl::find()?.command(&["status"]);
        command.arg("--socket").arg(socket);
        let output = left.run(command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text.contains("filtered on purpose (vrrp_strict without accept)"), "{text}");
        ensure!(output.status.code() == Some(0), "what was asked for is no degradation: {text}");
        master.stop()?;
        ensure!(!any(left)?, "the table is left behind");
        hold(right, VIP)?;
        silent(&probe, &control)?;
        backup.stop()?;
        ensure!(!any(right)?, "the table is left behind");
        let report = probe.stop();
        let answered = report.pings.len() - report.missed();
        ensure!(answered == 0, "{answered} of {} pings were answered", report.pings.len());
        Ok(())
    })
}

/// So many that a filter which followed the addresses would leave a gap at both ends.
fn many() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let rest = (0..2000u16).map(|n| format!("10.8.{}.{}/32", n / 200, n % 200 + 1));
        let excluded = rest.collect::<Vec<_>>().join("\n");
        let config = Instance::new(150).with("no_accept");
        let agent =
            Running::start(left, config.with(&format!("virtual_ipaddress_excluded {{\n{excluded}\n}}")))?;
        hold(left, Ipv4Addr::new(10, 8, 9, 200))?;
        silent(&probe, &control)?;
        agent.stop()?;
        ensure!(left.addresses()?.len() == 1 && !any(left)?, "left behind");
        let report = probe.stop();
        let answered = report.pings.len() - report.missed();
        ensure!(answered == 0, "{answered} of {} pings were answered", report.pings.len());
        Ok(())
    })
}

fn accept() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let agent = Running::start(left, strictly(Instance::new(150).with("accept")))?;
        hold(left, VIP)?;
        answers(&probe)?;
        ensure!(!any(left)?, "nobody needs a table");
        agent.reload(strictly(Instance::new(150)))?;
        agent.logged(&["accept true -> false"])?;
        wait_for("the filter", LIMIT, || any(left).unwrap_or(false))?;
        silent(&probe, &control)?;
        agent.reload(strictly(Instance::new(150).with("accept")))?;
        answers(&probe)?;
        wait_for("no filter", LIMIT, || !any(left).unwrap_or(true))?;
        agent.stop()?;
        free(left, VIP)?;
        let owner = Running::start(left, strictly(Instance::new(255).master()))?;
        hold(left, VIP)?;
        answers(&probe)?;
        owner.stop()
    })
}

fn flushed() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let agent = Running::start(left, Instance::new(150).with("no_accept"))?;
        hold(left, VIP)?;
        silent(&probe, &control)?;
        for time in 1..=2 {
            let mut command = Command::new("nft");
            command.args(["flush", "ruleset"]);
            let tool = left.run(command).ok();
            if tool.is_none_or(|output| !output.status.success()) {
                left.namespace().run(|| Ok(Nft::open()?.delete("hacluster")?))?;
            }
            agent.logged(&[
                "nftables table hacluster had been changed",
                &format!("time {time};"),
                "(pid ",
            ])?;
            silent(&probe, &control)?;
        }
        agent.stop()?;
        ensure!(!any(left)?, "the table is left behind");
        Ok(())
    })
}

fn crash() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let named = "global_defs {\n    nftables vips\n    nftables_counters\n}\n";
        let filtered = format!("{named}{}", Instance::new(150).with("no_accept"));
        let first = Running::start(left, &filtered)?;
        hold(left, VIP)?;
        first.kill()?;
        ensure!(exists(left, "vips")? && left.holds(VIP)?, "a crash leaves both");
        silent(&probe, &control)?;
        let second = Running::start(left, &filtered)?;
        second.logged(&["-> Master"])?;
        silent(&probe, &control)?;
        let report = probe.report();
        ensure!(report.missed() == report.pings.len(), "it answered during the restart");
        second.kill()?;
        // Neither the name nor the need is in its configuration.
        let third = Running::start(left, Instance::new(150))?;
        wait_for("no table", LIMIT, || !exists(left, "vips").unwrap_or(true))?;
        answers(&probe)?;
        third.stop()?;
        ensure!(!any(left)? && !exists(left, "vips")?, "left behind");
        ensure!(!left.holds(VIP)?, "left behind");
        Ok(())
    })
}

fn foreign() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let probe = Probe::start(client, VIP, EVERY)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let names = settings(&left.directory().join("run")).names().to_vec();
        let take = |name: &str| {
            let table =
                Table { name: name.to_owned(), owner: "another".to_owned(), priority: 7, counters: false };
            left.namespace().run(move || Ok(Nft::open()?.build(&table, false, &BTreeSet::new())?))
        };
        take(&names[0])?;
        let config = Instance::new(150).with("no_accept");
        let agent = Running::start(left, &config)?;
        hold(left, VIP)?;
        ensure!(exists(left, &names[1])?, "it takes the other name");
        silent(&probe, &control)?;
        agent.stop()?;
        ensure!(exists(left, &names[0])? && !exists(left, &names[1])?, "each its own");
        take(&names[1])?;
        let agent = Running::start(left, &config)?;
        hold(left, VIP)?;
        answers(&probe)?; // availability first
        agent.logged(&["are NOT dropped", "belong to another program", "write `accept`"])?;
        agent.stop()?;
        ensure!(exists(left, &names[0])? && exists(left, &names[1])?, "a table of another was deleted");
        Ok(())
    })
}

fn apart() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, client) = (lab.host("left")?, lab.host("client")?);
        let other = Ipv4Addr::new(10, 9, 0, 101);
        let first = Running::start(left, Instance::new(150).with("no_accept"))?;
        hold(left, VIP)?;
        let file = left.directory().join("other.conf");
        let config = Instance::new(150).vrid(52).addresses(["10.9.0.101/24"]).with("no_accept");
        std::fs::write(&file, config.to_string())?;
        let run_dir = left.directory().join("other-run");
        let mut command = Command::new(hacluster_lab::Agent::find()?.binary);
        command.arg("--config").arg(&file).arg("--run-dir").arg(&run_dir);
        let second = left.spawn("another agent", command)?;
        hold(left, other)?;
        let control = Probe::start(client, own(1), EVERY)?;
        let probe = Probe::start(client, other, EVERY)?;
        first.stop()?;
        silent(&probe, &control)?;
        let names = settings(&run_dir).names().to_vec();
        let (shared, own_name) = (exists(left, &names[0])?, exists(left, &names[1])?);
        ensure!(!shared && own_name, "the first's table is there: {shared}, the second's: {own_name}");
        ensure!(second.stop()?.code() == Some(0));
        ensure!(!exists(left, &names[1])?, "left behind");
        Ok(())
    })
}

/// A filter that held back adverts would make two masters.
fn source() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let config = Instance::new(150).with("no_accept").with("mcast_src_ip 10.9.0.100");
        let agent = Running::start(left, config)?;
        hold(left, VIP)?;
        let advert = wait_until("an advert from the virtual address", LIMIT, || {
            let adverts = wire.adverts("left", 51);
            Ok(adverts.into_iter().filter(|seen| seen.packet.source == VIP).nth(2))
        });
        advert.context("of a filtered master")?;
        agent.never_logged(&["could not leave"])?;
        agent.stop()
    })
}
