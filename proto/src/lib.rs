//! The contract between agents and whoever asks them, generated from `hacluster/v1/*.proto`.
//!
//! ```text
//!   haclusterctl ---- v1.Read: snapshot, watch, events, configuration ----> agent
//!        `----------- v1.Admin: move, drain, pause, reload ---------------> agent
//!   agent ----------- v1.Peer, v1.Read ---------------------------------> agent
//! ```
//!
//! [`identity`] says who asks, [`tls`] how the two know each other; a unix socket needs neither. [`trail`] says which story a call
//! belongs to.
//!
//! Rules, kept by `tests/lint.rs`: everything is documented; enumerations begin with
//! `..._UNSPECIFIED = 0`; a method's messages are its own; times and durations are typed. A field,
//! once released, keeps its number and meaning; readers ignore what they do not know.

pub mod identity;
pub mod tls;
pub mod trail;

/// Version 1: package `hacluster.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)] // documented in the .proto files
pub mod v1 {
    tonic::include_proto!("hacluster.v1");
}

/// Every method of every service, as `/package.Service/Method`.
pub const METHODS: &[&str] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Most bytes of a message that either side takes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
