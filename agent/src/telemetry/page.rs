//! The page that Prometheus reads: `GET /metrics` and nothing else, for few readers at a time.

use super::export::Complaints;
use super::legacy;
use super::meters::Shown;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Readers at one time.
const READERS_MAX: usize = 16;
/// How long one may take for everything.
const READER_MAX: Duration = Duration::from_secs(10);
/// How often an address that is not free is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// A predecessor, before a reload, is gone by then: so often and with these pauses.
const SOON: (usize, Duration) = (20, Duration::from_millis(50));

/// What is on the page.
#[derive(Clone)]
struct Page {
    registry: Registry,
    /// What is told.
    shown: Shown,
    /// In keepalived's names, too.
    keepalived_names: bool,
}

/// Serves until the runtime ends.
pub(super) async fn serve(
    at: SocketAddr,
    (registry, shown, keepalived_names): (Registry, Shown, bool),
    complaints: Complaints,
) {
    let page = Page { registry, shown, keepalived_names };
    let readers = Arc::new(Semaphore::new(READERS_MAX));
    let mut soon = SOON.0;
    let listener = loop {
        match TcpListener::bind(at).await {
            Ok(listener) => break listener,
            Err(_) if soon > 0 => {
                soon -= 1;
                tokio::time::sleep(SOON.1).await;
            }
            Err(error) => {
                let what = format!("the Prometheus page at {at} does not open");
                complaints.failed(None, &what, &error.to_string());
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    complaints.works(None);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await; // out of file descriptors, most likely
            continue;
        };
        // Too many at once: this one is closed.
        let Ok(seat) = readers.clone().try_acquire_owned() else { continue };
        let page = page.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let page = page.clone();
                async move { Ok::<_, Infallible>(page.answer(&request)) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(READER_MAX).max_buf_size(16 << 10);
            let _ =
                tokio::time::timeout(READER_MAX, server.serve_connection(TokioIo::new(stream), answer)).await;
            drop(seat);
        });
    }
}

impl Page {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n".into());
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
        }
        match self.shown.during(|| self.text()) {
            Ok(text) => plain(StatusCode::OK, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n").into_bytes()),
        }
    }

    fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        if self.keepalived_names {
            TextEncoder::new().encode(&legacy::families(&self.shown.load())?, &mut text)?;
        }
        Ok(text)
    }
}

fn plain(status: StatusCode, text: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
