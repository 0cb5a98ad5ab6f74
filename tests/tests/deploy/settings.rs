//! Samples that are YAML, key by key: what their programs know, and what they must not be without.

use crate::{DEPLOY, installed, read};
use anyhow::{Context, Result, ensure};
use hacluster_tests::harness::Suite;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_compose_file_keeps_to_the_published_schema", compose);
    suite.trial("collector_tempo_and_grafana_know_every_setting", settings);
    suite.trial("schemas_are_of_what_the_compose_file_starts", versions);
}

const COMPOSE: &str = "grafana/compose.yaml";
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/schemas");

/// What a schema is about, and mistakes that it sees.
struct About {
    schema: &'static str,
    sample: &'static str,
    mistakes: &'static [[&'static str; 2]],
}

const ALL: [About; 4] = [
    About {
        schema: "collector",
        sample: "otel/collector.yaml",
        mistakes: &[
            ["limit_mib", "limit_mb"],
            ["timeout: 1s", "timeout: 1"],
            ["    timeout: 30s\n", ""],
            ["http://loki", "loki"],
            ["tempo:4317", "http://tempo:4317"],
            ["resource_to_telemetry_conversion", "resource_to_labels"],
            ["processors: [memory_limiter, batch]", "processor: [batch]"],
        ],
    },
    About {
        schema: "tempo",
        sample: "grafana/tempo.yaml",
        mistakes: &[
            ["block_retention", "retention"],
            ["/var/tempo/wal", "/tmp/wal"],
            ["backend: local", "backend: disk"],
        ],
    },
    About {
        schema: "datasources",
        sample: "grafana/provisioning/datasources/hacluster.yaml",
        mistakes: &[
            ["filterByTraceID", "filterByTraceId"],
            ["matcherType: label", "matcherType: field"],
            ["spanStartTimeShift: -5s", "spanStartTimeShift: 5"],
            ["timeInterval", "tracesToLogsV2"],
        ],
    },
    About {
        schema: "providers",
        sample: "grafana/provisioning/dashboards/hacluster.yaml",
        mistakes: &[["path:", "paths:"], ["type: file", "type: folder"]],
    },
];

/// A checker by JSON schemas.
struct Checker(PathBuf);

impl Checker {
    fn find() -> Result<Self> {
        let mend = "pip install --target TARGET_DIR/check-jsonschema check-jsonschema==0.39.0";
        Ok(Self(installed("check-jsonschema", mend)?))
    }

    /// Whether `by` lets `file` pass, and its words.
    fn ask(&self, by: &[&str], file: &Path) -> Result<(bool, String)> {
        let mut command = Command::new("python3");
        command.args(["-m", "check_jsonschema"]).args(by).arg(file).env("PYTHONPATH", &self.0);
        let said = command.output()?;
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        // 1 is its verdict; another is that it could not judge.
        ensure!(matches!(said.status.code(), Some(0 | 1)), "{}: {text}", file.display());
        ensure!(said.status.success() || text.contains("alidation errors"), "{}: {text}", file.display());
        Ok((said.status.success(), text))
    }

    /// `sample` passes; with each mistake it does not.
    fn judge(&self, by: &[&str], sample: &str, mistakes: &[[&str; 2]]) -> Result<()> {
        let (well, said) = self.ask(by, &Path::new(DEPLOY).join(sample))?;
        ensure!(well, "{sample}: {said}");
        let text = read(sample)?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("mistaken.yaml");
        for [right, wrong] in mistakes {
            ensure!(text.contains(right), "{sample} has no {right}");
            fs::write(&file, text.replacen(right, wrong, 1))?;
            ensure!(!self.ask(by, &file)?.0, "{sample}: nobody minds {wrong}");
        }
        Ok(())
    }
}

fn schema(name: &str) -> String {
    format!("{SCHEMAS}/{name}.yaml")
}

/// By the schema of the Compose Specification, which the checker brings along.
fn compose() -> Result<()> {
    let mistakes =
        [["volumes:", "volume:"], ["depends_on:", "depends:"], ["ports: [\"3000:3000\"]", "ports: 3000"]];
    Checker::find()?.judge(&["--builtin-schema", "vendor.compose-spec"], COMPOSE, &mistakes)
}

fn settings() -> Result<()> {
    let checker = Checker::find()?;
    for About { schema: name, sample, mistakes } in ALL {
        checker.judge(&["--schemafile", &schema(name)], sample, mistakes)?;
    }
    Ok(())
}

/// A newer image is a reason to read its settings again.
fn versions() -> Result<()> {
    let compose = read(COMPOSE)?;
    for About { schema: name, .. } in ALL {
        let text = fs::read_to_string(schema(name))?;
        let image = text.lines().find_map(|line| line.strip_prefix("title: ")).context("no title")?;
        ensure!(
            compose.contains(&format!("image: {image}\n")),
            "{name}.yaml is of {image}, another is started"
        );
    }
    Ok(())
}
