//! `haclusterctl` run on a host of the lab.

use crate::{
    agent::{Absent, Agent},
    node::Host,
};
use anyhow::Result;
use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

const BINARY: &str = "haclusterctl";

/// The `haclusterctl` program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctl {
    /// Where it is.
    pub binary: PathBuf,
}

impl Ctl {
    /// The one beside the agent that [`Agent::find`] finds, else the one built next to this program.
    pub fn find() -> Result<Self, Absent> {
        let program = env::current_exe().unwrap_or_default();
        let built = program.ancestors().skip(1).take(2).map(|folder| folder.join(BINARY));
        let beside = Agent::find()?.binary.with_file_name(BINARY);
        let found = std::iter::once(beside).chain(built).find(|file| file.is_file());
        found
            .map(|binary| Self { binary })
            .ok_or_else(|| Absent(format!("{BINARY} is not built: cargo build -p {BINARY}")))
    }

    /// The command with `arguments`, not run yet. It reads no configuration of the machine's own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for variable in
            ["HACLUSTERCTL_CONFIG", "HACLUSTERCTL_CONTEXT", "HACLUSTER_SOCKET", "XDG_CONFIG_HOME", "HOME"]
        {
            command.env_remove(variable);
        }
        command.args(arguments);
        command
    }

    /// Runs it on `host` with `arguments`.
    pub fn run(&self, host: &Host, arguments: &[&str]) -> Result<Output> {
        host.run(self.command(arguments))
    }
}
