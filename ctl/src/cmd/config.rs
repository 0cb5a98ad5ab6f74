//! `haclusterctl config`: check offline, show what is in force.

use super::{call, first};
use crate::args::{Format, Place};
use crate::output;
use crate::view::Configuration;
use crate::{Outcome, UNREACHABLE};
use hacluster_conf::render;
use hacluster_conf::source::Disk;
use hacluster_proto::v1;
use serde::Serialize;
use std::path::Path;

/// Says what `hacluster-agent --check` says, with its exit statuses.
pub(super) fn check(file: &Path, format: Format) -> anyhow::Result<Outcome> {
    let loaded = hacluster_conf::load(file, &Disk::default());
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

/// What `config show` answers programs.
#[derive(Serialize)]
struct Shown {
    state: Configuration,
    files: Vec<File>,
    findings: serde_json::Value,
}

#[derive(Serialize)]
struct File {
    path: String,
    text: String,
}

pub(super) async fn show(place: &Place, format: Format) -> anyhow::Result<Outcome> {
    let mut client = first(place).await?;
    let answer = call(place.timeout, client.get_configuration(v1::GetConfigurationRequest {})).await?;
    let files = answer.files.into_iter().map(|file| File { path: file.path, text: file.text });
    let shown = Shown {
        state: answer.state.unwrap_or_default().into(),
        files: files.collect(),
        findings: serde_json::from_str(&answer.diagnostics_json).unwrap_or_default(),
    };
    if let Some(text) = output::structured(&shown, format)? {
        output::print(&text)?;
        return Ok(Outcome::Well);
    }
    for file in &shown.files {
        output::print(&format!("# {}\n", output::safe(&file.path)))?;
        for line in file.text.lines() {
            output::print(&format!("{}\n", output::safe(&line.replace('\t', "    "))))?;
        }
    }
    Ok(Outcome::Well)
}
