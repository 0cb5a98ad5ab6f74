//! `[api]` and `[[peer]]`: what they mean, where each error is reported, and what a reload changes.

use hacluster_conf::diff::{Effect, diff};
use hacluster_conf::model::{Api, Peer, Tls};
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered};
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";
const API: &str =
    "[api]\nlisten = \"192.0.2.11:9443\"\ncertificate = \"pki/n.pem\"\nkey = \"/k\"\nauthority = \"a\"\n";
const PEERS: &str = "[[peer]]\nname = \"node2\"\naddress = \"192.0.2.12:9443\"\n";

fn load(text: &str) -> Loaded {
    layered::load(Path::new(MAIN), &Memory::new(MAIN, text).with_host("node1"))
}

fn findings(loaded: &Loaded) -> Vec<String> {
    let line = |d: &hacluster_conf::diag::Diagnostic| {
        let (line, _) = d.span.as_ref().map_or((0, 0), |span| loaded.sources.line_column(span));
        format!("{} {line} {}", d.code, d.message)
    };
    loaded.diagnostics.iter().map(line).collect()
}

fn named(name: &str) -> String {
    format!("[global]\nrouter_id = \"{name}\"\n")
}

#[test]
fn everything_that_can_be_said() {
    let loaded = load(&format!("[agent]\nstate_dir = \"/s\"\n{API}revoked = \"r.pem\"\n{PEERS}"));
    assert_eq!(findings(&loaded), Vec::<String>::new());
    let tls = Tls {
        certificate: "/etc/hacluster/pki/n.pem".into(),
        key: "/k".into(),
        authority: "/etc/hacluster/a".into(),
        revoked: Some("/etc/hacluster/r.pem".into()),
    };
    let listen = "192.0.2.11:9443".parse().expect("an address");
    assert_eq!(loaded.config.api, Some(Api { listen, tls }));
    let peer = Peer { name: "node2".into(), address: "192.0.2.12:9443".into() };
    assert_eq!(loaded.config.peers, [peer]);
    assert_eq!(loaded.config.agent.state_dir.as_deref(), Some(Path::new("/s")));
}

#[test]
fn neither_is_needed() {
    let loaded = load("");
    assert_eq!((loaded.config.api, loaded.config.peers.len()), (None, 0));
}

#[test]
fn layers_meet_by_name_and_the_environment_is_the_topmost() {
    let source = Memory::new(MAIN, format!("{API}{PEERS}"))
        .with_host("node1")
        .with(
            "/etc/hacluster/agent.toml.d/10.toml",
            "[[peer]]\nname = \"NODE2\"\naddress = \"192.0.2.22:1\"\n[[peer]]\nname = \"node3\"\naddress = \"n3.example:2\"\n",
        )
        .with_env("HACLUSTER_API__LISTEN", "[::]:7")
        .with_env("HACLUSTER_PEER__NODE3__ADDRESS", "[2001:db8::3]:3");
    let loaded = layered::load(Path::new(MAIN), &source);
    assert_eq!(findings(&loaded), Vec::<String>::new());
    let peers: Vec<_> = loaded.config.peers.iter().map(|peer| peer.address.as_str()).collect();
    assert_eq!(peers, ["192.0.2.22:1", "[2001:db8::3]:3"]);
    assert_eq!(loaded.config.api.map(|api| api.listen.to_string()).as_deref(), Some("[::]:7"));
}

#[test]
fn what_is_wrong_is_reported_where_it_stands() {
    let peer = |name: &str, address: &str| format!("[[peer]]\nname = \"{name}\"\naddress = \"{address}\"\n");
    let cases = [
        (PEERS.to_owned(), "peers-without-api 1 peers are known by certificates"),
        (API.replace("192.0.2.11:9443", "192.0.2.11"), "bad-value 2 `listen` must be"),
        (API.replace(":9443", ":0"), "bad-value 2 `listen` must be"),
        (API.replace("key = \"/k\"\n", ""), "missing-key 1 [api] needs `key`"),
        ("[api]\n".to_owned(), "missing-key 1 [api] needs `listen`"),
        (format!("{API}keys = 1\n"), "unknown-key 6 unknown key `keys`"),
        (format!("{API}{}", peer("node2", "192.0.2.12")), "bad-value 8 `address` must be host:port"),
        (format!("{API}{}", peer("node 2", "a:1")), "bad-value 7 `name` must be a node's name"),
        (format!("{API}[[peer]]\nname = \"b\"\n"), "missing-key 6 a peer needs an `address`"),
        (format!("{API}[[peer]]\naddress = \"b:1\"\n"), "missing-key 6 a peer needs a `name`"),
        (format!("{API}{PEERS}{PEERS}"), "duplicate-name 10 peer `node2` is written twice"),
        (format!("{API}{PEERS}{}", peer("node3", "192.0.2.12:9443")), "duplicate-address 11 peers `node2`"),
        (format!("{API}{}", peer("node3", "192.0.2.11:9443")), "peer-is-this-node 8 peer `node3` has"),
        (format!("{API}{}{PEERS}", named("a b")), "bad-node-name 1 this node is called `a b`"),
        (format!("{API}[peer]\nname = \"b\"\n"), "wrong-type 6 `peer` must be a list"),
    ];
    for (text, expected) in cases {
        let found = findings(&load(&text));
        assert!(found.iter().any(|line| line.starts_with(expected)), "{text}\n{found:#?}");
    }
}

#[test]
fn an_api_with_an_error_is_none_and_no_peer_without() {
    let loaded = load(&format!("{}{PEERS}", API.replace("9443", "x")));
    assert_eq!((loaded.config.api, loaded.config.peers.len()), (None, 0));
}

#[test]
fn one_file_can_name_all_nodes() {
    let loaded = load(&format!("{}{API}{PEERS}", named("Node2")));
    assert_eq!(findings(&loaded), ["peer-is-this-node 9 peer `node2` is this node itself: left out"]);
    assert_eq!(loaded.config.peers.len(), 0);
    assert_eq!(loaded.exit_status(), 0);
}

#[test]
fn a_reload_names_every_difference_and_disturbs_nothing() {
    let none = load("").config;
    let one = load(&format!("{API}{PEERS}")).config;
    let other = API.replace("9443", "9444").replace("/k", "/k2").replace("pki/n.pem", "/m.pem");
    let other = load(&format!(
        "{}revoked = \"/r\"\n{}",
        other.replace("\"a\"", "\"/b\""),
        PEERS.replace("node2", "node3")
    ));
    let lines = |old, new| -> Vec<String> {
        let changes = diff(old, new);
        assert!(changes.iter().all(|change| change.effect() == Effect::Live), "{changes:?}");
        changes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(lines(&one, &one), Vec::<String>::new());
    assert_eq!(
        lines(&none, &one),
        ["cluster: api opens at 192.0.2.11:9443", "cluster: peers +node2 (192.0.2.12:9443)"]
    );
    assert_eq!(lines(&one, &none), ["cluster: api closes at 192.0.2.11:9443", "cluster: peers -node2"]);
    assert_eq!(
        lines(&one, &other.config),
        [
            "cluster: api.listen 192.0.2.11:9443 -> 192.0.2.11:9444",
            "cluster: api.certificate /etc/hacluster/pki/n.pem -> /m.pem",
            "cluster: api.key /k -> /k2",
            "cluster: api.authority /etc/hacluster/a -> /b",
            "cluster: api.revoked none -> /r",
            "cluster: peers +node3 (192.0.2.12:9443) -node2",
        ]
    );
}
