//! A master that stops: its last story reaches the collector before the process ends, and a collector that
//! is of no use delays that end by little, the release of addresses not at all.

use crate::away::listen;
use crate::collector::{below, only, told};
use crate::rotel::{PORT, Rotel, Span};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_for, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Suite, VIP, free, hold, trio};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// The farewell to collectors takes 1.1 s at most; the rest is for slow machines.
const STOP_MAX: Duration = Duration::from_secs(5);

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_story_of_a_stopping_master_is_told_to_its_end", alone);
    suite.trial("the_story_of_a_stop_that_hands_over_spans_both_nodes", handed_over);
    suite.trial("a_script_that_outlasts_the_log_is_told_in_the_story_of_the_stop", scripts);
    suite.trial("a_collector_that_never_answers_holds_up_no_stop", black_hole);
}

fn settings() -> String {
    format!("\n[telemetry]\notlp = \"http://10.8.0.9:{PORT}\"\ninterval = 1\n")
}

/// The one story in which `node` leaves its mastery, complete.
fn last_story(rotel: &Rotel, node: &str, parts: &[&str]) -> Result<Vec<Span>> {
    wait_until("the story of the stop", LIMIT, || {
        let all = rotel.all();
        let is = |span: &&Span| span.name == "vrrp.failover" && span.node == node;
        let Some(root) = all.iter().find(is) else { return Ok(None) };
        let story: Vec<_> = all.iter().filter(|span| span.trace == root.trace).cloned().collect();
        Ok(parts.iter().all(|part| story.iter().any(|span| span.name == *part)).then_some(story))
    })
    .with_context(|| format!("the collector heard {:#?}", rotel.all()))
}

fn alone() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let left = cluster.start_with("left", Instance::new(100).master(), &settings())?;
        hold(left.host, VIP)?;
        left.stop()?;
        ensure!(!left.host.holds(VIP)?, "it left its address");
        let story = last_story(&rotel, "left", &["vrrp.advert", "net.release"])?;
        let change = only(&story, "vrrp.failover", "left")?;
        for (key, value) in [("vrrp.previous_state", "master"), ("vrrp.state", "initialize")] {
            ensure!(change.attributes.get(key).is_some_and(|told| told == value), "{key}: {change:#?}");
        }
        let advert = only(&story, "vrrp.advert", "left")?;
        ensure!(advert.attributes.get("vrrp.priority").is_some_and(|told| told == "0"), "{advert:#?}");
        below(&story, ("vrrp.advert", "left"), ("vrrp.failover", "left"))?;
        below(&story, ("net.release", "left"), ("vrrp.failover", "left"))
    })
}

/// The log thread ends before `notify_stop` does.
fn scripts() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let instance = Instance::new(100).master().with("notify_stop \"/bin/sleep 1\"");
        let config = format!("global_defs {{\n    script_user root\n}}\n{instance}");
        let left = cluster.start_with("left", config, &settings())?;
        hold(left.host, VIP)?;
        left.stop()?;
        let story = last_story(&rotel, "left", &["net.release", "notify.script"])?;
        let script = only(&story, "notify.script", "left")?;
        let hook = script.attributes.get("hacluster.notify.hook").map(String::as_str);
        ensure!(hook == Some("notify_stop"), "{script:#?}");
        below(&story, ("notify.script", "left"), ("vrrp.failover", "left"))?;
        wait_for("its log record", LIMIT, || rotel.text().contains("notify_stop /bin/sleep"))
    })
}

fn handed_over() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let (left, right) = told(&cluster, "")?;
        left.stop()?;
        hold(right.host, VIP)?;
        let parts = ["agent.hand_over", "peer.take_over", "vrrp.takeover", "net.announce", "net.release"];
        let story = last_story(&rotel, "left", &parts)?;
        below(&story, ("peer.take_over", "left"), ("agent.hand_over", "left"))?;
        below(&story, ("vrrp.takeover", "right"), ("peer.take_over", "right"))?;
        below(&story, ("net.release", "left"), ("vrrp.failover", "left"))
    })
}

fn black_hole() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _listener = listen(cluster.host("left")?)?;
        let toml = "\n[telemetry]\notlp = \"http://127.0.0.1:4317\"\ninterval = 1\n";
        let left = cluster.start_with("left", Instance::new(100).master(), toml)?;
        hold(left.host, VIP)?;
        let begun = Instant::now();
        left.process.signal(Signal::SIGTERM)?;
        free(left.host, VIP)?;
        let released = begun.elapsed();
        left.stop()?;
        let ended = begun.elapsed();
        ensure!(ended < STOP_MAX, "released after {released:?}, ended after {ended:?}");
        eprintln!("a collector that never answers: released after {released:?}, ended after {ended:?}");
        Ok(())
    })
}
