//! What a predecessor left in place for a successor that cannot run, or that nobody starts any more.
//!
//! ```text
//!   a crash, or QUIT     addresses stay, with a record     the successor adopts them
//!   its file is broken   they go, before it gives up       nobody would speak for them, and the next master has them, too
//!   it crashes always    they go by `--release`            once the service manager has given up
//! ```
//!
//! Contract: only addresses that the record names and that bear our mark. The record stays: routes, rules and packet
//! filter are for the next start to clean.

use crate::args::Args;
use crate::rundir::{self, RunDir};
use anyhow::bail;
use hacluster_conf::model::Config;
use hacluster_net::NetError;
use hacluster_net::netlink::{AddressSpec, Requests};
use std::path::Path;

/// Takes them off, and says so. Does nothing beside an agent that runs.
pub(crate) fn release(args: &Args, config: &Config) {
    let wanted = args.run_dir.clone().or_else(|| config.agent.run_dir.clone());
    let Ok(run_dir) = RunDir::lock(wanted.as_deref().unwrap_or(Path::new(rundir::DEFAULT))) else { return };
    if let Err(error) = tell(&run_dir) {
        tracing::error!("{error:#}");
    }
}

/// What `--release` does: the same, by whoever may look into the run directory.
///
/// # Errors
/// When they stay, or nobody can know whether there are any.
pub fn release_abandoned(args: &Args) -> anyhow::Result<()> {
    let path = args.run_dir.as_deref().unwrap_or(Path::new(rundir::DEFAULT));
    match RunDir::abandoned(path)? {
        Some(run_dir) => tell(&run_dir),
        None => {
            tracing::info!("nothing to release: in {} an agent runs, or none ever did", path.display());
            Ok(())
        }
    }
}

fn tell(run_dir: &RunDir) -> anyhow::Result<()> {
    match take_off(run_dir) {
        Ok((_, 0)) => {}
        Ok((first, count)) => {
            tracing::warn!(
                "{count} address(es) of a predecessor removed ({first} first): nobody speaks for them"
            );
        }
        Err(error) => bail!("addresses of a predecessor stay behind: {error}; remove them by hand"),
    }
    Ok(())
}

/// The first one, and how many.
fn take_off(run_dir: &RunDir) -> Result<(String, usize), NetError> {
    let left = run_dir.leftovers();
    if left.is_empty() {
        return Ok((String::new(), 0));
    }
    let mut requests = Requests::open()?;
    let here = requests.dump_addresses()?;
    let ours = here.iter().filter(|address| left.iter().any(|row| row.is_at(address)));
    let ours: Vec<_> = ours.map(AddressSpec::of).collect();
    requests.remove_addresses(&ours).into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok((ours.first().map(|address| address.ip.to_string()).unwrap_or_default(), ours.len()))
}
