//! What a tracker found is the beginning of the story of what follows, on whatever node.

use crate::collector::{below, only};
use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, Running, Suite, VIP, hold, trio};
use hacluster_tests::rotel::{PORT, Rotel, Span};
use serde_json::Value;
use std::{fs, time::Duration};

/// Tries of what a busy machine may be too slow for.
const TRIES: usize = 5;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_verdict_that_makes_a_fault_is_the_root_of_the_story_over_two_nodes", by_fault);
    suite.trial("a_verdict_that_lowers_the_priority_is_the_root_of_the_story_over_two_nodes", by_weight);
}

/// `left` tracks the file `down`, which holds 0.
fn pair<'lab>(cluster: &Cluster<'lab>, weight: u8) -> Result<(Running<'lab>, Running<'lab>)> {
    let toml = format!("\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ninterval = 1\n");
    let down = cluster.host("left")?.directory().join("down");
    fs::write(&down, "0")?;
    let file = down.display();
    let slow = |priority| Instance::new(priority).interval(5);
    let uses = slow(100).master().with("track_file {\n        down\n    }");
    let config = format!("track_file down {{\n    file {file}\n    weight {weight}\n}}\n{uses}");
    let left = cluster.start_with("left", config, &toml)?;
    hold(left.host, VIP)?;
    let right = cluster.start_with("right", slow(98), &toml)?;
    cluster.ready()?;
    cluster.shows("right to hear left", |status| status.contains(r#""master_address":"10.9.0.1""#))?;
    Ok((left, right))
}

/// The last takeover of `right`: why, and its story.
fn takeover(cluster: &Cluster) -> Result<(String, String)> {
    let said = cluster.ctl(&["history", "-o", "json"])?.well()?;
    let told: Value = serde_json::from_str(&said.out)?;
    let of_right = |change: &&Value| change["node"] == "right" && change["to"] == "master";
    let last = told.as_array().into_iter().flatten().rfind(of_right).context("right never took over")?;
    let text = |key: &str| last[key].as_str().map(str::to_owned).context(format!("no {key}: {last:#}"));
    Ok((text("reason_kind")?, text("trace_id")?))
}

/// The story once both nodes have told all of it.
fn story(rotel: &Rotel, trace: &str) -> Result<Vec<Span>> {
    let ends = [
        ("track.verdict", "left"),
        ("vrrp.failover", "left"),
        ("net.release", "left"),
        ("peer.take_over", "left"),
        ("peer.take_over", "right"),
        ("vrrp.takeover", "right"),
        ("net.announce", "right"),
    ];
    let told = |spans: &[Span], (name, node): (&str, &str)| {
        spans.iter().any(|span| span.name == name && span.node == node)
    };
    rotel.story(trace, |spans| ends.iter().all(|end| told(spans, *end)))
}

/// The other node's part: asked by ours, it decides, claims, announces and says so.
fn goes_on(spans: &[Span]) -> Result<()> {
    let root = only(spans, "track.verdict", "left")?;
    ensure!(root.parent.is_empty(), "{root:#?}");
    ensure!(
        root.attributes.get("hacluster.tracker.name").is_some_and(|name| name == "file down"),
        "{root:#?}"
    );
    below(spans, ("peer.take_over", "right"), ("peer.take_over", "left"))?;
    below(spans, ("vrrp.takeover", "right"), ("peer.take_over", "right"))?;
    for part in ["vrrp.decide", "vrrp.advert"] {
        below(spans, (part, "right"), ("vrrp.takeover", "right"))?;
    }
    // A router that is handed over claims what it has once more when it rules.
    let takeover = only(spans, "vrrp.takeover", "right")?;
    for part in ["net.claim", "net.announce"] {
        let found = spans.iter().any(|span| span.name == part && span.parent == takeover.id);
        ensure!(found, "no {part} below the takeover: {spans:#?}");
    }
    below(spans, ("net.release", "left"), ("vrrp.failover", "left"))
}

fn child(spans: &[Span], (child, parent): (&str, &str)) -> Result<()> {
    let (one, other) = (only(spans, child, "left")?, only(spans, parent, "left")?);
    ensure!(one.parent == other.id && one.start >= other.start, "{child} is not below {parent}: {spans:#?}");
    Ok(())
}

fn by_fault() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let (left, _right) = pair(&cluster, 0)?;
        fs::write(left.host.directory().join("down"), "1")?;
        cluster.served_by("right")?;
        let (_, trace) = takeover(&cluster)?;
        let spans = story(&rotel, &trace)?;
        goes_on(&spans)?;
        child(&spans, ("vrrp.failover", "track.verdict"))?;
        child(&spans, ("peer.take_over", "vrrp.failover"))?;
        // The log has the same story, verdict first.
        let lines = left.lines(&[&format!("trace_id={trace}")]);
        let line = |part: &str| lines.iter().position(|line| line.text.contains(part));
        let (verdict, fault) = (line("file down"), line("Master -> Fault"));
        ensure!(verdict.is_some() && verdict < fault, "{lines:#?}");
        Ok(())
    })
}

fn by_weight() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let (left, _right) = pair(&cluster, 1)?;
        let down = left.host.directory().join("down");
        for _ in 0..TRIES {
            fs::write(&down, "-20")?;
            cluster.served_by("right")?;
            let (why, trace) = takeover(&cluster)?;
            if why == "handed_over" {
                let spans = story(&rotel, &trace)?;
                goes_on(&spans)?;
                child(&spans, ("agent.give_to_the_better", "track.verdict"))?;
                child(&spans, ("peer.take_over", "agent.give_to_the_better"))?;
                return child(&spans, ("vrrp.failover", "agent.give_to_the_better"));
            }
            fs::write(&down, "0")?;
            cluster.served_by("left")?;
            cluster.ready()?;
            std::thread::sleep(Duration::from_secs(6)); // what was moved rests for a while
        }
        bail!("plain VRRP was faster {TRIES} times");
    })
}
