//! What is known of the peers' virtual routers, and which of them are the same as ours. Pure.
//!
//! A virtual router is one thing on the network and several entries in configurations: names and
//! interfaces may differ between nodes. Nodes tell each other apart by VRID; where a node has a VRID on
//! several networks, by the advertised addresses.

use hacluster_proto::v1;

/// Most routers of a peer that are kept: more than a node can run, less than hurts.
const ROUTERS_MAX: usize = 16_384;

/// What a peer told of itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The node; absent until the first snapshot.
    pub node: Option<v1::Node>,
    /// Its virtual routers.
    pub routers: Vec<v1::VirtualRouter>,
}

impl Known {
    /// Takes what the peer tells.
    pub fn take(&mut self, told: v1::WatchResponse) {
        match told.change {
            Some(v1::watch_response::Change::Snapshot(snapshot)) => {
                self.node = snapshot.node;
                self.routers = snapshot.routers;
                self.routers.truncate(ROUTERS_MAX);
            }
            Some(v1::watch_response::Change::Router(v1::RouterChange { router: Some(router), .. })) => {
                let same = |known: &&mut v1::VirtualRouter| {
                    (known.vrid, &known.interface) == (router.vrid, &router.interface)
                };
                let full = self.routers.len() >= ROUTERS_MAX;
                match self.routers.iter_mut().find(same) {
                    Some(known) => *known = router,
                    None if full => {}
                    None => self.routers.push(router),
                }
            }
            Some(v1::watch_response::Change::Router(_)) | None => {}
        }
    }

    /// The peer's side of the virtual router `key`.
    pub fn router(&self, key: &v1::RouterKey) -> Option<&v1::VirtualRouter> {
        matching(&self.routers, key)
    }
}

/// How other nodes find `router` among theirs.
pub fn key_of(router: &v1::VirtualRouter) -> v1::RouterKey {
    v1::RouterKey {
        vrid: router.vrid,
        addresses: advertised(router),
        name: router.name.clone(),
        agreement: router.agreement.clone(),
    }
}

/// The one of `routers` that is the virtual router `key`.
pub fn matching<'a>(
    routers: impl IntoIterator<Item = &'a v1::VirtualRouter>,
    key: &v1::RouterKey,
) -> Option<&'a v1::VirtualRouter> {
    let numbered: Vec<_> = routers.into_iter().filter(|router| router.vrid == key.vrid).collect();
    match numbered[..] {
        [] => None,
        [only] => Some(only),
        _ => {
            let mut wanted = key.addresses.clone();
            wanted.sort();
            let mut same = numbered.into_iter().filter(|router| advertised(router) == wanted);
            same.next().filter(|_| same.next().is_none())
        }
    }
}

/// The addresses in its adverts, sorted, without prefix length: as on the network.
fn advertised(router: &v1::VirtualRouter) -> Vec<String> {
    let advertised = router.addresses.iter().filter(|address| address.advertised);
    let mut addresses: Vec<_> = advertised.map(|address| bare(&address.address).to_owned()).collect();
    addresses.sort();
    addresses
}

fn bare(address: &str) -> &str {
    address.split_once('/').map_or(address, |(ip, _)| ip)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use v1::watch_response::Change;

    pub(crate) fn router(name: &str, interface: &str, vrid: u32, addresses: &[&str]) -> v1::VirtualRouter {
        let address = |text: &&str| v1::Address {
            address: (*text).to_owned(),
            advertised: true,
            ..v1::Address::default()
        };
        v1::VirtualRouter {
            name: name.into(),
            interface: interface.into(),
            vrid,
            addresses: addresses.iter().map(address).collect(),
            agreement: "a1".into(),
            ..v1::VirtualRouter::default()
        }
    }

    #[test]
    fn routers_are_matched_by_number_and_in_doubt_by_addresses() {
        let theirs = [
            router("web", "eth1", 51, &["192.0.2.2/24", "192.0.2.1/24"]),
            router("db", "eth2", 51, &["198.51.100.1/24"]),
            router("mail", "eth1", 52, &["192.0.2.9/24"]),
            router("x", "eth3", 53, &["192.0.2.7/24"]),
            router("y", "eth4", 53, &["192.0.2.7/24"]),
        ];
        let find = |vrid, addresses: &[&str]| {
            let key = key_of(&router("VI_1", "eth0", vrid, addresses));
            matching(&theirs, &key).map(|router| router.name.as_str())
        };
        assert_eq!(find(51, &["192.0.2.1/32", "192.0.2.2/24"]), Some("web"), "order and prefix do not count");
        assert_eq!(find(51, &["198.51.100.1/24"]), Some("db"));
        assert_eq!(find(51, &["203.0.113.1/24"]), None, "two have the number, neither the addresses");
        assert_eq!(find(52, &["203.0.113.1/24"]), Some("mail"), "the only one; the agreement will differ");
        assert_eq!(find(53, &["192.0.2.7/24"]), None, "two that look the same");
        assert_eq!(find(54, &[]), None);
    }

    #[test]
    fn knowledge_follows_snapshots_and_changes() {
        let mut known = Known::default();
        let mut tell = |change| {
            known.take(v1::WatchResponse { change });
            known.routers.iter().map(|router| (router.name.clone(), router.state)).collect::<Vec<_>>()
        };
        let change = |router| Some(Change::Router(v1::RouterChange { event: None, router }));
        let mut one = router("VI_1", "eth0", 1, &[]);
        assert_eq!(tell(None), []);
        assert_eq!(tell(change(Some(one.clone()))), [("VI_1".to_owned(), 0)]);
        one.state = v1::State::Master.into();
        assert_eq!(tell(change(Some(one.clone()))), [("VI_1".to_owned(), 3)]);
        assert_eq!(tell(change(None)).len(), 1);
        let snapshot = v1::GetSnapshotResponse {
            node: Some(v1::Node::default()),
            routers: vec![router("VI_2", "eth0", 2, &[])],
            ..v1::GetSnapshotResponse::default()
        };
        assert_eq!(tell(Some(Change::Snapshot(snapshot))), [("VI_2".to_owned(), 0)]);
    }

    #[test]
    fn a_peer_that_never_stops_telling_is_bounded() {
        let mut known = Known::default();
        for number in 0..ROUTERS_MAX + 9 {
            let router = Some(router("x", &number.to_string(), 1, &[]));
            let change = Change::Router(v1::RouterChange { event: None, router });
            // Looked up by place, so keep this cheap: only the last few are inserted one by one.
            if known.routers.len() < ROUTERS_MAX - 1 {
                known.routers.push(v1::VirtualRouter::default());
            }
            if number + 20 > ROUTERS_MAX {
                known.take(v1::WatchResponse { change: Some(change) });
            }
        }
        assert_eq!(known.routers.len(), ROUTERS_MAX);
    }
}
