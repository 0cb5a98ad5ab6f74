//! Which daemon plays, and getting hold of it.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use hacluster_lab::{Agent, Host, Process, agent::BINARY_VARIABLE, peer::Keepalived};
use std::{env, path::PathBuf, process::Command};

/// The choice on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// hacluster-agent, built from this tree.
    Agent,
    /// keepalived, as installed: to compare.
    Keepalived,
}

/// A daemon that is there.
#[derive(Debug)]
pub(crate) enum Daemon {
    Agent(Agent),
    Keepalived(Keepalived),
}

impl Daemon {
    /// Builds it where that is possible, and finds it.
    pub(crate) fn ready(choice: Choice) -> Result<Self> {
        match choice {
            Choice::Agent => {
                build()?;
                Ok(Self::Agent(Agent::find()?))
            }
            Choice::Keepalived => Ok(Self::Keepalived(Keepalived::find()?)),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "hacluster-agent",
            Self::Keepalived(_) => "keepalived",
        }
    }

    pub(crate) fn start(&self, host: &Host, config: &str) -> Result<Process> {
        match self {
            Self::Agent(agent) => agent.start(host, config),
            Self::Keepalived(keepalived) => keepalived.start(host, config),
        }
    }
}

/// Builds agent and haclusterctl with the cargo that runs us, into the same target folder. Nothing is built when
/// we were not started by cargo, or the user has named a binary.
fn build() -> Result<()> {
    let (Some(cargo), Some(package)) = (env::var_os("CARGO"), env::var_os("CARGO_MANIFEST_DIR")) else {
        return Ok(());
    };
    if env::var_os(BINARY_VARIABLE).is_some() {
        return Ok(());
    }
    let manifest = PathBuf::from(package).join("Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--package", "hacluster-agent", "--package", "haclusterctl", "--manifest-path"])
        .arg(manifest);
    let program = env::current_exe().unwrap_or_default();
    if program.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    eprintln!("building hacluster-agent and haclusterctl (cargo build -p hacluster-agent -p haclusterctl)");
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("they do not build; see above");
    }
    Ok(())
}
