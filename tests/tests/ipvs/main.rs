//! The kernel's load balancer, for real.
//!
//! | module | what |
//! |---|---|
//! | [`tables`] | what is put in place reads back, and ipvsadm sees the same |
//! | [`seeds`] | directors with the configurations people use |
//! | [`documents`] | the page on load balancing, done as it is written |
//! | [`refusals`] | what the kernel refuses, in words |
//! | [`ways`] | directors and clients: every way to a real server, every kind of service |
//!
//! Where this machine's kernel has no IPVS, all of it runs in a virtual machine (user-mode-linux).
//! That one has no nf_tables, one processor, and starts processes slowly.

mod documents;
mod refusals;
mod scene;
mod seeds;
mod stage;
mod tables;
mod ways;
mod web;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter_with_ipvs();
    stage::load_modules();
    seeds::trials(&mut suite); // the longest first
    documents::trials(&mut suite);
    ways::trials(&mut suite);
    tables::trials(&mut suite);
    refusals::trials(&mut suite);
    suite.run()
}
