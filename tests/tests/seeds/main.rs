//! The topologies people build with keepalived.conf, run with real agents.

use hacluster_tests::harness::Suite;

fn main() {
    Suite::enter().run();
}
