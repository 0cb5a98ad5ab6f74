//! Scripts without a weight, and scripts as bad as they can be.

use super::stage::{all_gone, config, fails_while, living, script, vrrp_script};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, LIMIT, Lab, wait_for};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Wire, free, hold, pair};
use nix::{sys::signal::Signal, unistd::Pid};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_script_without_weight_is_a_fault_and_its_end", fault_and_back);
    suite.trial("a_script_that_is_wanted_bad_is_warned_of_when_it_is_good", reversed);
    suite.trial("init_fail_is_a_fault_until_it_has_risen", init_fail);
    suite.trial("nothing_starts_before_a_script_without_weight_has_spoken", waits);
    suite.trial("a_script_that_never_ends_is_ended_with_its_children", never_ending);
    suite.trial("a_script_that_floods_its_output_passes", flooding);
    suite.trial("a_runner_that_is_killed_is_no_verdict_and_leaves_nothing_behind", killed_runner);
    suite.trial("a_script_that_is_replaced_counts_at_its_next_run", replaced);
    suite.trial("a_script_that_is_replaced_in_the_middle_of_a_run_ends_as_it_began", replaced_while_running);
    suite.trial("a_script_missing_from_the_beginning_counts_for_nothing", missing);
    suite.trial("a_script_that_repairs_the_service_in_time_moves_nothing", repairing);
    suite.trial("check_names_scripts_that_cannot_run", check);
}

const TRACK: &str = "track_script {\n        chk\n    }";

fn instance() -> Instance {
    Instance::new(150).master().with(TRACK)
}

fn fault_and_back() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let down = left.directory().join("down");
        let block = vrrp_script(&fails_while(left, &down)?, "fall 2");
        let master = Running::start(left, config(&block, &instance()))?;
        hold(left, VIP)?;
        let _backup = Running::start(right, Instance::new(100))?;
        fs::write(&down, "")?;
        master.logged(&["Master -> Fault", "script chk", "exit 1", "is there"])?;
        free(left, VIP)?;
        hold(right, VIP)?;
        fs::remove_file(&down)?;
        master.logged(&["Fault -> Backup", "recovered"])?;
        hold(left, VIP)?;
        free(right, VIP)
    })
}

/// Nobody is woken by what is as it should be.
fn reversed() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let down = left.directory().join("down");
        fs::write(&down, "")?;
        let block = vrrp_script(&fails_while(left, &down)?, "fall 1\n    rise 1");
        let track = "track_script {\n        chk weight 0 reverse\n    }";
        let agent = Running::start(left, config(&block, &Instance::new(150).master().with(track)))?;
        agent.logged(&["INFO", "script chk failed, as wanted"])?;
        hold(left, VIP)?;
        agent.never_logged(&["WARN", "script chk"])?;
        fs::remove_file(&down)?;
        agent.logged(&["WARN", "script chk is good, which is not wanted"])?;
        agent.logged(&["Master -> Fault"])?;
        Ok(())
    })
}

/// It fails once, mends what it found, and passes before that counts.
fn repairing() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, wire) = (lab.host("left")?, Wire::tap(lab, "lan")?);
        let down = left.directory().join("down");
        let text = format!("[ ! -f {0} ] || {{ rm {0}; exit 1; }}", down.display());
        let block = vrrp_script(&script(left, "check.sh", &text)?, "fall 2");
        let master = Running::start(left, config(&block, &instance()))?;
        hold(left, VIP)?;
        let transitions = master.transitions().len();
        for _ in 0..2 {
            fs::write(&down, "")?;
            wait_for("the script's repair", LIMIT, || !down.exists())?;
            wire.count("left", 51, Instant::now(), 3)?;
        }
        ensure!(master.transitions().len() == transitions, "{:?}", master.transitions());
        wire.never_resigned("left")
    })
}

fn init_fail() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let block = vrrp_script(&script(left, "check.sh", "exit 0")?, "rise 2\n    init_fail");
        let agent = Running::start(left, config(&block, &instance()))?;
        agent.logged(&["Initialize -> Fault", "init_fail"])?;
        hold(left, VIP)?;
        let transitions = agent.transitions();
        ensure!(transitions[0].text.contains("Initialize -> Fault"), "{transitions:?}");
        Ok(())
    })
}

fn waits() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let left = lab.host("left")?;
        let go = left.directory().join("go");
        let text = format!("while [ ! -f {} ]; do sleep 0.05; done", go.display());
        let block = vrrp_script(&script(left, "check.sh", &text)?, "timeout 20");
        let agent = Running::start(left, config(&block, &instance()))?;
        agent.logged(&["runs 1 virtual router(s)"])?;
        wait_for("two seconds without a word", LIMIT, {
            let start = Instant::now();
            move || start.elapsed() > Duration::from_secs(2)
        })?;
        ensure!(agent.transitions().is_empty(), "{:?}", agent.transitions());
        wire.never_ruled("left", 51)?;
        fs::write(&go, "")?;
        hold(left, VIP)?;
        agent.never_logged(&["Fault"])
    })
}

fn never_ending() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let pids = left.directory().join("pids");
        let text = format!(
            "trap '' TERM\necho $$ >> {0}\nsleep 1000 &\necho $! >> {0}\nwhile :; do wait; sleep 1; done",
            pids.display()
        );
        let block = vrrp_script(&script(left, "check.sh", &text)?, "timeout 1");
        let agent = Running::start(left, config(&block, &instance()))?;
        agent.logged(&["Initialize -> Fault", "script chk", "not done within"])?;
        wait_for("several runs", LIMIT, || {
            fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() >= 6)
        })?;
        // At most the one that runs and the one that is being ended.
        ensure!(living(&pids).len() <= 4, "{:?} still run", living(&pids));
        agent.stop()?;
        all_gone(&pids)
    })
}

fn flooding() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let text = "yes flood | head -c 20000000\necho the end >&2";
        let block = vrrp_script(&script(left, "check.sh", text)?, "timeout 25");
        let agent = Running::start(left, config(&block, &instance()))?;
        hold(left, VIP)?;
        let line = agent.logged(&["script chk is good", "the end"])?;
        ensure!(line.text.len() < 2_000, "{} bytes in a line", line.text.len());
        agent.stop()
    })
}

/// The runner of the agent `pid`.
fn runner_of(pid: Pid) -> Result<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
    let children = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: String = children.collect::<Vec<_>>().join(" ");
    let numbers = children.split_whitespace().filter_map(|number| number.parse().ok());
    let mut runners = numbers.filter(|number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.windows(15).any(|part| part == b"--script-runner")
    });
    runners.next().map(Pid::from_raw).context("the agent has no script runner")
}

fn killed_runner() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let pids = left.directory().join("pids");
        let runs = left.directory().join("runs");
        // The first run is over at once; the others are in the middle of it when the runner dies.
        let text = format!(
            "if [ ! -f {1} ]; then echo > {1}; exit 0; fi\necho $$ >> {0}\nif [ $(wc -l < {0}) -lt 2 ]; then sleep 1000; fi",
            pids.display(),
            runs.display()
        );
        let block = vrrp_script(&script(left, "check.sh", &text)?, "timeout 25");
        let agent = Running::start(left, config(&block, &instance()))?;
        hold(left, VIP)?;
        wait_for("a script that hangs", LIMIT, || !living(&pids).is_empty())?;
        let hanging = living(&pids);
        nix::sys::signal::kill(runner_of(agent.process.pid())?, Signal::SIGKILL)?;
        agent.logged(&["the script runner ended", "started again"])?;
        wait_for("the end of the orphan", LIMIT, || !living(&pids).contains(&hanging[0]))?;
        wait_for("runs by the new runner", LIMIT, || {
            fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() >= 3)
        })?;
        agent.never_logged(&["Fault"])?;
        agent.never_logged(&["script chk failed"])?;
        agent.stop()
    })
}

fn replaced() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let block = vrrp_script(&script(left, "check.sh", "exit 0")?, "");
        let agent = Running::start(left, config(&block, &instance()))?;
        hold(left, VIP)?;
        script(left, "check.sh", "echo another one; exit 7")?;
        agent.logged(&["Master -> Fault", "exit 7: \"another one\""])?;
        free(left, VIP)?;
        let path = script(left, "check.sh", "exit 0")?;
        hold(left, VIP)?;
        fs::remove_file(path)?;
        agent.logged(&["Master -> Fault", "check.sh cannot be found"]).map(drop)
    })
}

fn replaced_while_running() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let (begun, go) = (left.directory().join("begun"), left.directory().join("go"));
        let text = format!(
            "echo > {}\nwhile [ ! -f {} ]; do sleep 0.05; done\nexit 0",
            begun.display(),
            go.display()
        );
        let block = vrrp_script(&script(left, "check.sh", &text)?, "timeout 25");
        let agent = Running::start(left, config(&block, &instance()))?;
        wait_for("a run that lasts", LIMIT, || begun.exists())?;
        script(left, "check.sh", "kill -SEGV $$")?;
        fs::write(&go, "")?;
        agent.logged(&["script chk is good"])?;
        agent.logged(&["-> Fault", "script chk", "ended by signal 11"]).map(drop)
    })
}

/// As with keepalived, which disables it: nobody loses an address over a path that was never right.
fn missing() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let path = left.directory().join("check.sh");
        let agent = Running::start(left, config(&vrrp_script(&path, ""), &instance()))?;
        agent.logged(&["WARN", "script chk: counts for nothing", "check.sh cannot be found"])?;
        hold(left, VIP)?;
        agent.never_logged(&["Fault"])?;
        // From the moment it is there it counts.
        script(left, "check.sh", "exit 1")?;
        agent.logged(&["Master -> Fault", "script chk", "exit 1"]).map(drop)
    })
}

fn check() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let path = script(left, "check.sh", "exit 0")?;
        let file = left.directory().join("keepalived.conf");
        let check = || -> Result<(Option<i32>, String)> {
            let mut command = Command::new(Agent::find()?.binary);
            command.arg("--config").arg(&file).arg("--check");
            let output = left.run(command)?;
            Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
        };
        let text = config(&vrrp_script(&path, ""), &instance());
        fs::write(&file, &text)?;
        let (status, said) = check()?;
        ensure!(status == Some(0) && !said.contains("as root"), "{status:?} {said}");
        fs::set_permissions(left.directory(), fs::Permissions::from_mode(0o777))?;
        let (status, said) = check()?;
        ensure!(status == Some(0) && said.contains("run as root although"), "{status:?} {said}");
        fs::write(&file, text.replacen('{', "{\n    enable_script_security", 1))?;
        let (status, said) = check()?;
        let mend = format!("chmod go-w {}", left.directory().display());
        ensure!(
            status == Some(1) && said.contains("can be changed by others") && said.contains(&mend),
            "{said}"
        );
        fs::remove_file(&path)?;
        let (status, said) = check()?;
        ensure!(status == Some(1) && said.contains("cannot be found"), "{status:?} {said}");
        ensure!(said.contains("not run: script chk"), "{said}");
        Ok(())
    })
}
