//! The agent as process 1 of a container: signals arrive, orphans are taken in, the address goes.

use anyhow::{Context, Result, ensure};
use hacluster_agent::rundir;
use hacluster_lab::{Agent, Host, LIMIT, Lab, Process, wait_for, wait_until};
use hacluster_tests::harness::{Instance, Skip, Suite, VIP, free, hold, pair};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_stopped_container_takes_its_addresses_along", stopped);
    suite.trial("the_image_is_built_serves_says_it_is_well_and_leaves_nothing", image);
    suite.trial("what_the_agent_writes_outlives_its_container", volumes);
    suite.trial("nobody_stops_the_agent_sooner_than_the_unit_does", patience);
    suite.trial("pods_are_let_in_and_updated_one_after_the_other", pods);
    suite.trial("process_1_takes_in_what_scripts_leave_behind", orphans);
}

/// Starts the agent as process 1 of a PID namespace; its number outside, too.
fn start(host: &Host, config: &str) -> Result<(Process, Pid)> {
    let file = host.directory().join("keepalived.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("unshare");
    command.args(["--fork", "--pid", "--kill-child", "--mount-proc", "--"]).arg(Agent::find()?.binary);
    command.arg("--config").arg(&file).arg("--run-dir").arg(host.directory());
    let around = host.spawn("unshare", command)?;
    let inner =
        wait_until("process 1 of the container", LIMIT, || Ok(children(around.pid()).first().copied()))?;
    Ok((around, inner))
}

fn children(of: Pid) -> Vec<Pid> {
    let listed = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

fn has_unshare() -> Result<()> {
    let there = Command::new("unshare").arg("--version").output().is_ok();
    if there { Ok(()) } else { Err(Skip("needs unshare: apt-get install util-linux".to_owned()).into()) }
}

fn stopped() -> Result<()> {
    has_unshare()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let (around, process_1) = start(left, &Instance::new(150).master().to_string())?;
        hold(left, VIP)?;
        kill(process_1, Signal::SIGHUP)?;
        wait_for("the reload", LIMIT, || around.logged("reload: nothing changed"))?;
        kill(process_1, Signal::SIGTERM)?;
        free(left, VIP)?;
        let status = around.wait(LIMIT)?;
        ensure!(status.code() == Some(0), "{status}");
        Ok(())
    })
}

fn orphans() -> Result<()> {
    has_unshare()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let script = left.directory().join("leaves-a-child.sh");
        // The child's parent ends before it does: process 1 inherits it.
        fs::write(&script, "#!/bin/sh\n(sh -c 'sleep 2; exit 3' >/dev/null 2>&1 &)\n")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let notify = format!("notify_master {}", script.display());
        let (_around, process_1) = start(left, &Instance::new(150).master().with(&notify).to_string())?;
        hold(left, VIP)?;
        wait_for("the script's child below process 1", LIMIT, || children(process_1).len() > 1)?;
        wait_for("no child but the agent", LIMIT, || children(process_1).len() == 1)
    })
}

const CONTAINERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/image/Containerfile");
const PROGRAMS: [&str; 2] = ["hacluster-agent", "haclusterctl"];

/// buildah with a storage of its own.
struct Builder(tempfile::TempDir);

impl Builder {
    fn say(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("buildah");
        let at = |name| self.0.path().join(name);
        command
            .arg("--root")
            .arg(at("store"))
            .arg("--runroot")
            .arg(at("run"))
            .args(["--storage-driver", "vfs"]);
        let said = command.args(arguments).output()?;
        let errors = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "buildah {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8(said.stdout)?.trim().to_owned())
    }

    /// Builds the image as the recipe says, but for the programs: those are built already, because the
    /// stage that builds them needs a registry of images. Gives the image's settings, and a container's root.
    fn build(&self, programs: &Path) -> Result<(Value, PathBuf)> {
        let release = self.0.path().join("built/source/target/release");
        fs::create_dir_all(&release)?;
        fs::create_dir(self.0.path().join("nothing"))?;
        for program in PROGRAMS {
            fs::copy(programs.join(program), release.join(program))?;
        }
        let text = |name| self.0.path().join(name).display().to_string();
        let (built, nothing) = (format!("build={}", text("built")), text("nothing"));
        let what =
            ["build", "--isolation", "chroot", "--pull=never", "--format", "docker", "--build-context"];
        self.say(&[&what[..], &[&built, "-f", CONTAINERFILE, "-t", "hacluster", &nothing]].concat())?;
        let image: Value = serde_json::from_str(&self.say(&["inspect", "--type", "image", "hacluster"])?)?;
        let container = self.say(&["from", "--pull=never", "hacluster"])?;
        Ok((image["Docker"]["config"].clone(), self.say(&["mount", &container])?.into()))
    }
}

/// Addresses left by a crash, holds, history and the audit log: in volumes, by the recipe, its example, and
/// the sample for Kubernetes.
fn volumes() -> Result<()> {
    let recipe = fs::read_to_string(CONTAINERFILE)?;
    let declared = recipe.lines().find_map(|line| line.strip_prefix("VOLUME ")).context("no VOLUME")?;
    let pods = fs::read_to_string(Path::new(CONTAINERFILE).with_file_name("../kubernetes/daemonset.yaml"))?;
    for written in [rundir::DEFAULT, rundir::DEFAULT_STATE] {
        ensure!(declared.split(' ').any(|volume| volume == written), "{written} is no volume: {declared}");
        ensure!(recipe.contains(&format!(":{written} ")), "the example leaves out {written}");
        ensure!(pods.contains(&format!("mountPath: {written}\n")), "Kubernetes loses {written}");
    }
    Ok(())
}

/// How long handing over may take is the same for all who stop it.
fn patience() -> Result<()> {
    let after = |file: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(Path::new(CONTAINERFILE).with_file_name(file))?;
        let rest = text.split_once(key).with_context(|| format!("{file} has no {key}"))?.1;
        Ok(rest.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let unit = after("../systemd/hacluster-agent.service", "TimeoutStopSec=")?;
    ensure!(after("Containerfile", "--stop-timeout ")? == unit, "the image's example");
    ensure!(after("../kubernetes/daemonset.yaml", "terminationGracePeriodSeconds: ")? == unit, "Kubernetes");
    Ok(())
}

/// What the schema does not ask for, and a cluster does.
fn pods() -> Result<()> {
    let pods = fs::read_to_string(Path::new(CONTAINERFILE).with_file_name("../kubernetes/daemonset.yaml"))?;
    let has = |line: &str| pods.lines().any(|other| other.trim() == line);
    // Otherwise the namespace refuses pods that are in the node's network.
    ensure!(has("hostNetwork: true") && has("pod-security.kubernetes.io/enforce: privileged"), "{pods}");
    // Otherwise the next node is stopped while this one starts.
    ensure!(has("maxUnavailable: 1") && has("readinessProbe:") && has("minReadySeconds: 10"), "{pods}");
    // The agent asks nothing of the API server.
    ensure!(has("automountServiceAccountToken: false"), "{pods}");
    Ok(())
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Programs without any library, as the image has them, or why they are not here.
fn static_programs() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("where are we?")?;
    let built = target.join("x86_64-unknown-linux-musl/debug");
    if PROGRAMS.iter().all(|program| built.join(program).is_file()) {
        return Ok(built);
    }
    let mend = "rustup target add x86_64-unknown-linux-musl, apt-get install musl-tools, and \
                CC_x86_64_unknown_linux_musl=musl-gcc cargo build --target x86_64-unknown-linux-musl";
    Err(Skip(format!("needs static programs: {mend}")).into())
}

/// Everything a container engine would do with the image, by hand.
fn image() -> Result<()> {
    has_unshare()?;
    if Command::new("buildah").arg("--version").output().is_err() || !nix::unistd::Uid::effective().is_root()
    {
        return Err(Skip("needs root and buildah: apt-get install buildah".to_owned()).into());
    }
    let programs = static_programs()?;
    let builder = Builder(tempfile::tempdir()?);
    let (settings, root) = builder.build(&programs)?;
    ensure!(settings["StopSignal"] == "SIGTERM", "{settings}");
    let health = words(&settings["Healthcheck"]["Test"]);
    ensure!(health.first() == Some(&"CMD"), "{settings}");
    // What an engine makes: mount points, and the volumes of the recipe and its example.
    let volumes = settings["Volumes"].as_object().context("no volumes")?;
    let volumes = volumes.keys().map(|volume| volume.trim_start_matches('/'));
    for folder in ["proc", "etc/keepalived"].into_iter().chain(volumes) {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("etc/keepalived/keepalived.conf"), Instance::new(150).master().to_string())?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let mut command = Command::new("unshare");
        command.args(["--fork", "--pid", "--kill-child", "--mount-proc"]).arg("--root").arg(&root).arg("--");
        command.args(words(&settings["Entrypoint"])).args(words(&settings["Cmd"]));
        let around = left.spawn("the container", command)?;
        hold(left, VIP).with_context(|| format!("{:#?}", around.lines()))?;
        let process_1 = *children(around.pid()).first().context("no process 1")?;
        let mut check = Command::new("nsenter");
        check
            .args(["--target", &process_1.to_string(), "--mount", "--pid", "--root", "--wd"])
            .args(&health[1..]);
        let said = left.run(check)?;
        ensure!(said.status.success(), "health: {}", String::from_utf8_lossy(&said.stderr));
        kill(process_1, Signal::SIGTERM)?;
        free(left, VIP)?;
        let status = around.wait(LIMIT)?;
        ensure!(status.code() == Some(0), "{status}");
        Ok(())
    })
}
