//! Whether a web server answers as it should.
//!
//! ```text
//!   Http: all urls, one after the other -- connect, greet --> Line --> hyper --> Body: digest, pattern
//!                                                               `-- first bytes, to be shown
//! ```
//!
//! Each url has the time limit of the check for itself. Redirects are not followed: the status counts.
//! A server that ends the body too early, or with a wrong length, is good as long as nobody looks at it.

use super::body::{Body, Expectation};
use super::line::{Driven, Head, Line, Tasks};
use super::outcome::{Answer, Bad, bad, good, line, ours, shown, span, words};
use super::{Shared, route, tls};
use hacluster_conf::model::lvs::{CheckRoute, HttpCheck, HttpVersion, Url};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What servers write into their logs. keepalived's name comes first: people filter by it.
const OUR_NAME: &str = concat!("KeepAliveClient hacluster-agent/", env!("CARGO_PKG_VERSION"));
/// Bytes of the head of an answer.
const HEAD_MAX: usize = 64 << 10;
/// How long the first bytes of a bad answer are waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A check, ready to be tried again and again.
pub(super) struct Http {
    version: HttpVersion,
    asks: Vec<Ask>,
}

/// One url.
struct Ask {
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    path: String,
    uri: Uri,
    headers: HeaderMap,
    statuses: Vec<(u16, u16)>,
    expectation: Expectation,
}

/// How far a try came, to be told when its time is up.
#[derive(Default)]
enum Stage {
    #[default]
    Connecting,
    Greeting,
    Waiting(Head),
    Reading(StatusCode, u64),
}

/// An answer, and the connection over which its body comes.
struct Conversation {
    answer: Response<Incoming>,
    driven: Driven,
    /// Kept, because the connection ends with it.
    _h2: Option<(http2::SendRequest<Empty<Bytes>>, Tasks)>,
}

impl Http {
    /// # Errors
    /// What this node cannot do.
    pub(super) fn new(check: &HttpCheck, route: &CheckRoute, shared: &Shared) -> Result<Self, Bad> {
        let asks: Result<Vec<Ask>, Bad> =
            check.urls.iter().map(|url| Ask::new(url, check, route.to, shared)).collect();
        Ok(Self { version: check.version, asks: asks? })
    }

    /// Tries all urls, until one is bad.
    pub(super) async fn ask(&self, route: &CheckRoute, limit: Duration, shared: &Shared) -> Answer {
        let mut last = String::new();
        for ask in &self.asks {
            let mut stage = Stage::default();
            let asked = timeout(limit, self.one(ask, route, shared, &mut stage)).await;
            let answer = asked.unwrap_or_else(|_| Err(stage.late(limit)));
            last = answer.map_err(|why| self.name(ask, why))?;
        }
        match self.asks.len() {
            0 | 1 => good(last),
            count => good(format!("{count} urls answer, the last one {last}")),
        }
    }

    /// Says which of several urls it was.
    fn name(&self, ask: &Ask, why: Bad) -> Bad {
        match why {
            Bad::Server(why) if self.asks.len() > 1 => bad(format!("{}: {why}", line(&ask.path))),
            why => why,
        }
    }

    async fn one(
        &self,
        ask: &Ask,
        route: &CheckRoute,
        shared: &Shared,
        stage: &mut Stage,
    ) -> Result<String, Bad> {
        let stream = route::connect(route).await?;
        let head = Head::default();
        let conversation = match &ask.tls {
            None => {
                *stage = Stage::Waiting(head.clone());
                self.speak(ask, Line::bare(stream, head.clone()), head).await?
            }
            Some((config, name)) => {
                *stage = Stage::Greeting;
                let raw = Head::default();
                let greeting = TlsConnector::from(config.clone())
                    .connect(name.clone(), Line::new(stream, raw.clone()))
                    .await;
                let stream = greeting.map_err(|error| tls::explain(&error, &raw.bytes()))?;
                if self.version == HttpVersion::V2 && stream.get_ref().1.alpn_protocol().is_none() {
                    return Err(bad("server does not offer HTTP/2 (ALPN)"));
                }
                *stage = Stage::Waiting(head.clone());
                self.speak(ask, Line::new(stream, head.clone()), head).await?
            }
        };
        ask.judge(conversation, stage, shared).await
    }

    /// Sends the request and waits for the head of the answer.
    async fn speak<S>(&self, ask: &Ask, line: Line<S>, head: Head) -> Result<Conversation, Bad>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(line);
        let request = ask.request(self.version);
        let failed = |error: hyper::Error| explain(&error, &head.bytes());
        if self.version == HttpVersion::V2 {
            let tasks = Tasks::default();
            let (mut sender, connection) = http2::Builder::new(tasks.clone())
                .max_header_list_size(HEAD_MAX as u32)
                .handshake(stream)
                .await
                .map_err(failed)?;
            let mut driven = Driven::new(connection);
            let answer = driven.until(sender.send_request(request)).await.map_err(failed)?;
            return Ok(Conversation { answer, driven, _h2: Some((sender, tasks)) });
        }
        let (mut sender, connection) = http1::Builder::new()
            .title_case_headers(true) // some servers take no others
            .ignore_invalid_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .max_buf_size(HEAD_MAX)
            .handshake(stream)
            .await
            .map_err(failed)?;
        let mut driven = Driven::new(connection);
        let answer = driven.until(sender.send_request(request)).await.map_err(failed)?;
        Ok(Conversation { answer, driven, _h2: None })
    }
}

impl Ask {
    fn new(url: &Url, check: &HttpCheck, to: SocketAddr, shared: &Shared) -> Result<Self, Bad> {
        let tls = match check.tls {
            true => {
                let greetings = shared.greetings.as_ref().as_ref().map_err(|why| ours("block SSL", why))?;
                let greeting = greetings.of(url.sni.as_deref(), check.version == HttpVersion::V2, to.ip());
                Some(greeting.map_err(|why| ours("sni_name", why))?)
            }
            false => None,
        };
        let host = url.host.clone().unwrap_or_else(|| host(to, check.tls));
        let header = HeaderValue::from_str(&host).map_err(|_| ours("virtualhost", line(&host)))?;
        let uri = match check.version {
            HttpVersion::V2 => {
                format!("{}://{host}{}", if check.tls { "https" } else { "http" }, url.path)
            }
            HttpVersion::V10 | HttpVersion::V10Close | HttpVersion::V11 => url.path.clone(),
        };
        let uri: Uri = uri.parse().map_err(|error| ours(&format!("url {}", line(&url.path)), error))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        match check.version {
            HttpVersion::V10 => drop(headers.insert(HOST, header)),
            HttpVersion::V10Close | HttpVersion::V11 => {
                headers.insert(HOST, header);
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            HttpVersion::V2 => {} // the authority says it
        }
        let search = url.pattern.as_ref().map(|pattern| shared.pool.patterns.search(pattern)).transpose()?;
        let expectation = Expectation { digest: url.digest, search };
        Ok(Self { tls, path: url.path.clone(), uri, headers, statuses: url.statuses.clone(), expectation })
    }

    fn request(&self, version: HttpVersion) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.version_mut() = match version {
            HttpVersion::V10 | HttpVersion::V10Close => Version::HTTP_10,
            HttpVersion::V11 => Version::HTTP_11,
            HttpVersion::V2 => Version::HTTP_2,
        };
        request
    }

    /// Without statuses any is good: a digest or a pattern decides.
    fn wants(&self, status: StatusCode) -> bool {
        let within = |(first, last): &(u16, u16)| (*first..=*last).contains(&status.as_u16());
        self.statuses.is_empty() || self.statuses.iter().any(within)
    }

    async fn judge(
        &self,
        Conversation { answer, mut driven, _h2 }: Conversation,
        stage: &mut Stage,
        shared: &Shared,
    ) -> Result<String, Bad> {
        let status = answer.status();
        let location = answer.headers().get(LOCATION).map(|to| line(&String::from_utf8_lossy(to.as_bytes())));
        let mut incoming = answer.into_body();
        let mut body = Body::new(&self.expectation, &shared.pool.large);
        if !self.wants(status) {
            let first = driven.until(incoming.frame());
            if let Ok(Some(Ok(frame))) = timeout(LAST_WORDS, first).await
                && let Ok(bytes) = frame.into_data()
            {
                let _ = body.take(&bytes[..bytes.len().min(super::outcome::SHOWN_MAX)]).await;
            }
            let wanted = ranges(&self.statuses);
            let to = location.map(|to| format!(" to {to}")).unwrap_or_default();
            return Err(bad(format!("HTTP {} (wants {wanted}){to}{}", status.as_u16(), body.shown())));
        }
        let cut = loop {
            *stage = Stage::Reading(status, body.seen);
            match driven.until(incoming.frame()).await {
                None => break None,
                Some(Err(error)) => break Some(reason(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !body.take(&bytes).await?
                    {
                        break None;
                    }
                }
            }
        };
        body.judge(cut)?;
        Ok(format!("HTTP {}", status.as_u16()))
    }
}

impl Stage {
    fn late(&self, limit: Duration) -> Bad {
        let limit = span(limit);
        bad(match self {
            Self::Connecting => format!("no connection within {limit}"),
            Self::Greeting => format!("TLS greeting not done within {limit}"),
            Self::Waiting(head) => match shown(&head.bytes()) {
                nothing if nothing.is_empty() => format!("no answer within {limit}"),
                part => format!("no whole answer within {limit}{part}"),
            },
            Self::Reading(status, seen) => {
                let status = status.as_u16();
                format!("HTTP {status}, but the body did not end within {limit} ({seen} bytes came)")
            }
        })
    }
}

/// The address as a Host header; its port only where it is not the usual one.
fn host(to: SocketAddr, tls: bool) -> String {
    let usual = if tls { 443 } else { 80 };
    match to {
        to if to.port() != usual => to.to_string(),
        SocketAddr::V4(to) => to.ip().to_string(),
        SocketAddr::V6(to) => format!("[{}]", to.ip()),
    }
}

fn ranges(statuses: &[(u16, u16)]) -> String {
    let range = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    line(&statuses.iter().map(range).collect::<Vec<_>>().join(" "))
}

/// Why there is no answer whose first bytes were `head`.
fn explain(error: &hyper::Error, head: &[u8]) -> Bad {
    let shown = shown(head);
    bad(match head.is_empty() {
        _ if error.is_parse_too_large() => {
            format!("the head of the answer is longer than {} KiB{shown}", HEAD_MAX >> 10)
        }
        _ if error.is_parse() => format!("answers no HTTP{shown}"),
        true if error.is_incomplete_message() || error.is_canceled() => {
            "connection closed without an answer".to_owned()
        }
        false if error.is_incomplete_message() => format!("connection closed within the answer{shown}"),
        _ => format!("{}{shown}", reason(error)),
    })
}

/// What the kernel says, if it was the kernel.
fn reason(error: &hyper::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(io) = at.downcast_ref::<io::Error>() {
            return words(io);
        }
        cause = at.source();
    }
    match error.is_incomplete_message() {
        true => "connection closed too early".to_owned(),
        false => line(&error.to_string()),
    }
}
