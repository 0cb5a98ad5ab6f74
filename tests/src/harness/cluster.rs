//! Two agents that know each other, room for a third node, and an operator.
//!
//! ```text
//!             left .1     right .2    third .3    client .9
//!   lan   10.9.0.0 |----------|-----------|-----------|     adverts, and the address clients use
//!   control 10.8.0.0 |--------|-----------|-----------|     API and peers
//!   side  10.7.0.0 |----------|                             for an address beside
//! ```

use super::{Instance, Running, VIP, hold};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Fleet, Host, LIMIT, Lab, Topology, wait_for, wait_until};
use serde_json::Value;
use std::{net::Ipv4Addr, ops::Deref, process::Output, time::Duration};

/// The network of the adverts.
pub const LAN: &str = "lan";
/// The network of the API.
pub const CONTROL: &str = "control";
/// One more network that agents serve.
pub const SIDE: &str = "side";
/// Between two questions to haclusterctl.
const PAUSE: Duration = Duration::from_millis(50);

/// The hosts `left`, `right`, `third` and `client` on all three networks.
pub fn trio() -> Topology {
    let topology = Topology::new("trio").network(LAN).network(CONTROL).network(SIDE);
    [("left", 1), ("right", 2), ("third", 3), ("client", 9)].iter().fold(
        topology,
        |topology, (name, last)| {
            let [lan, control, side] = [9, 8, 7].map(|network| format!("10.{network}.0.{last}/24"));
            let plugs = [("eth0", LAN, &*lan), ("eth1", CONTROL, &*control), ("eth2", SIDE, &*side)];
            topology.node(name, &plugs)
        },
    )
}

/// What haclusterctl said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Exit status; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Said {
    /// Fails unless it ended well.
    pub fn well(self) -> Result<Self> {
        ensure!(self.code == 0, "haclusterctl ended with {}:\n{}{}", self.code, self.out, self.err);
        Ok(self)
    }

    /// Fails when it ended well, or does not hold all of `parts`, regardless of case.
    pub fn refused(self, parts: &[&str]) -> Result<Self> {
        ensure!(self.code > 0, "haclusterctl ended with {}:\n{}{}", self.code, self.out, self.err);
        self.with(parts)
    }

    /// Fails unless what it said holds all of `parts`, regardless of case and line ends.
    pub fn with(self, parts: &[&str]) -> Result<Self> {
        let all = format!("{}{}", self.out, self.err);
        let lower = all.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            ensure!(lower.contains(&part.to_lowercase()), "`{part}` is missing in:\n{all}");
        }
        Ok(self)
    }
}

/// Agents on `left` and `right` of [`trio`], certificates for them and for `third`.
#[derive(Debug)]
pub struct Cluster<'lab> {
    /// Where.
    pub lab: &'lab Lab,
    /// Certificates and addresses.
    pub fleet: Fleet,
}

impl<'lab> Cluster<'lab> {
    /// Makes certificates; nothing runs yet. `left` and `right` are the members.
    pub fn found(lab: &'lab Lab) -> Result<Self> {
        let at = |last| Ipv4Addr::new(10, 8, 0, last);
        Ok(Self { lab, fleet: Fleet::found(lab, &[("left", at(1)), ("right", at(2))])? })
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<&'lab Host> {
        self.lab.host(name)
    }

    /// Starts the agent of the node `name`.
    pub fn start(&self, name: &str, config: impl ToString) -> Result<Running<'lab>> {
        let host = self.host(name)?;
        Ok(Running { host, process: self.fleet.start(host, &config.to_string())? })
    }

    /// As [`start`](Self::start), with more text in agent.toml.
    pub fn start_with(&self, name: &str, config: impl ToString, more: &str) -> Result<Running<'lab>> {
        let host = self.host(name)?;
        let toml = format!("{}{more}", self.fleet.agent_toml(name)?);
        Ok(Running { host, process: self.fleet.start_with(host, &config.to_string(), &toml)? })
    }

    /// `left` rules with priority 100, `right` follows with 98, and both are ready to be moved.
    pub fn pair(&self) -> Result<Pair<'lab>> {
        self.pair_of(Instance::new(100).master(), Instance::new(98))
    }

    /// As [`pair`](Self::pair), so configured.
    pub fn pair_of(&self, left: impl ToString, right: impl ToString) -> Result<Pair<'lab>> {
        let left = self.start("left", left)?;
        hold(left.host, VIP)?;
        let right = self.start("right", right)?;
        self.ready()?;
        self.shows("right to hear left", |status| status.contains(r#""master_address":"10.9.0.1""#))?;
        Ok(Pair { left, right })
    }

    /// Waits until `status` finds nothing wrong: every agent answers, knows its master and its peers.
    pub fn ready(&self) -> Result<()> {
        let mut last = None;
        let ready = wait_until("a status without complaint", LIMIT, || {
            let said = self.ctl(&["status"])?;
            let well = said.code == 0;
            if !well {
                std::thread::sleep(PAUSE);
            }
            last = Some(said);
            Ok(well.then_some(()))
        });
        ready.with_context(|| format!("the last one was {last:#?}"))
    }

    /// Runs haclusterctl on the client as an operator.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Said> {
        Ok(self.fleet.ctl(self.host("client")?, arguments)?.into())
    }

    /// As [`ctl`](Self::ctl), with another context file.
    pub fn ctl_as(&self, who: &str, arguments: &[&str]) -> Result<Said> {
        Ok(self.fleet.ctl_as(self.host("client")?, who, arguments)?.into())
    }

    /// `status -o json`.
    pub fn status(&self) -> Result<Value> {
        let said = self.ctl(&["status", "-o", "json"])?;
        serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))
    }

    /// Waits until `status -o json`, on one line, is as `holds` says.
    pub fn shows(&self, what: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
        wait_until(what, LIMIT, || {
            let shown = holds(&self.status()?.to_string());
            if !shown {
                std::thread::sleep(PAUSE);
            }
            Ok(shown.then_some(()))
        })
    }

    /// Waits until the address is on `name` and on none of the other nodes.
    pub fn served_by(&self, name: &str) -> Result<()> {
        let hosts = ["left", "right", "third"];
        wait_for(&format!("{VIP} on {name} alone"), LIMIT, || {
            hosts.iter().all(|host| {
                let holds = self.host(host).and_then(|host| host.holds(VIP));
                holds.is_ok_and(|holds| holds == (*host == name))
            })
        })
    }
}

/// Two running agents.
#[derive(Debug)]
pub struct Pair<'lab> {
    /// Of higher priority.
    pub left: Running<'lab>,
    /// Its backup.
    pub right: Running<'lab>,
}

impl<'lab> Deref for Cluster<'lab> {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.lab
    }
}
