//! An agent that says what a test wrote down for it, at a unix socket.
//!
//! ```text
//!   Script { snapshot, failover: |request| answer, ... } -> Fake::start -> gRPC -> haclusterctl
//!                                                             `-> seen(): what it was asked, in order
//! ```
//!
//! What the script does not answer is `Unimplemented`, as by an older agent.

use hacluster_proto::tls::{ALPN, Files, Material, provider};
use hacluster_proto::v1::admin_server::{Admin, AdminServer};
use hacluster_proto::v1::read_server::{Read, ReadServer};
use hacluster_proto::v1::{self, watch_response::Change};
use rustls::server::WebPkiClientVerifier;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Answers one kind of request. May block: each answer has a thread of its own.
pub type Answer<Q, A> = Arc<dyn Fn(Q) -> Result<A, Status> + Send + Sync>;

/// What the agent answers.
#[derive(Clone, Default)]
pub struct Script {
    pub snapshot: v1::GetSnapshotResponse,
    /// Sent to a watcher after the snapshot; the stream then stays open.
    pub changes: Vec<v1::WatchResponse>,
    pub events: v1::ListEventsResponse,
    pub configuration: v1::GetConfigurationResponse,
    pub failover: Option<Answer<v1::FailoverRequest, v1::FailoverResponse>>,
    pub failback: Option<Answer<v1::FailbackRequest, v1::FailbackResponse>>,
    pub drain: Option<Answer<v1::DrainRequest, v1::DrainResponse>>,
    pub undrain: Option<Answer<v1::UndrainRequest, v1::UndrainResponse>>,
    pub pause: Option<Answer<v1::PauseRequest, v1::PauseResponse>>,
    pub resume: Option<Answer<v1::ResumeRequest, v1::ResumeResponse>>,
    pub reload: Option<Answer<v1::ReloadRequest, v1::ReloadResponse>>,
    pub lvs: v1::ListLvsResponse,
    pub set_server: Option<Answer<v1::SetServerRequest, v1::SetServerResponse>>,
}

/// A running agent; it ends with this value.
pub struct Fake {
    runtime: Option<Runtime>,
    dir: tempfile::TempDir,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers at a socket of its own as soon as this returns.
    pub fn start(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let service = Service { script: Arc::new(script), seen: seen.clone() };
        let guard = runtime.enter();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        drop(guard);
        runtime.spawn(
            Server::builder()
                .add_service(ReadServer::new(service.clone()))
                .add_service(AdminServer::new(service))
                .serve_with_incoming(UnixListenerStream::new(listener)),
        );
        Self { runtime: Some(runtime), dir, seen }
    }

    /// For `--run-dir`.
    pub fn run_dir(&self) -> &Path {
        self.dir.path()
    }

    /// For `--socket`.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// Answers by TLS on the loopback too, in the name of `files`; gives the port's address.
    pub fn over_tls(&self, files: &Files) -> SocketAddr {
        let material = Material::load(files).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(material.roots(), provider()).build().unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider());
        let server = server.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let server = server.with_client_cert_verifier(verifier);
        let mut server = server.with_single_cert(material.chain().to_vec(), material.key()).unwrap();
        server.alpn_protocols = vec![ALPN.to_vec()];
        let (acceptor, socket) = (TlsAcceptor::from(Arc::new(server)), self.socket());
        let runtime = self.runtime.as_ref().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    let (Ok(mut outside), Ok(mut inside)) =
                        (acceptor.accept(stream).await, UnixStream::connect(socket).await)
                    else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        address
    }

    /// Every request so far, as `Debug` writes it.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // an answer that blocks keeps nobody
        }
    }
}

/// An answer that is the same for every request.
pub fn always<Q, A>(answer: A) -> Option<Answer<Q, A>>
where
    A: Clone + Send + Sync + 'static,
{
    Some(Arc::new(move |_| Ok(answer.clone())))
}

/// One answer for a dry run, another for the real thing.
pub fn by<Q, A>(
    dry_run: impl Fn(&Q) -> bool + Send + Sync + 'static,
    trial: A,
    done: A,
) -> Option<Answer<Q, A>>
where
    A: Clone + Send + Sync + 'static,
{
    Some(Arc::new(move |request| Ok(if dry_run(&request) { trial.clone() } else { done.clone() })))
}

#[derive(Clone)]
struct Service {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn note(&self, request: &impl Debug) {
        self.seen.lock().unwrap().push(format!("{request:?}"));
    }

    async fn answer<Q, A>(
        &self,
        request: Request<Q>,
        answer: &Option<Answer<Q, A>>,
    ) -> Result<Response<A>, Status>
    where
        Q: Debug + Send + 'static,
        A: Send + 'static,
    {
        let request = request.into_inner();
        self.note(&request);
        let answer = answer.clone().ok_or_else(|| Status::unimplemented("not in the script"))?;
        let answered = tokio::task::spawn_blocking(move || answer(request)).await;
        answered.map_err(|error| Status::internal(error.to_string()))?.map(Response::new)
    }
}

#[tonic::async_trait]
impl Read for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn get_snapshot(
        &self,
        request: Request<v1::GetSnapshotRequest>,
    ) -> Result<Response<v1::GetSnapshotResponse>, Status> {
        self.note(request.get_ref());
        Ok(Response::new(self.script.snapshot.clone()))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.note(request.get_ref());
        let first = v1::WatchResponse { change: Some(Change::Snapshot(self.script.snapshot.clone())) };
        let all = std::iter::once(first).chain(self.script.changes.clone());
        let told = tokio_stream::iter(all.map(Ok).collect::<Vec<_>>());
        Ok(Response::new(Box::pin(told.chain(tokio_stream::pending()))))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        self.note(request.get_ref());
        Ok(Response::new(self.script.events.clone()))
    }

    /// As an agent does that is older than this call.
    async fn list_transitions(
        &self,
        _: Request<v1::ListTransitionsRequest>,
    ) -> Result<Response<v1::ListTransitionsResponse>, Status> {
        Err(Status::permission_denied("knows no such call"))
    }

    async fn list_lvs(
        &self,
        request: Request<v1::ListLvsRequest>,
    ) -> Result<Response<v1::ListLvsResponse>, Status> {
        self.note(request.get_ref());
        Ok(Response::new(self.script.lvs.clone()))
    }

    async fn get_configuration(
        &self,
        request: Request<v1::GetConfigurationRequest>,
    ) -> Result<Response<v1::GetConfigurationResponse>, Status> {
        self.note(request.get_ref());
        Ok(Response::new(self.script.configuration.clone()))
    }
}

/// Each verb answers by its line of the script.
macro_rules! admin {
    ($($verb:ident: $request:ident -> $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl Admin for Service {
            $(async fn $verb(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                self.answer(request, &self.script.$verb).await
            })*
        }
    };
}

admin! {
    failover: FailoverRequest -> FailoverResponse,
    failback: FailbackRequest -> FailbackResponse,
    drain: DrainRequest -> DrainResponse,
    undrain: UndrainRequest -> UndrainResponse,
    pause: PauseRequest -> PauseResponse,
    resume: ResumeRequest -> ResumeResponse,
    reload: ReloadRequest -> ReloadResponse,
    set_server: SetServerRequest -> SetServerResponse,
}

/// A node that answers as `name`.
pub fn snapshot(name: &str, routers: Vec<v1::VirtualRouter>) -> v1::GetSnapshotResponse {
    let node = v1::Node { name: name.to_owned(), agent_version: "0.1.0".to_owned(), ..Default::default() };
    v1::GetSnapshotResponse { node: Some(node), routers, ..Default::default() }
}

/// A virtual router with one address, 192.0.2.`vrid`/24.
pub fn router(name: &str, vrid: u32, state: v1::State, priority: u32) -> v1::VirtualRouter {
    let ruling = state == v1::State::Master;
    v1::VirtualRouter {
        name: name.to_owned(),
        vrid,
        interface: "eth0".to_owned(),
        state: state.into(),
        priority_base: priority,
        priority_effective: priority,
        source: format!("192.0.2.{}", 100 + priority % 100),
        master_address: if ruling { String::new() } else { "192.0.2.200".to_owned() },
        addresses: vec![v1::Address {
            address: format!("192.0.2.{vrid}/24"),
            interface: "eth0".to_owned(),
            present: ruling,
            advertised: true,
        }],
        ..Default::default()
    }
}
