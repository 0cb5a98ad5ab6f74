//! The topologies people build with keepalived.conf, run with real agents: who holds which address,
//! what is on the wire, who takes over and who returns.
//!
//! Each scenario runs with our own files (`tests/cases`, and those beside this one). Where the
//! collection of configurations in use is present (`../shared/seed-configs`), it runs with those too;
//! otherwise that trial is skipped by name. Virtual servers have trials of their own.

mod four;
mod one;
mod pairs;
mod scene;
mod wired;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter();
    four::trials(&mut suite);
    one::trials(&mut suite);
    pairs::trials(&mut suite);
    wired::trials(&mut suite);
    suite.run();
}
