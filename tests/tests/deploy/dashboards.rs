//! Dashboards and alert rules: every metric they name is on a real page, every query is one.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, Skip, Suite, VIP, hold, trio};
use hacluster_tests::page::{RULES, has_all, is_of_the_kernel, queries, wanted};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("every_metric_of_dashboards_and_alerts_is_on_a_real_page", metrics);
    suite.trial("promtool_takes_the_rules_and_every_query", promtool);
    suite.trial("clusters_with_the_same_names_confuse_no_query", several_clusters);
}

const RULE_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/rules.test.yml");

/// What stands for Grafana's variables.
const ROUTER: &str = "VI_1";
const SERVICE: &str = "web";

/// Nobody listens there: a real server that leaves.
const BALANCED: &str = "virtual_server 10.9.0.100 80 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
    sorry_server 10.9.0.7 80
    real_server 10.9.0.8 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 1
        }
    }
}
";

/// What a kernel with IPVS counts is looked at among the trials of that.
fn metrics() -> Result<()> {
    let wanted = wanted()?.into_iter().filter(|name| !is_of_the_kernel(name)).collect();
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let left = cluster.host("left")?;
        // Something to count of everything: a tracker, a program, a peer that answers, a virtual server.
        let more = "notify_master /bin/true\n    track_file {\n        well\n    }";
        let router = Instance::new(150).master().with(more);
        let file = left.directory().join("well");
        fs::write(&file, "0")?;
        let config =
            format!("track_file well {{\n    file {}\n    weight 1\n}}\n{router}{BALANCED}", file.display());
        let _right = cluster.start("right", Instance::new(98))?;
        let _left = cluster.start_with("left", config, "\n[telemetry]\nprometheus = \"127.0.0.1:9650\"\n")?;
        hold(left, VIP)?;
        has_all(left, &wanted)
    })
}

fn run_promtool(arguments: &[&str]) -> Result<()> {
    let said = Command::new("promtool").args(arguments).output();
    let said = said.map_err(|_| Skip("needs promtool: apt-get install prometheus".to_owned()))?;
    let text = [said.stdout, said.stderr].concat();
    ensure!(said.status.success(), "promtool {}: {}", arguments.join(" "), String::from_utf8_lossy(&text));
    Ok(())
}

/// Alert rules, and queries of dashboards as if they were recording rules, Grafana's variables filled in.
fn as_rules(at: &Path) -> Result<()> {
    fs::copy(RULES, at.join("hacluster.rules.yml")).context(RULES)?;
    let variables = [
        ("$__rate_interval", "1m"),
        ("$__interval", "1m"),
        ("$__range", "1h"),
        ("$cluster", ".*"),
        ("$router", ROUTER),
        ("$service", SERVICE),
    ];
    let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    for (number, (name, query)) in queries()?.into_iter().enumerate() {
        let query = variables.iter().fold(query, |query, (variable, value)| query.replace(variable, value));
        let stem = name.trim_end_matches(".json");
        let query = serde_json::to_string(&query)?;
        writeln!(rules, "      - record: q{number}_{stem}\n        expr: {query}")?;
    }
    Ok(fs::write(at.join("dashboards.yml"), rules)?)
}

fn promtool() -> Result<()> {
    run_promtool(&["check", "rules", RULES])?;
    let directory = tempfile::tempdir()?;
    as_rules(directory.path())?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::copy(RULE_TESTS, path("rules.test.yml")).context(RULE_TESTS)?;
    run_promtool(&["test", "rules", &path("rules.test.yml")])?;
    run_promtool(&["check", "rules", &path("dashboards.yml")])
}

/// Metrics of the documentation, as they are on the page, with a value for each of their labels.
fn documented() -> Result<Vec<(String, String)>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs/telemetry.md"))?;
    let table = page.split("<!-- metrics, written by a test -->").nth(1).context("no metrics")?;
    let table = table.split("<!-- end of metrics -->").next().unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| {
        let mut cells = line.split('|').skip(2);
        let metric = cells.next()?.trim().trim_matches('`');
        let attributes = cells.next()?.replace(['`', ' '], "").replace('.', "_");
        let value = |name: &str| match name {
            "vrrp_router" => ROUTER,
            "lvs_service" => SERVICE,
            "vrrp_state" => "master",
            _ => "down",
        };
        let names = attributes.split(',').filter(|name| !name.is_empty());
        let labels = names.map(|name| format!("{name}=\"{}\"", value(name))).collect::<Vec<_>>();
        Some((metric.to_owned(), labels.join(",")))
    });
    Ok(rows.collect())
}

/// Every series of three clusters, one of them without a name, whose nodes, routers and virtual servers are called
/// the same, while a version follows another (a collector makes labels of that): no query finds two where it wants one.
fn several_clusters() -> Result<()> {
    let mut test = "rule_files: [hacluster.rules.yml, dashboards.yml]\nevaluation_interval: 15s\n".to_owned();
    test += "tests:\n  - interval: 15s\n    input_series:\n";
    let metrics = documented()?;
    ensure!(metrics.len() > 50, "{metrics:?}");
    for (metric, labels) in metrics {
        // What is spread over buckets is asked for by those.
        for name in [metric.clone() + "{", metric + "_bucket{le=\"+Inf\","] {
            for cluster in ["", "service_namespace=\"edge-1\",", "service_namespace=\"edge-2\","] {
                for node in ["1\"", "1\",service_version=\"2\"", "2\""] {
                    let series = format!("{name}instance=\"node{node},{cluster}{labels}}}");
                    writeln!(test, "      - {{series: '{series}', values: '0x20'}}")?;
                }
            }
        }
    }
    // Rules are evaluated up to the latest question.
    test += "    promql_expr_test:\n      - expr: count(hacluster_node_held)\n        eval_time: 5m\n";
    test += "        exp_samples: [{labels: '{}', value: 9}]\n";
    let directory = tempfile::tempdir()?;
    as_rules(directory.path())?;
    let file = directory.path().join("clusters.test.yml");
    fs::write(&file, test)?;
    run_promtool(&["test", "rules", &file.display().to_string()])
}
