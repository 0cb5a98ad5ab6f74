//! Hosts as network namespaces joined by bridges, without root where user namespaces are allowed.
//!
//! For tests with real programs on real (virtual) wires, and for trying a failover on a laptop. It
//! needs no tool of the machine: links, addresses, captures and pings are made here.
//!
//! ```no_run
//! use hacluster_lab::{Lab, Topology};
//!
//! fn main() -> anyhow::Result<()> {
//!     hacluster_lab::enter()?; // first thing: one thread still, and children pass through here
//!     let pair = Topology::new("pair")
//!         .network("lan")
//!         .node("left", &[("eth0", "lan", "10.0.0.1/24")])
//!         .node("right", &[("eth0", "lan", "10.0.0.2/24")]);
//!     Lab::run(pair, |lab| {
//!         lab.host("left")?.cut()?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`topology`] | hosts and networks as data |
//! | [`lab`], [`node`], [`netns`] | the running thing: build, cut, isolate, restore, tear down |
//! | [`process`] | programs on a host: log kept, always reaped, never left behind |
//! | [`agent`], [`ctl`], [`peer`] | our programs; keepalived and FRR where installed |
//! | [`fleet`] | agents that know each other: certificates, peers, operators |
//! | [`capture`], [`packet`], [`probe`] | what was on the wire; what a client saw |
//! | [`vm`] | a kernel that has IPVS, where the host's has not |
//! | [`wait`], [`diagnose`] | conditions instead of sleeps; what everything looked like when it failed |

pub mod agent;
pub mod capture;
pub mod ctl;
pub mod diagnose;
pub mod fleet;
pub mod lab;
mod link;
pub mod netns;
pub mod node;
pub mod packet;
pub mod peer;
pub mod privilege;
pub mod probe;
pub mod process;
pub mod topology;
pub mod vm;
pub mod wait;

pub use agent::{Absent, Agent};
pub use capture::Capture;
pub use ctl::Ctl;
pub use fleet::Fleet;
pub use lab::Lab;
pub use netns::Namespace;
pub use node::Host;
pub use privilege::{Privilege, WhyNot, enter};
pub use probe::Probe;
pub use process::Process;
pub use topology::Topology;
pub use vm::Vm;
pub use wait::{LIMIT, wait_for, wait_until};
