//! Agents asked over their sockets, as operators do and as intruders would.
//!
//! Needs the right to make network namespaces; skipped by name without it.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Instance, Running, Skip, Suite, VIP, copy_program, hold, pair, settle_first};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn main() {
    let mut suite = Suite::enter();
    suite.trial("status_shows_who_rules_and_why", status);
    suite.trial("events_tell_a_takeover", takeover);
    suite.trial("another_user_is_refused", other_user);
    suite.trial("garbage_harms_nothing", garbage);
    suite.trial("a_restart_replaces_the_socket", restart);
    suite.trial("a_watcher_who_does_not_read_costs_nothing", slow_watcher);
    suite.trial("a_changed_file_is_noticed", changed_file);
    suite.trial("no_socket_no_agent", no_socket);
    suite.run();
}

fn socket(host: &Host) -> PathBuf {
    host.directory().join("run/agent.sock")
}

fn command(host: &Host, arguments: &[&str]) -> Result<Command> {
    let binary = Agent::find()?.binary.with_file_name("haclusterctl");
    ensure!(binary.is_file(), "{} is not built", binary.display());
    let mut command = Command::new(binary);
    command.arg("--socket").arg(socket(host)).args(arguments);
    Ok(command)
}

fn ctl(host: &Host, arguments: &[&str]) -> Result<Output> {
    command(host, arguments)?.output().context("haclusterctl")
}

fn json(host: &Host) -> Result<Value> {
    let output = ctl(host, &["status", "-o", "json"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| said)
}

/// Waits until VI_1 of `host` is as `holds` says, and gives it.
fn router(host: &Host, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    // An agent that has not opened its socket yet is one to wait for.
    wait_until(what, LIMIT, || {
        Ok(json(host)
            .ok()
            .map(|status| status["routers"][0]["nodes"][0].clone())
            .filter(|router| holds(router)))
    })
}

fn status() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let better = Instance::new(150).master().to_string();
        let (_one, _two) = settle_first((left, better), (right, Instance::new(100).to_string()), VIP)?;
        let master = router(left, "a master", |router| router["addresses"][0]["present"] == true)?;
        ensure!(master["state"] == "master" && master["priority_effective"] == 150, "{master:#}");
        ensure!(master["last_transition"]["reason_kind"] == "silence", "{master:#}");
        let backup = router(right, "a followed master", |router| router["master_address"] == "10.9.0.1")?;
        ensure!(backup["state"] == "backup" && backup["master_priority"] == 150, "{backup:#}");
        ensure!(backup["addresses"][0]["present"] == false, "{backup:#}");
        router(right, "adverts counted", |router| router["counters"]["adverts_accepted"].as_u64() > Some(1))?;
        let table = ctl(right, &["status", "vi_1"])?;
        let text = String::from_utf8_lossy(&table.stdout).into_owned();
        ensure!(table.status.code() == Some(0) && text.contains("10.9.0.1 "), "{text}");
        let unknown = ctl(right, &["status", "VI_2"])?;
        ensure!(unknown.status.code() == Some(3), "{:?}", unknown.status);
        ensure!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `VI_1`?"));
        Ok(())
    })
}

fn takeover() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let better = Instance::new(150).master().to_string();
        let (one, _two) = settle_first((left, better), (right, Instance::new(100).to_string()), VIP)?;
        router(right, "a followed master", |router| router["master_address"] == "10.9.0.1")?;
        one.stop()?;
        hold(right, VIP)?;
        router(right, "the new master", |router| router["state"] == "master")?;
        let events = ctl(right, &["events", "vi_1", "-o", "json"])?;
        let text = String::from_utf8_lossy(&events.stdout).into_owned();
        let last = text.lines().rfind(|line| line.contains("\"transition\":{")).context("none")?;
        let event: Value = serde_json::from_str(last)?;
        ensure!(event["transition"]["to"] == "master", "{event:#}");
        ensure!(event["transition"]["reason_kind"] == "resigned", "{event:#}");
        Ok(())
    })
}

fn other_user() -> Result<()> {
    if hacluster_lab::privilege::entered() != Some(hacluster_lab::Privilege::Root) {
        return Err(Skip("only root can become another user".to_owned()).into());
    }
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let mode = fs::metadata(socket(left))?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{mode:o}");
        // Even when somebody opens the door: the whole way to it, and the program, for everybody.
        fs::set_permissions(socket(left), Permissions::from_mode(0o666))?;
        let open = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
        let program = open.path().join("haclusterctl");
        copy_program(command(left, &[])?.get_program(), &program)?;
        let door = open.path().join("agent.sock");
        fs::hard_link(socket(left), &door)?;
        let mut command = Command::new(&program);
        command.arg("--socket").arg(&door).arg("status").uid(65_534).gid(65_534);
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2) && text.contains("only root"), "{text}");
        agent.stop()
    })
}

fn garbage() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let huge_frame = [&preface[..], &[0xff; 64]].concat();
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 100_000], &preface[..], &huge_frame] {
            let mut stream = UnixStream::connect(socket(left))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        // More connections than there may be: the surplus is closed, and later ones are served.
        let crowd: Vec<_> = (0..100).map(|_| UnixStream::connect(socket(left))).collect();
        drop(crowd);
        router(left, "still master", |router| router["state"] == "master")?;
        ensure!(agent.transitions().len() == 2, "{:?}", agent.transitions());
        agent.stop()
    })
}

fn restart() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        router(left, "an answer", |router| router["state"] == "master")?;
        agent.kill()?;
        ensure!(socket(left).exists(), "a killed agent leaves its socket");
        let dead = ctl(left, &["status"])?;
        ensure!(dead.status.code() == Some(2), "{:?}", dead.status);
        let again = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        router(left, "the successor", |router| router["state"] == "master")?;
        again.stop()?;
        ensure!(!socket(left).exists(), "an agent that stops removes its socket");
        Ok(())
    })
}

fn slow_watcher() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        hold(left, VIP)?;
        let mut watcher = command(left, &["status", "--watch", "-o", "json"])?;
        let mut watcher = watcher.stdout(Stdio::piped()).spawn()?;
        for number in 0..400_u32 {
            let priority = if number % 2 == 0 { 151 } else { 150 };
            agent.reload(Instance::new(priority).master())?;
            let wanted = number as usize + 1;
            wait_until("a reload", LIMIT, || Ok((agent.lines(&["reload: "]).len() >= wanted).then_some(())))?;
        }
        router(left, "an answer for others", |router| router["priority_effective"] == 150)?;
        let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid()))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default().trim();
        let kib: u64 = rss.trim_end_matches(" kB").parse()?;
        ensure!(kib < 64 << 10, "{kib} KiB");
        watcher.kill()?;
        watcher.wait()?;
        agent.stop()
    })
}

fn changed_file() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = Running::start(left, Instance::new(150).master())?;
        router(left, "a master", |router| router["state"] == "master")?;
        fs::write(agent.config(), Instance::new(151).master().to_string())?;
        let output = ctl(left, &["status"])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // The table wraps where the path's length wants it to.
        let told = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(output.status.code() == Some(1) && told.contains("changed and is not loaded"), "{text}");
        agent.reload(Instance::new(151).master())?;
        router(left, "the new priority", |router| router["priority_base"] == 151)?;
        let output = ctl(left, &["status"])?;
        ensure!(output.status.code() == Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        let shown = ctl(left, &["config", "show"])?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        ensure!(text.contains("priority 151") && !text.contains("auth_pass lab"), "{text}");
        agent.stop()
    })
}

fn no_socket() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        fs::create_dir_all(socket(left))?;
        let agent = Running::start(left, Instance::new(150).master())?;
        let ended = wait_until("the agent's end", LIMIT, || agent.process.status())?;
        ensure!(ended.code() == Some(2), "{ended}");
        agent.logged(&["is not a socket; remove it"])?;
        Ok(())
    })
}
