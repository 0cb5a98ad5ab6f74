//! The API as a whole: the unix socket, the listener beside it, one server behind both.

use super::limits::{
    Budget, Door, HEADER_BYTES_MAX, KEEPALIVE, KEEPALIVE_MAX, STREAMS_PER_CONNECTION, WINDOW_BYTES,
};
use super::link::{Guarded, Link};
use super::listener::{Listener, Wanted};
use super::roles::{Complaints, Gate};
use super::tls::Keeper;
use super::{Shared, peercred, services};
use crate::event::EventSender;
use anyhow::{Context, bail};
use hacluster_conf::model::Config;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

/// How long an answer may take to begin.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Where connections of the unix socket come from.
const FROM: &str = "unix socket";
/// Owner only: root and the agent's own user need no more.
const SOCKET_MODE: u32 = 0o600;
/// How long running answers may take to end when the agent stops.
const FAREWELL_MAX: Duration = Duration::from_millis(200);

/// Puts configurations in force.
#[derive(Clone, Debug)]
pub struct Settings(watch::Sender<Wanted>);

impl Settings {
    /// Takes `[api]` and the addresses of peers, and looks at the files of the certificates: at start and
    /// at every reload. Never waits; what does not work is said as an event and tried again.
    pub fn put(&self, config: &Config) {
        self.0.send_replace(Wanted::of(config));
    }
}

/// The open API. Closed by [`close`](Self::close).
#[derive(Debug)]
pub struct Api {
    runtime: Runtime,
    path: PathBuf,
    wanted: watch::Sender<Wanted>,
    listening: watch::Receiver<Option<SocketAddr>>,
    keeper: Arc<Keeper>,
}

impl Api {
    /// Opens the socket at `path`, in place of one that a predecessor left, and begins to answer. Over
    /// TCP it answers once [`Settings::put`] says so.
    ///
    /// # Errors
    /// When the socket cannot be made, with the mend.
    pub fn open(path: &Path, shared: Shared, events: EventSender) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2) // one that greets a crowd leaves one for peers and coordinator
            .max_blocking_threads(4)
            .thread_name("hacluster-api")
            .thread_stack_size(1 << 20)
            .enable_all()
            .build()
            .context("cannot start the threads of the API")?;
        let guard = runtime.enter();
        let socket = listen(path)?;
        drop(guard);
        let (keeper, shared) = (shared.tls.clone(), Arc::new(shared));
        let (wanted, configured) = watch::channel(Wanted::default());
        let (told, listening) = watch::channel(None);
        let (sender, connections) = mpsc::channel(1);
        let (door, complaints) = (Arc::new(Door::default()), Complaints::new(events.clone()));
        let listener = Listener {
            wanted: configured,
            keeper: keeper.clone(),
            door: door.clone(),
            events,
            complaints: complaints.clone(),
            connections: sender.clone(),
            listening: told,
        };
        runtime.spawn(listener.run());
        runtime.spawn(accept(socket, door, sender));
        runtime.spawn(serve(Gate::new(services(shared), complaints), connections));
        Ok(Self { runtime, path: path.to_owned(), wanted, listening, keeper })
    }

    /// By which the configuration is put in force.
    pub fn settings(&self) -> Settings {
        Settings(self.wanted.clone())
    }

    /// Where it listens over TCP, if it does now.
    pub fn listening(&self) -> Option<SocketAddr> {
        *self.listening.borrow()
    }

    /// The identity of this node, for connections to peers.
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Where the coordinator runs, too.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
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

async fn accept(listener: UnixListener, door: Arc<Door>, connections: mpsc::Sender<io::Result<Guarded>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Nobody waits for another one's connection to end: too many means closed at once.
                let Ok(seat) = door.seat(Budget::Local, FROM) else { continue };
                let link = Link::new(peercred::holder(&stream), FROM.to_owned(), Budget::Local);
                if connections.send(Ok(Guarded::new(stream, link, seat, None))).await.is_err() {
                    return;
                }
            }
            // Out of file descriptors, most likely: others have to close some first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(gate: Gate<Routes>, connections: mpsc::Receiver<io::Result<Guarded>>) {
    let served = Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .concurrency_limit_per_connection(STREAMS_PER_CONNECTION as usize)
        .initial_connection_window_size(WINDOW_BYTES.0)
        .initial_stream_window_size(WINDOW_BYTES.1)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .timeout(ANSWER_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_MAX))
        .http2_max_pending_accept_reset_streams(Some(STREAMS_PER_CONNECTION as usize))
        .serve_with_incoming(gate, ReceiverStream::new(connections))
        .await;
    if let Err(error) = served {
        tracing::error!("the API ended: {error}; virtual routers are not affected");
    }
}
