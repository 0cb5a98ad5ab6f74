//! keepalived.conf as people write it: whole files in, model and findings out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod balance;
mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod golden;
mod keywords;
mod meaning;
mod services;

use common::{load_file, root, summary};
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, load_keepalived};
use std::path::Path;

/// Loads one text, on a node called `nodea`.
fn load_text(text: impl Into<Vec<u8>>) -> Loaded {
    let memory = Memory::new("/etc/keepalived/keepalived.conf", text).with_host("nodea");
    load_keepalived(Path::new("/etc/keepalived/keepalived.conf"), &memory)
}

/// Codes of all findings.
fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|found| found.code).collect()
}
