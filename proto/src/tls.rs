//! TLS as both sides have it: reading the files, connecting, and saying in words why it does not work.
//!
//! ```text
//!   certificate, key, authority, revoked --Material::load--> ClientTls --connect--> Channel
//!                                              `--------> agent: the listener      `--> ConnectError
//! ```
//!
//! TLS 1.3 only, both sides show a certificate, nothing is resumed: who was revoked is out at the next
//! connection. The name a client demands is the node's name, wherever the node listens.

mod files;
mod words;

pub use files::{Files, Material, MaterialError};
pub use words::{ConnectError, Fault, explain};

use hyper_util::rt::TokioIo;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

/// The protocol inside TLS.
pub const ALPN: &[u8] = b"h2";
/// A silent connection is asked this often whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// And is given up when it does not answer for this long.
const KEEPALIVE_MAX: Duration = Duration::from_secs(5);

/// The cryptography in use.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What a client needs to know others and be known. Cheap to copy.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    material: Arc<Material>,
}

impl ClientTls {
    /// Reads `files` and checks that they fit together.
    ///
    /// # Errors
    /// Which file, what is wrong with it, and the mend.
    pub fn load(files: &Files) -> Result<Self, MaterialError> {
        Self::of(Arc::new(Material::load(files)?))
    }

    /// Of files that were read before.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub fn of(material: Arc<Material>) -> Result<Self, MaterialError> {
        let roots: Arc<RootCertStore> = material.roots();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .with_crls(material.revoked().to_vec())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| material.unusable(&error))?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| material.unusable(&error))?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(material.chain().to_vec(), material.key())
            .map_err(|error| material.unusable(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), material })
    }

    /// The files' contents.
    pub fn material(&self) -> &Material {
        &self.material
    }
}

/// Connects to the agent of the node `server_name` at `address`, `host:port`, within `deadline`.
///
/// The channel is this one connection: once it is lost every call fails with `Unavailable`, and the
/// caller connects again (names, certificates and addresses may have changed meanwhile). It is there
/// only when the server has accepted the client's certificate too, which TLS 1.3 alone does not tell.
///
/// # Errors
/// What keeps it from working, in words with the mend.
pub async fn connect(
    address: &str,
    server_name: &str,
    tls: &ClientTls,
    deadline: Duration,
) -> Result<Channel, ConnectError> {
    let to = words::To { address, node: server_name, tls: &tls.material };
    let stream = match tokio::time::timeout(deadline, open(address, server_name, tls)).await {
        Ok(opened) => opened.map_err(|error| to.explain(&error))?,
        Err(_) => return Err(to.timed_out(deadline)),
    };
    let once = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)))
    });
    Endpoint::from_static("http://agent") // the connector knows where, TLS knows whom
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_MAX)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| to.explain(&error))
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// The error is an [`io::Error`] all along; what rustls says is inside.
async fn open(address: &str, server_name: &str, tls: &ClientTls) -> io::Result<Begun> {
    let name = ServerName::try_from(server_name.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a node's name"))?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let mut stream = tokio_rustls::TlsConnector::from(tls.config.clone()).connect(name, tcp).await?;
    // A server speaks first once it has seen our certificate: its settings, or the alert that refuses.
    let mut first = 0;
    if stream.read(std::slice::from_mut(&mut first)).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Begun { first: Some(first), stream })
}

/// A stream of which the first byte was read already.
#[derive(Debug)]
struct Begun {
    first: Option<u8>,
    stream: Stream,
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Begun {
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
