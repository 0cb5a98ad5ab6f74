//! The API over TLS, from outside: who gets in, who is told what, and what no one can break.
#![allow(clippy::unwrap_used)]

mod hostile;
mod renewal;
mod world;

use hacluster_proto::identity::Role;
use hacluster_proto::tls::{Fault, connect};
use hacluster_proto::v1;
use hacluster_proto::v1::admin_client::AdminClient;
use hacluster_proto::v1::peer_client::PeerClient;
use rcgen::SanType;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tonic::Code;
use world::{Authority, PATIENCE, VALID, World, node, role, snapshot};

#[tokio::test]
async fn every_role_looks_and_the_node_shows_its_certificate() {
    let world = World::new();
    let all = [vec![role(Role::Viewer)], vec![role(Role::Operator)], node("node2")];
    for (number, names) in all.into_iter().enumerate() {
        let tls = world.client(&format!("caller{number}"), names);
        let told = snapshot(&mut world.connect(&tls).await.unwrap()).await.unwrap();
        let certificate = told.node.unwrap().certificate.unwrap();
        assert_eq!(certificate.subject, "node1");
        assert!(certificate.path.ends_with("node1.pem"), "{}", certificate.path);
        let (own, authority) = (certificate.expires.unwrap(), certificate.authority_expires.unwrap());
        assert!(own.seconds < authority.seconds);
    }
}

#[tokio::test]
async fn who_lacks_a_role_is_told_which_and_who_makes_it() {
    let world = World::new();
    let channel = |tls| {
        let address = world.address();
        async move { connect(&address, "node1", &tls, PATIENCE).await.unwrap() }
    };
    let viewer = channel(world.viewer()).await;
    let denied = AdminClient::new(viewer.clone()).failover(v1::FailoverRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("haclusterctl pki operator vera"), "{}", denied.message());
    let denied = PeerClient::new(viewer).ping(v1::PingRequest::default()).await.unwrap_err();
    assert!(denied.message().contains("needs the role peer"), "{}", denied.message());
    let peer = channel(world.client("node2", node("node2"))).await;
    let denied = AdminClient::new(peer).drain(v1::DrainRequest::default()).await.unwrap_err();
    assert!(denied.message().contains("needs the role operator"), "{}", denied.message());

    let nobody = world.client("nobody", vec![]);
    let denied = snapshot(&mut world.connect(&nobody).await.unwrap()).await.unwrap_err();
    assert!(denied.message().contains("nobody has no role"), "{}", denied.message());
    let odd = SanType::URI("hacluster://role/admin".try_into().unwrap());
    let (certificate, key) = {
        let (_, certificate, key) = world.authority.sign("odd", vec![odd], VALID);
        (certificate, key)
    };
    let refused = hostile::raw_tls(&world, Some((&certificate, &key))).await;
    assert!(refused.is_ok(), "a certificate that is misspelt connects, to be told so: {refused:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_count_is_refused_in_words() {
    let mut world = World::new();
    let other = Authority::new("other");
    let viewer = || vec![role(Role::Viewer)];
    let cases = [
        (world.signed_by(&other, "a", viewer(), VALID), "does not know", "another authority"),
        (world.signed_by(&world.authority, "b", viewer(), (-48, -1)), "it expired", "has expired"),
        (world.signed_by(&world.authority, "c", viewer(), (1, 24)), "clock", "not valid yet"),
    ];
    for ((_, tls), told, logged) in cases {
        let refused = world.connect(&tls).await.unwrap_err();
        assert_eq!(refused.fault, Fault::ClientRefused, "{refused}");
        assert!(refused.to_string().contains(told), "{refused}");
        world.heard(logged);
    }
    hostile::raw_tls(&world, None).await.unwrap_err();
    world.heard("shows no certificate");
    assert!(world.serves().await);
}

#[tokio::test]
async fn a_server_that_does_not_count_is_refused_in_words() {
    let mut world = World::new();
    let tls = world.viewer();
    let wrong_node = connect(&world.address(), "node2", &tls, PATIENCE).await.unwrap_err();
    assert_eq!(wrong_node.fault, Fault::WrongNode, "{wrong_node}");
    assert!(wrong_node.to_string().contains("node1"), "{wrong_node}");

    for (valid, fault, words) in
        [((-48, -1), Fault::Expired, "pki renew node1"), ((1, 24), Fault::NotYetValid, "clock")]
    {
        world.write_node(valid);
        world.settings.put(&world.config);
        let refused = until_refused(&world, &tls, fault).await;
        assert!(refused.contains(words), "{refused}");
    }
    world.heard("certificate has ended");
    world.write_node(VALID);
    let other = Authority::new("other");
    let stranger = other.sign("stranger", vec![role(Role::Viewer)], VALID);
    let tls = world.load(&[&other], "stranger", &stranger);
    let refused = until_refused(&world, &tls, Fault::WrongAuthority).await;
    assert!(refused.contains("stranger"), "{refused}");
}

/// The agent looks at its files every other moment: asks until the answer is `fault`.
async fn until_refused(world: &World, tls: &hacluster_proto::tls::ClientTls, fault: Fault) -> String {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let outcome = world.connect(tls).await.map(drop);
        match outcome {
            Err(refused) if refused.fault == fault => return refused.to_string(),
            other => assert!(tokio::time::Instant::now() < end, "{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_keeps_from_connecting_is_told_in_words() {
    let world = World::new();
    let tls = world.viewer();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = closed.local_addr().unwrap().to_string();
    let silent = connect(&free, "node1", &tls, std::time::Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(silent.fault, Fault::Unreachable, "{silent}");
    drop(closed);
    let refused = connect(&free, "node1", &tls, PATIENCE).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Refused, "{refused}");
    assert!(refused.to_string().contains("start hacluster-agent"), "{refused}");
    let nowhere = connect("no-such-host.invalid:1", "node1", &tls, PATIENCE).await.unwrap_err();
    assert_eq!(nowhere.fault, Fault::Address, "{nowhere}");

    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = web.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let not_tls = connect(&address, "node1", &tls, PATIENCE).await.unwrap_err();
    assert_eq!(not_tls.fault, Fault::NotTls, "{not_tls}");
}

#[test]
fn a_key_that_others_read_keeps_the_listener_closed_until_it_is_mended() {
    let mut world = World::closed();
    world.write_node(VALID);
    let key = world.dir.path().join("node1.key");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    world.settings.put(&world.config);
    let said = world.heard("others may use this private key");
    assert!(said.contains("chmod 600") && said.contains("not affected"), "{said}");
    assert_eq!(world.listening(), None);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    world.heard("API listens at");
}

#[test]
fn missing_files_are_named_and_looked_for_until_they_are_there() {
    let mut world = World::closed();
    world.settings.put(&world.config);
    let said = world.heard("cannot be read");
    assert!(said.contains("node1.pem") && said.contains("haclusterctl pki"), "{said}");
    world.write_node(VALID);
    world.heard("API listens at");
    assert_eq!(world.said.iter().filter(|line| line.contains("node1.pem: cannot")).count(), 1, "said once");
}

#[test]
fn an_address_in_use_is_told_and_taken_once_it_is_free() {
    let mut world = World::closed();
    world.write_node(VALID);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.config.api.as_mut().unwrap().listen = taken.local_addr().unwrap();
    world.settings.put(&world.config);
    let said = world.heard("cannot listen at");
    assert!(said.contains("ss -ltnp") && said.contains("not affected"), "{said}");
    drop(taken);
    world.heard("API listens at");
}

#[tokio::test]
async fn the_listener_moves_and_closes_with_the_configuration() {
    let mut world = World::new();
    let before = world.listening().unwrap();
    let mut client = world.connect(&world.viewer()).await.unwrap();
    world.config.api.as_mut().unwrap().listen = "127.0.0.2:0".parse().unwrap();
    world.settings.put(&world.config);
    world::wait("the other address", || world.listening().filter(|at| at.ip() != before.ip()));
    snapshot(&mut client).await.unwrap();
    assert!(world.serves().await);
    world.config.api = None;
    world.settings.put(&world.config);
    world.heard("API over TCP closed");
    assert_eq!(world.listening(), None);
    assert!(snapshot(&mut client).await.is_err(), "connections of a closed API end");
}
