//! Agents as one cluster, as operators meet it: certificates by `haclusterctl pki`, mTLS between all,
//! moves, holds, help among agents, and everything that should be refused.
//!
//! | module | what |
//! |---|---|
//! | [`moves`] | failover and failback, between agents and with keepalived and FRR about |
//! | [`holds`] | what stays after a move: until when, and over which ends |
//! | [`helps`] | agents that go or fail tell the others; without the control network nothing is lost |
//! | [`wrong`], [`strangers`] | whatever should be refused, in words; the address is served all the time |
//! | [`midway`] | two at once, and agents killed in the middle of a move |
//! | [`ranks`] | leads that must end, changed priorities, reloads, and a node that rules much |
//! | [`balanced`] | directors that do not balance the same |
//! | [`samples`] | the sample configurations |
//!
//! Needs the right to make network namespaces (root, or user namespaces); skipped by name without it.

mod balanced;
mod helps;
mod holds;
mod midway;
mod moves;
mod ranks;
mod samples;
mod strangers;
mod third;
mod valid;
mod wrong;

use hacluster_tests::harness::Suite;

fn main() {
    let mut suite = Suite::enter();
    moves::trials(&mut suite); // the longest first
    holds::trials(&mut suite);
    helps::trials(&mut suite);
    midway::trials(&mut suite);
    ranks::trials(&mut suite);
    wrong::trials(&mut suite);
    strangers::trials(&mut suite);
    balanced::trials(&mut suite);
    samples::trials(&mut suite);
    suite.run();
}
