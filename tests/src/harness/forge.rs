//! Packets no honest router would send, and honest ones of routers that do not exist.

use anyhow::{Context, Result};
use hacluster_core::{
    interval::Seconds,
    priority::Priority,
    vrid::Vrid,
    wire::{Auth, v2},
};
use hacluster_lab::Host;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// A raw socket on a host that sends whole IPv4 packets by eth0.
#[derive(Debug)]
pub struct Forger {
    socket: Socket,
    source: Ipv4Addr,
}

impl Forger {
    /// Sends from `host` in the name of `source`.
    pub fn on(host: &Host, source: Ipv4Addr) -> Result<Self> {
        const RAW: i32 = 255;
        let socket = host.namespace().run(move || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.bind_device(Some(b"eth0"))?;
            socket.set_header_included_v4(true)?;
            Ok(socket)
        })?;
        Ok(Self { socket, source })
    }

    /// An advert of VRID 51 as [`Instance::new`](super::Instance::new) sends it, once `change` has had
    /// its way with it.
    pub fn advert(&self, priority: u8, change: impl FnOnce(&mut v2::Outgoing)) -> Result<Vec<u8>> {
        let mut outgoing = v2::Outgoing {
            source: self.source,
            destination: super::GROUP,
            vrid: Vrid::new(51).context("51 is a VRID")?,
            interval: Seconds::ONE,
            auth: Auth::pass(b"lab"),
            addresses: vec![super::VIP],
        };
        change(&mut outgoing);
        Ok(v2::Template::new(&outgoing).with_priority(Priority::from_wire(priority)).to_vec())
    }

    /// Sends a packet that begins with its IPv4 header to the group.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        let group = SocketAddr::V4(SocketAddrV4::new(super::GROUP, 0)).into();
        self.socket.send_to(packet, &group).map(drop).context("cannot send a forged packet")
    }
}
