//! The documents do what they say: their files are written, their commands run, in their order, and what a
//! page says they answer is what they answer.
//!
//! ```text
//!   deploy/docs/*.md, README.md --page--> steps by section --.
//!   PLAYS: which sections, on which nodes -------------------+--> stage: a lab with wrapped file systems
//! ```
//!
//! A block whose first line names `NODE: PATH` is a file. In a `console` block each line `NODE$ COMMAND` is
//! run and must end with 0 (those that only look, 0 or 1); lines below it are its answer, in which `...` stands
//! for any words, and one that begins with `error` says that it fails. systemd does not run in a namespace: what
//! `systemctl` would do to the agent is done by the stage.
//!
//! Contract: no section with commands is left out ([`unplayed`]); what cannot be played says so by name.

mod page;
mod stage;

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Lab, Topology};
pub use page::{Placed, Step, name, pages, parse, read};
use stage::Stage;

/// A node: its name, and its interfaces with network and addresses.
pub type Node = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

/// Sections that are played together, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// Of its trial.
    pub name: &'static str,
    /// Page and section; `None` for the whole page.
    pub parts: &'static [(&'static str, Option<&'static str>)],
    /// The first one is where the others are asked from.
    pub nodes: &'static [Node],
    /// Programs without which it cannot be played.
    pub needs: &'static [&'static str],
    /// The second node gets its own version of each file that the page gives the first.
    pub mirror: Option<(&'static str, &'static str)>,
    /// Needs a kernel with IPVS.
    pub ipvs: bool,
}

const JOINED: &[Node] = &[
    ("node1", &[("eth0", "lan", "192.0.2.11/24")]),
    ("node2", &[("eth0", "lan", "192.0.2.12/24")]),
    ("admin", &[("eth0", "lan", "192.0.2.9/24")]),
];
const JOIN: (&str, Option<&str>) = ("cluster.md", Some("Join two nodes"));
const PLAIN: Play = Play { name: "", parts: &[], nodes: JOINED, needs: &[], mirror: None, ipvs: false };
const MIRRORED: Play = Play { mirror: Some(("node1", "node2")), ..PLAIN };

/// Every play there is.
pub const PLAYS: &[Play] = &[
    Play {
        name: "the_way_from_keepalived_works_as_written",
        parts: &[("keepalived.md", None), ("README.md", None)],
        ..MIRRORED
    },
    Play {
        name: "joining_and_troubleshooting_work_as_written",
        parts: &[("cluster.md", None), ("troubleshooting.md", None)],
        ..MIRRORED
    },
    Play { name: "the_security_model_works_as_written", parts: &[("security.md", None)], ..PLAIN },
    Play {
        name: "the_control_api_works_as_written",
        parts: &[JOIN, ("api.md", None)],
        needs: &["grpcurl"],
        ..MIRRORED
    },
    Play {
        name: "telemetry_works_as_written",
        parts: &[JOIN, ("telemetry.md", None)],
        needs: &["curl"],
        ..MIRRORED
    },
    Play {
        name: "a_pair_works_as_written",
        parts: &[("topologies.md", Some("A pair"))],
        nodes: &[
            ("node1", &[("eth0", "lan", "192.0.2.11/24")]),
            ("node2", &[("eth0", "lan", "192.0.2.12/24")]),
        ],
        ..PLAIN
    },
    Play {
        name: "dual_master_works_as_written",
        parts: &[("topologies.md", Some("Dual master"))],
        nodes: &[
            ("node10", &[("eth1", "lan", "172.18.10.10/16")]),
            ("node11", &[("eth1", "lan", "172.18.10.11/16")]),
        ],
        ..PLAIN
    },
    Play {
        name: "a_ring_works_as_written",
        parts: &[("topologies.md", Some("Three nodes in a ring"))],
        nodes: &[
            ("node1", &[("eth0", "lan", "192.168.20.191/24")]),
            ("node2", &[("eth0", "lan", "192.168.20.192/24")]),
            ("node3", &[("eth0", "lan", "192.168.20.193/24")]),
        ],
        ..PLAIN
    },
    Play {
        name: "two_networks_work_as_written",
        parts: &[("topologies.md", Some("Two networks"))],
        nodes: &[
            ("node1", &[("eth0", "front", "192.168.224.11/24"), ("eth1", "back", "192.168.198.11/24")]),
            ("node2", &[("eth0", "front", "192.168.224.12/24"), ("eth1", "back", "192.168.198.12/24")]),
        ],
        ..PLAIN
    },
    Play {
        name: "load_balancing_works_as_written",
        parts: &[("load-balancing.md", None)],
        nodes: &[
            ("director1", &[("eth0", "lan", "192.0.2.11/24")]),
            ("director2", &[("eth0", "lan", "192.0.2.12/24")]),
            ("web1", &[("eth0", "lan", "192.0.2.21/24")]),
            ("web2", &[("eth0", "lan", "192.0.2.22/24")]),
            ("client", &[("eth0", "lan", "192.0.2.9/24")]),
        ],
        needs: &["curl", "ipvsadm"],
        mirror: Some(("director1", "director2")),
        ipvs: true,
    },
];

impl Play {
    /// Its steps, in order.
    pub fn steps(&self) -> Result<Vec<Placed>> {
        let mut steps = Vec::new();
        for (page, section) in self.parts {
            let of = read(page)?.into_iter().filter(|step| section.is_none_or(|name| step.section == name));
            let before = steps.len();
            steps.extend(of);
            ensure!(steps.len() > before, "{page} has no commands in {section:?}");
        }
        Ok(steps)
    }

    /// Plays it. `serve` starts what the pages take for granted; what it gives lives until the end.
    pub fn run<T>(&self, serve: impl FnOnce(&Lab) -> Result<T>) -> Result<()> {
        stage::needs(self)?;
        let steps = self.steps()?;
        let mut networks: Vec<&str> =
            self.nodes.iter().flat_map(|(_, cards)| *cards).map(|card| card.1).collect();
        networks.sort_unstable();
        networks.dedup();
        let topology = networks.into_iter().fold(Topology::new("documents"), Topology::network);
        let topology = self.nodes.iter().fold(topology, |topology, (name, cards)| topology.node(name, cards));
        Lab::run(topology, |lab| {
            let served = serve(lab)?;
            let mut stage = Stage::new(lab, self)?;
            for Placed { section, step } in &steps {
                stage.take(step).with_context(|| format!("section `{section}`"))?;
            }
            drop(served);
            Ok(())
        })
    }
}

/// Sections with steps that no play names.
pub fn unplayed() -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for path in pages()? {
        let page = name(&path);
        for Placed { section, .. } in read(&page)? {
            let plays =
                |part: &(&str, Option<&str>)| part.0 == page && part.1.is_none_or(|name| name == section);
            if !PLAYS.iter().any(|play| play.parts.iter().any(plays)) {
                missing.push(format!("{page}: {section}"));
            }
        }
    }
    missing.dedup();
    Ok(missing)
}
