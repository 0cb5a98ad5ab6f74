//! What the programs of a host tell the kernel's load balancer, overheard at a netlink monitor (`nlmon`)
//! with the kernel's own times: exact, and without a single question to the kernel.
//!
//! ```text
//!   daemon -- datagram: message, message, ... --> kernel (IPVS)
//!                 `-- copy --> nlmon0 --> Tap: [Said, Said, ...]
//! ```

use super::super::stats::now_ns;
use anyhow::{Context, Result};
use hacluster_lab::{Host, wait_until};
use nix::{
    cmsg_space,
    net::if_::if_nametoindex,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
            recvmsg, setsockopt, socket, sockopt,
        },
        time::{TimeSpec, TimeValLike},
    },
};
use std::{
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

const MONITOR: &str = "nlmon0";
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// More than any daemon sends in one datagram.
const DATAGRAM_BYTES: usize = 256 << 10;
/// Families above the controller's are those of generic netlink; nobody but IPVS is spoken to here.
const CONTROLLER: u16 = 0x10;
/// The others' messages (routes, packet filter) have the same numbers and another meaning.
const NETLINK_GENERIC: u16 = 16;
const REQUEST: u16 = 1;
const HEADERS: usize = 20;
const ATTR_DEST: u16 = 2;
const ATTR_DEST_ADDR: u16 = 1;

/// One message to IPVS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Nanoseconds of the real-time clock.
    pub(super) at: u64,
    /// The number of the command.
    pub(super) command: u8,
    /// The real server it is about.
    pub(super) server: Option<Ipv4Addr>,
}

impl Said {
    pub(super) const GET_SERVICES: u8 = 4;
    pub(super) const NEW_DEST: u8 = 5;
    pub(super) const DEL_DEST: u8 = 7;

    /// Whether it changes the table, rather than asks for it.
    pub(super) fn changes(&self) -> bool {
        matches!(self.command, 1..=3 | 5..=7 | 16 | 17)
    }
}

/// A monitor on a host, from its opening on.
#[derive(Debug)]
pub(super) struct Tap {
    socket: OwnedFd,
    interface: usize,
    heard: Vec<Said>,
    buffer: Vec<u8>,
}

impl Tap {
    pub(super) fn open(host: &Host) -> Result<Self> {
        host.netlink(|requests| {
            requests.create_netlink_monitor(MONITOR)?;
            Ok(requests.set_up(MONITOR)?)
        })?;
        let (socket, interface) = host.namespace().run(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let every = Some(SockProtocol::EthAll);
            let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, every)?;
            setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            Ok((socket, if_nametoindex(MONITOR)? as usize))
        })?;
        Ok(Self { socket, interface, heard: Vec::new(), buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Everything that was said so far, oldest first.
    pub(super) fn heard(&mut self) -> &[Said] {
        let mut control = cmsg_space!(TimeSpec);
        loop {
            let mut vectors = [IoSliceMut::new(&mut self.buffer)];
            let received = recvmsg::<LinkAddr>(
                self.socket.as_raw_fd(),
                &mut vectors,
                Some(&mut control),
                MsgFlags::empty(),
            );
            let Ok(message) = received else { return &self.heard };
            let at = message.cmsgs().into_iter().flatten().find_map(|one| match one {
                ControlMessageOwned::ScmTimestampns(at) => Some(at.num_nanoseconds() as u64),
                _ => None,
            });
            let (length, from) = (message.bytes, message.address);
            let is_ours = |from: &LinkAddr| {
                from.ifindex() == self.interface && u16::from_be(from.protocol()) == NETLINK_GENERIC
            };
            if from.as_ref().is_some_and(is_ours) {
                messages(&self.buffer[..length], at.unwrap_or_else(now_ns), &mut self.heard);
            }
        }
    }

    /// Forgets what was said; what is said from now on counts.
    pub(super) fn clear(&mut self) {
        self.heard();
        self.heard.clear();
    }

    /// Waits until `pick` finds something in what was said.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut pick: impl FnMut(&[Said]) -> Option<T>,
    ) -> Result<T> {
        wait_until(what, limit, || Ok(pick(self.heard())))
    }

    /// When the last of `count` changes was asked for.
    pub(super) fn changed(&mut self, count: usize, limit: Duration) -> Result<u64> {
        let last = |heard: &[Said]| Some(heard.iter().filter(|said| said.changes()).nth(count - 1)?.at);
        let outcome = self.wait(&format!("{count} changes"), limit, last);
        outcome
            .with_context(|| format!("{} were sent", self.heard.iter().filter(|said| said.changes()).count()))
    }
}

/// The requests in one datagram.
fn messages(mut datagram: &[u8], at: u64, into: &mut Vec<Said>) {
    let word =
        |bytes: &[u8], from: usize| Some(u16::from_ne_bytes(bytes.get(from..from + 2)?.try_into().ok()?));
    while let (Some(length), Some(kind), Some(flags)) = (
        datagram.get(..4).and_then(|bytes| Some(u32::from_ne_bytes(bytes.try_into().ok()?) as usize)),
        word(datagram, 4),
        word(datagram, 6),
    ) {
        let Some(message) = datagram.get(..length).filter(|message| message.len() >= HEADERS) else { return };
        if flags & REQUEST != 0 && kind > CONTROLLER {
            let server = attribute(&message[HEADERS..], ATTR_DEST)
                .and_then(|dest| attribute(dest, ATTR_DEST_ADDR))
                .and_then(|ip| Some(Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(..4)?).ok()?)));
            into.push(Said { at, command: message[16], server });
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The value of the attribute of this kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    const KIND: u16 = 0x3fff;
    loop {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        if kind & KIND == wanted {
            return bytes.get(4..length);
        }
        bytes = bytes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_answers_and_name_their_server() {
        let message = |kind: u16, flags: u16, command: u8, dest: &[u8]| {
            let mut bytes = vec![0; 4];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(flags.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend([command, 1, 0, 0]);
            bytes.extend(dest);
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes
        };
        let mut dest = Vec::new();
        for (length, kind) in [(12u16, 2u16 | 0x8000), (8, 1)] {
            dest.extend(length.to_ne_bytes());
            dest.extend(kind.to_ne_bytes());
        }
        dest.extend([10, 0, 0, 2]);
        let datagram = [
            message(0x20, 1, Said::DEL_DEST, &dest),
            message(0x20, 2, 8, &[]),
            message(0x10, 1, 3, &[]),
            message(0x20, 0x301, 4, &[]),
            vec![40, 0, 0, 0, 1],
        ]
        .concat();
        let mut heard = Vec::new();
        messages(&datagram, 7, &mut heard);
        let seen: Vec<_> = heard.iter().map(|said| (said.command, said.server, said.changes())).collect();
        assert_eq!(seen, [(7, Some(Ipv4Addr::new(10, 0, 0, 2)), true), (4, None, false)]);
    }
}
