//! What can be played, as data.

use hacluster_lab::Topology;
use std::net::Ipv4Addr;

/// The one network of every scenario.
pub(crate) const NETWORK: &str = "lan";
/// The host that pings; it runs no daemon.
pub(crate) const CLIENT: &str = "client";

/// A topology with daemons on it, and a node to cut off.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) interface: &'static str,
    pub(crate) nodes: &'static [Node],
    /// The client's address.
    pub(crate) client: &'static str,
    pub(crate) routers: &'static [Router],
    /// The node to cut off; it should be master of [`Scenario::watched`].
    pub(crate) cut: &'static str,
    /// Which of the routers the client watches.
    pub(crate) watched: usize,
}

/// A host with a daemon.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    /// The text of its keepalived.conf.
    pub(crate) config: &'static str,
}

/// A virtual router, and who should hold it when all is well.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) name: &'static str,
    pub(crate) vrid: u8,
    pub(crate) address: Ipv4Addr,
    pub(crate) master: &'static str,
    pub(crate) backup: &'static str,
}

impl Scenario {
    pub(crate) fn topology(&self) -> Topology {
        let topology = Topology::new(self.name).network(NETWORK);
        let plug = |address| [(self.interface, NETWORK, address)];
        let topology =
            self.nodes.iter().fold(topology, |topology, node| topology.node(node.name, &plug(node.address)));
        topology.node(CLIENT, &plug(self.client))
    }

    /// The virtual router the client watches.
    pub(crate) fn watched(&self) -> &Router {
        &self.routers[self.watched]
    }
}

/// Everything that can be played, in order.
pub(crate) const SCENARIOS: [&Scenario; 2] = [&DUAL_MASTER, &RING];

const DUAL_MASTER: Scenario = Scenario {
    name: "dual-master",
    title: "two nodes, each master of one address and backup of the other",
    interface: "eth1",
    nodes: &[
        Node {
            name: "node10",
            address: "172.18.10.10/16",
            config: include_str!("../../scenarios/dual-master/node10.conf"),
        },
        Node {
            name: "node11",
            address: "172.18.10.11/16",
            config: include_str!("../../scenarios/dual-master/node11.conf"),
        },
    ],
    client: "172.18.0.9/16",
    routers: &[
        Router {
            name: "myroute",
            vrid: 50,
            address: Ipv4Addr::new(172, 18, 50, 50),
            master: "node11",
            backup: "node10",
        },
        Router {
            name: "myroute2",
            vrid: 51,
            address: Ipv4Addr::new(172, 18, 51, 51),
            master: "node10",
            backup: "node11",
        },
    ],
    cut: "node11",
    watched: 0,
};

const RING: Scenario = Scenario {
    name: "ring",
    title: "three nodes, each master of one address and backup of another",
    interface: "eth0",
    nodes: &[
        Node {
            name: "node1",
            address: "192.168.20.191/24",
            config: include_str!("../../scenarios/ring/node1.conf"),
        },
        Node {
            name: "node2",
            address: "192.168.20.192/24",
            config: include_str!("../../scenarios/ring/node2.conf"),
        },
        Node {
            name: "node3",
            address: "192.168.20.193/24",
            config: include_str!("../../scenarios/ring/node3.conf"),
        },
    ],
    client: "192.168.20.9/24",
    routers: &[
        Router {
            name: "VI_1",
            vrid: 191,
            address: Ipv4Addr::new(192, 168, 20, 187),
            master: "node1",
            backup: "node2",
        },
        Router {
            name: "VI_2",
            vrid: 192,
            address: Ipv4Addr::new(192, 168, 20, 188),
            master: "node2",
            backup: "node3",
        },
        Router {
            name: "VI_3",
            vrid: 193,
            address: Ipv4Addr::new(192, 168, 20, 189),
            master: "node3",
            backup: "node1",
        },
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
            for router in scenario.routers {
                let (vrid, vip) =
                    (format!("virtual_router_id {}\n", router.vrid), router.address.to_string());
                for node in scenario.nodes {
                    let expected = [router.master, router.backup].contains(&node.name);
                    let instance = node.config.split("vrrp_instance ").find(|text| text.contains(&vrid));
                    assert_eq!(instance.is_some(), expected, "{} on {}", router.name, node.name);
                    let Some(instance) = instance else { continue };
                    assert!(instance.contains(&vip) && instance.contains(scenario.interface), "{instance}");
                    assert!(instance.starts_with(router.name), "{instance}");
                    let is_master = instance.contains("state MASTER");
                    assert_eq!(is_master, router.master == node.name, "{} on {}", router.name, node.name);
                }
            }
        }
    }
}
