//! Waiting for whatever comes first: a packet, an event, a knock, or the deadline.

use crate::NetError;
use hacluster_core::time::Instant;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

/// Sources reported per wait; the rest is reported by the next one.
const READY_MAX: usize = 64;

/// A set of sources, each with a number of the caller's choice.
#[derive(Debug)]
pub struct Waiter {
    epoll: Epoll,
    ready: [EpollEvent; READY_MAX],
}

impl Waiter {
    /// An empty set.
    pub fn new() -> Result<Self, NetError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| NetError::new("create an epoll set", errno))?;
        Ok(Self { epoll, ready: [EpollEvent::empty(); READY_MAX] })
    }

    /// Watches `source` for something to read, reported as `token` as long as there is something.
    /// Remove it before closing it.
    pub fn add(&self, source: impl AsFd, token: u64) -> Result<(), NetError> {
        self.epoll
            .add(source, EpollEvent::new(EpollFlags::EPOLLIN, token))
            .map_err(|errno| NetError::new("watch a file descriptor", errno))
    }

    /// Watches `source` no longer.
    pub fn remove(&self, source: impl AsFd) -> Result<(), NetError> {
        self.epoll.delete(source).map_err(|errno| NetError::new("stop watching a file descriptor", errno))
    }

    /// Waits until a source has something to read or `deadline` has passed, never shorter; without
    /// deadline, without end. Yields the tokens of the sources that are ready; none at the deadline or
    /// when a signal came between.
    pub fn wait_until(&mut self, deadline: Option<Instant>) -> Result<impl Iterator<Item = u64>, NetError> {
        let failed = |errno| NetError::new("wait for events", errno);
        // epoll_wait counts milliseconds; ppoll on the set itself counts nanoseconds.
        let mut set = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        let timeout = deadline.map(|deadline| TimeSpec::from(remaining(deadline)));
        let ready = match ppoll(&mut set, timeout, None) {
            Ok(0) | Err(Errno::EINTR) => 0,
            Ok(_) => self.epoll.wait(&mut self.ready, EpollTimeout::ZERO).or_else(|errno| match errno {
                Errno::EINTR => Ok(0),
                errno => Err(failed(errno)),
            })?,
            Err(errno) => return Err(failed(errno)),
        };
        Ok(self.ready.iter().take(ready).map(|event| event.data()))
    }
}

/// Time until `deadline` to the nanosecond: rounded to microseconds we might wake just before it.
fn remaining(deadline: Instant) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    Duration::from_micros(deadline.as_micros()).saturating_sub(now)
}

/// A bell: any thread rings, the thread that waits for it hears. Clones are the same bell.
#[derive(Clone, Debug)]
pub struct Wake(Arc<EventFd>);

impl Wake {
    /// A silent bell.
    pub fn new() -> Result<Self, NetError> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|event| Self(Arc::new(event)))
            .map_err(|errno| NetError::new("create an eventfd", errno))
    }

    /// Rings. Never blocks; many rings before they are heard are one.
    pub fn wake(&self) {
        // EAGAIN means that it has been ringing for 2^64 times already.
        let _ = self.0.write(1);
    }

    /// Silences the bell; true when it rang. Look for work after this, not before.
    pub fn clear(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use hacluster_core::time::Duration;
    use std::thread;

    #[test]
    fn a_deadline_is_never_early() {
        let mut waiter = Waiter::new().unwrap();
        for micros in [0, 1, 300, 1_500, 20_000] {
            let deadline = now() + Duration::from_micros(micros);
            assert_eq!(waiter.wait_until(Some(deadline)).unwrap().count(), 0);
            assert!(now() >= deadline, "{micros}");
        }
    }

    #[test]
    fn a_deadline_in_the_past_returns_at_once_with_what_is_ready() {
        let (mut waiter, wake) = (Waiter::new().unwrap(), Wake::new().unwrap());
        waiter.add(&wake, 7).unwrap();
        assert_eq!(waiter.wait_until(Some(Instant::ZERO)).unwrap().count(), 0);
        wake.wake();
        assert_eq!(waiter.wait_until(Some(Instant::ZERO)).unwrap().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn another_thread_ends_a_wait_without_end() {
        let (mut waiter, wake) = (Waiter::new().unwrap(), Wake::new().unwrap());
        waiter.add(&wake, 3).unwrap();
        let bell = wake.clone();
        let ringer = thread::spawn(move || (0..3).for_each(|_| bell.wake()));
        assert_eq!(waiter.wait_until(None).unwrap().collect::<Vec<_>>(), [3]);
        ringer.join().unwrap();
        assert!(wake.clear());
        assert!(!wake.clear(), "three rings are one");
        assert_eq!(waiter.wait_until(Some(now())).unwrap().count(), 0);
    }

    #[test]
    fn a_removed_source_is_silent() {
        let (mut waiter, wake) = (Waiter::new().unwrap(), Wake::new().unwrap());
        waiter.add(&wake, 3).unwrap();
        wake.wake();
        waiter.remove(&wake).unwrap();
        assert_eq!(waiter.wait_until(Some(now())).unwrap().count(), 0);
    }
}
