//! What the API costs, and how soon it answers.

use super::Bench;
use super::config::{self, interfaces};
use super::recorder::Recorder;
use super::report::{Aim, Report};
use super::scale::{all_rule_of, lateness};
use super::stand_ins::StandIns;
use super::stats::{median, ms_between, now_ns, percentile};
use super::usage::pss_mib;
use crate::harness::{Instance, VIP};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Fleet, Host, Lab, Topology, fleet::OPERATOR, wait_until};
use hacluster_proto::{
    tls::{ClientTls, Files, connect},
    v1::{GetSnapshotRequest, read_client::ReadClient},
};
use std::{net::Ipv4Addr, thread, time::Duration};

const LIMIT: Duration = Duration::from_secs(20);
/// Agents asked by `status`.
const NODES: usize = 3;
/// Stand-ins asked by `status`, and those of them that never answer.
const CROWD: usize = 200;
const DEAD: usize = 20;
/// Virtual routers of the agent that is read from.
const ROUTERS: usize = 255;
/// Between two reads: a little below what an agent allows one connection, 50 a second.
const READ_EVERY: Duration = Duration::from_millis(25);
/// The second burst of announcements is over by then.
const AFTER_ANNOUNCEMENTS: Duration = Duration::from_millis(2_500);

pub(super) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    few(bench, report)?;
    crowd(bench, report)?;
    reads(bench, report)
}

/// The whole process, from its start to its end, in ms.
fn asked(fleet: &Fleet, host: &Host, arguments: &[&str], times: usize, code: i32) -> Result<Vec<f64>> {
    let one = |_| {
        let begin = now_ns();
        let output = fleet.ctl(host, arguments)?;
        let took = ms_between(begin, now_ns());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code() == Some(code), "{}: {said}", output.status);
        Ok(took)
    };
    (0..times).map(one).collect()
}

fn few(bench: &Bench, report: &mut Report) -> Result<()> {
    let names: Vec<String> = (1..=NODES).map(|number| format!("node{number}")).collect();
    let address = |number: usize| Ipv4Addr::new(10, 9, 0, number as u8);
    let mut topology = Topology::new("few").network("lan").node("client", &[("eth0", "lan", "10.9.0.9/24")]);
    for (index, name) in names.iter().enumerate() {
        topology = topology.node(name, &[("eth0", "lan", &*format!("{}/24", address(index + 1)))]);
    }
    let lab = Lab::new(topology)?;
    let members: Vec<_> =
        names.iter().enumerate().map(|(index, name)| (&**name, address(index + 1))).collect();
    let fleet = Fleet::found(&lab, &members)?;
    let mut agents = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let config = Instance::new(200 - index as u8);
        agents.push(fleet.start(lab.host(name)?, &config.to_string())?);
        if index == 0 {
            wait_until("a master", LIMIT, || Ok(lab.host(name)?.holds(VIP)?.then_some(())))?;
        }
    }
    let client = lab.host("client")?;
    wait_until("a status without complaint", LIMIT, || {
        thread::sleep(Duration::from_millis(50));
        Ok(fleet.ctl(client, &["status"])?.status.success().then_some(()))
    })?;
    let took = asked(&fleet, client, &["status"], bench.repeat(30), 0)?;
    let name = |what: &str| format!("`status` of {NODES} agents, whole process, {what}");
    report.row(name("p50"), "ms", [median(&took), None], Aim::AtMost(30.0));
    report.row(name("max"), "ms", [percentile(&took, 100.0), None], Aim::None);
    let memory = agents.iter().map(pss_mib).fold(0.0, f64::max);
    report.row("memory (PSS), API and TLS on, 2 peers", "MiB", [Some(memory), None], Aim::AtMost(20.0));
    Ok(())
}

fn crowd(bench: &Bench, report: &mut Report) -> Result<()> {
    let topology = Topology::new("crowd").network("lan").node("client", &[("eth0", "lan", "10.9.0.9/24")]);
    let lab = Lab::new(topology)?;
    let client = lab.host("client")?;
    let stand_ins = StandIns::start(&lab, client, CROWD, DEAD)?;
    let arguments = ["--timeout", "500ms", "status"];
    let took = asked(&stand_ins.fleet, client, &arguments, bench.repeat(9), 2)?;
    let name = |what: &str| {
        format!("`status` of {CROWD} stand-ins, {DEAD} dead, deadline 500 ms, whole process, {what}")
    };
    report.row(name("p50"), "ms", [median(&took), None], Aim::AtMost(1_000.0));
    report.row(name("max"), "ms", [percentile(&took, 100.0), None], Aim::AtMost(1_000.0));
    Ok(())
}

/// Reading from an agent with many routers, and what that does to its adverts.
fn reads(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut topology = Topology::new("reads").network("control");
    let count = interfaces(ROUTERS);
    topology = (0..count).fold(topology, |topology, number| topology.network(&format!("lan{number}")));
    for (host, last) in [("node", 1), ("client", 9)] {
        let plugs: Vec<_> = (0..count)
            .map(|number| {
                (format!("eth{number}"), format!("lan{number}"), format!("10.{number}.0.{last}/24"))
            })
            .chain([("control".to_owned(), "control".to_owned(), format!("10.250.0.{last}/24"))])
            .collect();
        let plugs: Vec<_> = plugs.iter().map(|(name, network, at)| (&**name, &**network, &**at)).collect();
        topology = topology.node(host, &plugs);
    }
    let lab = Lab::new(topology)?;
    let client = lab.host("client")?;
    let recorder = Recorder::start(client)?;
    let fleet = Fleet::found(&lab, &[("node", Ipv4Addr::new(10, 250, 0, 1))])?;
    let _agent = fleet.start(lab.host("node")?, &config::text(&config::many(ROUTERS, 254)))?;
    all_rule_of(&recorder, ROUTERS)?;
    thread::sleep(AFTER_ANNOUNCEMENTS);
    let window = Duration::from_secs(if bench.quick { 4 } else { 10 });
    let punctual = |begin| lateness(&recorder.adverts(super::stand::is_node, begin)).context("no adverts");
    let begin = now_ns();
    thread::sleep(window);
    let idle = punctual(begin)?;
    let begin = now_ns();
    let took = read_for(&fleet, client, window)?;
    let busy = punctual(begin)?;
    let name = |what: &str| format!("{ROUTERS} routers: {what}");
    report.row(name("unary read (snapshot), p50"), "ms", [median(&took), None], Aim::None);
    report.row(name("unary read (snapshot), p99"), "ms", [percentile(&took, 99.0), None], Aim::AtMost(2.0));
    for (what, late) in [("nobody reads", idle), ("read all the time", busy)] {
        report.row(
            name(&format!("{what}, advert off schedule, p50")),
            "ms",
            [Some(late.p50), None],
            Aim::None,
        );
        report.row(
            name(&format!("{what}, advert off schedule, p99")),
            "ms",
            [Some(late.p99), None],
            Aim::None,
        );
        report.row(
            name(&format!("{what}, advert off schedule, max")),
            "ms",
            [Some(late.max), None],
            Aim::None,
        );
    }
    Ok(())
}

/// One client that asks again and again for `window`; how long each answer took, in ms.
fn read_for(fleet: &Fleet, client: &Host, window: Duration) -> Result<Vec<f64>> {
    let [certificate, key] = fleet.identity(OPERATOR);
    let files = Files { certificate, key, authority: fleet.authority(), revoked: None };
    let tls = ClientTls::load(&files)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    client.namespace().run(move || {
        runtime.block_on(async {
            let channel = connect("10.250.0.1:9443", "node", &tls, LIMIT).await?;
            let mut reader = ReadClient::new(channel).max_decoding_message_size(16 << 20);
            let begin = std::time::Instant::now();
            let mut took = Vec::new();
            while begin.elapsed() < window {
                let asked = now_ns();
                reader.get_snapshot(GetSnapshotRequest {}).await?;
                took.push(ms_between(asked, now_ns()));
                tokio::time::sleep(READ_EVERY).await;
            }
            Ok(took)
        })
    })
}
