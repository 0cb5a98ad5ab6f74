//! Process 1 of a container: starts the agent proper, passes signals on to it, and takes in the children
//! of scripts that nobody waits for. A container that is stopped thereby stops the agent in order, and
//! its addresses go.

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::{Command, ExitCode};

/// What is passed on.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGQUIT];

/// Whether this process is the first one of its namespace.
pub fn is_process_1() -> bool {
    std::process::id() == 1
}

/// Runs the agent with our own arguments until it ends; its exit status is ours.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut set = SigSet::from_iter(PASSED_ON);
    set.add(Signal::SIGCHLD);
    set.thread_block().context("cannot hold back signals")?; // the agent starts with none held back
    let agent = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .spawn()
        .context("cannot start the agent below process 1")?;
    let agent = Pid::from_raw(agent.id().cast_signed());
    loop {
        match set.wait().context("cannot wait for signals")? {
            Signal::SIGCHLD => {
                if let Some(status) = take_in(agent) {
                    return Ok(ExitCode::from(status));
                }
            }
            // One that has just ended is taken in at the next turn.
            signal => drop(kill(agent, signal)),
        }
    }
}

/// Takes in every child that has ended; the status of the agent if it is one of them.
fn take_in(agent: Pid) -> Option<u8> {
    let mut status = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => status = u8::try_from(code).ok().or(Some(1)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => {
                status = u8::try_from(128 + signal as i32).ok();
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return status,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return status.or(Some(1)),
        }
    }
}
