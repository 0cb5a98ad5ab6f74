//! Files that change while the agent runs: renewed, revoked, damaged, mended.

use super::world::{PATIENCE, VALID, World, role, snapshot, wait};
use hacluster_proto::identity::Role;
use hacluster_proto::tls::Fault;
use hacluster_proto::v1;
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

#[tokio::test]
async fn who_is_revoked_is_out_and_the_others_stay() {
    let mut world = World::new();
    let (serial, revoked) = world.signed_by(&world.authority, "bob", vec![role(Role::Operator)], VALID);
    let (mut bob, mut vera) =
        (world.connect(&revoked).await.unwrap(), world.connect(&world.viewer()).await.unwrap());
    let mut watching = bob.watch(v1::WatchRequest {}).await.unwrap().into_inner();
    watching.message().await.unwrap();
    snapshot(&mut vera).await.unwrap();

    world.write("revoked.pem", &world.authority.revoke(&[serial]));
    let ended = timeout(PATIENCE, watching.message()).await.expect("the running answer ends");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    assert!(snapshot(&mut bob).await.is_err());
    let refused = world.connect(&revoked).await.unwrap_err();
    assert_eq!(refused.fault, Fault::ClientRefused, "{refused}");
    assert!(refused.to_string().contains("revoked"), "{refused}");
    world.heard("1 connection(s) ended");
    world.heard("certificate was revoked");
    snapshot(&mut vera).await.unwrap();
    assert!(world.serves().await);
}

#[tokio::test]
async fn a_renewed_certificate_comes_into_use_without_a_refused_connection() {
    let world = World::new();
    let mut old = world.connect(&world.viewer()).await.unwrap();
    let expires = |told: v1::GetSnapshotResponse| {
        told.node.and_then(|node| node.certificate).and_then(|own| own.expires).unwrap().seconds
    };
    let before = expires(snapshot(&mut old).await.unwrap());
    let address = world.listening();
    world.write_node((-1, 72));
    let end = Instant::now() + PATIENCE;
    loop {
        let mut fresh = world.connect(&world.viewer()).await.unwrap();
        if expires(snapshot(&mut fresh).await.unwrap()) > before {
            break;
        }
        assert!(Instant::now() < end, "the renewed certificate never came into use");
        sleep(Duration::from_millis(50)).await;
    }
    snapshot(&mut old).await.expect("a connection from before goes on");
    assert_eq!(world.listening(), address);
}

#[tokio::test]
async fn damaged_files_leave_the_former_in_use_and_are_said_once() {
    let mut world = World::new();
    let path = world.dir.path().join("node1.pem");
    let good = fs::read_to_string(&path).unwrap();
    world.write("node1.pem", &good[..good.len() / 2]);
    let said = world.heard("former files stay in use");
    assert!(said.contains("node1.pem"), "{said}");
    assert!(world.serves().await);
    let elsewhere = world.authority.sign("node1", super::node("node1"), VALID);
    world.write("node1.pem", &elsewhere.1);
    let said = world.heard("does not belong to");
    assert!(said.contains("node1.key"), "{said}");
    assert!(world.serves().await);
    world.write("node1.key", &elsewhere.2);
    world.heard("certificates read again");
    assert!(world.serves().await);
    for words in ["does not belong to", "former files stay in use"] {
        let times = world.said.iter().filter(|line| line.contains(words)).count();
        assert!(times <= 2, "{words}: {:#?}", world.said);
    }
}

#[tokio::test]
async fn files_that_nobody_would_believe_are_not_taken() {
    let mut world = World::new();
    let other = super::Authority::new("other");
    // Would revoke nothing, silently.
    world.write("revoked.pem", &other.revoke(&[1]));
    let said = world.heard("revoke nothing");
    assert!(said.contains("revoked.pem") && said.contains("former files stay"), "{said}");
    world.write("revoked.pem", &world.authority.revoke(&[]));
    world.heard("certificates read again");
    let (_, certificate, key) = other.sign("node1", super::node("node1"), VALID);
    world.write("node1.key", &key);
    world.write("node1.pem", &certificate);
    let said = world.heard("signed by no authority");
    assert!(said.contains("ca.pem"), "{said}");
    assert!(world.serves().await);
}

/// Nobody is locked out on the day that the list should have been replaced; it is told until it is.
#[tokio::test]
async fn a_list_that_is_late_revokes_all_the_same_and_is_told() {
    let mut world = World::new();
    let (serial, bob) = world.signed_by(&world.authority, "bob", vec![role(Role::Operator)], VALID);
    world.write("revoked.pem", &world.authority.revoke_until(&[serial], -50));
    let said = world.heard("was to be replaced 2 days ago");
    assert!(said.contains("revoked.pem") && said.contains("stays in force"), "{said}");
    assert_eq!(world.connect(&bob).await.unwrap_err().fault, Fault::ClientRefused);
    let mut vera = world.connect(&world.viewer()).await.unwrap();
    let due = |told: v1::GetSnapshotResponse| told.node.unwrap().certificate.unwrap().revoked_due.unwrap();
    let late = due(snapshot(&mut vera).await.unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(late.seconds < i64::try_from(now).unwrap() - 49 * 3600, "{late:?}");
    world.write("revoked.pem", &world.authority.revoke(&[serial]));
    let end = Instant::now() + PATIENCE;
    while due(snapshot(&mut vera).await.unwrap()).seconds == late.seconds {
        assert!(Instant::now() < end, "the new list never came into use");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_list_with_a_forged_signature_is_not_taken() {
    let mut world = World::new();
    let forger = super::Authority::new(&world.authority.name);
    world.write("revoked.pem", &forger.revoke(&[1]));
    let said = world.heard("cannot be believed");
    assert!(said.contains("revoked.pem"), "{said}");
    assert!(world.serves().await);
}

#[tokio::test]
async fn an_expired_certificate_ends_its_connection() {
    let mut world = World::new();
    // Ends in a moment: rounded to seconds, so not before one full second.
    let soon = std::time::SystemTime::now() + Duration::from_secs(3);
    let tls = world.expiring("eve", vec![role(Role::Viewer)], soon);
    let mut client = world.connect(&tls).await.unwrap();
    snapshot(&mut client).await.unwrap();
    let end = Instant::now() + PATIENCE;
    while snapshot(&mut client).await.is_ok() {
        assert!(Instant::now() < end, "an expired certificate is still answered");
        sleep(Duration::from_millis(50)).await;
    }
    world.heard("certificates have expired");
}

/// Both ways: its connections to us end as those of anybody do, and ours to it does.
#[test]
fn a_peer_that_is_revoked_loses_the_connection_that_was_made_to_it() {
    let (mut world, peer) = (World::new(), World::new());
    world.keep_up_with(&peer);
    let link = |world: &World| world.cluster.node_duty().peers.into_iter().next().unwrap();
    wait("the peer to answer", || link(&world).connected.then_some(()));
    let since = link(&world).since;
    // With other files the connection is made anew, without being missed meanwhile.
    let expires = |world: &World| world.api.as_ref().unwrap().keeper().certificate().unwrap().expires;
    let before = expires(&world);
    world.write_node((-1, 72));
    wait("the renewed certificate", || {
        assert!(link(&world).connected && link(&world).since == since, "{:?}", link(&world));
        (expires(&world) != before).then_some(())
    });
    let first = 1; // of an authority: that of its node
    world
        .write("revoked.pem", &format!("{}{}", world.authority.revoke(&[]), peer.authority.revoke(&[first])));
    let lost = wait("the peer to be lost", || Some(link(&world)).filter(|link| !link.connected));
    assert!(lost.error.contains("revoked"), "{lost:?}");
}
