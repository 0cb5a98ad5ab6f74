//! What others may ask of the agent: gRPC (`hacluster.v1`) on a unix socket of its run directory.
//!
//! ```text
//!   haclusterctl -> RUN_DIR/agent.sock -> server (limits) -> peercred (who asks) -> read -> Board
//!                                                                                    |
//!                                                                   convert: our words to the contract's
//! ```
//!
//! Contract: nothing here reaches the protocol thread. The API runs on one thread of its own, reads
//! the [`Board`] and, aside, the disk; requests, streams, connections and messages are bounded.

mod convert;
mod peercred;
mod read;
mod server;

pub use server::Api;

use crate::board::Board;
use crate::in_force::DiskCheck;
use std::sync::Arc;
use std::time::SystemTime;

/// What answers are made from.
#[derive(Debug)]
struct Shared {
    board: Arc<Board>,
    disk: DiskCheck,
    started: SystemTime,
    /// Name of this node unless `router_id` gives one.
    host_name: String,
}
