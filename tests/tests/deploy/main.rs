//! What is shipped beside the programs: service manager, containers, packages, samples.
//!
//! | file | about |
//! |---|---|
//! | [`manager`] | what the service manager is told, and when it is told nothing |
//! | [`agree`] | what two files say of the same thing |
//! | [`boards`] | dashboards by Grafana's types and grammars |
//! | [`container`] | the agent as process 1, and the image |
//! | [`dashboards`] | metrics and queries of dashboards and alert rules |
//! | [`documents`] | what the documents say, done |
//! | [`units`] | systemd units, as systemd itself judges them |
//! | [`samples`] | collector, Prometheus and Grafana: whether their parts fit |
//! | [`settings`] | compose file, collector, Tempo, provisioning: whether each key is one |
//! | [`systemd`] | package and units under systemd itself, process 1 of a throw-away [`machine`] |
//! | [`package`] | the Debian package: built, whole, and where there is no service manager |
//!
//! Needs the right to make network namespaces; package and systemd need root. Skipped by name without.

mod agree;
mod boards;
mod container;
mod dashboards;
mod documents;
mod machine;
mod manager;
mod package;
mod samples;
mod settings;
mod systemd;
mod units;

use anyhow::{Context, Result};
use hacluster_tests::harness::{Skip, Suite};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is shipped.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

/// A file that is shipped.
fn read(name: &str) -> Result<String> {
    fs::read_to_string(Path::new(DEPLOY).join(name)).context(name.to_owned())
}

/// The folder `name` beside what is built, where .ci/run installs a checker; `mend` is how a person does.
fn installed(name: &str, mend: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(3).map(|target| target.join(name));
    let folder = folder.filter(|folder| folder.is_dir());
    Ok(folder.ok_or_else(|| Skip(format!("needs {name}: {mend}")))?)
}

fn main() {
    let mut suite = Suite::enter();
    let package = Arc::default();
    systemd::trials(&mut suite, &package); // the longest first
    package::trials(&mut suite, &package);
    drop(package); // it goes with the last trial that asks for it: nothing is dropped at the process' end
    dashboards::trials(&mut suite);
    documents::trials(&mut suite);
    manager::trials(&mut suite);
    container::trials(&mut suite);
    agree::trials(&mut suite);
    boards::trials(&mut suite);
    settings::trials(&mut suite);
    samples::trials(&mut suite);
    units::trials(&mut suite);
    suite.run();
}
