//! Between us and a virtual machine: ends all of its processes when one of the two ends.
//!
//! User-Mode Linux keeps helpers that do not notice when the kernel itself is killed. Nobody is left
//! to end them when we are killed ourselves, but for this one.

use super::GUARD;
use crate::privilege::bound_to_us;
use anyhow::{Context, Result};
use nix::{
    sys::{
        prctl,
        signal::{SigSet, Signal, killpg},
        wait::wait,
    },
    unistd::Pid,
};
use std::{
    env,
    ffi::OsStr,
    os::unix::process::CommandExt,
    process::{self, Command},
};

/// Starts the kernel on our command line and stays until it ends, or SIGTERM comes, or who started
/// us is gone. Never returns when asked for.
pub(super) fn watch_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(GUARD)) {
        return;
    }
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command.args(arguments);
    let outcome = watch(&command);
    if let Err(error) = &outcome {
        eprintln!("cannot guard the virtual machine: {error:#}");
    }
    process::exit(outcome.is_err().into());
}

fn watch(command: &Command) -> Result<()> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
    signals.thread_block()?;
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    prctl::set_child_subreaper(true)?;
    // Bound to us: our blocked signals are none of its business. Its helpers stay in its group.
    let kernel = bound_to_us(command).process_group(0).spawn().context("no kernel")?;
    signals.wait()?;
    killpg(Pid::from_raw(i32::try_from(kernel.id())?), Signal::SIGKILL)?;
    while wait().is_ok() {}
    Ok(())
}
