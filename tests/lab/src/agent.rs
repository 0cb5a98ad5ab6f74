//! Our own daemon on a host of the lab.

use crate::{node::Host, process::Process};
use anyhow::{Context, Result};
use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names the binary to use, instead of looking for it.
pub const BINARY_VARIABLE: &str = "HACLUSTER_AGENT";
const BINARY: &str = "hacluster-agent";

/// A program that is not on this machine. Tests give it as their reason to skip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent(pub String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// The `hacluster-agent` program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it is.
    pub binary: PathBuf,
}

impl Agent {
    /// The one `HACLUSTER_AGENT` names, else the one built next to this program.
    pub fn find() -> Result<Self, Absent> {
        if let Some(binary) = env::var_os(BINARY_VARIABLE).map(PathBuf::from) {
            let missing =
                || Absent(format!("{BINARY_VARIABLE} names {}, which is no file", binary.display()));
            return if binary.is_file() { Ok(Self { binary }) } else { Err(missing()) };
        }
        // Tests live one folder below the binaries: target/debug/deps.
        let program = env::current_exe().unwrap_or_default();
        let found =
            program.ancestors().skip(1).take(2).map(|folder| folder.join(BINARY)).find(|file| file.is_file());
        found.map(|binary| Self { binary }).ok_or_else(|| {
            Absent(format!("{BINARY} is not built: cargo build -p {BINARY}, or name it in {BINARY_VARIABLE}"))
        })
    }

    /// Starts it on `host` with `config` (the text of a keepalived.conf) and a run directory of its own.
    pub fn start(&self, host: &Host, config: &str) -> Result<Process> {
        self.start_with(host, config, &[])
    }

    /// As [`start`](Self::start), with more arguments.
    pub fn start_with(&self, host: &Host, config: &str, more: &[&str]) -> Result<Process> {
        let file = host.directory().join("keepalived.conf");
        write(&file, config)?;
        let run = host.directory().join("run");
        fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&file).arg("--run-dir").arg(&run).args(more);
        host.spawn(BINARY, command)
    }
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
