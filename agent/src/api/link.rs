//! One accepted connection: who is at the other end, and the stream with what ends it.

use super::limits::{Bucket, Budget, Seat};
use hacluster_proto::identity::{Identity, Role};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tonic::transport::server::Connected;

/// Bytes of HTTP/2's greeting: who has sent them means it.
const GREETING_BYTES: usize = 24;
/// How long a client may take for that.
const GREETING_MAX: Duration = Duration::from_secs(5);

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) roles: Vec<Role>,
    /// Empty without a certificate.
    pub(super) serial: String,
    pub(super) node: Option<String>,
    /// When the certificate ends; `None` without one.
    pub(super) expires: Option<SystemTime>,
}

impl From<Identity> for Holder {
    fn from(identity: Identity) -> Self {
        let Identity { name, roles, node, serial, not_before: _, expires } = identity;
        Self { name, roles, serial, node, expires: Some(expires) }
    }
}

/// What every call on a connection finds among its extensions. Cheap to copy.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    holder: Result<Holder, String>,
    from: String,
    bucket: Mutex<Bucket>,
    denied: AtomicBool,
}

impl Link {
    /// A connection of `holder`, or of somebody who may not ask with the reason.
    pub(super) fn new(holder: Result<Holder, String>, from: String, budget: Budget) -> Self {
        let bucket = Mutex::new(budget.requests());
        Self(Arc::new(Inner { holder, from, bucket, denied: AtomicBool::new(false) }))
    }

    pub(super) fn holder(&self) -> Result<&Holder, String> {
        self.0.holder.as_ref().map_err(Clone::clone)
    }

    pub(super) fn from(&self) -> &str {
        &self.0.from
    }

    /// Whether one more request fits; else the rate, and how long to wait.
    pub(super) fn take_token(&self, now: Instant) -> Result<(), super::roles::Wait> {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = bucket.per_second();
        bucket.take(now).map_err(|wait| (per_second, wait))
    }

    /// True once: each connection is complained of one time.
    pub(super) fn first_denial(&self) -> bool {
        !self.0.denied.swap(true, Ordering::Relaxed)
    }
}

/// What carries a connection.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that counts, and that can be ended from outside.
pub(super) struct Guarded {
    socket: Box<dyn Socket>,
    link: Link,
    /// Resolves when the connection shall end; absent when nothing can end it.
    retired: Option<oneshot::Receiver<()>>,
    /// Until the greeting is there: how many bytes are missing, and how long they may.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    ended: Option<io::ErrorKind>,
    _seat: Seat,
}

impl Guarded {
    pub(super) fn new(
        socket: impl Socket + 'static,
        link: Link,
        seat: Seat,
        retired: Option<oneshot::Receiver<()>>,
    ) -> Self {
        let greeting = Some((GREETING_BYTES, Box::pin(tokio::time::sleep(GREETING_MAX))));
        Self { socket: Box::new(socket), link, retired, greeting, ended: None, _seat: seat }
    }

    /// Whether something ended the connection; whoever asks is woken when it does. Asked when writing,
    /// too: who reads nothing is not read from either.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(retired) = &mut self.retired
            && Pin::new(retired).poll(context).is_ready()
        {
            self.retired = None;
            self.ended = Some(io::ErrorKind::ConnectionAborted);
        }
        if let Some((_, late)) = &mut self.greeting
            && late.as_mut().poll(context).is_ready()
        {
            self.greeting = None;
            self.ended = Some(io::ErrorKind::TimedOut);
        }
        self.ended.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Connected for Guarded {
    type ConnectInfo = Link;

    fn connect_info(&self) -> Link {
        self.link.clone()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if let Some((missing, _)) = &mut self.greeting {
            *missing = missing.saturating_sub(count);
            if *missing == 0 {
                self.greeting = None;
            }
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
