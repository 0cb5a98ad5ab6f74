//! Route netlink: asking the kernel for links, addresses, routes and rules, changing them, and hearing of
//! changes.
//!
//! [`Requests`] asks and waits, [`Monitor`] listens and never waits. Messages to the kernel are built
//! with netlink-packet-route; of what comes back only the attributes we use are decoded, so that an
//! attribute from a newer kernel can never make a link unreadable. [`nft`] does the same for the packet
//! filter, [`ipvs`] for the load balancer, [`ProcessEvents`] listens to processes, [`Locals`] to addresses of any
//! hand.

pub mod address;
mod build;
mod ear;
mod frame;
pub mod ipvs;
pub mod lab;
mod link;
mod locals;
mod monitor;
pub mod nft;
mod processes;
mod request;
pub mod route;
pub mod rule;

pub use address::{AddressEntry, AddressSpec, Change, PROTOCOL_MARK};
pub use link::Link;
pub use locals::Locals;
pub use monitor::{Event, Group, Monitor};
pub use processes::{ProcessEvent, ProcessEvents};
pub use request::{Request, Requests};
pub use route::{Hop, ROUTE_PROTOCOL, RouteEntry, RouteSpec};
pub use rule::{RuleEntry, RuleSpec};

use crate::NetError;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

/// Room for answers in the kernel: more than the ACKs of one batch or the events of one large claim.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Opens a netlink socket with a large receive buffer. Large is a wish: without `CAP_NET_ADMIN`
/// the kernel caps it at `net.core.rmem_max`, and overruns are handled anyway.
fn open_socket(protocol: isize) -> Result<(Socket, u32), NetError> {
    let failed = |error| NetError::from_io("open a netlink socket", &error);
    let mut socket = Socket::new(protocol).map_err(failed)?;
    let address: SocketAddr = socket.bind_auto().map_err(failed)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
    }
    Ok((socket, address.port_number()))
}
