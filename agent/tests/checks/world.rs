//! Servers that do what a test says, and checks of them.

use hacluster_agent::check::{Outcome, Prober, Settings};
use hacluster_conf::model::lvs::{
    Check, CheckKind, CheckPace, CheckRoute, HttpCheck, HttpVersion, Pattern, Url,
};
use hacluster_core::time::Duration as Span;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on any machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The time limit of checks that are not about time.
pub(crate) const PATIENT: Span = Span::from_secs(60);
/// The time limit of checks that run into it.
pub(crate) const SHORT: Span = Span::from_millis(300);

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hacluster-agent"))
}

/// A server that treats each connection as `with` does, in a thread of its own.
pub(crate) fn server(with: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let with = std::sync::Arc::new(with);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, with) = (stream.unwrap(), with.clone());
            std::thread::spawn(move || with(stream));
        }
    });
    address
}

/// The head of a request, line by line.
pub(crate) fn request(stream: &TcpStream) -> String {
    let mut text = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut text).is_ok_and(|read| read > 2) {}
    text
}

/// A web server that answers every request with `answer`; the requests come out of the other end.
pub(crate) fn web(answer: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<String>) {
    let (heard, requests) = channel();
    let answer = answer.into();
    let address = server(move |mut stream| {
        let _ = heard.send(request(&stream));
        let _ = stream.write_all(&answer);
    });
    (address, requests)
}

/// Nobody listens there.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn route(to: SocketAddr) -> CheckRoute {
    CheckRoute { to, from: None, interface: None, fwmark: 0 }
}

pub(crate) fn pace(timeout: Span) -> CheckPace {
    CheckPace {
        delay_loop: Span::from_millis(20),
        timeout,
        retry: 0,
        delay_before_retry: Span::from_millis(20),
        warmup: Span::ZERO,
        alpha: false,
        log_all_failures: false,
    }
}

pub(crate) fn check(kind: CheckKind, to: SocketAddr, timeout: Span) -> Check {
    Check { kind, route: route(to), pace: pace(timeout) }
}

pub(crate) fn url() -> Url {
    Url { path: "/".into(), host: None, sni: None, statuses: vec![(200, 299)], digest: None, pattern: None }
}

pub(crate) fn pattern(regex: &str) -> Option<Pattern> {
    let (regex, within) = (regex.to_owned(), (0, None));
    Some(Pattern { regex, within, forbidden: false, caseless: false, multiline: false, dot_all: false })
}

pub(crate) fn http(url: Url) -> HttpCheck {
    HttpCheck { tls: false, version: HttpVersion::V10, urls: vec![url], fast_recovery: false }
}

/// One try.
pub(crate) fn probe(check: &Check) -> Outcome {
    probe_with(Settings::default(), check)
}

pub(crate) fn probe_with(settings: Settings, check: &Check) -> Outcome {
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async { Prober::new(settings, program()).probe(check).await });
    runtime.shutdown_background();
    assert!(start.elapsed() < LIMIT, "{outcome:?}");
    assert!(outcome.why.len() < 600 && !outcome.why.contains(char::is_control), "{outcome:?}");
    outcome
}

pub(crate) fn good(check: &Check) -> String {
    let outcome = probe(check);
    assert!(outcome.good && !outcome.ours, "{outcome:?}");
    outcome.why.to_string()
}

pub(crate) fn bad(check: &Check) -> String {
    let outcome = probe(check);
    assert!(!outcome.good && !outcome.ours, "{outcome:?}");
    outcome.why.to_string()
}

/// It failed, but not by the server.
pub(crate) fn ours(check: &Check) -> String {
    let outcome = probe(check);
    assert!(!outcome.good && outcome.ours, "{outcome:?}");
    outcome.why.to_string()
}
