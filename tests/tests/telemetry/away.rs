//! Collectors that are of no use. Not real ones: a listener that takes everything and never answers, and
//! no listener at all.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Suite, VIP, hold, trio};
use hacluster_tests::page::{samples, value};
use std::{fs, net::TcpListener, time::Duration};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_collector_that_never_answers_changes_nothing", || useless(true));
    suite.trial("a_collector_that_is_not_there_changes_nothing", || useless(false));
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
            value(&samples, "hacluster_telemetry_failures_total", &["signal=\"metrics\""])
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
        let begun = std::time::Instant::now();
        left.stop()?;
        ensure!(begun.elapsed() < Duration::from_secs(10), "it stopped after {:?}", begun.elapsed());
        drop(right);
        Ok(())
    })
}
