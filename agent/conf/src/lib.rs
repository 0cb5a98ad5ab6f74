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

use std::path::Path;

/// Reads `path` as [`load`] does, and lays `agent_config` over it where there is one.
pub fn load_with(path: &Path, agent_config: Option<&Path>, source: &dyn source::Source) -> Loaded {
    match agent_config {
        Some(toml) => layered::overlay(load(path, source), toml, source),
        None if is_toml(path) => layered::load(path, source),
        None => layered::without(load_keepalived(path, source), source),
    }
}

/// Reads `path`, as `agent.toml` with its layers when it ends in `.toml`, else as keepalived.conf.
pub fn load(path: &Path, source: &dyn source::Source) -> Loaded {
    if is_toml(path) { layered::load(path, source) } else { load_keepalived(path, source) }
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}
