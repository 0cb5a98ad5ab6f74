//! What tests with real agents share: trials that are skipped by name, agents on hosts of the lab,
//! configurations, forged packets, agents as a cluster with operators and strangers, and waiting for
//! what was held, logged or sent.
//!
//! ```text
//!   main ── Suite::enter ── Suite::trial(name, body)*  ── Suite::run
//!                                        │
//!              Lab::run(pair(), |lab| { Running::start(host, &Instance...)  hold(host, vip)  Wire })
//! ```
//!
//! Contract: nothing here measures speed. Limits end a test that cannot pass.

mod cluster;
mod config;
mod forge;
mod running;
mod strangers;
mod suite;
mod vigil;
mod wire;

pub use cluster::{CONTROL, Cluster, LAN, SIDE, Said, trio};
pub use config::Instance;
pub use forge::Forger;
pub use running::{
    Entry, Running, add_virtual, entries, free, hold, left_alone, remove_address, settle_first, topology_of,
};
pub use strangers::{Stranger, Validity};
pub use suite::{Skip, Suite};
pub use vigil::{Holders, Vigil};
pub use wire::Wire;

use anyhow::{Context, Result, ensure};
use hacluster_lab::Topology;
use std::{ffi::OsStr, net::Ipv4Addr, path::Path, process::Command};

/// The address that [`Instance::new`] and [`pair`] are about.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
/// Group of adverts unless configured.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// `left` and `right` run agents, `client` looks on: one network, 10.9.0.0/24, interface eth0 each.
pub fn pair() -> Topology {
    Topology::new("pair")
        .network("lan")
        .node("left", &[("eth0", "lan", "10.9.0.1/24")])
        .node("right", &[("eth0", "lan", "10.9.0.2/24")])
        .node("client", &[("eth0", "lan", "10.9.0.9/24")])
}

/// Copies a program so that it can be run at once. A process of its own writes it: a file that this one has
/// open for writing is inherited by whatever another trial starts meanwhile, and cannot be run then.
pub fn copy_program(from: impl AsRef<OsStr>, to: &Path) -> Result<()> {
    let done = Command::new("cp").arg(from.as_ref()).arg(to).output().context("cannot run cp")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
