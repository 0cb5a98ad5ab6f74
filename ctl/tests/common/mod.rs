//! What tests of the command share.
#![allow(dead_code, unreachable_pub)] // each test uses a part of it

pub mod cluster;
pub mod fake;
pub mod samples;

use std::process::{Command, Output, Stdio};

/// The command, away from the user's own contexts, with nobody at its standard input.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haclusterctl"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["HACLUSTER_SOCKET", "HACLUSTERCTL_CONTEXT", "HACLUSTERCTL_CONFIG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("HOME", "/nonexistent").env("TZ", "UTC");
    command.env("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    command
}

/// Its exit status, standard output and standard error.
pub fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
