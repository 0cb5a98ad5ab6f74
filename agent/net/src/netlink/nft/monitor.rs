//! Hearing that somebody changed nf_tables.

use super::super::frame::{Frame, attributes, frames, string};
use super::message::{GENERIC_BYTES, Kind};
use crate::NetError;
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use socket2::{SockFilter, SockRef};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

const GROUP: u32 = 7;
const RECEIVE_BYTES: usize = 4 << 10;
const PROCESS_ID: u16 = 2;
const PROCESS_NAME: u16 = 3;

/// A socket that hears of each transaction once, whatever its size, and never blocks.
#[derive(Debug)]
pub struct NftMonitor {
    socket: Socket,
    own_port: u32,
    receiving: Vec<u8>,
}

impl NftMonitor {
    /// Listens in the network namespace of the calling thread to everybody but the socket with this
    /// port id, see [`Nft::port_id`](super::Nft::port_id).
    pub fn open(own_port: u32) -> Result<Self, NetError> {
        let failed = |error: io::Error| NetError::from_io("listen to changes of packet filters", &error);
        let (socket, _) = super::super::open_socket(NETLINK_NETFILTER)?;
        SockRef::from(&socket).attach_filter(&generations()).map_err(failed)?;
        socket.add_membership(GROUP).map_err(failed)?;
        Ok(Self { socket, own_port, receiving: vec![0; RECEIVE_BYTES] })
    }

    /// Reads at most `limit` notifications and gives what is known of the last author: `nft (pid 17)`.
    /// `None` when nothing changed. Lost notifications count as a change by nobody known.
    pub fn read(&mut self, limit: usize) -> Result<Option<Option<String>>, NetError> {
        let mut changed = None;
        for _ in 0..limit {
            let mut room = &mut self.receiving[..];
            match self.socket.recv_from(&mut room, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
                Ok((length, sender)) if sender.port_number() == 0 => {
                    let datagram = self.receiving.get(..length).unwrap_or_default();
                    let foreign = frames(datagram).filter(|frame| frame.port != self.own_port);
                    if let Some(frame) = foreign.last() {
                        changed = Some(author(&frame));
                    }
                }
                Ok(_) => {} // from a process, not from the kernel
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changed = Some(None),
                Err(error) => return Err(NetError::from_io("hear of changes of packet filters", &error)),
            }
        }
        Ok(changed)
    }
}

impl AsFd for NftMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn author(frame: &Frame<'_>) -> Option<String> {
    let (mut pid, mut name) = (None, None);
    attributes(frame.body.get(GENERIC_BYTES..)?, &mut |kind, value| match kind {
        PROCESS_ID => pid = value.try_into().ok().map(u32::from_be_bytes),
        PROCESS_NAME => name = Some(string(value)),
        _ => {}
    });
    Some(format!("{} (pid {})", name?, pid?))
}

/// Lets pass what ends each transaction, and none of its thousand parts.
fn generations() -> [SockFilter; 4] {
    use libc::*;
    const KIND_OFFSET: u32 = 4;
    let kind = u16::from_be_bytes(Kind::NewGeneration.number().to_ne_bytes()).into();
    let instruction = |code: u32, yes, no, k| SockFilter::new(code as u16, yes, no, k);
    [
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, KIND_OFFSET),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kind),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}
