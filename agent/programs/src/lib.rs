//! Programs and fifos that a configuration names, on the machine at hand.
//!
//! ```text
//!   Command --resolve--> path, arguments, user, remarks   | or why it is not run
//!   Loaded  --traps----> diagnostics at the words that name one
//! ```
//!
//! Contract: looks and never runs anything. What is found holds for this moment: the agent asks again at
//! each run, and `--check` on the machine where it is called.

pub mod fifo;
mod head;
pub mod resolve;
mod text;
pub mod traps;
mod unit;
