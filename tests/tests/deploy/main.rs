//! What is shipped beside the programs: service manager, containers, packages, samples.
//!
//! | file | about |
//! |---|---|
//! | [`manager`] | what the service manager is told, and when it is told nothing |
//! | [`agree`] | what two files say of the same thing |
//! | [`container`] | the agent as process 1, and the image |
//! | [`dashboards`] | metrics and queries of dashboards and alert rules |
//! | [`documents`] | what the documents say, done |
//! | [`units`] | systemd units, as systemd itself judges them |
//! | [`samples`] | collector, Prometheus and Grafana: whether their parts fit |
//! | [`package`] | the Debian package: built, installed, started, upgraded, removed, purged |
//!
//! Needs the right to make network namespaces; the package needs root. Skipped by name without.

mod agree;
mod container;
mod dashboards;
mod documents;
mod manager;
mod package;
mod samples;
mod units;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter();
    package::trials(&mut suite); // the longest first
    dashboards::trials(&mut suite);
    documents::trials(&mut suite);
    manager::trials(&mut suite);
    container::trials(&mut suite);
    agree::trials(&mut suite);
    samples::trials(&mut suite);
    units::trials(&mut suite);
    suite.run();
}
