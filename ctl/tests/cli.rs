//! The command as its users meet it, without an agent.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn ctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haclusterctl")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_fits_a_screen_and_tells_the_exit_statuses() {
    let output = ctl(&["--help"]);
    let help = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        help.lines().count() <= 40 && help.contains("Exit status:") && help.contains("Examples:"),
        "{help}"
    );
    assert!(!help.contains("generate"), "{help}");
}

#[test]
fn wrong_usage_is_3_and_suggests_the_nearest() {
    let output = ctl(&["statsu"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("'status'"), "{}", stderr(&output));
    assert_eq!(ctl(&["status", "--output", "xml"]).status.code(), Some(3));
    assert_eq!(ctl(&[]).status.code(), Some(3));
}

#[test]
fn no_agent_is_2_and_says_so_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let moving = &["failover", "vi_1", "--yes"];
    for verb in [&["status"][..], &["events", "-f"], &["config", "show"], &["lvs"], moving] {
        let output = ctl(&[&["--run-dir", dir.path().to_str().unwrap()], verb].concat());
        assert_eq!(output.status.code(), Some(2), "{verb:?}");
        let text = stderr(&output);
        assert!(text.contains("agent.sock") && text.contains("Is hacluster-agent running?"), "{text}");
        assert!(text.starts_with("error: no agent answers at "), "{text}");
    }
}

#[test]
fn a_socket_nobody_listens_at_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let output = ctl(&["--socket", socket.to_str().unwrap(), "status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("ended without cleaning up"), "{}", stderr(&output));
}

#[test]
fn something_else_at_the_socket_is_2() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    });
    let output = ctl(&["--socket", socket.to_str().unwrap(), "status"]);
    other.join().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

const ROUTER: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 90\n \
                      virtual_ipaddress {\n 192.0.2.1/24\n }\n";

#[test]
fn config_check_says_what_the_agent_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keepalived.conf");
    let check = |text: String| {
        std::fs::write(&file, text).unwrap();
        ctl(&["config", "check", file.to_str().unwrap()])
    };
    let clean = check(format!("{ROUTER}}}\n"));
    assert_eq!(clean.status.code(), Some(0), "{}", stdout(&clean));
    assert!(stdout(&clean).contains("1 virtual router(s) would run: VI_1"));
    let odd = check(format!("{ROUTER} preemtp_delay 5\n}}\n"));
    assert_eq!(odd.status.code(), Some(1));
    assert!(stdout(&odd).contains("did you mean `preempt_delay`?"), "{}", stdout(&odd));
    let absent = ctl(&["config", "check", "/nonexistent/keepalived.conf"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(stdout(&absent).contains("/nonexistent/keepalived.conf"));
}

#[test]
fn config_check_lays_agent_toml_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, toml) = (dir.path().join("keepalived.conf"), dir.path().join("agent.toml"));
    std::fs::write(&file, format!("{ROUTER}}}\n")).unwrap();
    std::fs::write(&toml, "[agent]\nlock_memroy = true\n").unwrap();
    let (file, toml) = (file.to_str().unwrap(), toml.to_str().unwrap());
    let output = ctl(&["config", "check", file, "--agent-config", toml]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("lock_memory"), "{}", stdout(&output));
}

#[test]
fn config_diff_of_two_files_needs_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let auth = " authentication {\n auth_type PASS\n auth_pass secret\n }\n";
    std::fs::write(path("old"), format!("{ROUTER}{auth}}}\n")).unwrap();
    std::fs::write(path("new"), format!("{ROUTER}{auth}}}\n").replace("priority 90", "priority 91")).unwrap();
    let same = ctl(&["config", "diff", &path("old"), &path("old")]);
    assert_eq!((same.status.code(), stdout(&same).as_str()), (Some(0), "No difference.\n"));
    let differs = ctl(&["config", "diff", &path("old"), &path("new")]);
    assert_eq!(differs.status.code(), Some(1));
    assert!(stdout(&differs).contains("VI_1: priority 90 -> 91"), "{}", stdout(&differs));
    let changed = format!("{ROUTER}{auth}}}\n").replace("secret", "other");
    std::fs::write(path("new"), changed).unwrap();
    let secret = ctl(&["config", "diff", &path("old"), &path("new")]);
    assert_eq!(secret.status.code(), Some(1), "a password that differs is a difference");
    assert!(!stdout(&secret).contains("secret"), "{}", stdout(&secret));
    let absent = ctl(&["config", "diff", &path("old"), &path("absent")]);
    assert_eq!(absent.status.code(), Some(3), "{}", stderr(&absent));
}

#[test]
fn watch_without_a_terminal_names_what_to_use() {
    let output = ctl(&["watch"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("haclusterctl status --watch"), "{}", stderr(&output));
}

#[test]
fn every_help_fits_a_screen_and_has_two_examples() {
    let verbs = [
        &["status"][..],
        &["watch"],
        &["events"],
        &["history"],
        &["config", "check"],
        &["config", "show"],
        &["config", "diff"],
    ];
    for verb in verbs {
        let help = stdout(&ctl(&[verb, &["-h"]].concat()));
        assert!(help.lines().count() <= 40, "{verb:?}: {help}");
        assert_eq!(help.matches("\n  haclusterctl ").count(), 2, "{verb:?}: {help}");
    }
}

#[test]
fn completions_and_man_pages_are_generated() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ctl(&["generate", dir.path().to_str().unwrap()]).status.code(), Some(0));
    for name in ["haclusterctl.1", "haclusterctl-status.1", "haclusterctl.bash", "_haclusterctl"] {
        assert!(dir.path().join(name).is_file(), "{name}");
    }
}
