//! One conversation with a mail server, by `lettre`; limits in time and bytes are ours.

use super::letter::Letter;
use hacluster_conf::model::Mail;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes that a server may send in one conversation.
const READ_MAX: usize = 1 << 20;
/// Bytes of a password file, and of one with certificates.
const PASSWORD_MAX: u64 = 4_096;
const CA_FILE_MAX: u64 = 1 << 20;
/// How the login may be said; only over TLS.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// Why a mail did not go out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server is not to be had: every mail waits.
    Server(String),
    /// It does not want this mail, ever.
    Letter(String),
}

/// A server that listens.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    limit: Duration,
}

impl Session {
    /// Connects, greets, and where asked for encrypts and logs in.
    pub(super) async fn open(mail: &Mail) -> Result<Self, Failure> {
        let limit = Duration::from_micros(mail.timeout.as_micros());
        let opening = async {
            let address = (mail.server.as_str(), mail.port);
            let stream = TcpStream::connect(address).await.map_err(|error| server(&error))?;
            let helo = mail.helo.clone().map_or_else(ClientId::default, ClientId::Domain);
            let stream = Box::new(Bounded { stream, left: READ_MAX });
            let connected = AsyncSmtpConnection::connect_with_transport(stream, &helo).await;
            let mut connection = connected.map_err(|error| server(&error))?;
            if mail.starttls {
                let tls = blocking({
                    let (name, file) = (mail.server.clone(), mail.ca_file.clone());
                    move || believed(name, file.as_deref())
                });
                connection.starttls(tls.await?, &helo).await.map_err(|error| server(&error))?;
            }
            if let Some(login) = &mail.login {
                log_in(&mut connection, login).await?;
            }
            Ok(connection)
        };
        let connection = timeout(limit, opening).await.map_err(|_| silent(limit))??;
        Ok(Self { connection, limit })
    }

    /// Hands over one mail. After a failure of the server the session is of no use any more.
    pub(super) async fn send(&mut self, letter: &Letter, mail: &Mail) -> Result<(), Failure> {
        let message = letter.message(mail).map_err(|error| Failure::Letter(format!("{error:#}")))?;
        let text = message.formatted();
        let sending = timeout(self.limit, self.connection.send(message.envelope(), &text)).await;
        match sending.map_err(|_| silent(self.limit))? {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() || error.is_client() => Err(Failure::Letter(words(&error))),
            Err(error) => Err(server(&error)),
        }
    }

    /// Whether the next mail needs another one.
    pub(super) fn is_broken(&self) -> bool {
        self.connection.has_broken()
    }

    /// Takes leave.
    pub(super) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.connection.quit()).await;
    }
}

async fn log_in(
    connection: &mut AsyncSmtpConnection,
    (name, file): &(String, std::path::PathBuf),
) -> Result<(), Failure> {
    if !connection.is_encrypted() {
        let why = "the password is not sent in clear; set starttls = true in [mail]";
        return Err(Failure::Server(why.to_owned()));
    }
    // Read each time: whoever changes the file need not tell us.
    let path = file.clone();
    let password = blocking(move || read("password file", &path, PASSWORD_MAX)).await?;
    let credentials = Credentials::new(name.clone(), password.trim_end_matches(['\n', '\r']).to_owned());
    let answer = connection.auth(&MECHANISMS, &credentials).await;
    answer.map(drop).map_err(|error| Failure::Server(format!("login as {name}: {}", words(&error))))
}

/// Whom `starttls` believes: what the system believes, and what stands in `file`.
fn believed(name: String, file: Option<&Path>) -> Result<TlsParameters, Failure> {
    let mut tls = TlsParameters::builder(name);
    if let Some(file) = file {
        let pem = read("ca_file", file, CA_FILE_MAX)?;
        let wrong = || Failure::Server(format!("ca_file {}: it holds no certificate", file.display()));
        let mut certificates = 0;
        for certificate in pem_parts(&pem) {
            tls =
                tls.add_root_certificate(Certificate::from_pem(certificate.as_bytes()).map_err(|_| wrong())?);
            certificates += 1;
        }
        if certificates == 0 {
            return Err(wrong());
        }
    }
    tls.build().map_err(|error| server(&error))
}

/// The certificates of a PEM text, one by one.
fn pem_parts(pem: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).filter(|part| part.ends_with(END))
}

/// Runs what may wait for a disk beside everything else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::Server(error.to_string())))
}

/// The text of a small file.
fn read(what: &str, path: &Path, most: u64) -> Result<String, Failure> {
    let text = (|| {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut text = String::new();
        std::fs::File::open(path)?.take(most + 1).read_to_string(&mut text)?;
        if text.len() as u64 > most {
            return Err(io::Error::other(format!("it has more than {most} bytes")));
        }
        Ok(text)
    })();
    text.map_err(|error| Failure::Server(format!("{what} {}: {error}", path.display())))
}

fn silent(limit: Duration) -> Failure {
    Failure::Server(format!("no answer within {} s", limit.as_secs_f32()))
}

fn server(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::Server(words(error))
}

/// One harmless line; what the server said is not trusted.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let text = match error.downcast_ref::<Error>().map(|error| (error.status(), error.to_string())) {
        Some((Some(code), text)) => {
            let said = text.split_once(": ").map_or("", |(_, said)| said);
            format!("it answered {code} {said}")
        }
        Some((None, text)) => text,
        None => error.to_string(),
    };
    let words = crate::script::readable(text.as_bytes());
    words.chars().take(200).collect()
}

/// A stream that ends with an error after so many bytes: lines of a server have no other bound.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    left: usize,
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server says more than a mail server has to say")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
