//! The command as a user meets it, without privilege and without network.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hacluster-agent")).args(arguments).output().unwrap()
}

fn check(text: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keepalived.conf");
    std::fs::write(&file, text).unwrap();
    agent(&[&["--check", "--config", file.to_str().unwrap()], more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn router(lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n    interface eth0\n    virtual_router_id 51\n    priority 90\n{lines}\n    \
         virtual_ipaddress {{\n        192.0.2.1/24\n    }}\n}}\n"
    )
}

#[test]
fn help_fits_a_screen_and_shows_examples() {
    let help = stdout(&agent(&["--help"]));
    assert!(help.lines().count() <= 50, "{}", help.lines().count());
    assert!(help.contains("--check") && help.contains("Examples:"), "{help}");
}

#[test]
fn a_clean_file_exits_0() {
    let output = check(&router(""), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("1 virtual router(s) would run: VI_1"));
}

#[test]
fn what_is_not_in_force_exits_1_and_is_shown_where_it_stands() {
    let auth = "    authentication {\n        auth_type pass\n        auth_pass hushhush\n    }";
    let output = check(&router(auth), &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("keepalived.conf:6:19") && text.contains("did you mean `PASS`?"), "{text}");
    assert!(!text.contains("hushhush"), "the password is shown: {text}");
}

#[test]
fn what_cannot_run_exits_2() {
    let output = agent(&["--check", "--config", "/nonexistent/keepalived.conf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("/nonexistent/keepalived.conf"));
}

#[test]
fn json_has_stable_names() {
    let output = check(&router("    preemtp_delay 5"), &["--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let first = &answer["diagnostics"][0];
    for name in ["severity", "code", "message", "file", "line", "column"] {
        assert!(!first[name].is_null(), "{name} in {first:#}");
    }
}

#[test]
fn an_unknown_option_suggests_the_nearest() {
    let output = agent(&["--chek"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--check"));
}

#[test]
fn a_file_that_cannot_run_ends_with_one_clear_line() {
    let output = agent(&["--config", "/nonexistent/keepalived.conf"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78));
    assert!(text.contains("nothing can run") && text.contains("/nonexistent/"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The samples are what people copy first.
#[test]
fn the_samples_in_deploy_are_clean() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    for sample in ["keepalived.conf", "agent.toml"] {
        let output = agent(&["--check", "--config", samples.join(sample).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{sample}: {}", stdout(&output));
    }
}
