//! A failover told to a real collector and read back.

use crate::rotel::{PORT, Rotel, Span};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for};
use hacluster_tests::harness::{Cluster, Instance, Running, Suite, VIP, hold, trio};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_failover_is_one_story_over_two_nodes", one_story);
    suite.trial("a_takeover_from_a_silent_master_refers_to_the_last_story", silence);
}

/// Both agents of `cluster`, telling the collector on the client.
pub(crate) fn told<'lab>(cluster: &Cluster<'lab>, more: &str) -> Result<(Running<'lab>, Running<'lab>)> {
    told_by(cluster, &format!("\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ninterval = 1\n{more}"))
}

/// Both agents of `cluster` with `toml` at the end of their agent.toml.
pub(crate) fn told_by<'lab>(cluster: &Cluster<'lab>, toml: &str) -> Result<(Running<'lab>, Running<'lab>)> {
    let left = cluster.start_with("left", Instance::new(100).master(), toml)?;
    hold(left.host, VIP)?;
    let right = cluster.start_with("right", Instance::new(98), toml)?;
    cluster.ready()?;
    cluster.shows("right to hear left", |status| status.contains(r#""master_address":"10.9.0.1""#))?;
    Ok((left, right))
}

pub(crate) fn only<'a>(spans: &'a [Span], name: &str, node: &str) -> Result<&'a Span> {
    let mut found = spans.iter().filter(|span| span.name == name && span.node == node);
    let first = found.next().with_context(|| format!("no {name} of {node} in {spans:#?}"))?;
    ensure!(found.next().is_none(), "more than one {name} of {node} in {spans:#?}");
    Ok(first)
}

pub(crate) fn below(spans: &[Span], child: (&str, &str), parent: (&str, &str)) -> Result<()> {
    let (one, other) = (only(spans, child.0, child.1)?, only(spans, parent.0, parent.1)?);
    ensure!(one.parent == other.id, "{child:?} is not below {parent:?}: {spans:#?}");
    // Both hosts of the lab have the same clock.
    ensure!(one.start >= other.start && one.start <= one.end, "times of {child:?}: {spans:#?}");
    Ok(())
}

fn one_story() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let _pair = told(&cluster, "")?;
        let said = cluster.ctl(&["failover", "vi_1", "--yes", "--reason", "a trial"])?.well()?;
        cluster.served_by("right")?;
        let trace = said.out.split("Trace ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let trace = trace.with_context(|| format!("no trace in {said:?}"))?;
        let names = |spans: &[Span]| -> Vec<String> { spans.iter().map(|span| span.name.clone()).collect() };
        let whole = |spans: &[Span]| {
            let names = names(spans);
            ["operator.failover", "vrrp.failover", "vrrp.takeover", "net.release", "net.announce"]
                .iter()
                .all(|name| names.iter().any(|found| found == name))
        };
        let spans = rotel.story(trace, whole)?;
        let root = only(&spans, "operator.failover", "left")?;
        ensure!(root.parent.is_empty(), "{root:#?}");
        let calls: Vec<_> = spans.iter().filter(|span| span.name == "peer.take_over").collect();
        ensure!(calls.len() == 2, "{calls:#?}");
        below(&spans, ("peer.take_over", "left"), ("operator.failover", "left"))?;
        below(&spans, ("peer.take_over", "right"), ("peer.take_over", "left"))?;
        below(&spans, ("vrrp.takeover", "right"), ("peer.take_over", "right"))?;
        below(&spans, ("vrrp.failover", "left"), ("operator.failover", "left"))?;
        below(&spans, ("net.release", "left"), ("vrrp.failover", "left"))?;
        for part in ["vrrp.decide", "vrrp.advert"] {
            below(&spans, (part, "right"), ("vrrp.takeover", "right"))?;
        }
        ordered(&spans)?;
        let takeover = only(&spans, "vrrp.takeover", "right")?;
        for (key, value) in [
            ("vrrp.router", "VI_1"),
            ("vrrp.previous_state", "backup"),
            ("vrrp.state", "master"),
            ("vrrp.reason.kind", "handed_over"),
            ("vrrp.reason.text", "master 10.9.0.1 handed it over"),
        ] {
            let told = takeover.attributes.get(key).map(String::as_str);
            ensure!(told == Some(value), "{key} is {told:?}: {takeover:#?}");
        }
        let call = only(&spans, "peer.take_over", "left")?;
        for key in ["hacluster.peer.clock.offset", "hacluster.peer.name", "rpc.method", "server.address"] {
            ensure!(call.attributes.contains_key(key), "no {key}: {call:#?}");
        }
        logs_and_metrics(&rotel, trace)?;
        // History names the same story, on both nodes.
        let history = cluster.ctl(&["history", "-o", "json"])?.well()?;
        ensure!(history.out.matches(trace).count() == 2, "{}", history.out);
        Ok(())
    })
}

/// The successor announces before it advertises, and the other releases after that.
fn ordered(spans: &[Span]) -> Result<()> {
    let announced = spans.iter().filter(|span| span.name == "net.announce" && span.node == "right");
    let first = announced.min_by_key(|span| span.start).context("no announcement")?;
    let (advert, release) = (only(spans, "vrrp.advert", "right")?, only(spans, "net.release", "left")?);
    ensure!(first.start <= advert.start, "advertised before it announced: {spans:#?}");
    ensure!(advert.start <= release.end, "released before the successor spoke: {spans:#?}");
    Ok(())
}

fn logs_and_metrics(rotel: &Rotel, trace: &str) -> Result<()> {
    wait_for("log lines and metrics", LIMIT, || {
        let text = rotel.text();
        let log = text.contains("handed it over") && text.matches(trace).count() > 10;
        let names = ["hacluster.vrrp.state", "hacluster.vrrp.adverts.sent", "hacluster.vrrp.timer.lateness"];
        // A record ends where the next resource begins.
        let mut records = text.split("LogRecord").skip(1).filter_map(|rest| rest.split("Resource").next());
        let changed =
            ["Backup -> Master", trace, "vrrp.previous_state", "vrrp.reason.kind", "vrrp.reason.text"];
        let whole = records.any(|record| changed.iter().all(|part| record.contains(part)));
        log && whole && names.iter().all(|name| text.contains(name))
    })
}

fn silence() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let (left, right) = told(&cluster, "")?;
        left.kill()?;
        hold(right.host, VIP)?;
        let history = || -> Result<String> {
            let socket = right.host.directory().join("run/agent.sock");
            let asked = ["--socket", &socket.to_string_lossy(), "history", "-o", "json"];
            let said = cluster.fleet.program().run(right.host, &asked)?;
            Ok(String::from_utf8_lossy(&said.stdout).into_owned())
        };
        let told: serde_json::Value = serde_json::from_str(&history()?)?;
        let last = told.as_array().and_then(|all| all.last()).context("no history")?;
        ensure!(last["to"] == "master" && last["reason_kind"] == "silence", "{told:#}");
        let unserved = last["unserved_ms"].as_f64().context("nothing of how long nobody served")?;
        ensure!((1_000.0..6_000.0).contains(&unserved), "{unserved} ms");
        let trace = last["trace_id"].as_str().context("no trace")?;
        let spans = rotel.story(trace, |spans| spans.iter().any(|span| span.name == "vrrp.takeover"))?;
        let takeover = only(&spans, "vrrp.takeover", "right")?;
        ensure!(takeover.parent.is_empty(), "{takeover:#?}");
        below(&spans, ("vrrp.silence", "right"), ("vrrp.takeover", "right"))?;
        let silence = only(&spans, "vrrp.silence", "right")?;
        let delay = silence.attributes.get("vrrp.advert.receive_delay").context("no receive delay")?;
        ensure!((0.0..10.0).contains(&delay.parse::<f64>()?), "{silence:#?}");
        let before = rotel.all().into_iter().find(|span| span.name == "vrrp.takeover" && span.node == "left");
        let before = before.context("nothing of the first master")?;
        ensure!(takeover.links.contains(&before.trace), "links of {takeover:#?}, not to {before:#?}");
        right.logged(&["Backup -> Master", "trace_id="])?;
        ensure!(right.lines(&["Backup -> Master", &format!("trace_id={trace}")]).len() == 1, "no trace id");
        // A restart forgets nothing.
        right.stop()?;
        let again = cluster.start("right", Instance::new(98))?;
        hold(again.host, VIP)?;
        ensure!(history()?.contains(trace), "the history is lost: {}", history()?);
        Ok(())
    })
}
