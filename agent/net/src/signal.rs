//! Signals as something to wait for, instead of something that interrupts.

use crate::NetError;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use std::os::fd::{AsFd, BorrowedFd};

/// What an operator, or the service manager, can say to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `SIGTERM` or `SIGINT`: hand over and end.
    Stop,
    /// `SIGHUP`: read the configuration again.
    Reload,
    /// `SIGUSR1`, and `SIGUSR2`, which asks keepalived for its counters: write down the state.
    Dump,
    /// `SIGQUIT`: end and leave what is in place to a successor.
    MakeWay,
}

/// Delivers the signals of [`Request`] to whoever polls this.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Withholds these signals from the calling thread, and from all it starts afterwards, and queues
    /// them here. Call it first thing in `main`. Children that are to run other programs inherit the
    /// mask and must clear it.
    pub fn open() -> Result<Self, NetError> {
        use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
        let mut set = SigSet::empty();
        [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT].into_iter().for_each(|one| set.add(one));
        set.thread_block()
            .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
            .map(Self)
            .map_err(|errno| NetError::new("receive signals", errno))
    }

    /// The next signal, `None` when there is none. Never waits.
    pub fn read(&self) -> Result<Option<Request>, NetError> {
        let info = self.0.read_signal().map_err(|errno| NetError::new("read a signal", errno))?;
        Ok(info.and_then(|info| match Signal::try_from(info.ssi_signo.cast_signed()) {
            Ok(Signal::SIGTERM | Signal::SIGINT) => Some(Request::Stop),
            Ok(Signal::SIGHUP) => Some(Request::Reload),
            Ok(Signal::SIGUSR1 | Signal::SIGUSR2) => Some(Request::Dump),
            Ok(Signal::SIGQUIT) => Some(Request::MakeWay),
            _ => None,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn each_signal_is_read_as_what_it_asks_for() {
        // `raise` addresses this thread alone: the others of the test process have not blocked them.
        let signals = Signals::open().unwrap();
        for (signal, request) in [
            (Signal::SIGTERM, Request::Stop),
            (Signal::SIGINT, Request::Stop),
            (Signal::SIGHUP, Request::Reload),
            (Signal::SIGUSR1, Request::Dump),
            (Signal::SIGUSR2, Request::Dump),
            (Signal::SIGQUIT, Request::MakeWay),
        ] {
            assert_eq!(signals.read().unwrap(), None);
            raise(signal).unwrap();
            assert_eq!(signals.read().unwrap(), Some(request));
        }
    }
}
