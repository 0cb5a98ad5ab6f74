//! Health checks against servers as they are, and as bad as they can be, all on the loopback.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

mod bad_servers;
mod http;
mod kinds;
mod loops;
mod reload;
mod tls;
mod world;
