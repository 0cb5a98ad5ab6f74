//! A service manager that listens: READY, reloads, the watchdog, STOPPING.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Host, LIMIT, Lab, Process, wait_for};
use hacluster_tests::harness::{Instance, Suite, VIP, hold, pair};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_service_manager_is_told_of_start_reload_and_stop", told);
    suite.trial("the_watchdog_hears_nothing_of_an_agent_that_hangs", hangs);
}

/// Everything the service manager was told, in order.
type Words = Arc<Mutex<Vec<String>>>;

fn listen(host: &Host) -> Result<(String, Words)> {
    let path = host.directory().join("notify").display().to_string();
    let socket = UnixDatagram::bind(&path).context("cannot listen")?;
    let words = Words::default();
    let heard = words.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().map(str::to_owned));
        }
    });
    Ok((path, words))
}

fn count(words: &Words, word: &str) -> usize {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    words.iter().filter(|said| said.as_str() == word).count()
}

fn start(host: &Host, watchdog_us: Option<u32>) -> Result<(Process, Words)> {
    let (path, words) = listen(host)?;
    let config = host.directory().join("keepalived.conf");
    fs::write(&config, Instance::new(150).master().to_string())?;
    let mut command = Command::new(Agent::find()?.binary);
    command.arg("--config").arg(&config).arg("--run-dir").arg(host.directory()).env("NOTIFY_SOCKET", path);
    if let Some(limit) = watchdog_us {
        command.env("WATCHDOG_USEC", limit.to_string());
    }
    Ok((host.spawn("hacluster-agent", command)?, words))
}

fn told() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let (agent, words) = start(left, None)?;
        wait_for("READY", LIMIT, || count(&words, "READY=1") == 1)?;
        ensure!(count(&words, "STATUS=1 virtual router(s)") == 1, "{words:?}");
        hold(left, VIP)?;
        agent.signal(Signal::SIGHUP)?;
        wait_for("the reload's end", LIMIT, || count(&words, "READY=1") == 2)?;
        ensure!(count(&words, "RELOADING=1") == 1, "{words:?}");
        fs::write(left.directory().join("keepalived.conf"), "vrrp_instance VI_1 {\n    interface\n")?;
        agent.signal(Signal::SIGHUP)?;
        wait_for("the refusal", LIMIT, || count(&words, "READY=1") == 3)?;
        let refusals = words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = |word: &String| word.starts_with("STATUS=1 virtual router(s); reload refused: ");
        ensure!(refusals.iter().any(refused), "{refusals:?}");
        agent.stop()?;
        wait_for("STOPPING", LIMIT, || count(&words, "STOPPING=1") == 1)?;
        ensure!(count(&words, "WATCHDOG=1") == 0, "nobody asked for it: {words:?}");
        Ok(())
    })
}

fn hangs() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (agent, words) = start(lab.host("left")?, Some(200_000))?;
        wait_for("ten signs of life", LIMIT, || count(&words, "WATCHDOG=1") >= 10)?;
        agent.signal(Signal::SIGSTOP)?;
        // What was said before the signal arrived may still be read.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let before = count(&words, "WATCHDOG=1");
        std::thread::sleep(std::time::Duration::from_millis(500));
        ensure!(count(&words, "WATCHDOG=1") == before, "a stopped agent speaks");
        agent.signal(Signal::SIGCONT)?;
        wait_for("signs of life again", LIMIT, || count(&words, "WATCHDOG=1") > before + 2)
    })
}
