//! TLS: nobody's certificate is looked at, unless there are authorities.

use crate::world::{PATIENT, bad, check, http, probe_with, request, server, url, web};
use hacluster_agent::check::{Outcome, Settings};
use hacluster_conf::model::lvs::{CheckKind, HttpCheck, HttpVersion, Url};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

pub(crate) struct World {
    authority: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { authority: issuer(), dir: tempfile::tempdir().unwrap() };
        std::fs::write(world.path("ca.pem"), world.authority.pem()).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn strict(&self) -> Settings {
        Settings { authorities: Some(self.path("ca.pem")), ..Settings::default() }
    }

    pub(crate) fn config(&self, name: &str, expired: bool, asks: bool) -> ServerConfig {
        let provider = hacluster_proto::tls::provider();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.authority).unwrap();
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match asks {
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_single_cert(vec![own.der().clone()], key).unwrap()
    }
}

/// A server over TLS; the names it is greeted by come out of the other end.
pub(crate) fn serve(config: ServerConfig) -> (SocketAddr, Receiver<Option<String>>) {
    let (heard, names) = channel();
    let config = Arc::new(config);
    let address = server(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut bytes = [0; 4096];
        if stream.read(&mut bytes).is_ok() {
            let _ = heard.send(stream.conn.server_name().map(str::to_owned));
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, names)
}

pub(crate) fn over_tls(sni: Option<&str>) -> HttpCheck {
    HttpCheck { tls: true, ..http(Url { sni: sni.map(str::to_owned), ..url() }) }
}

fn ask(settings: Settings, kind: HttpCheck, to: SocketAddr) -> Outcome {
    probe_with(settings, &check(CheckKind::Http(kind), to, PATIENT))
}

#[test]
fn without_authorities_nobody_is_looked_at_and_the_name_is_sent_where_written() {
    let world = World::new();
    let (to, names) = serve(world.config("other.example", true, false));
    for sni in [None, Some("www.example.org")] {
        let outcome = ask(Settings::default(), over_tls(sni), to);
        assert!(outcome.good, "{outcome:?}");
        assert_eq!(names.recv().unwrap().as_deref(), sni);
    }
}

#[test]
fn each_url_is_greeted_by_its_own_name() {
    let world = World::new();
    let (to, names) = serve(world.config("any.example", false, false));
    let mut kind = over_tls(Some("a.example"));
    kind.urls.push(Url { sni: Some("b.example".to_owned()), ..url() });
    assert!(ask(Settings::default(), kind, to).good);
    let heard = [names.recv().unwrap(), names.recv().unwrap()];
    assert_eq!(heard.map(Option::unwrap), ["a.example", "b.example"]);
}

#[test]
fn with_authorities_chain_and_date_count_and_the_name_where_written() {
    let world = World::new();
    let (fine, _names) = serve(world.config("www.example.org", false, false));
    let (expired, _names) = serve(world.config("www.example.org", true, false));
    let (stranger, _names) = serve(World::new().config("www.example.org", false, false));
    let table = [
        (fine, None, ""),
        (fine, Some("www.example.org"), ""),
        (fine, Some("mail.example.org"), "certificate is for another name"),
        (expired, None, "certificate expired"),
        (stranger, None, "certificate of an unknown authority"),
    ];
    for (to, sni, why) in table {
        let outcome = ask(world.strict(), over_tls(sni), to);
        assert_eq!((outcome.good, outcome.ours), (why.is_empty(), false), "{outcome:?}");
        assert!(why.is_empty() || &*outcome.why == why, "{outcome:?}");
    }
}

#[test]
fn who_asks_for_a_certificate_gets_ours() {
    let world = World::new();
    let (to, _names) = serve(world.config("www.example.org", false, true));
    let outcome = ask(Settings::default(), over_tls(None), to);
    assert!(!outcome.good && outcome.why.contains("CertificateRequired"), "{outcome:?}");
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["us".to_owned()]).unwrap().signed_by(&key, &world.authority).unwrap();
    std::fs::write(world.path("own.pem"), own.pem()).unwrap();
    std::fs::write(world.path("own.key"), key.serialize_pem()).unwrap();
    let certificate = Some((world.path("own.pem"), world.path("own.key")));
    let outcome = ask(Settings { certificate, ..Settings::default() }, over_tls(None), to);
    assert!(outcome.good, "{outcome:?}");
}

#[test]
fn files_that_cannot_be_read_are_our_fault() {
    let settings = Settings { authorities: Some("/nonexistent/ca.pem".into()), ..Settings::default() };
    let (to, _requests) = web("");
    let outcome = ask(settings, over_tls(None), to);
    assert!(outcome.ours && outcome.why.contains("/nonexistent/ca.pem: No such file"), "{outcome:?}");
}

#[test]
fn something_else_than_tls() {
    let to = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let why = bad(&check(CheckKind::Http(over_tls(None)), to, PATIENT));
    assert_eq!(why, "answers no TLS: \"HTTP/1.1 400 Bad Request\"");
    let to = server(|mut stream| {
        request(&stream);
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 40]);
    });
    let why = bad(&check(CheckKind::Http(over_tls(None)), to, PATIENT));
    assert_eq!(why, "server refuses the TLS greeting: HandshakeFailure");
}

#[test]
fn http2_must_be_offered() {
    let world = World::new();
    let (to, _names) = serve(world.config("www.example.org", false, false));
    let kind = HttpCheck { version: HttpVersion::V2, ..over_tls(None) };
    let outcome = ask(Settings::default(), kind.clone(), to);
    assert_eq!(&*outcome.why, "server does not offer HTTP/2 (ALPN)");
    let mut config = world.config("www.example.org", false, false);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (to, _names) = serve(config);
    let outcome = ask(Settings::default(), kind, to);
    assert_eq!(&*outcome.why, "server does not offer HTTP/2 (ALPN)");
}
