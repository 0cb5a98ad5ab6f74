//! Collectors that are of no use. Not real ones: a listener that takes everything and never answers, and
//! no listener at all.

use crate::rotel::{PORT, Rotel};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Suite, VIP, hold, trio};
use hacluster_tests::page::{samples, value};
use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_collector_that_never_answers_changes_nothing", || useless(true));
    suite.trial("a_collector_that_is_not_there_changes_nothing", || useless(false));
    suite.trial("every_line_is_taken_or_counted_while_a_collector_is_away_and_after_it", counted);
}

/// Memory of the process in KiB.
fn memory(pid: i32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("no number")
}

/// Takes connections and what they send, into the kernel's buffers, and says nothing.
pub(crate) fn listen(host: &Host) -> Result<TcpListener> {
    host.namespace().run(|| Ok(TcpListener::bind("127.0.0.1:4317")?))
}

fn useless(listens: bool) -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _listener = if listens { Some(listen(cluster.host("left")?)?) } else { None };
        let toml = "\n[telemetry]\notlp = \"http://127.0.0.1:4317\"\ninterval = 1\nprometheus = \"127.0.0.1:9650\"\n";
        let left = cluster.start_with("left", Instance::new(100).master(), toml)?;
        hold(left.host, VIP)?;
        let right = cluster.start("right", Instance::new(98))?;
        cluster.ready()?;
        cluster.shows("right to hear left", |status| status.contains(r#""master_address":"10.9.0.1""#))?;
        let failures = || -> Result<f64> {
            let (_, samples) = samples(left.host)?;
            value(&samples, "hacluster_telemetry_failures_total", &["telemetry_signal=\"metrics\""])
        };
        wait_until("failures to be counted", LIMIT, || Ok((failures()? >= 1.0).then_some(())))?;
        let before = memory(left.process.pid().as_raw())?;
        for _ in 0..10 {
            cluster.ctl(&["failover", "vi_1", "--yes"])?.well()?;
            cluster.served_by("right")?;
            cluster.ctl(&["failback", "vi_1", "--yes"])?.well()?;
            cluster.served_by("left")?;
        }
        let grown = memory(left.process.pid().as_raw())?.saturating_sub(before);
        ensure!(grown < 16 * 1024, "it grew by {grown} KiB");
        let complaints = left.lines(&["the collector takes no"]).len();
        ensure!(complaints == 1, "{complaints} complaints in less than a minute");
        let begun = Instant::now();
        left.stop()?;
        ensure!(begun.elapsed() < Duration::from_secs(10), "it stopped after {:?}", begun.elapsed());
        drop(right);
        Ok(())
    })
}

/// `timeout` shortens what takes minutes otherwise: a batch is given up after six times as long.
fn counted() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let client = cluster.host("client")?;
        let silent = client.namespace().run(|| Ok(TcpListener::bind(("0.0.0.0", PORT))?))?;
        let toml = format!(
            "\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ntimeout = 1\ninterval = 1\nprometheus = \
             \"127.0.0.1:9650\"\n"
        );
        let file = client.directory().join("flips");
        fs::write(&file, "0")?;
        let tracked = Instance::new(100).master().with("track_file {\n        flips\n    }");
        let config = format!("track_file flips {{\n    file {}\n    weight 1\n}}\n{tracked}", file.display());
        let (begun, left) = (Instant::now(), cluster.start_with("left", config, &toml)?);
        hold(left.host, VIP)?;
        let count = |what: &str| -> Result<f64> {
            let (_, samples) = samples(left.host)?;
            value(&samples, &format!("hacluster_telemetry_{what}_total"), &["telemetry_signal=\"logs\""])
        };
        let flip_until = |what: &str, holds: &dyn Fn() -> Result<bool>| {
            wait_until(what, LIMIT, || {
                for value in ["5", "0"].repeat(10) {
                    fs::write(&file, value)?;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(holds()?.then_some(()))
            })
        };
        flip_until("a batch that is given up", &|| Ok(count("dropped")? > 0.0))?;
        let (before, lost) = (memory(left.process.pid().as_raw())?, count("dropped")?);
        flip_until("more that are", &|| Ok(count("dropped")? > lost + 50.0))?;
        let grown = memory(left.process.pid().as_raw())?.saturating_sub(before);
        ensure!(grown < 16 * 1024, "it grew by {grown} KiB");
        let complaints = left.lines(&["the collector takes no"]).len() as u64;
        let minutes = begun.elapsed().as_secs() / 60;
        ensure!((1..=minutes + 1).contains(&complaints), "{complaints} complaints in {minutes} min");
        drop(silent);
        let _rotel = Rotel::sink(client)?;
        flip_until("the collector to be told again", &|| Ok(count("exported")? > 0.0))?;
        // Lines that come from no event, or from before telemetry was in force, are told to nobody.
        let told = || -> Result<f64> { Ok(count("dropped")? + count("exported")?) };
        let all = |parts: &[&str]| left.lines(parts).len() as f64;
        let whole = wait_until("every line to be taken or counted", LIMIT, || {
            Ok((told()? >= all(&["file flips:"])).then_some(()))
        });
        whole.with_context(|| format!("{:?} of {}", told(), all(&["file flips:"])))?;
        ensure!(all(&["file flips:"]) > 100.0, "too little was said: {:?}", left.process.lines());
        ensure!(told()? <= all(&[]), "{} of {} lines", told()?, all(&[]));
        Ok(())
    })
}
