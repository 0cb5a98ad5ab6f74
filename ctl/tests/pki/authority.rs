//! The authority lasts longer, and nobody has to move at once.

use super::*;

/// Both ways at every moment of the move: one has the new certificate of the authority, the other the former.
#[test]
fn a_renewed_authority_is_the_same_to_those_who_have_the_former_one() {
    let stage = Stage::empty();
    stage.pki("init web --days 10");
    stage.pki("node node1");
    stage.pki("operator alice");
    stage.pki("operator mallory");
    stage.pki("revoke mallory --yes");
    let former = stage.path("former.crt");
    fs::copy(stage.path("ca.crt"), &former).unwrap();
    let said = stage.pki("renew ca");
    for part in ["Renewed the authority", "ca.crt", "node1:/etc/hacluster/pki/", "counts until"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let before = |mut files: Files| {
        files.authority.clone_from(&former);
        files.revoked = None;
        files
    };
    let (node, alice) = (stage.files("node1"), stage.files("alice"));
    let read = |name: &str| fs::read(stage.path(name)).unwrap();
    assert!(read("ca.crt") != read("former.crt") && read("node1/ca.crt") == read("ca.crt"));
    assert!(read("node1/ca.crl") == read("ca.crl"), "the list ends with the authority, and goes along");
    for server in [node.clone(), before(node.clone())] {
        for client in [alice.clone(), before(alice.clone())] {
            handshake(&server, &client, "node1").unwrap();
        }
    }
    assert!(handshake(&node, &stage.files("mallory"), "node1").is_err(), "revoked stays revoked");
    let after = Material::load(&node).unwrap();
    let nine_years = SystemTime::now() + Duration::from_secs(9 * 365 * 24 * 3600);
    assert!(after.authority_expires() > nine_years && after.revoked_due().unwrap() > nine_years);
    stage.pki("renew node1 --days 400");
    let identity = handshake(&stage.files("node1"), &before(alice), "node1").unwrap();
    assert_eq!(identity.name, "alice");
    assert!(refused(&stage.run("pki --dir pki renew ca --days 5")).contains("would make that sooner"));
    assert!(refused(&stage.run("pki --dir pki renew ca --keep-key")).contains("always keeps its key"));
}
