//! The sample configurations in `deploy/config`: what people copy first must be clean.

use anyhow::{Context, Result, ensure};
use hacluster_lab::Agent;
use hacluster_tests::harness::Suite;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Nodes of all sample topologies.
const NODES: usize = 9;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("every_sample_is_clean", clean);
}

fn folders(above: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(above).with_context(|| above.display().to_string())?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn clean() -> Result<()> {
    let agent = Agent::find()?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let mut nodes = Vec::new();
    for topology in folders(&samples)? {
        nodes.extend(folders(&topology)?);
    }
    ensure!(nodes.len() == NODES, "{nodes:?}");
    for node in nodes {
        let mut command = Command::new(&agent.binary);
        command.arg("--check").arg("--config").arg(node.join("keepalived.conf"));
        let output = command.arg("--agent-config").arg(node.join("agent.toml")).output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.code() == Some(0), "{}: {}", node.display(), String::from_utf8_lossy(&said));
    }
    Ok(())
}
