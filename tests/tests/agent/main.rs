//! Real agents on the hosts of a lab: what they hold, send and say, and what takes them by surprise.
//!
//! | module | what |
//! |---|---|
//! | [`split`], [`election`] | who rules: partitions, priorities, ties, delays |
//! | [`handover`] | takeovers, resignations and rest on request (told by [`driver`]) |
//! | [`claims`] | what the kernel thread reports of claims |
//! | [`leaving`] | stop, crash, return, many at once |
//! | [`upsets`], [`links`] | addresses taken away; interfaces that go and come |
//! | [`moves`] | addresses that change hands within a node |
//! | [`settings`], [`announce`] | addresses, groups and sources as configured; gratuitous ARP |
//! | [`filter`] | addresses that are held and do not answer |
//! | [`packets`] | forged, broken and foreign adverts |
//! | [`routes`] | routes and rules that go with addresses, and what is static |
//! | [`reload`], [`command`] | SIGHUP; the command line, exit statuses, logs |
//! | [`traps`] | programs that do not run, or not as it seems |
//!
//! Needs the right to make network namespaces (root, or user namespaces); skipped by name without it.

mod announce;
mod claims;
mod command;
mod driver;
mod election;
mod filter;
mod handover;
mod leaving;
mod links;
mod moves;
mod packets;
mod reload;
mod routes;
mod settings;
mod split;
mod traps;
mod upsets;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter();
    split::trials(&mut suite); // the longest first
    leaving::trials(&mut suite);
    election::trials(&mut suite);
    handover::trials(&mut suite);
    claims::trials(&mut suite);
    announce::trials(&mut suite);
    packets::trials(&mut suite);
    upsets::trials(&mut suite);
    links::trials(&mut suite);
    moves::trials(&mut suite);
    settings::trials(&mut suite);
    filter::trials(&mut suite);
    reload::trials(&mut suite);
    routes::trials(&mut suite);
    command::trials(&mut suite);
    traps::trials(&mut suite);
    suite.run();
}
