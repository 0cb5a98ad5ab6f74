//! `haclusterctl config`: check offline, show what is in force, say what differs.

mod diff;

pub(super) use diff::run as diff;

use super::gather;
use crate::args::{Format, Place};
use crate::fanout::{Answer, Cluster};
use crate::output;
use crate::view::Configuration;
use crate::{Outcome, UNREACHABLE};
use hacluster_conf::render;
use hacluster_conf::source::Disk;
use hacluster_programs::traps;
use hacluster_proto::v1;
use serde::Serialize;
use std::path::Path;

/// Says what `hacluster-agent --check` says on this machine, with its exit statuses.
///
/// `programs`: those that the file names are looked at, too.
pub(super) fn check(
    file: &Path,
    agent_config: Option<&Path>,
    programs: bool,
    format: Format,
) -> anyhow::Result<Outcome> {
    // As the agent loads it with the same options.
    let mut loaded = hacluster_conf::load_with(file, agent_config, &Disk::default());
    if programs {
        traps::add(&mut loaded);
    }
    let json = || render::json(&loaded.diagnostics, &loaded.sources);
    let text = match output::structured(&json(), format)? {
        Some(text) => text,
        None => render::report(&loaded, file, output::color()),
    };
    output::print(&text)?;
    match loaded.exit_status() {
        0 => Ok(Outcome::Well),
        1 => Ok(Outcome::Degraded),
        _ => std::process::exit(UNREACHABLE.into()), // said above what keeps it from running
    }
}

/// What `config show` answers programs, one for each node.
#[derive(Serialize)]
struct Shown {
    node: String,
    error: Option<String>,
    state: Option<Configuration>,
    files: Vec<File>,
    findings: serde_json::Value,
}

#[derive(Serialize)]
struct File {
    path: String,
    text: String,
}

/// The configuration in force of each member.
async fn in_force(
    cluster: &Cluster,
    place: &Place,
) -> anyhow::Result<Vec<Answer<v1::GetConfigurationResponse>>> {
    gather(cluster, place.timeout, |node| async move {
        Ok(node.read().get_configuration(v1::GetConfigurationRequest {}).await?.into_inner())
    })
    .await
}

pub(super) async fn show(place: &Place, node: Option<&str>, format: Format) -> anyhow::Result<Outcome> {
    let mut cluster = Cluster::of(place)?;
    if let Some(typed) = node {
        cluster.members = vec![cluster.member(typed)?.clone()];
    }
    let answers = in_force(&cluster, place).await?;
    let shown: Vec<Shown> = answers.into_iter().map(Shown::of).collect();
    let dead = shown.iter().any(|shown| shown.error.is_some());
    let text = match output::structured(&shown, format)? {
        Some(text) => text,
        None => shown.iter().map(|shown| shown.text(&cluster)).collect(),
    };
    output::print(&text)?;
    Ok(if dead { Outcome::Unreachable } else { Outcome::Well })
}

impl Shown {
    fn of(answer: Answer<v1::GetConfigurationResponse>) -> Self {
        let node = answer.node;
        let answer = match answer.result {
            Ok(answer) => answer,
            Err(error) => {
                let (error, findings) = (Some(error.to_string()), serde_json::Value::Null);
                return Self { node, error, state: None, files: Vec::new(), findings };
            }
        };
        let files = answer.files.into_iter().map(|file| File { path: file.path, text: file.text });
        Self {
            node,
            error: None,
            state: answer.state.map(Configuration::from),
            files: files.collect(),
            findings: serde_json::from_str(&answer.diagnostics_json).unwrap_or_default(),
        }
    }

    fn text(&self, cluster: &Cluster) -> String {
        let of = if cluster.is_local() { String::new() } else { format!("{}: ", output::safe(&self.node)) };
        if let Some(error) = &self.error {
            return format!("# {of}{}\n", output::safe(error));
        }
        let mut out = String::new();
        for file in &self.files {
            out.push_str(&format!("# {of}{}\n", output::safe(&file.path)));
            for line in file.text.lines() {
                out.push_str(&format!("{}\n", output::safe(&line.replace('\t', "    "))));
            }
        }
        out
    }
}
