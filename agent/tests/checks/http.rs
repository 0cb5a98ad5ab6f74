//! What is asked over HTTP, and what is made of the answers.

use crate::world::{PATIENT, bad, check, good, http, pattern, request, server, url, web};
use hacluster_conf::model::lvs::{Check, CheckKind, HttpVersion, Pattern, Url};
use std::io::Write;
use std::net::SocketAddr;

fn ask(url: Url, to: SocketAddr) -> Check {
    check(CheckKind::Http(http(url)), to, PATIENT)
}

#[test]
fn versions_and_hosts_are_as_written() {
    let (to, requests) = web("HTTP/1.0 200 OK\r\n\r\nhello");
    let hosted = Url { host: Some("www.example.org".into()), path: "/a?b".into(), ..url() };
    let agent = format!("User-Agent: KeepAliveClient hacluster-agent/{}\r\n", env!("CARGO_PKG_VERSION"));
    let table = [
        (HttpVersion::V10, url(), format!("GET / HTTP/1.0\r\n{agent}Host: {to}\r\n\r\n")),
        (
            HttpVersion::V10Close,
            url(),
            format!("GET / HTTP/1.0\r\n{agent}Host: {to}\r\nConnection: close\r\n\r\n"),
        ),
        (
            HttpVersion::V11,
            hosted,
            format!("GET /a?b HTTP/1.1\r\n{agent}Host: www.example.org\r\nConnection: close\r\n\r\n"),
        ),
    ];
    for (version, url, expected) in table {
        let mut kind = http(url);
        kind.version = version;
        assert_eq!(good(&check(CheckKind::Http(kind), to, PATIENT)), "HTTP 200");
        assert_eq!(requests.recv().unwrap(), expected, "{version:?}");
    }
}

#[test]
fn the_status_decides_and_the_body_explains() {
    let (to, _requests) = web("HTTP/1.1 503 No\r\nContent-Length: 14\r\n\r\nupstream\ndown\n");
    assert_eq!(bad(&ask(url(), to)), "HTTP 503 (wants 200-299): \"upstream down\"");
    let statuses = |statuses: &[(u16, u16)]| ask(Url { statuses: statuses.to_vec(), ..url() }, to);
    assert_eq!(good(&statuses(&[(200, 299), (503, 503)])), "HTTP 503");
    assert_eq!(good(&statuses(&[])), "HTTP 503");
    assert_eq!(bad(&statuses(&[(200, 200), (301, 302)])), "HTTP 503 (wants 200 301-302): \"upstream down\"");
}

#[test]
fn a_redirect_is_not_followed_but_shown() {
    let (to, requests) = web("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bad(&ask(url(), to)), "HTTP 302 (wants 200-299) to /login");
    assert!(requests.recv().is_ok() && requests.try_recv().is_err(), "one request, whatever it says");
}

#[test]
fn the_digest_is_that_of_the_body() {
    let digest = |digest: [u8; 16]| Url { digest: Some(digest), ..url() };
    let hello =
        [0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92];
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ] {
        let (to, _requests) = web(answer);
        assert_eq!(good(&ask(digest(hello), to)), "HTTP 200");
        assert_eq!(
            bad(&ask(digest([0xab; 16]), to)),
            "digest differs: is 5d41402abc4b2a76b9719d911017c592, wanted abababababababababababababababab"
        );
    }
}

#[test]
fn a_pattern_must_be_there_or_must_not() {
    let (to, _requests) = web("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nstatus: up\n");
    let search = |of: Option<Pattern>| ask(Url { pattern: of, ..url() }, to);
    assert_eq!(good(&search(pattern("status: (up|ready)"))), "HTTP 200");
    assert_eq!(bad(&search(pattern("down"))), "pattern `down` not found in 11 bytes: \"status: up\"");
    let forbidden = |regex| pattern(regex).map(|pattern| Pattern { forbidden: true, ..pattern });
    assert_eq!(good(&search(forbidden("down"))), "HTTP 200");
    assert_eq!(bad(&search(forbidden("up"))), "forbidden pattern `up` found at byte 8: \"up\"");
}

#[test]
fn all_urls_must_be_good_and_the_bad_one_is_named() {
    let to = server(|mut stream| {
        let status = if request(&stream).starts_with("GET /broken ") { "500 Broken" } else { "200 OK" };
        let _ = stream.write_all(format!("HTTP/1.0 {status}\r\n\r\n").as_bytes());
    });
    let urls = |paths: &[&str]| {
        let mut kind = http(url());
        kind.urls = paths.iter().map(|path| Url { path: (*path).into(), ..url() }).collect();
        check(CheckKind::Http(kind), to, PATIENT)
    };
    assert_eq!(good(&urls(&["/", "/a", "/b"])), "3 urls answer, the last one HTTP 200");
    assert_eq!(bad(&urls(&["/", "/broken", "/b"])), "/broken: HTTP 500 (wants 200-299)");
}

#[test]
fn a_server_that_counts_its_bytes_wrongly_is_good_while_nobody_looks_at_them() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhi", "HTTP/1.1 200 OK\r\n\r\n"] {
        let (to, _requests) = web(answer);
        assert_eq!(good(&ask(url(), to)), "HTTP 200");
    }
    let (to, _requests) = web("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nhi");
    let found = ask(Url { pattern: pattern("hi"), ..url() }, to);
    assert_eq!(good(&found), "HTTP 200");
    let why = bad(&ask(Url { pattern: pattern("ho"), ..url() }, to));
    assert_eq!(why, "pattern `ho` not found in 2 bytes (connection closed by the server): \"hi\"");
}

#[test]
fn sloppy_heads_are_taken() {
    for answer in [
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 200 OK\nServer: x\n\n",
        "HTTP/1.0 200 OK\r\nno header at all\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let (to, _requests) = web(answer);
        assert_eq!(good(&ask(url(), to)), "HTTP 200", "{answer:?}");
    }
}

#[test]
fn who_answers_before_being_asked_is_heard() {
    let to = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nup");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        request(&stream);
    });
    for _ in 0..20 {
        assert_eq!(good(&ask(url(), to)), "HTTP 200");
    }
}

#[test]
fn http2_is_spoken_where_written() {
    let (heard, requests) = std::sync::mpsc::channel();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let to = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let heard = heard.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let _ = heard.send(request.uri().to_string());
                        let status = if request.uri().path() == "/broken" { 503 } else { 200 };
                        let head = hyper::Response::builder().status(status).body(()).unwrap();
                        let mut body = respond.send_response(head, false).unwrap();
                        let _ = body.send_data("hello".into(), true);
                    }
                });
            }
        });
    });
    let ask = |path: &str, host: Option<&str>, regex| {
        let host = host.map(str::to_owned);
        let mut kind = http(Url { path: path.into(), host, pattern: pattern(regex), ..url() });
        kind.version = HttpVersion::V2;
        check(CheckKind::Http(kind), to, PATIENT)
    };
    assert_eq!(good(&ask("/", Some("www.example.org"), "hello")), "HTTP 200");
    assert_eq!(requests.recv().unwrap(), "http://www.example.org/");
    assert_eq!(bad(&ask("/broken", None, "hello")), "HTTP 503 (wants 200-299): \"hello\"");
    assert_eq!(requests.recv().unwrap(), format!("http://{to}/broken"));
    assert_eq!(bad(&ask("/", None, "bye")), "pattern `bye` not found in 5 bytes: \"hello\"");
}
