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
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Sources reported per wait; the rest is reported by the next one.
const READY_MAX: usize = 64;

/// A set of sources, each with a number of the caller's choice.
#[derive(Debug)]
pub struct Waiter {
    epoll: Epoll,
    ready: [EpollEvent; READY_MAX],
    /// As far as is known, the kernel has `epoll_pwait2` (5.11).
    one_call: bool,
}

/// The kernel's `struct __kernel_timespec`: 64 bits on every architecture, unlike `timespec`.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Waiter {
    /// An empty set.
    pub fn new() -> Result<Self, NetError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| NetError::new("create an epoll set", errno))?;
        Ok(Self { epoll, ready: [EpollEvent::empty(); READY_MAX], one_call: true })
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
        let timeout = deadline.map(remaining);
        let ready = match self.wait(timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(NetError::new("wait for events", errno)),
        };
        Ok(self.ready.iter().take(ready).map(|event| event.data()))
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        if self.one_call {
            match self.wait_in_one_call(timeout) {
                // Sandboxes older than the call answer EPERM.
                Err(Errno::ENOSYS | Errno::EPERM) => self.one_call = false,
                outcome => return outcome,
            }
        }
        self.wait_in_two_calls(timeout)
    }

    /// `epoll_pwait2` waits with nanoseconds and fetches what is ready: a received advert costs one
    /// call less, and no second wait queue.
    fn wait_in_one_call(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let timeout = timeout.map(|timeout| KernelTimespec {
            seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: timeout.subsec_nanos().into(),
        });
        // By number: the C library has had a function for it only since glibc 2.35.
        // SAFETY: `ready` has room for READY_MAX events, of which EpollEvent is a transparent wrapper;
        // the timeout is null or outlives the call; a null signal mask has no size to be read.
        let done = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.0.as_raw_fd(),
                self.ready.as_mut_ptr(),
                READY_MAX as libc::c_int,
                timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        Errno::result(done).map(|ready| ready as usize)
    }

    /// `epoll_wait` counts milliseconds; `ppoll` on the set itself counts nanoseconds.
    fn wait_in_two_calls(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let mut set = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut set, timeout.map(TimeSpec::from), None)? {
            0 => Ok(0),
            _ => self.epoll.wait(&mut self.ready, EpollTimeout::ZERO),
        }
    }
}

/// Time until `deadline` to the nanosecond: rounded to microseconds we might wake just before it.
fn remaining(deadline: Instant) -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    Duration::from_micros(deadline.as_micros()).saturating_sub(now)
}

/// A bell: any thread rings, the thread that waits for it hears. Clones are the same bell.
#[derive(Clone, Debug)]
pub struct Wake(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    event: EventFd,
    /// Rung since it was last silenced: further rings need no system call.
    rung: AtomicBool,
}

impl Wake {
    /// A silent bell.
    pub fn new() -> Result<Self, NetError> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|event| Self(Arc::new(Bell { event, rung: AtomicBool::new(false) })))
            .map_err(|errno| NetError::new("create an eventfd", errno))
    }

    /// Rings. Never blocks; many rings before they are heard are one.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // EAGAIN means that it has been ringing for 2^64 times already.
            let _ = self.0.event.write(1);
        }
    }

    /// Silences the bell; true when it rang. Look for work after this, not before.
    pub fn clear(&self) -> bool {
        let rang = self.0.event.read().is_ok();
        // After the read: who rings in between is silent, but its work is found by the look that
        // follows; who rings later is heard again.
        self.0.rung.swap(false, Ordering::AcqRel);
        rang
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use hacluster_core::time::Duration;
    use std::{sync::atomic::AtomicU64, thread};

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
    fn kernels_without_the_one_call_wait_as_well() {
        let mut waiter = Waiter { one_call: false, ..Waiter::new().unwrap() };
        let wake = Wake::new().unwrap();
        waiter.add(&wake, 7).unwrap();
        let deadline = now() + Duration::from_micros(1_500);
        assert_eq!(waiter.wait_until(Some(deadline)).unwrap().count(), 0);
        assert!(now() >= deadline);
        wake.wake();
        assert_eq!(waiter.wait_until(None).unwrap().collect::<Vec<_>>(), [7]);
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

    /// Saving system calls must never lose a ring: every number arrives, or this waits for ever.
    #[test]
    fn no_ring_is_lost_between_threads() {
        const LAST: u64 = 100_000;
        let (mut waiter, wake) = (Waiter::new().unwrap(), Wake::new().unwrap());
        waiter.add(&wake, 1).unwrap();
        let (number, bell) = (Arc::new(AtomicU64::new(0)), wake.clone());
        let written = number.clone();
        let ringer = thread::spawn(move || {
            for next in 1..=LAST {
                written.store(next, Ordering::Release);
                bell.wake();
            }
        });
        while number.load(Ordering::Acquire) < LAST {
            let limit = now() + Duration::from_secs(60);
            waiter.wait_until(Some(limit)).unwrap().for_each(drop);
            assert!(wake.clear() || now() < limit, "a ring was lost");
        }
        ringer.join().unwrap();
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
