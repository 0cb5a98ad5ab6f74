//! Everything that needs more than one module: a simulated world, and the replay of captures.

pub mod bench;
pub mod docs;
pub mod harness;
pub mod page;
pub mod replay;
pub mod rotel;
pub mod sim;
