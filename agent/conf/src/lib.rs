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
mod findings;
mod iproute;
pub mod keepalived;
pub mod layered;
pub mod model;
mod notation;
pub mod render;
mod suggest;

pub use suggest::nearest;

pub use keepalived::{Loaded, load as load_keepalived, source};

/// Reads `path`, as `agent.toml` with its layers when it ends in `.toml`, else as keepalived.conf.
pub fn load(path: &std::path::Path, source: &dyn source::Source) -> Loaded {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("toml") => layered::load(path, source),
        _ => load_keepalived(path, source),
    }
}
