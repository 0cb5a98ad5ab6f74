//! Hosts with the configuration each of them runs, and questions about them.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{LIMIT, Lab, Topology, wait_for};
use hacluster_tests::harness::{Entry, Running, Skip, Suite, Wire, entries, free, hold};
use std::{fs, net::Ipv4Addr, path::PathBuf, time::Instant};

/// A node: where it is, and its configuration in both collections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Its name in the lab.
    pub(crate) name: &'static str,
    /// Interfaces, each with its network and address.
    pub(crate) interfaces: &'static [(&'static str, &'static str, &'static str)],
    /// Below `tests`.
    pub(crate) ours: &'static str,
    /// Below `seed-configs`; several make one file.
    pub(crate) seeds: &'static [&'static str],
}

/// Which collection the configurations come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Ours,
    Seeds,
}

impl Node {
    fn config(&self, origin: Origin) -> Result<String> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let files: Vec<PathBuf> = match origin {
            Origin::Ours => vec![root.join(self.ours)],
            Origin::Seeds => {
                let collection = root.join("../../shared/seed-configs");
                if !collection.is_dir() {
                    return Err(Skip("../shared/seed-configs is not here".to_owned()).into());
                }
                self.seeds.iter().map(|name| collection.join(name)).collect()
            }
        };
        let texts = files.iter().map(|file| {
            let bytes = fs::read(file).with_context(|| file.display().to_string())?;
            String::from_utf8(bytes).with_context(|| file.display().to_string())
        });
        Ok(texts.collect::<Result<Vec<_>>>()?.join("\n"))
    }
}

/// A scenario while it plays.
pub(crate) struct Scene<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) wire: Wire,
    configs: Vec<(&'static str, String)>,
}

type Play = fn(&Scene<'_>) -> Result<()>;

/// Adds `play` twice, once per collection.
pub(crate) fn both(suite: &mut Suite, name: &str, nodes: &'static [Node], play: Play) {
    suite.trial(format!("ours_{name}"), move || stage(nodes, Origin::Ours, play));
    seeds_only(suite, name, nodes, play);
}

/// Adds `play` with the collection in use.
pub(crate) fn seeds_only(suite: &mut Suite, name: &str, nodes: &'static [Node], play: Play) {
    suite.trial(format!("seeds_{name}"), move || stage(nodes, Origin::Seeds, play));
}

fn stage(nodes: &[Node], origin: Origin, play: Play) -> Result<()> {
    let configs: Vec<_> =
        nodes.iter().map(|node| Ok((node.name, node.config(origin)?))).collect::<Result<_>>()?;
    let mut networks: Vec<_> =
        nodes.iter().flat_map(|node| node.interfaces).map(|(_, network, _)| *network).collect();
    networks.sort_unstable();
    networks.dedup();
    let topology = networks.iter().fold(Topology::new("seed"), |topology, network| topology.network(network));
    let topology = nodes.iter().fold(topology, |topology, node| topology.node(node.name, node.interfaces));
    Lab::run(topology, |lab| play(&Scene { lab, wire: Wire::tap(lab, networks[0])?, configs }))
}

impl<'a> Scene<'a> {
    /// The configuration of `name`.
    pub(crate) fn config(&self, name: &str) -> Result<&str> {
        let config = self.configs.iter().find(|(node, _)| *node == name);
        config.map(|(_, text)| text.as_str()).with_context(|| format!("{name} has no configuration"))
    }

    /// Starts the agent of `name`.
    pub(crate) fn start(&self, name: &str) -> Result<Running<'a>> {
        Running::start(self.lab.host(name)?, self.config(name)?)
    }

    /// Starts the agent of `name` and waits until it is a backup or more in `routers` routers.
    pub(crate) fn start_settled(&self, name: &str, routers: usize) -> Result<Running<'a>> {
        let agent = self.start(name)?;
        let settled = || agent.lines(&["Initialize -> "]).len() >= routers;
        wait_for(&format!("the routers of {name}"), LIMIT, settled)?;
        Ok(agent)
    }

    /// Waits until `name` alone holds `ip`.
    pub(crate) fn only(&self, name: &str, ip: Ipv4Addr) -> Result<()> {
        hold(self.lab.host(name)?, ip)?;
        let mut others = self.lab.hosts().iter().filter(|host| host.name() != name);
        others.try_for_each(|host| free(host, ip))
    }

    /// Waits until `name` holds `ip`, whoever else does.
    pub(crate) fn holds(&self, name: &str, ip: Ipv4Addr) -> Result<()> {
        hold(self.lab.host(name)?, ip)
    }

    /// `ip` on `name`, as the kernel describes it.
    pub(crate) fn entry(&self, name: &str, ip: Ipv4Addr) -> Result<Entry> {
        let found = entries(self.lab.host(name)?, ip)?.pop();
        found.with_context(|| format!("{ip} is not on {name}"))
    }

    /// The next adverts of `name` for `vrid` are `priority`, authentication type, one second.
    pub(crate) fn advertises(&self, name: &str, vrid: u8, priority: u8, auth_type: u8) -> Result<()> {
        let advert = self.wire.advert(name, vrid, Instant::now(), |_| true)?.packet;
        let facts = (advert.version, advert.kind, advert.ttl, advert.interval, advert.addresses.len());
        ensure!(facts == (2, 1, 255, 1, 1), "{advert:?}");
        ensure!((advert.priority, advert.auth_type) == (priority, Some(auth_type)), "{advert:?}");
        Ok(())
    }
}
