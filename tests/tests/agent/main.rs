//! Real agents on the hosts of a lab: what they hold, send and say, and what takes them by surprise.
//!
//! Needs the right to make network namespaces (root, or user namespaces); skipped by name without it.

mod election;
mod leaving;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter();
    election::trials(&mut suite);
    leaving::trials(&mut suite);
    suite.run();
}
