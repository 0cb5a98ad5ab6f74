//! Those who mean no good, and what they cannot do: the others are served all the while.

use super::world::{PATIENCE, World, node, snapshot};
use hacluster_proto::tls::provider;
use hacluster_proto::v1;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tonic::Code;

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// TLS without our client's manners; `identity` is certificate and key. An error once the server refused.
pub(crate) async fn raw_tls(world: &World, identity: Option<(&str, &str)>) -> std::io::Result<Stream> {
    raw_tls_from(world, identity, "127.0.0.1").await
}

async fn raw_tls_from(world: &World, identity: Option<(&str, &str)>, from: &str) -> std::io::Result<Stream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tcp_from(world, from).await?;
    let name = ServerName::try_from("node1").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    stream.read_u8().await?; // the server's settings, or why not
    Ok(stream)
}

async fn tcp_from(world: &World, from: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    socket.connect(world.listening().unwrap()).await
}

/// Whether the server ends the connection, whatever it says before.
async fn is_ended(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut buffer = [0; 4096];
    let until_end = async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    timeout(PATIENCE, until_end).await.is_ok()
}

#[tokio::test]
async fn garbage_and_half_a_handshake() {
    let mut world = World::new();
    let noise: Vec<u8> = (0..60_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let texts: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", &noise, &[0x16, 3, 1, 0xff, 0xff], &[0; 3]];
    for text in texts {
        let mut stream = tcp_from(&world, "127.0.0.1").await.unwrap();
        let _ = stream.write_all(text).await;
        let _ = stream.shutdown().await;
        assert!(is_ended(&mut stream).await, "{:?}", &text[..text.len().min(9)]);
    }
    world.heard("does not speak TLS");
    assert!(world.serves().await);
}

#[tokio::test]
async fn frames_that_are_too_long_cut_off_or_nonsense() {
    let world = World::new();
    let (_, certificate, key) =
        world.authority.sign("mallory", vec![super::role(super::Role::Viewer)], super::VALID);
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let huge_frame: &[u8] = &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    let headers_cut: &[u8] = &[0, 1, 0, 1, 4, 0, 0, 0, 1, 0x82];
    let bad_huffman: &[u8] = &[0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    let endless_headers = [&[0, 0x40, 0, 1, 0, 0, 0, 0, 1][..], &[0x40; 0x4000]].concat();
    for frame in [huge_frame, headers_cut, bad_huffman, &endless_headers, b"\x00" as &[u8]] {
        let mut stream = raw_tls(&world, Some((&certificate, &key))).await.unwrap();
        let text = [GREETING, settings, frame].concat();
        let _ = stream.write_all(&text).await;
        let _ = stream.shutdown().await;
        assert!(is_ended(&mut stream).await, "{:?}", &frame[..frame.len().min(9)]);
    }
    let mut stream = raw_tls(&world, Some((&certificate, &key))).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n....").await.unwrap();
    assert!(is_ended(&mut stream).await, "HTTP/1 is not spoken");
    assert!(world.serves().await);
}

#[tokio::test]
async fn a_request_that_is_too_long() {
    let world = World::new();
    let mut client = world.connect(&world.viewer()).await.unwrap();
    let router = "x".repeat(1 << 20);
    let refused = client.list_events(v1::ListEventsRequest { after_sequence: 0, router }).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    snapshot(&mut client).await.expect("the connection goes on");
}

#[tokio::test]
async fn who_never_ends_the_handshake_is_closed_and_keeps_no_one_out() {
    let mut world = World::new();
    let mut slow = Vec::new();
    for number in 0..100 {
        let from = format!("127.0.1.{}", number % 4 + 1);
        slow.push(tcp_from(&world, &from).await.unwrap());
    }
    world.heard("handshakes under way already");
    let vera = timeout(PATIENCE, async {
        while !world.serves().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    vera.await.expect("others get in");
    for stream in &mut slow {
        assert!(is_ended(stream).await);
    }
    // Those that end the handshake and then say nothing are not kept either.
    let (_, certificate, key) = world.authority.sign("m", vec![], super::VALID);
    let mut silent = raw_tls(&world, Some((&certificate, &key))).await.unwrap();
    assert!(is_ended(&mut silent).await);
}

#[tokio::test]
async fn a_thousand_connections_keep_no_peer_out() {
    let mut world = World::new();
    let (_, certificate, key) =
        world.authority.sign("crowd", vec![super::role(super::Role::Viewer)], super::VALID);
    let (mut inside, mut refused) = (Vec::new(), 0);
    for number in 0..1000 {
        let from = format!("127.0.2.{}", number % 40 + 1);
        match raw_tls_from(&world, Some((&certificate, &key)), &from).await {
            // Greets, so that it is not closed for silence.
            Ok(mut stream) => {
                stream.write_all(&[GREETING, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await.unwrap();
                inside.push(stream);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(inside.len() <= 256 && refused >= 744, "{} inside, {refused} refused", inside.len());
    world.heard("256 connections already");
    let full = world.connect(&world.viewer()).await.unwrap_err();
    assert!(full.to_string().contains("too many"), "{full}");
    let mut peer = world.connect(&world.client("node2", node("node2"))).await.expect("peers get in");
    snapshot(&mut peer).await.unwrap();
    drop(inside);
    let end = tokio::time::Instant::now() + PATIENCE;
    while !world.serves().await {
        assert!(tokio::time::Instant::now() < end, "the places of those who left are not free again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_flood_of_requests_is_told_to_slow_down_and_others_are_answered() {
    let world = World::new();
    let flood = world.connect(&world.viewer()).await.unwrap();
    let calls: Vec<_> = (0..2000)
        .map(|_| {
            let mut client = flood.clone();
            tokio::spawn(async move { client.list_events(v1::ListEventsRequest::default()).await.map(drop) })
        })
        .collect();
    assert!(world.serves().await);
    let mut told = 0;
    for call in calls {
        if let Err(status) = call.await.unwrap() {
            // The client takes a stream for closed a moment before the server does, and is one too many then.
            if status.code() == Code::Unavailable && format!("{status:?}").contains("REFUSED_STREAM") {
                continue;
            }
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            assert!(status.message().contains("requests per second"), "{status}");
            told += 1;
        }
    }
    assert!(told > 0, "nobody was told to slow down");
}
