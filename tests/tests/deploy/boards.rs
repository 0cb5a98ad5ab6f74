//! Dashboards, as Grafana's own types and grammars judge them, and what a reader of them would stumble over.

use crate::{DEPLOY, installed, read};
use anyhow::{Context, Result, ensure};
use hacluster_tests::harness::{Skip, Suite};
use hacluster_tests::page::{names, queries};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("dashboards_are_of_grafanas_types", types);
    suite.trial("tempo_and_loki_are_asked_in_their_languages", languages);
    suite.trial("panels_lie_beside_each_other", places);
    suite.trial("links_lead_to_a_dashboard_and_a_variable_of_it", links);
    suite.trial("queries_keep_clusters_apart_and_miss_no_change", questions);
}

const CHECKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/grafana");

/// Name and contents of each.
fn boards() -> Result<Vec<(String, Value)>> {
    let entries = fs::read_dir(Path::new(DEPLOY).join("grafana/dashboards"))?;
    let board = |path: PathBuf| {
        let name = path.file_stem().context("no name")?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        Ok((name.clone(), serde_json::from_str(&text).context(name)?))
    };
    entries.map(|entry| board(entry?.path())).collect()
}

fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    board["panels"].as_array().into_iter().flatten()
}

/// A directory that has Grafana's packages and our checks.
fn workshop() -> Result<tempfile::TempDir> {
    let mend = "npm install --prefix TARGET_DIR/grafana, with the packages of .ci/run";
    let packages = installed("grafana", mend)?;
    if Command::new("node").arg("--version").output().is_err() {
        return Err(Skip("needs node".to_owned()).into());
    }
    let directory = tempfile::tempdir()?;
    symlink(packages.join("node_modules"), directory.path().join("node_modules"))?;
    for name in ["board.ts", "queries.mjs"] {
        fs::copy(Path::new(CHECKS).join(name), directory.path().join(name))?;
    }
    Ok(directory)
}

/// Whether the compiler minds each of `boards`, and its words.
fn judge(at: &Path, boards: &[Value]) -> Result<(Vec<bool>, String)> {
    // One line each: the compiler names the line.
    let mut text = "import type { Board } from './board';\n".to_owned();
    for (number, board) in boards.iter().enumerate() {
        writeln!(text, "export const board{number}: Board = {board};")?;
    }
    fs::write(at.join("boards.ts"), text)?;
    let options = ["--noEmit", "--strict", "--skipLibCheck", "--pretty", "false", "--target", "es2022"];
    let mut compiler = Command::new("node");
    compiler.current_dir(at).arg("node_modules/typescript/bin/tsc").args(options);
    let said =
        compiler.args(["--module", "esnext", "--moduleResolution", "bundler", "boards.ts"]).output()?;
    let text = String::from_utf8([said.stdout, said.stderr].concat())?;
    let minds = |number: usize| text.contains(&format!("boards.ts({},", number + 2));
    let minded: Vec<_> = (0..boards.len()).map(minds).collect();
    ensure!(said.status.success() != minded.contains(&true), "{}: {text}", said.status);
    Ok((minded, text))
}

fn types() -> Result<()> {
    let workshop = workshop()?;
    let package = fs::read_to_string(workshop.path().join("node_modules/@grafana/schema/package.json"))?;
    let package: Value = serde_json::from_str(&package)?;
    let version = package["version"].as_str().context("no version")?;
    let started = format!("image: docker.io/grafana/grafana:{version}\n");
    ensure!(read("grafana/compose.yaml")?.contains(&started), "types are of {version}, another is started");
    let boards = boards()?;
    let control = boards.iter().find(|(name, _)| name == "control").context("no control")?.1.clone();
    let mut boards: Vec<_> = boards.into_iter().map(|(_, board)| board).collect();
    let count = boards.len();
    // Each mistake is seen: an option of no such panel, one of the wrong kind, a panel that Grafana dropped, ...
    let mistakes = [
        ("/panels/0/options", json!({"mergeValue": true})),
        ("/panels/1/fieldConfig/defaults/unit", json!(1)),
        ("/panels/1/fieldConfig/defaults", json!({"custom": {"drawStyle": "bar"}})),
        ("/panels/0/type", json!("graph")),
        ("/panels/0/targets/0", json!({"refId": "A", "expr": "up"})),
        ("/schemaVersion", json!(30)),
    ];
    for (at, mistake) in mistakes {
        let mut board = control.clone();
        *board.pointer_mut(at).with_context(|| at.to_owned())? = mistake;
        boards.push(board);
    }
    let (minded, said) = judge(workshop.path(), &boards)?;
    ensure!(!minded[..count].contains(&true), "{said}");
    ensure!(!minded[count..].contains(&false), "of the mistakes are seen {:?}: {said}", &minded[count..]);
    Ok(())
}

/// What cannot be parsed.
fn parse(at: &Path, queries: &[(&str, &str)]) -> Result<String> {
    let mut parser = Command::new("node");
    parser.current_dir(at).arg("queries.mjs").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut parser = parser.stderr(Stdio::inherit()).spawn()?;
    let mut lines = parser.stdin.take().context("no input")?;
    for query in queries {
        writeln!(lines, "{}", json!(query))?;
    }
    drop(lines);
    let said = parser.wait_with_output()?;
    ensure!(said.status.success(), "{}", said.status);
    Ok(String::from_utf8(said.stdout)?)
}

fn languages() -> Result<()> {
    let workshop = workshop()?;
    let boards = boards()?;
    let targets = boards.iter().flat_map(|(_, board)| panels(board));
    let targets = targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked = targets.filter_map(|target| {
        let store = target["datasource"]["type"].as_str()?;
        let query = target["query"].as_str().or(target["expr"].as_str())?;
        // An id is looked up, not searched for.
        (store != "prometheus" && query != "$trace").then_some((store, query))
    });
    let asked: Vec<_> = asked.collect();
    ensure!(asked.len() >= 4, "{asked:?}");
    let said = parse(workshop.path(), &asked)?;
    ensure!(said.is_empty(), "{said}");
    // Of what comes by OTLP, Loki finds these by its index alone; attributes are filtered after that.
    let indexed = ["service_name=", "service_namespace=", "service_instance_id="];
    for (_, query) in asked.iter().filter(|(store, _)| *store == "loki") {
        let selector = query.trim_start_matches('{').split('}').next().unwrap_or_default();
        let known = selector.split(',').all(|one| indexed.iter().any(|label| one.trim().starts_with(label)));
        ensure!(known, "Loki has no such labels: {query}");
        ensure!(selector.contains("service_namespace=~\"$cluster\""), "all clusters: {query}");
    }
    for wrong in [("loki", "{a=\"b\"} | vrrp.router=\"c\""), ("tempo", "{ resource.service.name == \"a\" }")]
    {
        ensure!(!parse(workshop.path(), &[wrong])?.is_empty(), "nobody minds {wrong:?}");
    }
    Ok(())
}

/// Grafana moves panels that overlap, and cuts those that are wider than its 24 columns.
fn places() -> Result<()> {
    for (name, board) in boards()? {
        let of = |panel: &Value| {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64());
            Some((x?..x? + w?, y?..y? + h?))
        };
        let places: Option<Vec<_>> = panels(&board).map(of).collect();
        let places = places.with_context(|| format!("{name}: a panel without place"))?;
        for (number, (across, down)) in places.iter().enumerate() {
            ensure!(
                across.end <= 24 && across.start < across.end && down.start < down.end,
                "{name}: {across:?}"
            );
            let over = places[..number].iter().any(|(other, below)| {
                across.start < other.end
                    && other.start < across.end
                    && down.start < below.end
                    && below.start < down.end
            });
            ensure!(!over, "{name}: the panel at {across:?}, {down:?} covers another");
        }
    }
    Ok(())
}

fn links() -> Result<()> {
    let boards = boards()?;
    let of = |uid: &str| boards.iter().find(|(_, board)| board["uid"] == uid).map(|(_, board)| board);
    let panels = boards.iter().flat_map(|(_, board)| panels(board));
    let links =
        panels.flat_map(|panel| panel["fieldConfig"]["defaults"]["links"].as_array().into_iter().flatten());
    let urls: Vec<_> = links.filter_map(|link| link["url"].as_str()).collect();
    ensure!(urls.len() >= 3, "a router's life, and traces of two kinds: {urls:?}");
    for url in urls {
        let path = url.strip_prefix("/d/").with_context(|| format!("{url} leads out of Grafana"))?;
        let (uid, query) = path.split_once('?').context(url.to_owned())?;
        let board = of(uid).with_context(|| format!("{url}: no such dashboard"))?;
        let variables: Vec<_> = board["templating"]["list"].as_array().into_iter().flatten().collect();
        for name in query.split('&').filter_map(|part| part.strip_prefix("var-")?.split('=').next()) {
            ensure!(
                variables.iter().any(|known| known["name"] == name),
                "{url}: {uid} has no variable {name}"
            );
        }
    }
    Ok(())
}

/// Names of metrics, those of labels left out.
fn metrics(query: &str) -> BTreeSet<String> {
    let lists = [("{", '}'), (" by (", ')'), (" on (", ')')];
    let bare = lists.iter().fold(query.to_owned(), |text, (begin, end)| {
        let mut parts = text.split(begin);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + " " + part.split_once(*end).map_or("", |(_, rest)| rest))
    });
    names(&bare)
}

/// Names come twice where clusters share a store; and what is counted over one step of a graph, which may have a
/// single sample, is not seen.
fn questions() -> Result<()> {
    for (name, query) in queries()? {
        ensure!(!query.contains("[$__interval]"), "{name}: $__rate_interval, in {query}");
        for metric in metrics(&query) {
            let asked = query.matches(&metric).count();
            let picked = query.matches(&format!("{metric}{{service_namespace=~\"$cluster\"")).count();
            ensure!(asked == picked, "{name}: {metric} of clusters that are not picked, in {query}");
        }
        for part in query.split(" by (").skip(1).chain(query.split(" on (").skip(1)) {
            let labels: Vec<_> = part.split(')').next().unwrap_or_default().split(", ").collect();
            let names = ["instance", "vrrp_router", "lvs_service"].iter().any(|label| labels.contains(label));
            let apart = !names || labels.contains(&"service_namespace");
            ensure!(apart, "{name}: {labels:?} of several clusters fall together in {query}");
        }
    }
    Ok(())
}
