//! The socket and its limits.

use super::read::ReadService;
use super::{Shared, peercred};
use crate::board::Board;
use crate::in_force::DiskCheck;
use anyhow::{Context, bail};
use hacluster_proto::v1::read_server::ReadServer;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, UdsConnectInfo};

/// Connections at one time; more are closed at once.
const CONNECTIONS: usize = 32;
/// Calls at one time on a connection.
const STREAMS_PER_CONNECTION: u32 = 16;
/// Most bytes of a request: none needs more than a name.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How long an answer may take to begin.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A silent connection is asked this often whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Owner only: root and the agent's own user need no more.
const SOCKET_MODE: u32 = 0o600;
/// How long running answers may take to end when the agent stops.
const FAREWELL_MAX: Duration = Duration::from_millis(200);

/// The open API. Closed by [`close`](Self::close).
#[derive(Debug)]
pub struct Api {
    runtime: Runtime,
    path: PathBuf,
}

impl Api {
    /// Opens the socket at `path`, in place of one that a predecessor left, and begins to answer.
    ///
    /// # Errors
    /// When the socket cannot be made, with the mend.
    pub fn open(path: &Path, board: Arc<Board>, disk: DiskCheck) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .thread_name("hacluster-api")
            .thread_stack_size(1 << 20)
            .enable_all()
            .build()
            .context("cannot start the threads of the API")?;
        let guard = runtime.enter();
        let listener = listen(path)?;
        drop(guard);
        let host_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host_name = host_name.trim().to_owned();
        let shared = Arc::new(Shared { board, disk, started: SystemTime::now(), host_name });
        let (sender, connections) = mpsc::channel(1);
        runtime.spawn(accept(listener, sender));
        runtime.spawn(serve(shared, connections));
        Ok(Self { runtime, path: path.to_owned() })
    }

    /// Answers nobody any more and removes the socket.
    pub fn close(self) {
        let _ = fs::remove_file(&self.path);
        self.runtime.shutdown_timeout(FAREWELL_MAX);
    }
}

/// Under another name first: the socket appears with its mode, and replaces a stale one, at once.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let mend = "choose another directory with --run-dir, short and on a file system that has sockets";
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        bail!("{} is there and is not a socket; remove it", path.display());
    }
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)
        .with_context(|| format!("cannot listen at {}; {mend}", fresh.display()))?;
    fs::set_permissions(&fresh, Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot listen at {}; {mend}", path.display()))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, connections: mpsc::Sender<io::Result<Guarded>>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Nobody waits for another one's connection to end: too many means closed at once.
                let Ok(permit) = free.clone().try_acquire_owned() else { continue };
                if connections.send(Ok(Guarded { stream, _permit: permit })).await.is_err() {
                    return;
                }
            }
            // Out of file descriptors, most likely: others have to close some first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(shared: Arc<Shared>, connections: mpsc::Receiver<io::Result<Guarded>>) {
    let read = ReadServer::new(ReadService::new(shared)).max_decoding_message_size(REQUEST_BYTES_MAX);
    let read = tonic::service::interceptor::InterceptedService::new(read, peercred::check);
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .concurrency_limit_per_connection(STREAMS_PER_CONNECTION as usize)
        .timeout(ANSWER_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(STREAMS_PER_CONNECTION as usize))
        .add_service(read)
        .serve_with_incoming(ReceiverStream::new(connections))
        .await;
    if let Err(error) = served {
        tracing::error!("the API ended: {error}; virtual routers are not affected");
    }
}

/// A connection that counts.
struct Guarded {
    stream: UnixStream,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Guarded {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
