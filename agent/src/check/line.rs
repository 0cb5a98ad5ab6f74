//! What hyper speaks over: a connection whose first bytes are remembered, and which goes on only as long
//! as somebody waits for what it brings.

use hyper::rt::Executor;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

use super::outcome::SHOWN_MAX;

/// The first bytes that came. Copies share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Head(Arc<Mutex<Vec<u8>>>);

impl Head {
    pub(super) fn bytes(&self) -> Vec<u8> {
        lock(&self.0).clone()
    }

    fn take(&self, bytes: &[u8]) {
        let mut kept = lock(&self.0);
        let missing = SHOWN_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(missing)]);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that fills a [`Head`]. Nothing is read before something was written: some servers answer
/// without waiting for a request, and hyper takes that for an answer to nothing.
pub(super) struct Line<S> {
    stream: S,
    head: Head,
    /// Its end is said by closing it, and not by a call of its own before.
    bare: bool,
    written: bool,
    reader: Option<Waker>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, head: Head) -> Self {
        Self { stream, head, bare: false, written: false, reader: None }
    }

    /// One whose end needs no words: nothing is encrypted.
    pub(super) fn bare(stream: S, head: Head) -> Self {
        Self { bare: true, ..Self::new(stream, head) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.written {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        self.head.take(into.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.written = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.bare {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection of hyper, driven while something is awaited of it, and closed with this.
pub(super) struct Driven(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driven {
    pub(super) fn new<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        // Whoever waits for something hears of an error, too.
        Self(Some(Box::pin(async move { drop(connection.await) })))
    }

    /// Waits for `wanted`.
    pub(super) async fn until<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        poll_fn(|cx| {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(cx).is_ready()
            {
                self.0 = None;
            }
            wanted.as_mut().poll(cx)
        })
        .await
    }
}

/// Tasks that HTTP/2 starts; they end with the last copy of this.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        lock(&self.0).spawn(task);
    }
}
