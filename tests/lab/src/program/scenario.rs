//! What can be played, as data. Configurations are the samples that stand in `deploy/config`.

use hacluster_lab::Topology;
use std::net::Ipv4Addr;

/// The network that is cut, and that the client watches from.
pub(crate) const NETWORK: &str = "lan";
/// The host that pings and asks; it runs no daemon.
pub(crate) const CLIENT: &str = "client";
/// Where the samples say that certificates are.
pub(crate) const SAMPLE_PKI: &str = "/etc/hacluster/pki";

/// Interface, network, address.
pub(crate) type Plug = (&'static str, &'static str, &'static str);

/// A topology with daemons on it, and a node to cut off.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) networks: &'static [&'static str],
    pub(crate) nodes: &'static [Node],
    pub(crate) client: &'static [Plug],
    pub(crate) routers: &'static [Router],
    /// The node whose cable to [`NETWORK`] is pulled; it should be master of [`Scenario::watched`].
    pub(crate) cut: &'static str,
    /// Which of the routers the client watches; it is on [`NETWORK`].
    pub(crate) watched: usize,
}

/// A host with a daemon.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) plugs: &'static [Plug],
    /// Where its API listens.
    pub(crate) api: Ipv4Addr,
    /// The text of its keepalived.conf.
    pub(crate) config: &'static str,
    /// The text of its agent.toml.
    pub(crate) agent: &'static str,
}

/// A virtual router, and who should hold it when all is well.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) name: &'static str,
    pub(crate) vrid: u8,
    pub(crate) network: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) master: &'static str,
    pub(crate) backup: &'static str,
}

/// Who cannot rule what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// All is well.
    Nobody,
    /// This node is off [`NETWORK`].
    CutOff(&'static str),
    /// This node's daemon has ended.
    Stopped(&'static str),
}

impl Router {
    /// Who should hold it while `gone` is so.
    pub(crate) fn holder(&self, gone: Gone) -> &'static str {
        let lost = match gone {
            Gone::Nobody => false,
            Gone::CutOff(node) => node == self.master && self.network == NETWORK,
            Gone::Stopped(node) => node == self.master,
        };
        if lost { self.backup } else { self.master }
    }
}

impl Scenario {
    pub(crate) fn topology(&self) -> Topology {
        let topology = self
            .networks
            .iter()
            .fold(Topology::new(self.name), |topology, network| topology.network(network));
        let topology =
            self.nodes.iter().fold(topology, |topology, node| topology.node(node.name, node.plugs));
        topology.node(CLIENT, self.client)
    }

    /// The virtual router the client watches.
    pub(crate) fn watched(&self) -> &Router {
        &self.routers[self.watched]
    }

    /// The interface by which `node` is on [`NETWORK`].
    pub(crate) fn interface(&self, node: &str) -> &'static str {
        let node = self.nodes.iter().find(|one| one.name == node);
        let plug = node.and_then(|node| node.plugs.iter().find(|plug| plug.1 == NETWORK));
        plug.map_or("eth0", |plug| plug.0)
    }
}

/// Everything that can be played, in order.
pub(crate) const SCENARIOS: [&Scenario; 4] = [&PAIR, &DUAL_MASTER, &RING, &DUAL_NIC];

/// The two sample files of a node.
macro_rules! sample {
    ($topology:literal, $node:literal, $file:literal) => {
        include_str!(concat!("../../../../deploy/config/", $topology, "/", $node, "/", $file))
    };
}

/// A node of a sample topology.
macro_rules! node {
    ($topology:literal, $name:literal, $api:expr, $plugs:expr) => {
        Node {
            name: $name,
            plugs: $plugs,
            api: $api,
            config: sample!($topology, $name, "keepalived.conf"),
            agent: sample!($topology, $name, "agent.toml"),
        }
    };
}

const fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

const fn router(
    name: &'static str,
    vrid: u8,
    address: Ipv4Addr,
    [master, backup]: [&'static str; 2],
) -> Router {
    Router { name, vrid, network: NETWORK, address, master, backup }
}

const PAIR: Scenario = Scenario {
    name: "pair",
    title: "two nodes, one of them master of an address, the other its backup",
    networks: &[NETWORK],
    nodes: &[
        node!("pair", "node1", ip(192, 0, 2, 11), &[("eth0", NETWORK, "192.0.2.11/24")]),
        node!("pair", "node2", ip(192, 0, 2, 12), &[("eth0", NETWORK, "192.0.2.12/24")]),
    ],
    client: &[("eth0", NETWORK, "192.0.2.9/24")],
    routers: &[router("VI_1", 51, ip(192, 0, 2, 80), ["node1", "node2"])],
    cut: "node1",
    watched: 0,
};

const DUAL_MASTER: Scenario = Scenario {
    name: "dual-master",
    title: "two nodes, each master of one address and backup of the other",
    networks: &[NETWORK],
    nodes: &[
        node!("dual-master", "node10", ip(172, 18, 10, 10), &[("eth1", NETWORK, "172.18.10.10/16")]),
        node!("dual-master", "node11", ip(172, 18, 10, 11), &[("eth1", NETWORK, "172.18.10.11/16")]),
    ],
    client: &[("eth1", NETWORK, "172.18.0.9/16")],
    routers: &[
        router("myroute", 50, ip(172, 18, 50, 50), ["node11", "node10"]),
        router("myroute2", 51, ip(172, 18, 51, 51), ["node10", "node11"]),
    ],
    cut: "node11",
    watched: 0,
};

const RING: Scenario = Scenario {
    name: "ring",
    title: "three nodes, each master of one address and backup of another",
    networks: &[NETWORK],
    nodes: &[
        node!("ring", "node1", ip(192, 168, 20, 191), &[("eth0", NETWORK, "192.168.20.191/24")]),
        node!("ring", "node2", ip(192, 168, 20, 192), &[("eth0", NETWORK, "192.168.20.192/24")]),
        node!("ring", "node3", ip(192, 168, 20, 193), &[("eth0", NETWORK, "192.168.20.193/24")]),
    ],
    client: &[("eth0", NETWORK, "192.168.20.9/24")],
    routers: &[
        router("VI_1", 191, ip(192, 168, 20, 187), ["node1", "node2"]),
        router("VI_2", 192, ip(192, 168, 20, 188), ["node2", "node3"]),
        router("VI_3", 193, ip(192, 168, 20, 189), ["node3", "node1"]),
    ],
    cut: "node1",
    watched: 0,
};

const DUAL_NIC: Scenario = Scenario {
    name: "dual-nic",
    title: "two nodes on two networks, an address on each; agents talk by the second",
    networks: &[NETWORK, "back"],
    nodes: &[
        node!(
            "dual-nic",
            "node1",
            ip(192, 168, 198, 11),
            &[("eth0", NETWORK, "192.168.224.11/24"), ("eth1", "back", "192.168.198.11/24")]
        ),
        node!(
            "dual-nic",
            "node2",
            ip(192, 168, 198, 12),
            &[("eth0", NETWORK, "192.168.224.12/24"), ("eth1", "back", "192.168.198.12/24")]
        ),
    ],
    client: &[("eth0", NETWORK, "192.168.224.9/24"), ("eth1", "back", "192.168.198.9/24")],
    routers: &[
        router("VI_1", 51, ip(192, 168, 224, 100), ["node1", "node2"]),
        Router { network: "back", ..router("VI_2", 52, ip(192, 168, 198, 100), ["node1", "node2"]) },
    ],
    cut: "node1",
    watched: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration files and this table must say the same.
    #[test]
    fn every_router_is_configured_on_its_master_and_its_backup() {
        for scenario in SCENARIOS {
            assert_eq!(scenario.watched().master, scenario.cut, "{}", scenario.name);
            assert_eq!(scenario.watched().network, NETWORK, "{}", scenario.name);
            for router in scenario.routers {
                let (vrid, vip) =
                    (format!("virtual_router_id {}\n", router.vrid), router.address.to_string());
                for node in scenario.nodes {
                    let expected = [router.master, router.backup].contains(&node.name);
                    let instance = node.config.split("vrrp_instance ").find(|text| text.contains(&vrid));
                    assert_eq!(instance.is_some(), expected, "{} on {}", router.name, node.name);
                    let Some(instance) = instance else { continue };
                    let plug = node.plugs.iter().find(|plug| plug.1 == router.network).unwrap();
                    assert!(instance.contains(&vip) && instance.contains(plug.0), "{instance}");
                    assert!(instance.starts_with(router.name), "{instance}");
                    let is_master = instance.contains("state MASTER");
                    assert_eq!(is_master, router.master == node.name, "{} on {}", router.name, node.name);
                }
            }
        }
    }

    #[test]
    fn every_node_listens_and_knows_all_others() {
        for scenario in SCENARIOS {
            for node in scenario.nodes {
                let held = node.plugs.iter().any(|plug| plug.2.starts_with(&format!("{}/", node.api)));
                assert!(held, "{} listens where it is not", node.name);
                assert!(node.config.contains(&format!("router_id {}\n", node.name)), "{}", node.config);
                assert!(node.agent.contains(SAMPLE_PKI), "{}", node.agent);
                for other in scenario.nodes {
                    let named = node.agent.contains(&format!("name = \"{}\"", other.name));
                    assert_eq!(named, other.name != node.name, "{}", node.agent);
                    assert!(node.agent.contains(&format!("\"{}:9443\"", other.api)), "{}", node.agent);
                }
            }
        }
    }
}
