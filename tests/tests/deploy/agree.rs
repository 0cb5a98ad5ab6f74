//! What stands in two files is the same in both: calls, numbers, names of services and their ports.

use crate::{DEPLOY, installed, read};
use anyhow::{Context, Result, ensure};
use hacluster_proto::METHODS;
use hacluster_tests::harness::Suite;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_page_on_the_api_names_every_call", calls);
    suite.trial("every_decision_has_a_number_of_its_own", decisions);
    suite.trial("every_address_of_the_compose_file_is_served_there", endpoints);
    suite.trial("kubernetes_takes_the_daemon_set", kubernetes);
}

/// First two cells of the page's rows: call, and the role that may make it.
fn calls() -> Result<()> {
    let page = read("docs/api.md")?;
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [call, role, ..] = cells.as_slice() else { return None };
        let known = ["Read/", "Admin/", "Peer/"].iter().any(|service| call.starts_with(service));
        known.then(|| ((*call).to_owned(), (*role).to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    let expected = METHODS.iter().map(|method| {
        let call = method.trim_start_matches("/hacluster.v1.");
        let role = match call.split('/').next() {
            Some("Admin") => "operator",
            Some("Peer") => "peer",
            _ => "viewer",
        };
        (call.to_owned(), role.to_owned())
    });
    let expected: BTreeSet<_> = expected.collect();
    ensure!(
        rows.iter().cloned().collect::<BTreeSet<_>>() == expected,
        "{rows:#?}\ninstead of\n{expected:#?}"
    );
    ensure!(rows.len() == expected.len(), "a call has two rows");
    Ok(())
}

fn decisions() -> Result<()> {
    let page = read("docs/decisions.md")?;
    let heads = page.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(". "));
    let numbers = heads.map(|(number, head)| number.parse().context(head.to_owned()));
    let numbers: Vec<usize> = numbers.collect::<Result<_>>()?;
    let expected: Vec<_> = (1..=numbers.len()).collect();
    ensure!(numbers == expected && numbers.len() > 20, "{numbers:?}");
    Ok(())
}

/// What each service of the compose file listens at: what its configuration beside it says, or its default.
fn listening() -> Result<BTreeMap<&'static str, BTreeSet<u16>>> {
    let of = |file: &str, keys: &[&str]| -> Result<BTreeSet<u16>> {
        let text = read(file)?;
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once(": ")?;
            keys.contains(&key).then(|| value.rsplit(':').next().unwrap_or(value))?.parse().ok()
        });
        Ok(values.collect())
    };
    let collector = read("otel/collector.yaml")?;
    let receivers = collector.split("processors:").next().unwrap_or_default();
    let receivers = receivers.lines().filter_map(|line| line.trim().strip_prefix("endpoint: 0.0.0.0:"));
    Ok(BTreeMap::from([
        ("grafana", BTreeSet::from([3000])),
        ("loki", BTreeSet::from([3100])),
        ("prometheus", BTreeSet::from([9090])),
        ("tempo", of("grafana/tempo.yaml", &["http_listen_port", "endpoint"])?),
        ("collector", receivers.map(str::parse).collect::<Result<_, _>>()?),
    ]))
}

/// `tempo:4317` wherever it stands.
fn asked(text: &str, services: &BTreeMap<&'static str, BTreeSet<u16>>) -> Vec<(String, u16)> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || ":.-_".contains(letter)));
    let pairs = words.filter_map(|word| word.split_once(':'));
    let pairs = pairs.filter_map(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    pairs.filter(|(host, _)| services.contains_key(host.as_str()) || host == "localhost").collect()
}

fn endpoints() -> Result<()> {
    let services = listening()?;
    let compose = read("grafana/compose.yaml")?;
    for service in services.keys() {
        ensure!(compose.contains(&format!("\n  {service}:\n    image: ")), "{service} is no service");
    }
    let files = ["otel/collector.yaml", "grafana/provisioning/datasources/hacluster.yaml"];
    let mut count = 0;
    for file in files {
        let text: String = read(file)?
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n");
        for (host, port) in asked(&text, &services) {
            let there = services.get(host.as_str()).is_some_and(|ports| ports.contains(&port));
            ensure!(there, "{file} asks {host}:{port}, which nobody serves");
            count += 1;
        }
    }
    ensure!(count == 6, "{count} addresses were found: three stores, each written to and read from");
    // What is published is what is listened at, and what agents are told to use.
    for (service, text) in [("grafana", "[\"3000:3000\"]"), ("collector", "[\"4317:4317\", \"4318:4318\"]")] {
        ensure!(compose.contains(text), "{service} publishes something else");
    }
    ensure!(services["collector"] == BTreeSet::from([4317, 4318]), "{services:?}");
    // Every file that is mounted is there.
    let mounted = compose.split(['"', ' ', '\n', '[', ']', ',']).filter(|word| word.starts_with('.'));
    let mounted: Vec<_> = mounted.filter_map(|word| word.split(':').next()).collect();
    ensure!(mounted.len() == 6, "{mounted:?}");
    for path in mounted {
        ensure!(Path::new(DEPLOY).join("grafana").join(path).exists(), "{path} is not there");
    }
    Ok(())
}

/// The schemas of a Kubernetes release, strictly.
fn kubernetes() -> Result<()> {
    let mend = "pip install --target TARGET_DIR/kubernetes-validate kubernetes-validate==1.37.0";
    let schemas = installed("kubernetes-validate", mend)?;
    let mut command = Command::new("python3");
    command.args(["-m", "kubernetes_validate", "--strict"]).env("PYTHONPATH", schemas);
    let said = command.arg(Path::new(DEPLOY).join("kubernetes/daemonset.yaml")).output()?;
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    ensure!(said.status.success(), "{text}");
    eprintln!("{}", text.trim());
    Ok(())
}
