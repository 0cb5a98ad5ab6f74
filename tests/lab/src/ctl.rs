//! `haclusterctl` run on a host of the lab.

use crate::{
    agent::{Absent, Agent},
    node::Host,
};
use anyhow::Result;
use std::{
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
    /// The one built next to the agent that [`Agent::find`] finds.
    pub fn find() -> Result<Self, Absent> {
        let binary = Agent::find()?.binary.with_file_name(BINARY);
        match binary.is_file() {
            true => Ok(Self { binary }),
            false => Err(Absent(format!("{BINARY} is not built: cargo build -p {BINARY}"))),
        }
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
