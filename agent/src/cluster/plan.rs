//! Which way a virtual router goes where it was asked to go. Pure.

use super::judge::owns;
use hacluster_proto::v1;
use std::net::Ipv4Addr;

/// A peer as far as a plan needs it.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its side of the virtual router, when it answers and has one.
    pub router: Option<v1::VirtualRouter>,
}

/// The way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It rules there already.
    There,
    /// No way; why, with the mend.
    None(String),
    /// No peer of that name is configured.
    Unknown(String),
    /// We rule: hand over to this peer, or to the best one.
    Push(Option<String>),
    /// We rule: resign in favour of this address, or of nobody in particular.
    Resign(String),
    /// That peer rules: it shall hand over to us.
    Pull(String),
    /// A node without an agent rules, with this address and priority: we lead over it.
    Lead(Ipv4Addr, u8),
}

/// The way of `ours`, a virtual router of node `own`, to `to`: a node, an address, or empty for the
/// best one.
pub fn way(own: &str, ours: &v1::VirtualRouter, to: &str, peers: &[PeerView]) -> Way {
    let name = &ours.name;
    // An address may stand for the node that sends from it.
    let by_address = to.parse::<Ipv4Addr>().ok().and_then(|_| sender(peers, to));
    let to = by_address.map_or(to, |peer| peer.name.as_str());
    let here = to.eq_ignore_ascii_case(own) || (!to.is_empty() && to == ours.source);
    match ours.state() {
        v1::State::Master => from_here(own, ours, to, here, peers),
        v1::State::Backup => to_here(own, ours, to, here, peers),
        v1::State::Fault => Way::None(format!(
            "{name} is in Fault on {own}, so {own} neither rules nor can take over; see haclusterctl status, and \
             ask the node that rules"
        )),
        v1::State::Initialize | v1::State::Unspecified => {
            Way::None(format!("{name} does not run yet on {own}; try again in a moment"))
        }
    }
}

fn from_here(own: &str, ours: &v1::VirtualRouter, to: &str, here: bool, peers: &[PeerView]) -> Way {
    if here {
        return Way::There;
    }
    if owns(ours) {
        return Way::None(format!(
            "{own} owns the addresses of {} (priority 255) and rules whenever it lives; give it a priority \
             below 255 to be able to move it",
            ours.name
        ));
    }
    let named = peers.iter().find(|peer| peer.name.eq_ignore_ascii_case(to));
    match (to, named) {
        ("", _) if peers.is_empty() => Way::Resign(String::new()),
        ("", _) => Way::Push(None),
        (_, Some(peer)) => Way::Push(Some(peer.name.clone())),
        _ if to.parse::<Ipv4Addr>().is_ok() => Way::Resign(to.to_owned()),
        _ => Way::Unknown(unknown(own, to, peers)),
    }
}

fn to_here(own: &str, ours: &v1::VirtualRouter, to: &str, here: bool, peers: &[PeerView]) -> Way {
    let name = &ours.name;
    let Ok(master) = ours.master_address.parse::<Ipv4Addr>() else {
        return Way::None(format!(
            "{own} hears no master of {name}, so there is nobody to take it from; it takes over by itself \
             when none speaks up"
        ));
    };
    let ruler = sender(peers, &ours.master_address);
    let named = peers.iter().find(|peer| peer.name.eq_ignore_ascii_case(to));
    if !to.is_empty() && !here {
        return match (named, ruler) {
            (None, _) if to == ours.master_address => Way::There,
            (None, _) => Way::Unknown(unknown(own, to, peers)),
            (Some(named), Some(ruler)) if named.name == ruler.name => Way::There,
            (Some(named), Some(ruler)) => {
                Way::None(format!("{name} is ruled by {}: ask it, or {}, not {own}", ruler.name, named.name))
            }
            (Some(named), None) => Way::None(format!(
                "{name} is ruled by {master}, of which {own} knows no agent: ask {} itself",
                named.name
            )),
        };
    }
    match (ruler, u8::try_from(ours.master_priority)) {
        (Some(ruler), _) if to.is_empty() => Way::None(format!(
            "{name} is ruled by {}, not by {own}: ask {}, or name {own} as the node that shall rule",
            ruler.name, ruler.name
        )),
        (Some(ruler), _) => Way::Pull(ruler.name.clone()),
        (None, Ok(255)) => Way::None(format!(
            "{master} owns the addresses of {name} (priority 255) and rules whenever it lives"
        )),
        (None, priority) => Way::Lead(master, priority.unwrap_or(254)),
    }
}

/// The peer whose adverts of this router come from `address`.
pub fn sender<'a>(peers: &'a [PeerView], address: &str) -> Option<&'a PeerView> {
    let sends = |peer: &&PeerView| peer.router.as_ref().is_some_and(|router| router.source == address);
    peers.iter().filter(|_| !address.is_empty()).find(sends)
}

fn unknown(own: &str, to: &str, peers: &[PeerView]) -> String {
    let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
    match hacluster_conf::nearest(to, names.iter().copied()) {
        Some(nearest) => format!("{own} knows no node {to}; did you mean {nearest}?"),
        None if names.is_empty() => format!(
            "{own} knows no other node: add a [[peer]] section for {to}, or give the address of a node \
             without an agent"
        ),
        None => format!(
            "{own} knows no node {to}, only {}: add a [[peer]] section, or give the address of a node \
             without an agent",
            names.join(", ")
        ),
    }
}

/// The highest of `priorities` that another node than an owner may advertise.
pub fn lead_priority(priorities: impl IntoIterator<Item = u32>) -> u32 {
    priorities.into_iter().max().unwrap_or(0).min(254)
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::router;
    use super::*;

    fn ours(state: v1::State, master: &str, master_priority: u32) -> v1::VirtualRouter {
        v1::VirtualRouter {
            state: state.into(),
            source: "192.0.2.1".into(),
            priority_base: 100,
            master_address: master.into(),
            master_priority,
            ..router("VI_1", "eth0", 51, &[])
        }
    }

    fn peers() -> Vec<PeerView> {
        let peer = |name: &str, source: &str| PeerView {
            name: name.into(),
            router: Some(v1::VirtualRouter { source: source.into(), ..router("VI_1", "eth0", 51, &[]) }),
        };
        vec![
            peer("node2", "192.0.2.2"),
            peer("node3", "192.0.2.3"),
            PeerView { name: "dead".into(), router: None },
        ]
    }

    #[test]
    fn a_master_goes_to_peers_addresses_or_nobody() {
        let master = ours(v1::State::Master, "", 0);
        let go = |to: &str| way("node1", &master, to, &peers());
        assert_eq!(go(""), Way::Push(None));
        assert_eq!(go("NODE2"), Way::Push(Some("node2".into())));
        assert_eq!(go("192.0.2.3"), Way::Push(Some("node3".into())), "the address of a peer is the peer");
        assert_eq!(go("dead"), Way::Push(Some("dead".into())), "considered, and found unreachable");
        assert_eq!(go("192.0.2.9"), Way::Resign("192.0.2.9".into()));
        assert_eq!((go("node1"), go("192.0.2.1")), (Way::There, Way::There));
        assert!(matches!(go("node4"), Way::Unknown(text) if text.contains("did you mean node2")));
        assert!(matches!(go("elsewhere"), Way::Unknown(text) if text.contains("node2, node3, dead")));
        assert_eq!(way("node1", &master, "", &[]), Way::Resign(String::new()));
        assert!(matches!(way("node1", &master, "x", &[]), Way::Unknown(text) if text.contains("[[peer]]")));
        let owner = v1::VirtualRouter { priority_base: 255, ..master.clone() };
        assert!(matches!(way("node1", &owner, "", &peers()), Way::None(text) if text.contains("below 255")));
        assert_eq!(way("node1", &owner, "node1", &peers()), Way::There);
    }

    #[test]
    fn a_backup_takes_what_it_is_told_to_take() {
        let go = |master: &str, priority, to: &str| {
            way("node1", &ours(v1::State::Backup, master, priority), to, &peers())
        };
        assert_eq!(go("192.0.2.2", 98, "node1"), Way::Pull("node2".into()));
        assert_eq!(go("192.0.2.2", 98, "node2"), Way::There);
        assert!(matches!(go("192.0.2.2", 98, ""), Way::None(text) if text.contains("ask node2")));
        assert!(matches!(go("192.0.2.2", 98, "node3"), Way::None(text) if text.contains("node3")));
        let plain = Way::Lead([192, 0, 2, 9].into(), 98);
        assert_eq!((go("192.0.2.9", 98, ""), go("192.0.2.9", 98, "node1")), (plain.clone(), plain));
        assert_eq!(go("192.0.2.9", 98, "192.0.2.9"), Way::There);
        assert!(matches!(go("192.0.2.9", 255, ""), Way::None(text) if text.contains("255")));
        assert!(matches!(go("192.0.2.9", 98, "node3"), Way::None(text) if text.contains("ask node3")));
        assert!(matches!(go("", 0, ""), Way::None(text) if text.contains("no master")));
        assert!(matches!(go("192.0.2.2", 98, "x"), Way::Unknown(_)));
    }

    #[test]
    fn who_cannot_rule_moves_nothing() {
        for state in [v1::State::Fault, v1::State::Initialize] {
            assert!(
                matches!(way("node1", &ours(state, "", 0), "node2", &peers()), Way::None(_)),
                "{state:?}"
            );
        }
    }

    #[test]
    fn a_lead_is_never_an_owners() {
        assert_eq!(lead_priority([100, 98]), 100);
        assert_eq!(lead_priority([98, 255]), 254);
    }
}
