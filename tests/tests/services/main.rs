//! Addresses that follow services: what agents track, on the wire and in their own words.
//!
//! | module | what |
//! |---|---|
//! | [`sequences`] | 100 -> 80 -> 100 and their like, with a peer at 99: files, scripts, links, nginx |
//! | [`scripts`] | faults and their end; scripts that hang, flood, change, lose their runner |
//! | [`probes`] | processes, TCP and HTTP |
//! | [`checkers`] | checks of virtual servers: marks, pings, HTTP/2, memory |
//! | [`groups`] | sync groups: a pair of hosts on two networks |
//! | [`dual_nic`] | the pair with a network on either side, with and without a sync group |
//! | [`mail`] | mails of every kind of transition in real mailboxes |
//! | [`realserver`] | `haclusterctl lvs realserver` on a host, and who answers ARP then |
//! | [`upsets`] | garbage, interfaces that come back, reloads |
//!
//! Needs the right to make network namespaces, nginx for two trials, exim and
//! mail(1) for those of mail; skipped by name without.

mod checkers;
mod dual_nic;
mod exim;
mod groups;
mod mail;
mod probes;
mod realserver;
mod scripts;
mod sequences;
mod stage;
mod upsets;

use hacluster_tests::harness::Suite;

/// Trials at a time: they wait for intervals, not for the processor.
const AT_ONCE: usize = 8;

fn main() {
    let mut suite = Suite::enter();
    sequences::trials(&mut suite); // the longest first
    scripts::trials(&mut suite);
    probes::trials(&mut suite);
    checkers::trials(&mut suite);
    groups::trials(&mut suite);
    dual_nic::trials(&mut suite);
    mail::trials(&mut suite);
    realserver::trials(&mut suite);
    upsets::trials(&mut suite);
    suite.run_at_once(AT_ONCE)
}
