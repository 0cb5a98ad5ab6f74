//! Servers as bad as they can be: each try ends in time, with little memory and a reason.

use crate::world::{PATIENT, SHORT, bad, check, good, http, nobody, pattern, request, server, url, web};
use hacluster_conf::model::lvs::{Check, CheckKind, HttpVersion, Url};
use hacluster_core::time::Duration as Span;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

fn ask(url: Url, to: SocketAddr, limit: Span) -> Check {
    check(CheckKind::Http(http(url)), to, limit)
}

/// All kinds over TCP and their versions.
fn all(to: SocketAddr, limit: Span) -> Vec<Check> {
    let with = |version, tls| {
        let mut kind = http(url());
        (kind.version, kind.tls) = (version, tls);
        CheckKind::Http(kind)
    };
    let kinds = [
        with(HttpVersion::V10, false),
        with(HttpVersion::V11, false),
        with(HttpVersion::V2, false),
        with(HttpVersion::V11, true),
        with(HttpVersion::V2, true),
        CheckKind::Smtp { helo: "us".into() },
    ];
    kinds.into_iter().map(|kind| check(kind, to, limit)).collect()
}

#[test]
fn nobody_listens() {
    let to = nobody();
    assert_eq!(bad(&check(CheckKind::Tcp, to, PATIENT)), "connection refused");
    for check in all(to, PATIENT) {
        assert_eq!(bad(&check), "connection refused", "{:?}", check.kind);
    }
}

#[test]
fn accepts_and_never_answers() {
    let to = server(|stream| {
        sleep(Duration::from_secs(100));
        drop(stream);
    });
    assert_eq!(good(&check(CheckKind::Tcp, to, PATIENT)), "takes connections");
    let whys: Vec<String> = all(to, SHORT).iter().map(bad).collect();
    let expected = ["answer", "answer", "answer", "TLS", "TLS", "greeting"].map(|what| match what {
        "TLS" => "TLS greeting not done within 300 ms".to_owned(),
        what => format!("no {what} within 300 ms"),
    });
    assert_eq!(whys, expected);
}

#[test]
fn nobody_takes_the_connection() {
    // A backlog that is full: the kernel drops further greetings.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let to = socket.local_addr().unwrap().as_socket().unwrap();
    let full = |to| std::net::TcpStream::connect_timeout(&to, Duration::from_millis(200));
    let mut held = Vec::new();
    while let Ok(stream) = full(to) {
        held.push(stream);
        assert!(held.len() < 100);
    }
    assert_eq!(bad(&check(CheckKind::Tcp, to, SHORT)), "no connection within 300 ms");
    assert_eq!(bad(&ask(url(), to, SHORT)), "no connection within 300 ms");
}

#[test]
fn closes_at_once() {
    let to = server(drop);
    for check in all(to, PATIENT) {
        let why = bad(&check);
        assert!(why.contains("closed") || why.contains("reset"), "{:?}: {why}", check.kind);
    }
}

#[test]
fn one_byte_after_the_other_ends_in_time() {
    let drip = |text: &'static [u8]| {
        server(move |mut stream| {
            request(&stream);
            for byte in text.iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                sleep(Duration::from_millis(40));
            }
        })
    };
    let why = bad(&ask(url(), drip(b"HTTP/1.1 200 OK\r\nX-Header: 1234567890\r\n"), SHORT));
    assert!(why.starts_with("no whole answer within 300 ms: \"H"), "{why}");
    let to = server(|mut stream| {
        request(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            sleep(Duration::from_millis(40));
        }
    });
    let why = bad(&ask(url(), to, SHORT));
    assert!(why.starts_with("HTTP 200, but the body did not end within 300 ms ("), "{why}");
    let to = drip(b"2");
    let why = bad(&check(CheckKind::Smtp { helo: "us".into() }, to, SHORT));
    assert_eq!(why, "no greeting within 300 ms");
}

#[test]
fn a_gigabyte_is_not_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let to = server(move |mut stream| {
        request(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        let chunk = [b'x'; 1 << 16];
        while stream.write_all(&chunk).is_ok() {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    });
    let megabytes = || sent.swap(0, Ordering::Relaxed) >> 20;
    assert_eq!(good(&ask(url(), to, PATIENT)), "HTTP 200");
    assert!(megabytes() < 20, "the kernel's buffers and a little more");
    let why = bad(&ask(Url { pattern: pattern("y"), ..url() }, to, PATIENT));
    assert!(why.starts_with("pattern `y` not found in the first 256 KiB: \"xxx"), "{why}");
    assert!(megabytes() < 20);
    let why = bad(&ask(Url { digest: Some([0; 16]), ..url() }, to, PATIENT));
    assert_eq!(why, "the body is longer than 16 MiB: no digest");
    assert!(megabytes() < 50);
    let why = bad(&ask(Url { statuses: vec![(204, 204)], ..url() }, to, PATIENT));
    assert!(why.starts_with("HTTP 200 (wants 204): \"xxx"), "{why}");
    assert!(megabytes() < 20);
}

#[test]
fn a_head_without_end_is_not_kept() {
    let to = server(|mut stream| {
        request(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let why = bad(&ask(url(), to, PATIENT));
    assert!(
        why.starts_with("the head of the answer is longer than 64 KiB: \"HTTP/1.1 200 OK X: xxx"),
        "{why}"
    );
}

#[test]
fn closes_within_the_head() {
    let (to, _requests) = web("HTTP/1.1 200 OK\r\nServ");
    assert_eq!(
        bad(&ask(url(), to, PATIENT)),
        "connection closed within the answer: \"HTTP/1.1 200 OK Serv\""
    );
}

#[test]
fn something_else_than_http() {
    for (answer, shown) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], "answers no HTTP: \"SSH-2.0-OpenSSH_9.2\""),
        (b"\x1b[31m\x00\xff\r\n\r\n", "answers no HTTP: \"[31m \u{fffd}\""),
    ] {
        let (to, _requests) = web(answer);
        assert_eq!(bad(&ask(url(), to, PATIENT)), shown);
    }
    let (to, _requests) = web("HTTP/1.1 200 OK\r\n\r\n");
    let mut kind = http(url());
    kind.version = HttpVersion::V2;
    let why = bad(&check(CheckKind::Http(kind), to, PATIENT));
    assert!(why.contains("\"HTTP/1.1 200 OK\""), "{why}");
}

#[test]
fn resets_the_connection() {
    let to = server(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(bad(&ask(url(), to, PATIENT)), "connection reset by the server");
}
