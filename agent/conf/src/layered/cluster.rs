//! `[api]` and `[[peer]]`: how this node is reached, and the other agents it knows.
//!
//! Files named here are not looked at: they come and go (a renewed certificate) while the agent runs.

use super::read::{Layers, List};
use super::table::Table;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::{Api, Config, Peer, Tls};
use crate::notation::{is_host_and_port, is_node_name};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Keys of `[api]`.
pub(super) const API_KEYS: [&str; 5] = ["listen", "certificate", "key", "authority", "revoked"];
/// Keys of a peer.
const PEER_KEYS: [&str; 2] = ["name", "address"];

/// Reads both; `path` is the file that relative names are looked for beside.
pub(super) fn lower(
    config: &mut Config,
    root: &mut Table<'_>,
    layers: &Layers,
    path: &Path,
    host_name: &str,
) {
    let written = root.has("api");
    let own_name = config.global.router_id.clone().unwrap_or_else(|| host_name.to_owned());
    if let Some(table) = root.table("api") {
        if !is_node_name(&own_name) {
            let message = format!(
                "this node is called `{}`, which cannot stand in a certificate: nobody would know it",
                show(&own_name)
            );
            let mend = "set [global] router_id to letters, digits, `-`, `_` and `.`";
            table.report(Severity::Error, "bad-node-name", "", message, mend);
        }
        config.api = api(table, path.parent().unwrap_or(Path::new("")));
    }
    let Some(mut peers) = root.table("peer") else { return };
    for key in layers.keys(List::Peers) {
        if let Some(table) = peers.table(key) {
            config.peers.extend(peer(table, config, &own_name));
        }
    }
    if !written && let Some(first) = config.peers.first() {
        let message = "peers are known by certificates, and `[api]` with this node's own is missing";
        let (key, mend) = (first.name.to_ascii_lowercase(), "add [api], or leave the peers out");
        peers.report(Severity::Error, "peers-without-api", &key, message.to_owned(), mend);
    }
    if config.api.is_none() {
        config.peers.clear();
    }
}

fn api(mut table: Table<'_>, folder: &Path) -> Option<Api> {
    let missing = |table: &Table<'_>, key: &str, example: &str| {
        let label = format!("write {key} = \"{example}\"");
        table.report(Severity::Error, "missing-key", "", format!("[api] needs `{key}`"), &label);
    };
    if !table.has("listen") {
        missing(&table, "listen", "0.0.0.0:9443");
    }
    let listen = table.parsed("listen", "an address of this node and a port: 0.0.0.0:9443", |text| {
        text.parse().ok().filter(|at: &SocketAddr| at.port() > 0 && !at.ip().is_multicast())
    });
    let mut file = |key: &str, example: &str| -> Option<PathBuf> {
        if !table.has(key) && !example.is_empty() {
            missing(&table, key, example);
        }
        table.text(key).map(|name| folder.join(name))
    };
    let certificate = file("certificate", "/etc/hacluster/pki/node1.crt");
    let key = file("key", "/etc/hacluster/pki/node1.key");
    let authority = file("authority", "/etc/hacluster/pki/ca.crt");
    let revoked = file("revoked", "");
    table.finish(&API_KEYS);
    if table.has_errors() {
        return None;
    }
    Some(Api {
        listen: listen?,
        tls: Tls { certificate: certificate?, key: key?, authority: authority?, revoked },
    })
}

/// One peer; none when it is wrong, or this node itself.
fn peer(mut table: Table<'_>, config: &Config, own_name: &str) -> Option<Peer> {
    if !table.has("address") {
        let message = "a peer needs an `address`".to_owned();
        let mend = "write address = \"192.0.2.12:9443\"";
        table.report(Severity::Error, "missing-key", "", message, mend);
    }
    let expected = "a node\'s name: letters, digits, `-`, `_` and `.`, as its router_id";
    let name = table.parsed("name", expected, |text| is_node_name(text).then(|| text.to_owned()));
    let address = table.parsed("address", "host:port, such as 192.0.2.12:9443", |text| {
        is_host_and_port(text).then(|| text.to_owned())
    });
    table.finish(&PEER_KEYS);
    let peer = Peer { name: name?, address: address? };
    if table.has_errors() {
        return None;
    }
    if peer.name.eq_ignore_ascii_case(own_name) {
        // One file for all nodes is a good habit: no reason to complain.
        let message = format!("peer `{}` is this node itself: left out", peer.name);
        table.report(Severity::Hint, "peer-is-this-node", "name", message, "");
        return None;
    }
    let listens = config.api.as_ref().map(|api| api.listen.to_string());
    let twin = config.peers.iter().find(|other| other.address == peer.address);
    if listens.as_deref() == Some(peer.address.as_str()) {
        let message = format!("peer `{}` has the address where this node listens", peer.name);
        table.report(Severity::Warning, "peer-is-this-node", "address", message, "correct name or address");
    } else if let Some(twin) = twin {
        let message = format!("peers `{}` and `{}` have the same address", twin.name, peer.name);
        table.report(Severity::Warning, "duplicate-address", "address", message, "one of them is wrong");
    }
    Some(peer)
}
