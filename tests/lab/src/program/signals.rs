//! Ctrl-C, SIGTERM and a closed terminal end the play in good order.
//!
//! A second one ends it at once; the kernel then kills the programs, and the namespaces go with them.

use anyhow::{Context, Result};
use hacluster_lab::wait;
use nix::sys::signal::{SigSet, Signal};
use std::{process, thread};

/// Exit code of a program that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// Takes the signals over. To be called before there are other threads: they must not take them.
pub(crate) fn watch() -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot hold back signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let _ = signals.wait();
            wait::interrupt();
            let _ = signals.wait();
            process::exit(INTERRUPTED.into());
        })
        .context("cannot start a thread")?;
    Ok(())
}
