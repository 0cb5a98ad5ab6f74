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
//! Contract: nothing here reaches the protocol thread. The API runs on two threads of its own, reads
//! the [`Board`] and, aside, the disk; requests, streams, connections and messages are bounded. An API
//! that does not work is said and tried again; virtual routers go on.

mod admin;
pub mod audit;
pub(crate) mod convert;
mod limits;
mod link;
mod listener;
mod lvs;
mod peer;
mod peercred;
mod read;
pub mod roles;
mod server;
mod tls;

pub use server::{Api, Settings};
pub use tls::{Keeper, Validity};

use crate::board::Board;
use crate::cluster::Cluster;
use crate::in_force::DiskCheck;
use crate::lvs::Lvs;
use crate::mailbox::Sender;
use crate::reload::Ask;
use crate::story::Trail;
use audit::Audit;
use hacluster_proto::trail::{NOBODYS_PART, TRACEPARENT, TRACESTATE};
use hacluster_proto::v1::admin_server::AdminServer;
use hacluster_proto::v1::peer_server::PeerServer;
use hacluster_proto::v1::read_server::ReadServer;
use limits::REQUEST_BYTES_MAX;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::Request;
use tonic::service::Routes;

/// What answers are made from.
#[derive(Debug)]
pub struct Shared {
    board: Arc<Board>,
    disk: DiskCheck,
    cluster: Cluster,
    /// To the main thread.
    asks: Sender<Ask>,
    started: SystemTime,
    tls: Arc<Keeper>,
    audit: Audit,
    lvs: Lvs,
}

impl Shared {
    /// Answers from `board`, `disk` and `lvs`; has `cluster` and, through `asks`, the main thread act, and
    /// `audit` remember.
    pub fn new(
        board: Arc<Board>,
        disk: DiskCheck,
        cluster: Cluster,
        asks: Sender<Ask>,
        audit: Audit,
        lvs: Lvs,
    ) -> Self {
        let (started, tls) = (SystemTime::now(), Arc::new(Keeper::default()));
        Self { board, disk, cluster, asks, started, tls, audit, lvs }
    }
}

/// Every service there is. All are behind the gate of [`roles`].
fn services(shared: Arc<Shared>) -> Routes {
    let read = ReadServer::new(read::ReadService::new(shared.clone()));
    let admin = AdminServer::new(admin::AdminService::new(shared.clone()));
    let peer = PeerServer::new(peer::PeerService::new(shared));
    Routes::new(read.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(admin.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(peer.max_decoding_message_size(REQUEST_BYTES_MAX))
}

/// The part of a story that `request` begins or continues.
fn story<T>(request: &Request<T>) -> Option<Trail> {
    let text = |name| request.metadata().get(name)?.to_str().ok();
    let told: Trail = text(TRACEPARENT)?.parse().ok()?;
    let mut members = text(TRACESTATE).unwrap_or_default().split(',');
    let nobodys = members.any(|member| member.trim() == NOBODYS_PART);
    Some(if nobodys { told.root() } else { told.child() })
}

/// Longest text of a caller that is kept or logged, in characters.
const TEXT_MAX_CHARS: usize = 500;

/// What a caller wrote, as it may stand in a log line: one line, bounded, no control characters.
fn clean(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(TEXT_MAX_CHARS).map(one_line).collect()
}
