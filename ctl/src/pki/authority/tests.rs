//! What is signed, and that it is read as it was meant.

use super::*;
use x509_parser::extensions::GeneralName;

fn wish(name: &str, role: Role, addresses: &[&str], days: u32) -> Wish {
    let addresses = addresses.iter().map(|host| (*host).to_owned()).collect();
    Wish { name: name.into(), role, addresses, days }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn authority(days: u32) -> Authority {
    let (certificate, key) = Authority::found("web", days, now()).unwrap();
    Authority::open(&certificate, &key, now()).unwrap()
}

#[test]
fn a_nodes_certificate_says_where_it_is_reached_and_what_it_is() {
    let addresses = ["192.0.2.11", "2001:db8::1", "node1.example"];
    let wish = wish("node1", Role::Peer, &addresses, 365);
    let signed = authority(3650).sign(&wish, &new_key().unwrap(), now()).unwrap();
    let der = der(&signed.pem);
    let identity = Identity::of(&der).unwrap();
    assert_eq!((identity.name.as_str(), identity.node.as_deref()), ("node1", Some("node1")));
    assert_eq!(identity.roles, [Role::Peer]);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let names = &names.value.general_names;
    for expected in [
        GeneralName::DNSName("node1"),
        GeneralName::DNSName("node1.example"),
        GeneralName::IPAddress(&[192, 0, 2, 11]),
        GeneralName::IPAddress(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets()),
    ] {
        assert!(names.contains(&expected), "{expected:?} in {names:?}");
    }
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any);
    assert!(!certificate.is_ca());
    assert_eq!(certificate.validity().not_before.timestamp(), now().as_second() - 3600, "clocks differ");
    assert_eq!(signed.expires.as_second(), now().as_second() + 365 * DAY_SECS);
}

#[test]
fn an_operator_is_no_server() {
    let wish = wish("alice", Role::Operator, &[], 1);
    let signed = authority(10).sign(&wish, &new_key().unwrap(), now()).unwrap();
    let der = der(&signed.pem);
    assert_eq!(Identity::of(&der).unwrap().roles, [Role::Operator]);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(!certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
}

#[test]
fn nothing_outlives_the_authority() {
    let authority = authority(10);
    let signed = authority.sign(&wish("n", Role::Viewer, &[], 365), &new_key().unwrap(), now()).unwrap();
    assert_eq!(signed.expires, authority.expires);
}

#[test]
fn serial_numbers_differ_even_for_one_key() {
    let (authority, key) = (authority(10), new_key().unwrap());
    let sign = || authority.sign(&wish("n", Role::Viewer, &[], 1), &key, now()).unwrap().serial;
    let (first, second) = (sign(), sign());
    assert!(first != second && first.len() == 2 * SERIAL_BYTES, "{first} {second}");
    assert_eq!(bytes(&first).unwrap().len(), SERIAL_BYTES);
}

#[test]
fn two_authorities_of_one_name_differ() {
    assert_ne!(authority(1).name, authority(1).name);
}

#[test]
fn files_that_do_not_fit_are_refused_without_a_secret_in_the_words() {
    let (certificate, key) = Authority::found("a", 10, now()).unwrap();
    let (_, other) = Authority::found("b", 10, now()).unwrap();
    let secret = key.lines().nth(1).unwrap().to_owned();
    let leaf = authority(10).sign(&wish("n", Role::Viewer, &[], 1), &new_key().unwrap(), now()).unwrap().pem;
    let cut = &key[..key.len() / 2];
    for (certificate, key, expected) in [
        (certificate.as_str(), other.as_str(), "does not belong"),
        (&certificate, "nothing", "no private key"),
        (&certificate, cut, "no private key"),
        (&leaf, &key, "not the certificate of an authority"),
        (&key, &key, "no certificate"),
    ] {
        let error = format!("{:#}", Authority::open(certificate, key, now()).err().unwrap());
        assert!(error.contains(expected) && !error.contains(&secret[..8]), "{error}");
    }
    let later = now() + SignedDuration::from_hours(24 * 11);
    assert!(Authority::open(&certificate, &key, later).err().unwrap().to_string().contains("ended"));
}

#[test]
fn the_list_names_who_is_revoked() {
    let authority = authority(10);
    let serial = authority.sign(&wish("n", Role::Viewer, &[], 1), &new_key().unwrap(), now()).unwrap().serial;
    let list = authority.revocations(7, std::iter::once((serial.as_str(), now())), now()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(list.as_bytes()).unwrap();
    let (_, list) = x509_parser::parse_x509_crl(&pem.contents).unwrap();
    let shown: Vec<_> =
        list.iter_revoked_certificates().map(|one| one.raw_serial_as_string().replace(':', "")).collect();
    assert_eq!(shown, [serial]);
    assert_eq!(list.next_update().unwrap().timestamp(), authority.expires.as_second());
    assert!(authority.revocations(8, std::iter::once(("xyz", now())), now()).is_err());
}
