//! A netlink socket that only hears: what the kernel multicasts, one datagram at a time.

use netlink_sys::Socket;
use socket2::{SockFilter, SockRef};
use std::io;

use crate::NetError;

/// The largest notification we ask for is a link's, about 2 KiB.
const RECEIVE_BYTES: usize = 16 << 10;
/// A queue this long cannot be in a 4 MiB buffer: whoever reads more is being fed faster than it reads.
const DRAIN_MAX: usize = 1 << 16;

/// What came.
pub(super) enum Heard<'a> {
    /// One datagram of the kernel; empty when a process sent it, which counts but says nothing.
    Datagram(&'a [u8]),
    /// Some were lost.
    Lost,
    /// None is there.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Ear {
    pub(super) socket: Socket,
    receiving: Vec<u8>,
}

impl Ear {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, receiving: vec![0; RECEIVE_BYTES] }
    }

    /// The next datagram; never waits.
    pub(super) fn hear(&mut self) -> Result<Heard<'_>, NetError> {
        match self.receive() {
            // One cut short is one lost.
            Ok(Some(length)) => Ok(self.receiving.get(..length).map_or(Heard::Lost, Heard::Datagram)),
            Ok(None) => Ok(Heard::Nothing),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Heard::Lost),
            Err(error) => Err(NetError::from_io("read netlink notifications", &error)),
        }
    }

    /// Empties the queue after a loss; false when it fills faster than that.
    pub(super) fn drain(&mut self) -> bool {
        (0..DRAIN_MAX).any(|_| matches!(self.receive(), Ok(None)))
    }

    pub(super) fn filter(&self, program: &[SockFilter]) -> Result<(), NetError> {
        SockRef::from(&self.socket)
            .attach_filter(program)
            .map_err(|error| NetError::from_io("filter netlink notifications", &error))
    }

    /// Length of the next datagram from the kernel, `None` when there is none.
    fn receive(&mut self) -> io::Result<Option<usize>> {
        loop {
            let mut room = &mut self.receiving[..];
            match self.socket.recv_from(&mut room, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
                Ok((length, sender)) if sender.port_number() == 0 => return Ok(Some(length)),
                Ok(_) => return Ok(Some(0)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub(super) fn instruction(code: u32, yes: u8, no: u8, k: u32) -> SockFilter {
    SockFilter::new(code as u16, yes, no, k)
}

/// The filter reads numbers as big-endian, netlink's are native.
pub(super) fn number_in_filter(number: u32) -> u32 {
    u32::from_be_bytes(number.to_ne_bytes())
}
