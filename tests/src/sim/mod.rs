//! A seeded world: the cores of two to four routers on one network segment, without sockets,
//! clocks or kernels.
//!
//! One seed draws everything: the routers, the network and what goes wrong. First comes a safety
//! phase with faults on; every check looks at every step. Then the world heals and must settle.
//! Worlds of their own bind all routers of a node to a sync group.
//! In half of the others operators move routers between nodes, and a drill follows at the end.
//!
//! ```text
//!   plan (seed) -> world ---- clock: what happens next
//!                   |  |  \__ net: loss, latency, duplicates, cuts
//!      faults, moves --'  \__ kernel: addresses, slow or refusing
//!                      v
//!            bytes -> wire::v2::parse -> receive::check -> Machine -> actions -> net, kernel
//!                      |
//!                    trace -> checks (one invariant each), reference (who should rule)
//! ```
//!
//! The same seed gives the same trace, byte for byte: no time, no hash order, no thread is involved.

pub mod checks;
pub mod clock;
mod drill;
mod faults;
mod groups;
pub mod kernel;
mod moves;
pub mod net;
pub mod node;
pub mod plan;
pub mod reference;
pub mod rng;
mod run;
pub mod sabotage;
pub mod trace;
pub mod world;

pub use groups::run_grouped;
pub use run::{Failure, Outcome, run, run_without_moves};
pub use sabotage::Sabotage;
