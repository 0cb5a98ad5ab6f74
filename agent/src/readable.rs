//! Descriptors that tokio waits for.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use tokio::io::unix::AsyncFd;

/// Something of the kernel's that tokio can wait for.
#[derive(Debug)]
pub(crate) struct Readable<T>(pub(crate) T);

impl<T: AsFd> AsRawFd for Readable<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Makes `inner` something that tokio waits for.
#[expect(deprecated, reason = "what replaces it is unsafe to call, and a `Readable` owns its descriptor")]
pub(crate) fn readable<T: AsFd>(inner: T) -> std::io::Result<AsyncFd<Readable<T>>> {
    AsyncFd::new(Readable(inner))
}
