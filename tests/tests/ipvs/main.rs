//! The kernel's load balancer, for real.
//!
//! | module | what |
//! |---|---|
//! | [`tables`] | what is put in place reads back, and ipvsadm sees the same |
//! | [`refusals`] | what the kernel refuses, in words |
//!
//! Where this machine's kernel has no IPVS, all of it runs in a virtual machine (user-mode-linux).
//! That one has no nf_tables, one processor, and starts processes slowly.

mod refusals;
mod stage;
mod tables;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter_with_ipvs();
    stage::load_modules();
    tables::trials(&mut suite);
    refusals::trials(&mut suite);
    suite.run()
}
