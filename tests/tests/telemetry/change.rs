//! `[telemetry]` changed while the agent runs: another collector, none, and settings that cannot be.

use crate::collector::told;
use crate::page::PAGE;
use crate::rotel::{PORT, Rotel, Span};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Running, Suite, VIP, hold, trio};
use hacluster_tests::page::samples;
use nix::sys::signal::Signal;
use std::fs;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_page_stays_where_it_is_when_the_rest_changes", page_stays);
    suite.trial("a_reload_switches_collectors_and_refuses_what_cannot_be", switched);
}

/// Has the agent read an agent.toml that ends with `more`.
fn reload(cluster: &Cluster<'_>, agent: &Running<'_>, more: &str) -> Result<()> {
    let file = agent.host.directory().join("agent.toml");
    let fresh = agent.host.directory().join("agent.toml.new");
    fs::write(&fresh, format!("{}{more}", cluster.fleet.agent_toml(agent.host.name())?))?;
    fs::rename(fresh, file)?;
    agent.process.signal(Signal::SIGHUP)
}

/// Moves the router and gives the name of the story.
fn moved(cluster: &Cluster<'_>, verb: &str, to: &str) -> Result<String> {
    let said = cluster.ctl(&[verb, "vi_1", "--yes"])?.well()?;
    cluster.served_by(to)?;
    let trace = said.out.split("Trace ").nth(1).and_then(|rest| rest.split_whitespace().next());
    trace.map(str::to_owned).with_context(|| format!("no trace in {said:?}"))
}

/// Whether the node `left` told of its change of state.
fn by_left(spans: &[Span]) -> bool {
    let change = |span: &Span| span.name == "vrrp.failover" || span.name == "vrrp.takeover";
    spans.iter().any(|span| span.node == "left" && change(span))
}

fn page_stays() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let left = cluster.start_with("left", Instance::new(100).master(), PAGE)?;
        hold(left.host, VIP)?;
        samples(left.host)?;
        for seconds in 1..6 {
            reload(&cluster, &left, &format!("{PAGE}interval = {seconds}\n"))?;
            wait_for("the reload", LIMIT, || left.lines(&["reload: ", "telemetry"]).len() == seconds)?;
            samples(left.host)?;
        }
        left.never_logged(&["does not open"])
    })
}

fn switched() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let first = Rotel::start(cluster.host("client")?)?;
        let second = Rotel::start(cluster.host("third")?)?;
        let (left, _right) = told(&cluster, "")?;
        let trace = moved(&cluster, "failover", "right")?;
        first.story(&trace, by_left)?;

        let other = format!("\n[telemetry]\notlp = \"http://10.8.0.3:{PORT}\"\ninterval = 1\n");
        reload(&cluster, &left, &other)?;
        left.logged(&["reload: ", "OTLP http://10.8.0.9:4317", "-> OTLP http://10.8.0.3:4317"])?;
        let trace = moved(&cluster, "failback", "left")?;
        second.story(&trace, by_left)?;
        ensure!(!first.all().iter().any(|span| span.trace == trace && span.node == "left"), "told both");

        reload(&cluster, &left, "\n[telemetry]\notlp = \"ftp://10.8.0.3\"\n")?;
        left.logged(&["reload refused", "the former configuration stays in force"])?;
        left.logged(&["otlp", "http://host:port or https://host:port"])?;
        let trace = moved(&cluster, "failover", "right")?;
        second.story(&trace, by_left)?;

        let unreadable = "\n[telemetry]\notlp = \"https://10.8.0.9:4317\"\nauthority = \"/no/such/file\"\n";
        reload(&cluster, &left, unreadable)?;
        left.logged(&["/no/such/file", "told as before"])?;
        let trace = moved(&cluster, "failback", "left")?;
        second.story(&trace, by_left)?;

        reload(&cluster, &left, "")?;
        left.logged(&["reload: ", "-> off"])?;
        let threads = || -> Result<usize> {
            let tasks = fs::read_dir(format!("/proc/{}/task", left.process.pid()))?;
            let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
            Ok(names.filter(|name| name.starts_with("hacluster-otel")).count())
        };
        wait_for("its threads to be gone", LIMIT, || threads().is_ok_and(|count| count == 0))?;
        let trace = moved(&cluster, "failover", "right")?;
        wait_until("what right tells", LIMIT, || {
            Ok(first
                .all()
                .iter()
                .any(|span| span.trace == trace && span.name == "net.announce")
                .then_some(()))
        })?;
        let silent = [&first, &second]
            .iter()
            .all(|rotel| !rotel.all().iter().any(|span| span.trace == trace && span.node == "left"));
        ensure!(silent, "told although it is off");
        Ok(())
    })
}
