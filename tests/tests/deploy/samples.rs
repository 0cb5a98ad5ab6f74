//! Samples for collector, Prometheus and Grafana: what a part of one refers to is defined, and what is defined
//! is used.

use crate::{DEPLOY, read};
use anyhow::{Context, Result, ensure};
use hacluster_tests::harness::{Skip, Suite};
use hacluster_tests::page::RULES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_collector_uses_all_that_it_defines", collector);
    suite.trial("panels_ask_data_sources_that_are_provisioned", panels);
    suite.trial("prometheus_takes_its_configurations", prometheus);
    suite.trial("each_alert_has_a_case_for_and_one_against_it", cases);
}

const RULE_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/rules.test.yml");

/// Keys right below the section `head` of `yaml`.
fn below<'a>(yaml: &'a str, head: &str) -> BTreeSet<&'a str> {
    let lines = yaml.lines().skip_while(|line| line.strip_suffix(':') != Some(head)).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let keys = lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#'])));
    keys.filter_map(|key| key.split(':').next()).collect()
}

fn collector() -> Result<()> {
    let text = read("otel/collector.yaml")?;
    for part in ["receivers", "processors", "exporters"] {
        let lists = text.lines().filter_map(|line| {
            let list = line.strip_prefix("      ")?.strip_prefix(part)?.strip_prefix(": [")?;
            list.strip_suffix(']')
        });
        let lists: Vec<_> = lists.collect();
        ensure!(lists.len() == 3, "{part} of traces, logs and metrics: {lists:?}");
        let used: BTreeSet<_> = lists.iter().flat_map(|list| list.split(", ")).collect();
        let defined = below(&text, part);
        ensure!(used == defined, "{part}: {defined:?} are defined, {used:?} are used");
    }
    Ok(())
}

/// What is called `datasource` anywhere in `value`, by kind and uid.
fn asked(value: &Value, into: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(all) => {
            for (key, inner) in all {
                if key == "datasource" {
                    let word = |name: &str| inner[name].as_str().unwrap_or_default().to_owned();
                    into.insert((word("type"), word("uid")));
                }
                asked(inner, into);
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| asked(inner, into)),
        _ => {}
    }
}

fn panels() -> Result<()> {
    let sources = read("grafana/provisioning/datasources/hacluster.yaml")?;
    let of = |key: &str| {
        let prefix = format!("    {key}: ");
        sources.lines().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect::<Vec<_>>()
    };
    let uids = of("uid");
    let provisioned: BTreeSet<_> = of("type").into_iter().zip(uids.iter().cloned()).collect();
    ensure!(provisioned.len() == 3, "{provisioned:?}");
    let others = sources.lines().filter_map(|line| line.trim().strip_prefix("datasourceUid: "));
    for uid in others {
        ensure!(uids.iter().any(|known| known == uid), "a data source leads to {uid}, which is not there");
    }
    let (mut boards, mut used) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(Path::new(DEPLOY).join("grafana/dashboards"))? {
        let path = entry?.path();
        let name = path.display().to_string();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?).context(name.clone())?;
        let uid = board["uid"].as_str().context("a dashboard without uid")?.to_owned();
        ensure!(boards.insert(uid), "{name}: its uid is another's, too");
        let panels = board["panels"].as_array().context("no panels")?;
        let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        ensure!(ids.len() == panels.len(), "{name}: {} panels, {} ids", panels.len(), ids.len());
        let mut asks = BTreeSet::new();
        asked(&board, &mut asks);
        ensure!(asks.is_subset(&provisioned), "{name} asks {asks:?}, there are {provisioned:?}");
        used.append(&mut asks);
    }
    ensure!(used == provisioned, "{used:?} are asked, {provisioned:?} are provisioned");
    Ok(())
}

/// Prometheus' own word, with the rules where each configuration looks for them.
fn prometheus() -> Result<()> {
    let compose = read("grafana/compose.yaml")?;
    let directory = tempfile::tempdir()?;
    fs::copy(RULES, directory.path().join("hacluster.rules.yml"))?;
    for file in ["prometheus/prometheus.yml", "grafana/prometheus.yml"] {
        let text = read(file)?;
        ensure!(text.contains("\n  evaluation_interval: 15s\n"), "{file}: alerts for 20 s want more looks");
        let to: PathBuf = directory.path().join("prometheus.yml");
        fs::write(&to, &text)?;
        let said = Command::new("promtool").args(["check", "config"]).arg(&to).output();
        let said = said.map_err(|_| Skip("needs promtool: apt-get install prometheus".to_owned()))?;
        let words = [said.stdout, said.stderr].concat();
        ensure!(said.status.success(), "{file}: {}", String::from_utf8_lossy(&words));
    }
    // In the compose file agents tell by themselves: nobody is asked who may not be there.
    ensure!(!read("grafana/prometheus.yml")?.contains("scrape_configs:"), "whom does the compose file ask?");
    let mounted = ["./prometheus.yml:/etc/prometheus/", "../prometheus/hacluster.rules.yml:/etc/prometheus/"];
    ensure!(mounted.iter().all(|mount| compose.contains(mount)), "{compose}");
    Ok(())
}

fn cases() -> Result<()> {
    let tests = fs::read_to_string(RULE_TESTS)?;
    let cases: BTreeSet<_> = tests
        .split("        alertname: ")
        .skip(1)
        .filter_map(|rest| {
            let mut lines = rest.lines();
            Some((lines.next()?, lines.next()? == "        exp_alerts: []"))
        })
        .collect();
    let rules = fs::read_to_string(RULES)?;
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.strip_prefix("      - alert: ")).collect();
    ensure!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        ensure!(cases.contains(&(alert, false)), "{alert} is nowhere tried to speak");
        ensure!(cases.contains(&(alert, true)), "{alert} is nowhere tried to be silent");
    }
    Ok(())
}
