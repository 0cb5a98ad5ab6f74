//! Probes over the network: does somebody take connections, does a web server answer.

use super::paced::Tried;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const HTTP_PORT: u16 = 80;
/// What servers write into their logs.
const OUR_NAME: &str = concat!("hacluster-agent/", env!("CARGO_PKG_VERSION"));

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Whether somebody takes connections.
    Tcp(SocketAddr),
    /// Whether a web server answers with a status from the first to the last.
    Http(String, (u16, u16)),
}

impl Target {
    pub(super) async fn once(&self, limit: Duration) -> Tried {
        let start = Instant::now();
        let answer = timeout(limit, self.ask()).await;
        let (good, text) =
            answer.unwrap_or_else(|_| (false, format!("no answer within {} ms", limit.as_millis())));
        Tried { good: Some(good), text, took: start.elapsed(), ran: None }
    }

    async fn ask(&self) -> (bool, String) {
        match self {
            Self::Tcp(address) => match TcpStream::connect(address).await {
                Ok(_) => (true, format!("{address} takes connections")),
                Err(error) => (false, format!("{address}: {error}")),
            },
            Self::Http(url, (first, last)) => match get(url).await {
                Ok(status) => ((*first..=*last).contains(&status), format!("{url} answers {status}")),
                Err(why) => (false, format!("{url}: {why}")),
            },
        }
    }
}

/// The status that a GET is answered with. Nothing of the body is read.
async fn get(url: &str) -> Result<u16, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("only http://HOST/PATH can be asked for".to_owned());
    };
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(HTTP_PORT))).await;
    let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let mut driver = JoinSet::new(); // ends with us, whatever the server does
    driver.spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, OUR_NAME)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A server that reads a request and answers it with `answer`, once.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        address
    }

    async fn ask(answer: &'static [u8]) -> Tried {
        let url = format!("http://{}/health?full", server(answer));
        Target::Http(url, (200, 399)).once(LIMIT).await
    }

    #[tokio::test]
    async fn the_status_decides() {
        let tried = ask(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(tried.good == Some(true) && tried.text.ends_with("answers 204"), "{}", tried.text);
        assert!(ask(b"HTTP/1.0 503 Sorry\r\nContent-Length: 9\r\n\r\n").await.good != Some(true));
        for garbage in [&b"SSH-2.0-OpenSSH\r\n\r\n"[..], b"", &[0xff; 10_000]] {
            let tried = ask(garbage).await;
            assert!(tried.good == Some(false) && !tried.text.contains("answers"), "{}", tried.text);
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_millis(50);
        let tried = Target::Http(format!("http://{address}/"), (200, 299)).once(limit).await;
        assert!(tried.good == Some(false) && tried.text == "no answer within 50 ms", "{}", tried.text);
        assert_eq!(Target::Tcp(address).once(LIMIT).await.good, Some(true));
        drop(listener);
        assert_eq!(Target::Tcp(address).once(LIMIT).await.good, Some(false));
    }
}
