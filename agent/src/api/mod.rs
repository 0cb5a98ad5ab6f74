//! What others may ask of the agent: gRPC (`hacluster.v1`) on a unix socket of its run directory and,
//! where `[api]` says so, over TLS.
//!
//! ```text
//!   haclusterctl -> RUN_DIR/agent.sock -> peercred (who asks) --.
//!   haclusterctl, peers -> TLS: listener -> tls (who asks) -----+-> link -> roles (may it?) -> read -> Board
//!                             `--- limits (how much) -----------'                               |
//!                                                                    convert: our words to the contract's
//! ```
//!
//! Contract: nothing here reaches the protocol thread. The API runs on one thread of its own, reads
//! the [`Board`] and, aside, the disk; requests, streams, connections and messages are bounded. An API
//! that does not work is said and tried again; virtual routers go on.

pub mod audit;
mod convert;
mod limits;
mod link;
mod listener;
mod peercred;
mod read;
pub mod roles;
mod server;
mod tls;

pub use server::{Api, Settings};
pub use tls::Keeper;

use crate::board::Board;
use crate::in_force::DiskCheck;
use hacluster_proto::v1::read_server::ReadServer;
use limits::REQUEST_BYTES_MAX;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::service::Routes;

/// What answers are made from.
#[derive(Debug)]
struct Shared {
    board: Arc<Board>,
    disk: DiskCheck,
    started: SystemTime,
    /// Name of this node unless `router_id` gives one.
    host_name: String,
    tls: Arc<Keeper>,
}

/// Every service there is. All are behind the gate of [`roles`].
fn services(shared: Arc<Shared>) -> Routes {
    let read = ReadServer::new(read::ReadService::new(shared));
    Routes::new(read.max_decoding_message_size(REQUEST_BYTES_MAX))
}
