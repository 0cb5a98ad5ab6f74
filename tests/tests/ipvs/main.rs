//! The kernel's load balancer, for real.
//!
//! | module | what |
//! |---|---|
//! | [`tables`] | what is put in place reads back, and ipvsadm sees the same |
//! | [`seeds`] | directors with the configurations people use |
//! | [`documents`] | the page on load balancing, done as it is written |
//! | [`counts`] | what the kernel counts, on the Prometheus page |
//! | [`refusals`] | what the kernel refuses, in words |
//! | [`agreed`] | the agent's table is keepalived's, whatever is configured |
//! | [`ways`] | directors and clients: every way to a real server, every kind of service |
//! | [`verdicts`] | checks and what the table makes of them; the real server's side |
//! | [`survive`] | open connections, while their director is killed or reloaded |
//! | [`meddling`] | what other hands do to our services, and what gets lost |
//! | [`sync`] | sync daemons, and connections that change their director |
//! | [`told`] | hooks, fifo and mail of servers that leave and return |
//! | [`orders`] | what an operator orders, and what is shown |
//! | [`rest`] | checks where the address is not |
//! | [`votes`] | health of services decides who directs |
//! | [`leave`] | how services leave |
//! | [`absent`] | a kernel without IPVS |
//!
//! Where this machine's kernel has no IPVS, all of it runs in a virtual machine (user-mode-linux).
//! That one has no nf_tables, one processor, and starts processes slowly.

#![allow(clippy::unwrap_used)]

mod absent;
mod agreed;
mod counts;
mod documents;
mod leave;
mod meddling;
mod orders;
mod refusals;
mod rest;
mod scene;
mod seeds;
mod stage;
mod survive;
mod sync;
mod tables;
mod told;
mod verdicts;
mod votes;
mod ways;
mod web;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter_with_ipvs();
    absent::play(&mut suite);
    stage::load_modules();
    seeds::trials(&mut suite); // the longest first
    documents::trials(&mut suite);
    rest::trials(&mut suite);
    sync::trials(&mut suite);
    meddling::trials(&mut suite);
    votes::trials(&mut suite);
    told::trials(&mut suite);
    survive::trials(&mut suite);
    leave::trials(&mut suite);
    verdicts::trials(&mut suite);
    orders::trials(&mut suite);
    agreed::trials(&mut suite);
    ways::trials(&mut suite);
    tables::trials(&mut suite);
    refusals::trials(&mut suite);
    counts::trials(&mut suite);
    suite.run()
}
