//! Packets past the kernel's protocols: adverts in and out, announcements out.

mod arp;
mod batch;
mod filter;
mod vrrp4;

pub use arp::ArpSocket;
pub use batch::Received;
pub use vrrp4::{Outgoing, RecvBuffers, VrrpSocket};
