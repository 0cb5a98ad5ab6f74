//! Agents that are none: many in this process, with real TLS, all saying the same; some say nothing.

use anyhow::{Context, Result};
use hacluster_lab::{Fleet, Host, Lab, fleet::OPERATOR};
use hacluster_proto::{
    MESSAGE_BYTES_MAX,
    tls::{ALPN, Files, Material, provider},
    v1::{
        Address, ConfigurationState, GetConfigurationRequest, GetConfigurationResponse, GetSnapshotRequest,
        GetSnapshotResponse, ListEventsRequest, ListEventsResponse, ListLvsRequest, ListLvsResponse,
        ListTransitionsRequest, ListTransitionsResponse, Node, State, VirtualRouter, WatchRequest,
        WatchResponse,
        read_server::{Read, ReadServer},
    },
};
use rustls::{ServerConfig, server::WebPkiClientVerifier};
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
    time::SystemTime,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, codegen::tokio_stream::Stream, transport::server::Connected};

/// The first one's port; each listens on one of its own.
const FIRST_PORT: u16 = 20_000;
/// Name of the certificate they share: all are at one address, each context entry names it.
const NAME: &str = "standin";

/// A crowd on the loopback of one host; it ends with this value.
#[derive(Debug)]
pub(super) struct StandIns {
    /// Certificates, and the context that asks all.
    pub(super) fleet: Fleet,
    /// Those that are reached and never answer.
    _mute: Vec<TcpListener>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl StandIns {
    /// `count` of them on `host`, of which `dead` take connections and say nothing.
    pub(super) fn start(lab: &Lab, host: &Host, count: usize, dead: usize) -> Result<Self> {
        let fleet = Fleet::found(lab, &[])?;
        let ports: Vec<u16> = (0..count).map(|number| FIRST_PORT + number as u16).collect();
        let listening = ports.clone();
        let mut listeners = host.namespace().run(move || {
            let listen = |port: &u16| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, *port))?);
            listening.iter().map(listen).collect::<Result<Vec<_>>>()
        })?;
        let mute = listeners.split_off(count - dead);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        for (number, listener) in listeners.into_iter().enumerate() {
            let name = format!("{NAME}{number}");
            fleet.pki(&["node", &name, "--address", "127.0.0.1"])?;
            let acceptor = TlsAcceptor::from(Arc::new(server_config(&fleet, &name)?));
            listener.set_nonblocking(true)?;
            runtime.spawn(serve(listener, acceptor, name));
        }
        let nodes = ports.iter().enumerate().fold(String::new(), |mut text, (number, port)| {
            let _ = writeln!(text, "{NAME}{number} = \"127.0.0.1:{port}\"");
            text
        });
        let context = fleet.context(OPERATOR);
        let text = fs::read_to_string(&context).context("no context file")?;
        fs::write(&context, text + &nodes)?;
        Ok(Self { fleet, _mute: mute, runtime: Some(runtime) })
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn server_config(fleet: &Fleet, name: &str) -> Result<ServerConfig> {
    let [certificate, key] = fleet.identity(name);
    let files = Files { certificate, key, authority: fleet.authority(), revoked: None };
    let material = Material::load(&files)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(material.roots(), provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(material.chain().to_vec(), material.key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, name: String) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let answer = answer(&name);
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = ReadServer::new(StandIn { answer }).max_encoding_message_size(MESSAGE_BYTES_MAX);
            let incoming = Once(Some(Link(stream)));
            let _ =
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await;
        });
    }
}

/// A stream of this one connection.
struct Once(Option<Link>);

impl Stream for Once {
    type Item = std::io::Result<Link>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

struct Link(tokio_rustls::server::TlsStream<tokio::net::TcpStream>);

impl Connected for Link {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

struct StandIn {
    answer: GetSnapshotResponse,
}

/// A node with one virtual router, which it rules.
fn answer(name: &str) -> GetSnapshotResponse {
    let now = Some(SystemTime::now().into());
    // Its own: two hundred masters of one virtual router would be a finding, and asked about again.
    let number: u32 = name.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let address = Address {
        address: format!("10.1.{}.{}/24", number / 250, number % 250 + 1),
        interface: "eth0".into(),
        present: true,
        advertised: true,
    };
    let router = VirtualRouter {
        name: format!("VI_{name}"),
        vrid: number % 255 + 1,
        interface: "eth0".into(),
        state: State::Master.into(),
        since: now,
        priority_base: 100,
        priority_effective: 100,
        source: "192.0.2.11".into(),
        addresses: vec![address],
        ..VirtualRouter::default()
    };
    let configuration = Some(ConfigurationState::default());
    let node = Node { name: name.to_owned(), started: now, now, configuration, ..Node::default() };
    GetSnapshotResponse { node: Some(node), routers: vec![router], ..GetSnapshotResponse::default() }
}

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Read for StandIn {
    type WatchStream = Pin<Box<dyn Stream<Item = std::result::Result<WatchResponse, Status>> + Send>>;

    async fn get_snapshot(&self, _: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        let mut answer = self.answer.clone();
        if let Some(node) = &mut answer.node {
            node.now = Some(SystemTime::now().into());
        }
        Ok(Response::new(answer))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("a stand-in"))
    }

    async fn list_events(&self, _: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        Ok(Response::new(ListEventsResponse::default()))
    }

    async fn list_lvs(&self, _: Request<ListLvsRequest>) -> Answer<ListLvsResponse> {
        Ok(Response::new(ListLvsResponse::default()))
    }

    async fn list_transitions(&self, _: Request<ListTransitionsRequest>) -> Answer<ListTransitionsResponse> {
        Ok(Response::new(ListTransitionsResponse::default()))
    }

    async fn get_configuration(
        &self,
        _: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        Ok(Response::new(GetConfigurationResponse::default()))
    }
}
