//! The Prometheus page of an agent, and what dashboards and alert rules ask of it.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The dashboards.
const DASHBOARDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/dashboards");
/// The alert rules.
pub const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/hacluster.rules.yml");
/// What names of ours begin with.
const NAMESPACES: [&str; 4] = ["hacluster_", "vrrp_", "lvs_", "network_"];
/// Parts of names that are there only where the kernel has IPVS: it counts.
const OF_THE_KERNEL: [&str; 5] =
    ["_connections_total", "_packets_total", "_io_bytes_total", "_connections_kept", "_connection_state"];

/// What the page of the agent on `host` says, header and all.
pub fn get(host: &Host, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    host.namespace().run(move || {
        let mut stream = TcpStream::connect("127.0.0.1:9650").context("the page")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// The samples of the page by name and labels, once it is there.
pub fn samples(host: &Host) -> Result<(String, BTreeMap<String, f64>)> {
    let answer = wait_until("the page", LIMIT, || Ok(get(host, "/metrics").ok()))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut samples = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
        let value = value.parse().with_context(|| format!("no number: {line}"))?;
        ensure!(samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
    }
    Ok((body.to_owned(), samples))
}

/// The value of the one series called `name` that has all of `labels`.
pub fn value(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> Result<f64> {
    let is = |series: &str| {
        series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
    };
    let found: Vec<_> = samples.iter().filter(|(series, _)| is(series)).collect();
    ensure!(found.len() == 1, "{name} {labels:?}: {found:?}, of {samples:#?}");
    Ok(*found[0].1)
}

/// File name and query of every target that asks Prometheus.
pub fn queries() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(DASHBOARDS)? {
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
            found.extend(noted["target"]["expr"].as_str().map(|query| (name.clone(), query.to_owned())));
        }
    }
    ensure!(found.len() > 20, "only {} queries were found", found.len());
    Ok(found)
}

/// Names of metrics and labels in `text`, as they stand there.
pub fn names(text: &str) -> BTreeSet<String> {
    // A recorded rule's name has colons, and is on no page.
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "_:".contains(letter)));
    let ours = |word: &&str| NAMESPACES.iter().any(|space| word.starts_with(space));
    words.filter(ours).map(str::to_owned).collect()
}

/// Every metric and label that dashboards, in queries and legends, and rules name.
///
/// # Errors
/// A file that cannot be read, or is no dashboard.
pub fn wanted() -> Result<BTreeSet<String>> {
    let mut wanted = names(&fs::read_to_string(RULES)?);
    for entry in fs::read_dir(DASHBOARDS)? {
        wanted.append(&mut names(&fs::read_to_string(entry?.path())?));
    }
    Ok(wanted)
}

/// Whether the metric or label `name` is there only where a kernel balances.
pub fn is_of_the_kernel(name: &str) -> bool {
    name.contains("lvs_") && OF_THE_KERNEL.iter().any(|end| name.ends_with(end))
}

/// Waits until all of `wanted` is on the page of the agent on `host`.
///
/// # Errors
/// What is missing.
pub fn has_all(host: &Host, wanted: &BTreeSet<String>) -> Result<()> {
    let missing = || -> Result<BTreeSet<String>> {
        let there = names(&get(host, "/metrics").unwrap_or_default());
        Ok(wanted.iter().filter(|name| !there.contains(*name)).cloned().collect())
    };
    wait_until("every metric on the page", LIMIT, || Ok(missing()?.is_empty().then_some(())))
        .with_context(|| format!("missing: {:?}", missing()))
}
