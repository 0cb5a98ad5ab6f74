//! Notifications with real programs, real fifos and mail servers that behave badly.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

mod bench;
mod fifo;
mod hooks;
mod mail;
mod stop;
