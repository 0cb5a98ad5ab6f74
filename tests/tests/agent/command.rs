//! The command line: `--check`, exit statuses, log formats, and what never gets out.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Host, LIMIT, Lab, Process};
use hacluster_tests::harness::{Instance, Running, Skip, Suite, VIP, hold, pair};
use std::{
    ffi::OsStr,
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const PASSWORD: &str = "s3cr3tpw";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("check_answers_with_its_exit_status", check);
    suite.trial("what_keeps_it_from_starting_is_one_line_and_a_status", refusals);
    suite.trial("without_privilege_it_says_so", no_privilege);
    suite.trial("real_time_priority_refused_is_a_warning", no_real_time);
    suite.trial("log_lines_are_json_when_asked", json_log);
    suite.trial("the_password_is_never_shown", password);
    suite.trial("log_lines_go_to_syslog_under_their_facility", syslog);
    suite.trial("the_options_of_keepalived_are_taken", options_of_keepalived);
}

fn run<T: AsRef<OsStr>>(arguments: impl IntoIterator<Item = T>) -> Result<Output> {
    let output = Command::new(Agent::find()?.binary).args(arguments).output();
    output.context("cannot run the agent")
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Good, with something that is not in force, and with nothing that can run.
fn three_files(directory: &Path) -> Result<[PathBuf; 3]> {
    let good = Instance::new(100).password(Some(PASSWORD));
    let partly = good.clone().with("notify_master \"/no/such/program\"");
    let bad = good.to_string().replace("virtual_router_id 51", "virtual_router_id 0");
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).map(|()| path)
    };
    Ok([
        write("good.conf", good.to_string())?,
        write("partly.conf", partly.to_string())?,
        write("bad.conf", bad)?,
    ])
}

fn check() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (status, file) in three_files(directory.path())?.iter().enumerate() {
        for format in ["text", "json"] {
            let output = run([
                OsStr::new("--check"),
                "--format".as_ref(),
                format.as_ref(),
                "-f".as_ref(),
                file.as_ref(),
            ])?;
            let text = both(&output);
            ensure!(
                output.status.code() == Some(status as i32),
                "{}: {}\n{text}",
                file.display(),
                output.status
            );
            if format == "json" {
                let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
                ensure!(value.is_object() || value.is_array(), "{value}");
            } else if status > 0 {
                ensure!(text.contains(".conf:"), "no place is named:\n{text}");
            }
        }
    }
    Ok(())
}

fn refusals() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let missing = left.directory().join("absent.conf");
        let (code, lines) = ended(left, &agent(left, &missing)?)?;
        ensure!(code == Some(78) && lines.iter().any(|line| line.contains("absent.conf")), "{lines:?}");
        ensure!(lines.len() <= 2, "{lines:?}");

        // A directory cannot be read as a file, not even by root.
        let (code, lines) = ended(left, &agent(left, left.directory())?)?;
        ensure!(code == Some(78) && lines.len() <= 2, "{lines:?}");

        let first = Running::start(left, Instance::new(255).master())?;
        hold(left, VIP)?;
        let (code, lines) = ended(left, &agent(left, &first.config())?)?;
        let pid = format!("another agent (pid {})", first.process.pid());
        let told = lines.iter().filter(|line| line.contains(&pid) && line.contains("--run-dir")).count();
        ensure!(code == Some(2) && told == 1 && lines.len() == 1, "{lines:?}");
        ensure!(left.holds(VIP)? && first.process.is_running(), "the first one must not suffer");
        Ok(())
    })
}

fn agent(host: &Host, config: &Path) -> Result<Command> {
    let mut command = Command::new(Agent::find()?.binary);
    command.arg("--config").arg(config).arg("--run-dir").arg(host.directory().join("run"));
    Ok(command)
}

/// Runs a copy of `command` on `host` to its end.
fn ended(host: &Host, command: &Command) -> Result<(Option<i32>, Vec<String>)> {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    let process = host.spawn("agent", copy)?;
    let status = process.wait(LIMIT)?;
    Ok((status.code(), process.lines().into_iter().map(|line| line.text).collect()))
}

/// The agent behind util-linux' `setpriv`, which takes capabilities away.
fn with_less(host: &Host, bounding_set: &str) -> Result<Command> {
    let agent = agent(host, &host.directory().join("keepalived.conf"))?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", bounding_set, "--inh-caps", bounding_set]);
    command.arg(agent.get_program()).args(agent.get_args());
    Ok(command)
}

fn need_setpriv() -> Result<()> {
    let found = Command::new("setpriv").arg("--version").output();
    found.map(drop).map_err(|_| Skip("setpriv is not installed".to_owned()).into())
}

fn no_privilege() -> Result<()> {
    need_setpriv()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        fs::write(left.directory().join("keepalived.conf"), Instance::new(255).master().to_string())?;
        let (code, lines) = ended(left, &with_less(left, "-all")?)?;
        ensure!(code == Some(2) && lines.len() == 1, "{code:?} {lines:?}");
        ensure!(lines[0].contains("CAP_NET_ADMIN"), "{lines:?}");
        Ok(())
    })
}

fn no_real_time() -> Result<()> {
    need_setpriv()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let config = format!("global_defs {{\n    vrrp_rt_priority 50\n}}\n{}", Instance::new(255));
        fs::write(left.directory().join("keepalived.conf"), config)?;
        let process: Process = left.spawn("agent without CAP_SYS_NICE", with_less(left, "-sys_nice")?)?;
        hold(left, VIP)?;
        let warned =
            process.lines().iter().any(|line| line.text.contains("WARN") && line.text.contains("real-time"));
        let allowed = fs::read_to_string(format!("/proc/{}/limits", process.pid()))?
            .lines()
            .any(|line| line.starts_with("Max realtime priority") && !line.contains(" 0 "));
        ensure!(warned || allowed, "no warning: {:?}", process.lines());
        ensure!(process.stop()?.code() == Some(0));
        Ok(())
    })
}

fn json_log() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let config = Instance::new(255).password(Some(PASSWORD)).with("notify_master \"/no/such/program\"");
        let agent = Running::start_with(left, config, &["--log-format", "json"])?;
        hold(left, VIP)?;
        agent.logged(&["-> Master"])?;
        agent.stop()?;
        let mut routers = 0;
        for line in agent.process.lines() {
            let value: serde_json::Value =
                serde_json::from_str(&line.text).with_context(|| format!("not JSON: {}", line.text))?;
            ensure!(value["level"].is_string() && value["message"].is_string(), "{value}");
            routers += usize::from(value["router"] == "VI_1" && value["vrid"] == 51);
        }
        ensure!(routers >= 2, "no line names its router");
        ensure!(agent.lines(&[PASSWORD]).is_empty(), "the password is in the log");
        Ok(())
    })
}

fn password() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let files = three_files(left.directory())?;
        let mut odd: Vec<String> = Vec::new();
        let good = fs::read_to_string(&files[0])?;
        odd.push(good.replace("auth_pass", "auth_pas"));
        odd.push(good.replace("auth_type PASS", "auth_type pass"));
        odd.push(good.replace(PASSWORD, &format!("{PASSWORD}-and-more")));
        odd.push(good.replace(PASSWORD, &format!("{PASSWORD} {PASSWORD}")));
        odd.push(good.replace("authentication {", "authentication"));
        let mut paths = files.to_vec();
        for (number, text) in odd.iter().enumerate() {
            paths.push(left.directory().join(format!("odd{number}.conf")));
            fs::write(&paths[paths.len() - 1], text)?;
        }
        for path in &paths {
            for format in ["text", "json"] {
                let shown = both(&run([
                    OsStr::new("--check"),
                    "--format".as_ref(),
                    format.as_ref(),
                    "-f".as_ref(),
                    path.as_ref(),
                ])?);
                ensure!(!shown.contains(PASSWORD), "--check of {} shows it:\n{shown}", path.display());
            }
        }
        for path in &paths[1..] {
            let agent = Running::start(left, &fs::read_to_string(path)?)?;
            agent.logged(&[""])?;
            agent.reload(&good)?;
            if agent.process.is_running() {
                agent.process.stop()?;
            }
            ensure!(agent.lines(&[PASSWORD]).is_empty(), "the log shows it: {:?}", agent.process.lines());
        }
        Ok(())
    })
}

/// With a `/dev` of its own, in which `log` is a socket of ours.
fn syslog() -> Result<()> {
    const DEV: &str = "mount --rbind /dev old && mount -t tmpfs none /dev && touch /dev/null /dev/log && \
                       mount --bind old/null /dev/null && mount --bind log /dev/log && exec \"$@\"";
    let directory = tempfile::tempdir()?;
    fs::create_dir(directory.path().join("old"))?;
    let socket = UnixDatagram::bind(directory.path().join("log"))?;
    socket.set_nonblocking(true)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", DEV, "sh"]).arg(Agent::find()?.binary);
    command.args(["-D", "-S", "3", "--config", "/no/such/keepalived.conf"]).current_dir(&directory);
    let output = command.output().context("unshare (util-linux)")?;
    let said = both(&output);
    if output.status.code() != Some(2) || said.contains("unshare") || said.contains("mount") {
        return Err(Skip(format!("a /dev of one's own ({said})")).into());
    }
    let mut line = [0; 4096];
    let length = socket.recv(&mut line).context("nothing was sent to syslog")?;
    let line = String::from_utf8_lossy(&line[..length]);
    // local3 is 19, an error 3.
    ensure!(line.starts_with("<155>") && line.contains("hacluster-agent["), "{line}");
    ensure!(line.contains("/no/such/keepalived.conf") && !line.contains('\u{1b}'), "{line}");
    ensure!(!said.contains("/no/such"), "it is said twice: {said}");
    Ok(())
}

/// What stands in the service files of keepalived, and the checks people write for it.
fn options_of_keepalived() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("keepalived.conf");
    let both_nodes =
        Instance::new(100).to_string().replace("priority 100", "@a priority 100\n    @b priority 90");
    fs::write(&file, format!("{both_nodes}@b no_such_keyword 1\n"))?;
    let check = |name: &str| -> Result<(Option<i32>, String)> {
        let output = run([
            OsStr::new("-D"),
            "-n".as_ref(),
            "-l".as_ref(),
            "-t".as_ref(),
            "-i".as_ref(),
            name.as_ref(),
            "-f".as_ref(),
            file.as_ref(),
        ])?;
        Ok((output.status.code(), both(&output)))
    };
    let (status, text) = check("a")?;
    ensure!(status == Some(0), "{status:?} {text}");
    let (status, text) = check("b")?;
    ensure!(status == Some(1) && text.contains("no_such_keyword"), "{status:?} {text}");
    Ok(())
}
