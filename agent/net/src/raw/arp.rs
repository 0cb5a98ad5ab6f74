//! Announcing addresses: ready-made Ethernet frames, sent on any interface.

use super::batch;
use crate::NetError;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};
use std::os::fd::AsFd;

/// A burst for a thousand addresses.
const SEND_BUFFER_BYTES: usize = 1 << 20;
const ETHERTYPE: std::ops::Range<usize> = 12..14;

/// A socket that sends frames and receives none.
#[derive(Debug)]
pub struct ArpSocket(Socket);

impl ArpSocket {
    /// Opens a socket for all interfaces. Needs `CAP_NET_RAW`.
    pub fn open() -> Result<Self, NetError> {
        // Protocol 0: a packet socket that was never bound to one receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| NetError::from_io("open a packet socket for ARP", &error))?;
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER_BYTES).is_err() {
            let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
        }
        Ok(Self(socket))
    }

    /// Sends all frames, each on the interface of that number, and returns how many left; the others go
    /// to `failed` with position and reason. Never waits: a full queue is `EAGAIN` or `ENOBUFS`.
    pub fn send(&self, frames: &[(u32, &[u8])], failed: &mut dyn FnMut(usize, NetError)) -> usize {
        let message = |position: usize| {
            let (index, frame) = frames[position];
            let ethertype = frame.get(ETHERTYPE).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
            let address = libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as libc::sa_family_t,
                sll_protocol: u16::from_ne_bytes(ethertype),
                sll_ifindex: index.cast_signed(),
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 6,
                sll_addr: [0; 8],
            };
            (address, frame)
        };
        batch::send(self.0.as_fd(), frames.len(), message, &mut |position, errno| {
            let attempt = format!("announce an address on interface number {}", frames[position].0);
            failed(position, NetError::new(attempt, errno));
        })
    }
}
