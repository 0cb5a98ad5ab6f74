//! Dashboards and alert rules: every metric they name is on a real page, every query is one.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Lab;
use hacluster_tests::harness::{Cluster, Instance, Skip, Suite, VIP, hold, trio};
use hacluster_tests::page::{RULES, has_all, is_of_the_kernel, queries, wanted};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("every_metric_of_dashboards_and_alerts_is_on_a_real_page", metrics);
    suite.trial("promtool_takes_the_rules_and_every_query", promtool);
}

const RULE_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/rules.test.yml");

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
        let variables = [
            ("$__rate_interval", "1m"),
            ("$__interval", "1m"),
            ("$__range", "1h"),
            ("$cluster", ".*"),
            ("$router", ".*"),
            ("$service", ".*"),
        ];
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
