//! Dashboards and alert rules: every metric they name is on a real page, every query is one.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Instance, Skip, Suite, VIP, hold, trio};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("every_metric_of_dashboards_and_alerts_is_on_a_real_page", metrics);
    suite.trial("promtool_takes_the_rules_and_every_query", promtool);
}

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/hacluster.rules.yml");
const RULE_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/rules.test.yml");

/// File name and query of every target that asks Prometheus.
fn queries() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(DEPLOY).join("grafana/dashboards"))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?).context(name.clone())?;
        for panel in board["panels"].as_array().context("no panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let asks = target["datasource"]["type"] == "prometheus";
                found.extend(
                    target["expr"].as_str().filter(|_| asks).map(|query| (name.clone(), query.to_owned())),
                );
            }
        }
        for noted in board["annotations"]["list"].as_array().into_iter().flatten() {
            found.extend(noted["expr"].as_str().map(|query| (name.clone(), query.to_owned())));
        }
    }
    ensure!(found.len() > 20, "only {} queries were found", found.len());
    Ok(found)
}

/// Names of metrics in `text`, as they stand there.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let labels = ["hacluster_peer", "hacluster_hold", "hacluster_tracker_name", "hacluster_notify_hook"];
    words.filter(|word| word.starts_with("hacluster_") && !labels.contains(word)).map(str::to_owned).collect()
}

fn scrape() -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 9650)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn metrics() -> Result<()> {
    let mut wanted = names(&fs::read_to_string(RULES)?);
    for (_, query) in queries()? {
        wanted.append(&mut names(&query));
    }
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let left = cluster.host("left")?;
        // Something to count of everything: a tracker, a program, a peer that answers.
        let more = "notify_master /bin/true\n    track_file {\n        well\n    }";
        let router = Instance::new(150).master().with(more);
        let file = left.directory().join("well");
        fs::write(&file, "0")?;
        let config = format!("track_file well {{\n    file {}\n    weight 1\n}}\n{router}", file.display());
        let _right = cluster.start("right", Instance::new(98))?;
        let _left = cluster.start_with("left", config, "\n[telemetry]\nprometheus = \"127.0.0.1:9650\"\n")?;
        hold(left, VIP)?;
        let missing = || -> Result<BTreeSet<String>> {
            let page: String = left.namespace().run(|| Ok(scrape().unwrap_or_default()))?;
            let there = names(&page);
            Ok(wanted.iter().filter(|name| !there.contains(*name)).cloned().collect())
        };
        wait_until("every metric on the page", LIMIT, || Ok(missing()?.is_empty().then_some(())))
            .with_context(|| format!("missing: {:?}", missing()))
    })
}

fn run_promtool(arguments: &[&str]) -> Result<()> {
    let said = Command::new("promtool").args(arguments).output();
    let said = said.map_err(|_| Skip("needs promtool: apt-get install prometheus".to_owned()))?;
    let text = [said.stdout, said.stderr].concat();
    ensure!(said.status.success(), "promtool {}: {}", arguments.join(" "), String::from_utf8_lossy(&text));
    Ok(())
}

fn promtool() -> Result<()> {
    run_promtool(&["check", "rules", RULES])?;
    let directory = tempfile::tempdir()?;
    let copy = |from: &str, name: &str| -> Result<PathBuf> {
        let to = directory.path().join(name);
        fs::copy(from, &to).context(from.to_owned())?;
        Ok(to)
    };
    copy(RULES, "hacluster.rules.yml")?;
    let tests = copy(RULE_TESTS, "rules.test.yml")?;
    run_promtool(&["test", "rules", &tests.display().to_string()])?;
    // A dashboard's query is checked as if it were a recording rule, Grafana's variables filled in.
    let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    for (number, (name, query)) in queries()?.into_iter().enumerate() {
        let variables =
            [("$__rate_interval", "1m"), ("$__interval", "1m"), ("$__range", "1h"), ("$router", ".*")];
        let query = variables.iter().fold(query, |query, (variable, value)| query.replace(variable, value));
        let stem = name.trim_end_matches(".json");
        writeln!(
            rules,
            "      - record: q{number}_{stem}\n        expr: {}",
            serde_json::to_string(&query)?
        )?;
    }
    let file = directory.path().join("dashboards.yml");
    fs::write(&file, rules)?;
    run_promtool(&["check", "rules", &file.display().to_string()])
}
