//! The two daemons as the benchmarks start them: in the foreground, with what they log by default.

use anyhow::{Context, Result};
use hacluster_lab::{Agent, Host, Process, peer::Keepalived};
use std::{fs, process::Command};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Agent,
    Keepalived,
}

/// What is installed.
#[derive(Debug)]
pub(super) struct Daemons {
    agent: Agent,
    keepalived: Option<Keepalived>,
}

impl Daemons {
    pub(super) fn find() -> Result<Self> {
        Ok(Self { agent: Agent::find()?, keepalived: Keepalived::find().ok() })
    }

    /// Versions and machine, for the head of the tables.
    pub(super) fn describe(&self) -> String {
        let version = |command: &mut Command| {
            let output = command.arg("--version").output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
        };
        let agent = version(&mut Command::new(&self.agent.binary)).unwrap_or_default();
        let other = self.keepalived.as_ref().and_then(|found| version(&mut Command::new(&found.binary)));
        let other = other.unwrap_or_else(|| "keepalived: not installed".to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        format!("{agent}; {other}; Linux {}, {cpus} CPUs, load {load} before the run\n", kernel.trim())
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        kind == Kind::Agent || self.keepalived.is_some()
    }

    /// Runs `measure` for each daemon that is there; the figures in the order of the columns.
    pub(super) fn each<T>(&self, mut measure: impl FnMut(Kind) -> Result<T>) -> Result<[Option<T>; 2]> {
        let mut one = |kind| if self.has(kind) { measure(kind).map(Some) } else { Ok(None) };
        Ok([one(Kind::Agent)?, one(Kind::Keepalived)?])
    }

    /// The command that checks `file`.
    pub(super) fn check(&self, kind: Kind, file: &std::path::Path) -> Result<Command> {
        let mut command = match kind {
            Kind::Agent => Command::new(&self.agent.binary),
            Kind::Keepalived => Command::new(&self.keepalived()?.binary),
        };
        match kind {
            Kind::Agent => command.arg("--check").arg("--config").arg(file),
            Kind::Keepalived => command.arg("--config-test").arg("--use-file").arg(file),
        };
        Ok(command)
    }

    fn keepalived(&self) -> Result<&Keepalived> {
        self.keepalived.as_ref().context("keepalived is not installed")
    }

    pub(super) fn start(&self, kind: Kind, host: &Host, config: &str) -> Result<Process> {
        match kind {
            Kind::Agent => self.agent.start(host, config),
            Kind::Keepalived => self.start_keepalived(host, config, "--vrrp"),
        }
    }

    /// For a configuration of virtual servers alone.
    pub(super) fn start_balancing(&self, kind: Kind, host: &Host, config: &str) -> Result<Process> {
        match kind {
            Kind::Agent => self.agent.start(host, config),
            Kind::Keepalived => self.start_keepalived(host, config, "--check"),
        }
    }

    /// With real-time priority, where the machine permits it.
    pub(super) fn start_realtime(&self, kind: Kind, host: &Host, config: &str) -> Result<Process> {
        match kind {
            Kind::Agent => {
                let file = host.directory().join("agent.toml");
                fs::write(&file, "[agent]\nrealtime_priority = 50\n")?;
                let file = file.to_string_lossy().into_owned();
                self.agent.start_with(host, config, &["--agent-config", &file])
            }
            Kind::Keepalived => {
                let config = format!(
                    "global_defs {{\n vrrp_rt_priority 50\n vrrp_rlimit_rttime 1000000\n}}\n{config}"
                );
                self.start_keepalived(host, &config, "--vrrp")
            }
        }
    }

    /// Not by the lab's way, which has it log every detail to a pipe: that would cost it time.
    fn start_keepalived(&self, host: &Host, config: &str, part: &str) -> Result<Process> {
        let folder = host.directory();
        let file = folder.join("keepalived.conf");
        fs::write(&file, config)?;
        let mut command = Command::new(&self.keepalived()?.binary);
        command.args(["--dont-fork", part, "--use-file"]).arg(&file);
        command.arg("--pid").arg(folder.join("keepalived.pid"));
        command.arg("--vrrp_pid").arg(folder.join("vrrp.pid"));
        command.arg("--checkers_pid").arg(folder.join("checkers.pid"));
        host.spawn("keepalived", command)
    }
}
