//! Configuration: text in, one typed model and graded diagnostics out.
//!
//! ```text
//!   keepalived.conf -> keepalived::{lexer, include, parser, lower} -.
//!                                                                   +-> model -> validate -> (agent: diff, run)
//!   agent.toml, drop-ins, environment -> layered -------------------'
//!                        every step adds to -> diag::Diagnostic -> render (people, JSON)
//! ```
//!
//! No text may make this crate panic, hang or recurse without bound.

pub mod diag;
pub mod diff;
pub mod model;
pub mod render;
