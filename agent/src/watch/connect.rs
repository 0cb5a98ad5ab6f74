//! Connections that are tried: the same probes as for real servers ([`crate::check`]).

use super::paced::Tried;
use crate::check::{Outcome, Prober};
use hacluster_conf::model::lvs::{Check, CheckKind, CheckPace, CheckRoute, HttpCheck, HttpVersion, Url};
use hacluster_core::time::Duration as Span;
use hyper::Uri;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

const HTTP_PORT: u16 = 80;

/// What is asked.
#[derive(Clone)]
pub(super) enum Target {
    /// Whether somebody takes connections.
    Tcp(SocketAddr, Prober),
    /// Whether a web server answers with a status from the first to the last.
    Http(String, (u16, u16), Prober),
}

impl Target {
    pub(super) async fn once(&self, limit: Duration) -> Tried {
        let start = Instant::now();
        let (what, outcome) = match self {
            Self::Tcp(to, prober) => (to.to_string(), Ok(ask(prober, CheckKind::Tcp, *to, limit).await)),
            Self::Http(url, statuses, prober) => {
                let found = timeout(limit, find(url, *statuses)).await;
                let found = found.unwrap_or_else(|_| Err("its name is not found in time".to_owned()));
                let asked = match found {
                    Ok((to, check)) => Ok(ask(prober, CheckKind::Http(check), to, limit).await),
                    Err(why) => Err(why),
                };
                (url.clone(), asked)
            }
        };
        let (good, why) = match &outcome {
            Ok(outcome) => (outcome.good, &*outcome.why),
            Err(why) => (false, why.as_str()),
        };
        Tried { good: Some(good), text: format!("{what}: {why}"), took: start.elapsed(), ran: None }
    }
}

async fn ask(prober: &Prober, kind: CheckKind, to: SocketAddr, limit: Duration) -> Outcome {
    let span = Span::from_micros(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
    let pace = CheckPace {
        delay_loop: span,
        timeout: span,
        retry: 0,
        delay_before_retry: span,
        warmup: Span::ZERO,
        alpha: false,
        log_all_failures: false,
    };
    let route = CheckRoute { to, from: None, interface: None, fwmark: 0 };
    prober.probe(&Check { kind, route, pace }).await
}

/// Where `url` leads at the moment, and what is asked there.
async fn find(url: &str, statuses: (u16, u16)) -> Result<(SocketAddr, HttpCheck), String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("only http://HOST/PATH can be asked for".to_owned());
    };
    let host = authority.host().trim_matches(['[', ']']);
    let found = lookup_host((host, authority.port_u16().unwrap_or(HTTP_PORT))).await;
    let to = found.map_err(|error| error.to_string())?.next().ok_or("its name has no address")?;
    let url = Url {
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        host: Some(authority.to_string()),
        sni: None,
        statuses: vec![statuses],
        digest: None,
        pattern: None,
    };
    let check = HttpCheck { tls: false, version: HttpVersion::V11, urls: vec![url], fast_recovery: false };
    Ok((to, check))
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

    fn prober() -> Prober {
        Prober::new(crate::check::Settings::default(), std::path::Path::new("/nonexistent"))
    }

    async fn ask(answer: &'static [u8]) -> Tried {
        let url = format!("http://{}/health?full", server(answer));
        Target::Http(url, (200, 399), prober()).once(LIMIT).await
    }

    #[tokio::test]
    async fn the_status_decides() {
        let tried = ask(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(tried.good == Some(true) && tried.text.ends_with("/health?full: HTTP 204"), "{}", tried.text);
        assert!(ask(b"HTTP/1.0 503 Sorry\r\nContent-Length: 9\r\n\r\n").await.good != Some(true));
        for garbage in [&b"SSH-2.0-OpenSSH\r\n\r\n"[..], b"", &[0xff; 10_000]] {
            let tried = ask(garbage).await;
            assert!(tried.good == Some(false) && !tried.text.contains("HTTP 2"), "{}", tried.text);
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_millis(50);
        let tried = Target::Http(format!("http://{address}/"), (200, 299), prober()).once(limit).await;
        assert!(
            tried.good == Some(false) && tried.text.ends_with(": no answer within 50 ms"),
            "{}",
            tried.text
        );
        assert_eq!(Target::Tcp(address, prober()).once(LIMIT).await.good, Some(true));
        drop(listener);
        assert_eq!(Target::Tcp(address, prober()).once(LIMIT).await.good, Some(false));
    }
}
