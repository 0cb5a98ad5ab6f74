//! VRRP as a pure state machine.
//!
//! This side of the wall knows numbers, packets and decisions. It cannot name a clock, a socket, a
//! file, a thread or the environment: the crate is `no_std` and every call takes `now`.
//!
//! ```text
//!   bytes -> wire::parse -> receive::check -> Input -> Machine -> Action -> (the shell)
//!                                               ^                    |
//!                                               `---- applied / refused
//! ```
#![no_std]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_macros))]
extern crate alloc;

pub mod balance;
pub mod group;
pub mod health;
pub mod interval;
pub mod machine;
pub mod priority;
pub mod receive;
pub mod time;
pub mod track;
pub mod vrid;
pub mod wire;
