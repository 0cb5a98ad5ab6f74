//! `hacluster-lab` as its users meet it: what it tells, how it ends, and that nothing stays.
//!
//! Everything a run leaves behind would be found by its temporary directory: files in it, programs
//! with its name in their environment.

use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::{Agent, LIMIT, enter, peer::Keepalived, wait_for};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};
use tempfile::TempDir;

fn main() {
    let lab = enter().map(drop).map_err(|why| why.to_string());
    let keepalived =
        lab.clone().and_then(|()| Keepalived::find().map(drop).map_err(|absent| absent.to_string()));
    let agent = lab.clone().and_then(|()| Agent::find().map(drop).map_err(|absent| absent.to_string()));
    let trials = vec![
        trial("plays_with_keepalived", &keepalived, || plays("keepalived")),
        trial("plays_with_the_agent", &agent, || plays("agent")),
        trial("a_signal_ends_it_in_good_order", &keepalived, a_signal_ends_it),
        trial("killed_it_takes_its_programs_along", &keepalived, killed_it_takes_all_along),
        trial("a_daemon_that_ends_is_told_with_its_last_words", &lab, a_daemon_that_ends_is_told),
        trial("a_wrong_name_gets_the_nearest", &Ok(()), a_wrong_name_gets_the_nearest),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test, or an ignored one that says why.
fn trial(name: &str, ready: &Result<(), String>, body: fn() -> Result<()>) -> Trial {
    let ready = ready.clone();
    Trial::ignorable_test(name, move || match ready {
        Ok(()) => body().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

/// A run of the program, with a temporary directory of its own.
struct Run {
    child: Child,
    output: BufReader<ChildStdout>,
    directory: TempDir,
}

impl Run {
    fn start(arguments: &[&str], environment: &[(&str, &Path)]) -> Result<Self> {
        let directory = TempDir::with_prefix("hacluster-lab-test-")?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_hacluster-lab"))
            .args(arguments)
            .env_remove("CARGO") // it shall not build: the test's own cargo may hold the lock
            .env("TMPDIR", directory.path())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, output, directory })
    }

    /// Reads what it tells until a line holds `needle`.
    fn told(&mut self, needle: &str) -> Result<()> {
        for line in self.output.by_ref().lines() {
            if line?.contains(needle) {
                return Ok(());
            }
        }
        bail!("it never told `{needle}`")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().try_into()?), signal)?)
    }

    /// Waits for its end: status, what else it told, and what it complained about.
    fn end(&mut self) -> Result<(ExitStatus, String, String)> {
        let mut complaints = String::new();
        let mut told = String::new();
        self.output.read_to_string(&mut told)?;
        self.child.stderr.take().context("no errors")?.read_to_string(&mut complaints)?;
        Ok((self.child.wait()?, told, complaints))
    }

    /// Programs of this run that are still there.
    fn programs(&self) -> Vec<String> {
        let needle = self.directory.path().as_os_str().as_bytes();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let ours = entries.flatten().map(|entry| entry.path()).filter(|path| {
            let environment = fs::read(path.join("environ")).unwrap_or_default();
            environment.windows(needle.len()).any(|window| window == needle)
        });
        ours.map(|path| path.display().to_string()).collect()
    }

    fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.directory.path())?.count())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plays(daemon: &str) -> Result<()> {
    let agent = Agent::find().map(|agent| agent.binary).unwrap_or_default();
    let mut run = Run::start(&["play", "ring", "--daemon", daemon], &[("HACLUSTER_AGENT", &agent)])?;
    let (status, told, complaints) = run.end()?;
    ensure!(status.success(), "{status}\n{told}\n{complaints}");
    let expected = [
        "ring: three nodes",
        "elected    every virtual router has its master",
        "VI_1            191   192.168.20.187  Master 201  Backup      -",
        "cut        node1: its cable is pulled",
        "moved      192.168.20.187 is on node2",
        "stopped    node1:",
        "nothing is left behind",
    ];
    for part in expected {
        ensure!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    ensure!(!told.contains('\x1b'), "colour, and no terminal");
    ensure!(run.files()? == 0 && run.programs().is_empty(), "left behind: {:?}", run.programs());
    Ok(())
}

fn a_signal_ends_it() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut run = Run::start(&["ring", "--daemon", "keepalived"], &[])?;
        run.told("started")?;
        wait_for("keepalived to run", LIMIT, || run.programs().len() > 3)?;
        run.signal(signal)?;
        let (status, told, _) = run.end()?;
        ensure!(status.code() == Some(130), "{signal}: {status}");
        ensure!(told.contains("nothing is left behind"), "{told}");
        ensure!(run.files()? == 0 && run.programs().is_empty(), "left behind: {:?}", run.programs());
    }
    Ok(())
}

fn killed_it_takes_all_along() -> Result<()> {
    let mut run = Run::start(&["ring", "--daemon", "keepalived"], &[])?;
    run.told("started")?;
    wait_for("keepalived to run", LIMIT, || run.programs().len() > 3)?;
    run.signal(Signal::SIGKILL)?;
    ensure!(run.child.wait()?.signal() == Some(Signal::SIGKILL as i32));
    wait_for("the end of its programs", LIMIT, || run.programs().is_empty())
}

fn a_daemon_that_ends_is_told() -> Result<()> {
    let directory = TempDir::new()?;
    let script = directory.path().join("agent");
    fs::write(&script, "#!/bin/sh\necho my last words >&2\nexit 3\n")?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut run = Run::start(&["dual-master"], &[("HACLUSTER_AGENT", &script)])?;
    let (status, _, complaints) = run.end()?;
    ensure!(status.code() == Some(1), "{status}");
    for part in ["has ended: exit status: 3", "my last words", "172.18.10.10/16 on eth1"] {
        ensure!(complaints.contains(part), "`{part}` is missing in:\n{complaints}");
    }
    ensure!(run.files()? == 0 && run.programs().is_empty(), "left behind: {:?}", run.programs());
    Ok(())
}

fn a_wrong_name_gets_the_nearest() -> Result<()> {
    let mut run = Run::start(&["play", "rong"], &[])?;
    let errors = BufReader::new(run.child.stderr.take().context("no errors")?);
    let told = errors.lines().collect::<Result<Vec<_>, _>>()?.join("\n");
    ensure!(told.contains("'ring'"), "{told}");
    ensure!(run.child.wait()?.code() == Some(2));
    Ok(())
}
