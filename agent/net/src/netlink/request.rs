//! Requests to the kernel and their answers, in batches.
//!
//! ```text
//!   sendmsg [req 1 | req 2 | … | req 200 +ACK]  ──▶ kernel carries them out in order
//!   recvmsg [error 17] [error 98] [ACK 200]     ◀── silence about the others means success
//! ```
//!
//! Only the last request of a batch asks for an ACK: the kernel reports a failure in any case, so that
//! a batch that went well costs two system calls and its answers can never overflow the socket.

use super::{
    Link,
    frame::{Frame, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, frames},
    open_socket, route, rule,
};
use crate::NetError;
use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkSerializable,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    errno::Errno,
    net::if_::if_indextoname,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// Requests per `sendmsg`: past a hundred or so the system call is no longer what costs.
const BATCH_MAX: usize = 200;
/// How long one batch or dump may take as a whole.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The kernel fills dumps in pieces of at most this size, given room.
const RECEIVE_BYTES: usize = 32 << 10;
/// How often a dump is repeated when things change under it.
const DUMP_ATTEMPTS: usize = 8;

/// One request: what to do, and `NLM_F_*` flags besides `REQUEST` and `ACK`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The message itself.
    pub message: RouteNetlinkMessage,
    /// Flags such as `NLM_F_CREATE`.
    pub flags: u16,
}

/// A netlink socket that asks and waits for the answer, at most five seconds each time.
#[derive(Debug)]
pub struct Requests {
    socket: Socket,
    port: u32,
    sequence: u32,
    sending: Vec<u8>,
    receiving: Vec<u8>,
}

impl Requests {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetError> {
        let (socket, port) = open_socket(NETLINK_ROUTE)?;
        // All are refinements: shorter answers, and the kernel's own words about a failure.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true); // of all routes, ours are listed
        Ok(Self { socket, port, sequence: 1, sending: Vec::new(), receiving: vec![0; RECEIVE_BYTES] })
    }

    /// The port id that changes made here carry in [`Monitor`](super::Monitor) events.
    pub fn port_id(&self) -> u32 {
        self.port
    }

    /// Carries out all requests in order, whatever becomes of the earlier ones. One result per request,
    /// in the same order. `ETIMEDOUT` and `ENOBUFS` mean that the outcome is unknown.
    pub fn execute(&mut self, requests: impl IntoIterator<Item = Request>) -> Vec<Result<(), NetError>> {
        self.execute_tolerating(requests, &[])
    }

    /// As [`execute`](Self::execute); the errors in `tolerated` count as success.
    pub(super) fn execute_tolerating(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
        tolerated: &[Errno],
    ) -> Vec<Result<(), NetError>> {
        let mut requests = requests.into_iter();
        let mut results = Vec::with_capacity(requests.size_hint().0);
        let mut batch = Vec::new();
        loop {
            batch.clear();
            batch.extend(requests.by_ref().take(BATCH_MAX));
            if batch.is_empty() {
                return results;
            }
            self.execute_batch(&batch, tolerated, &mut results);
        }
    }

    /// Carries out one request.
    pub(super) fn execute_one(&mut self, request: Request) -> Result<(), NetError> {
        self.execute([request]).pop().unwrap_or(Ok(()))
    }

    fn execute_batch(
        &mut self,
        batch: &[Request],
        tolerated: &[Errno],
        results: &mut Vec<Result<(), NetError>>,
    ) {
        let first = self.sequence;
        let base = results.len();
        let last = batch.len() - 1;
        results.resize(base + batch.len(), Ok(()));
        self.sending.clear();
        for (position, request) in batch.iter().enumerate() {
            let ack = if position == last { NLM_F_ACK } else { 0 };
            self.append(&request.message, request.flags | ack);
        }
        let outcome = self.exchange(&mut |frame| {
            let position = frame.sequence.wrapping_sub(first) as usize;
            if frame.kind != NLMSG_ERROR || position > last {
                return false;
            }
            let verdict = frame.verdict();
            if let Some(errno) = verdict.errno.filter(|errno| !tolerated.contains(errno)) {
                let error = NetError::new(describe(&batch[position].message), errno);
                results[base + position] = Err(match verdict.detail {
                    Some(detail) => error.with_detail(detail),
                    None => error,
                });
            }
            position == last
        });
        if let Err(errno) = outcome {
            for (result, request) in
                results[base..].iter_mut().zip(batch).filter(|(result, _)| result.is_ok())
            {
                *result = Err(NetError::new(describe(&request.message), errno));
            }
        }
    }

    /// Every interface of this network namespace.
    pub fn dump_links(&mut self) -> Result<Vec<Link>, NetError> {
        let mut query = LinkMessage::default();
        query.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        self.dump("list interfaces", &RouteNetlinkMessage::GetLink(query), libc::RTM_NEWLINK, Link::parse)
    }

    /// The interface called `name`; `ENODEV` when there is none.
    pub fn link(&mut self, name: &str) -> Result<Link, NetError> {
        let mut query = LinkMessage::default();
        query.attributes = vec![LinkAttribute::IfName(name.into())];
        let mut found = Vec::new();
        self.ask(&RouteNetlinkMessage::GetLink(query), NLM_F_ACK, libc::RTM_NEWLINK, Link::parse, &mut found)
            .and_then(|_| found.pop().ok_or(Errno::ENODEV))
            .map_err(|errno| NetError::new(format!("find interface {name}"), errno))
    }

    /// All objects that answer a query; asked again when they changed while being listed.
    pub(super) fn dump<T>(
        &mut self,
        attempt: &str,
        query: &RouteNetlinkMessage,
        kind: u16,
        parse: fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetError> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = Vec::new();
            match self.ask(query, NLM_F_DUMP, kind, parse, &mut found) {
                Ok(true) => return Ok(found),
                Ok(false) => {}
                Err(errno) => return Err(NetError::new(attempt, errno)),
            }
        }
        Err(NetError::new(attempt, Errno::EAGAIN).with_detail("it kept changing while being listed"))
    }

    /// One query and the objects in its answer. False when the answer is not of one piece.
    fn ask<T>(
        &mut self,
        query: &RouteNetlinkMessage,
        flags: u16,
        kind: u16,
        parse: fn(&[u8]) -> Option<T>,
        found: &mut Vec<T>,
    ) -> Result<bool, Errno> {
        let sequence = self.sequence;
        self.sending.clear();
        self.append(query, flags);
        let mut consistent = true;
        let mut refused = None;
        self.exchange(&mut |frame| {
            if frame.sequence != sequence {
                return false;
            }
            consistent &= frame.flags & NLM_F_DUMP_INTR == 0;
            if frame.kind == NLMSG_DONE || frame.kind == NLMSG_ERROR {
                refused = frame.verdict().errno;
                return true;
            }
            found.extend((frame.kind == kind).then(|| parse(frame.body)).flatten());
            false
        })?;
        refused.map_or(Ok(consistent), Err)
    }

    /// Appends a message to the datagram being built and uses up a sequence number.
    fn append(&mut self, message: &RouteNetlinkMessage, flags: u16) {
        let mut header = NetlinkHeader::default();
        let length = header.buffer_len() + NetlinkSerializable::buffer_len(message);
        header.length = length as u32;
        header.message_type = message.message_type();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let start = self.sending.len();
        self.sending.resize(start + length.next_multiple_of(4), 0);
        let (head, body) = self.sending[start..start + length].split_at_mut(header.buffer_len());
        header.emit(head);
        message.serialize(body);
    }

    fn exchange(&mut self, f: &mut dyn FnMut(&Frame<'_>) -> bool) -> Result<(), Errno> {
        exchange(&self.socket, &self.sending, &mut self.receiving, f)
    }
}

/// Sends the datagram, then hands every message from the kernel to `f` until that says "enough".
/// Answers to earlier, abandoned requests come along: `f` tells them by sequence number.
pub(super) fn exchange(
    socket: &Socket,
    sending: &[u8],
    receiving: &mut [u8],
    f: &mut dyn FnMut(&Frame<'_>) -> bool,
) -> Result<(), Errno> {
    let deadline = Instant::now() + TIMEOUT;
    let kernel = SocketAddr::new(0, 0);
    socket.send_to(sending, &kernel, 0).map_err(|error| errno_of(&error))?;
    loop {
        // The kernel answers while it takes the request: waiting first would be a call wasted.
        let mut room = &mut receiving[..];
        match socket.recv_from(&mut room, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
            Ok((length, sender)) if sender.port_number() == 0 => {
                let datagram = receiving.get(..length).ok_or(Errno::EMSGSIZE)?;
                if frames(datagram).any(|frame| f(&frame)) {
                    return Ok(());
                }
            }
            Ok(_) => {} // from a process, not from the kernel
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_readable(socket, deadline)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno_of(&error)),
        }
        if Instant::now() >= deadline {
            return Err(Errno::ETIMEDOUT);
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32))
}

/// Waits for an answer, or for `deadline`; spurious wake-ups are the caller's to sort out.
fn wait_readable(socket: &Socket, deadline: Instant) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let timeout = PollTimeout::try_from(left + 1).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What a request would have done, to follow the word "cannot". Called for failures only.
fn describe(message: &RouteNetlinkMessage) -> String {
    match message {
        RouteNetlinkMessage::NewAddress(address) => {
            format!("add address {}", describe_address(address, "to"))
        }
        RouteNetlinkMessage::DelAddress(address) => {
            format!("remove address {}", describe_address(address, "from"))
        }
        RouteNetlinkMessage::NewLink(link) => format!("create interface {}", describe_link(link)),
        RouteNetlinkMessage::SetLink(link) => format!("change interface {}", describe_link(link)),
        RouteNetlinkMessage::DelLink(link) => format!("delete interface {}", describe_link(link)),
        RouteNetlinkMessage::NewRoute(route) => format!("add route {}", route::describe(route)),
        RouteNetlinkMessage::DelRoute(route) => format!("remove route {}", route::describe(route)),
        RouteNetlinkMessage::NewRule(rule) => format!("add rule {}", rule::describe(rule)),
        RouteNetlinkMessage::DelRule(rule) => format!("remove rule {}", rule::describe(rule)),
        _ => "carry out a netlink request".into(),
    }
}

fn describe_address(message: &AddressMessage, preposition: &str) -> String {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(ip.to_string()),
        _ => None,
    });
    let header = &message.header;
    let ip = local.unwrap_or_default();
    format!("{ip}/{} {preposition} {}", header.prefix_len, name_of(header.index))
}

fn describe_link(message: &LinkMessage) -> String {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) if message.header.index == 0 => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_else(|| name_of(message.header.index))
}

fn name_of(index: u32) -> String {
    match if_indextoname(index) {
        Ok(name) if !name.is_empty() => name.to_string_lossy().into_owned(),
        _ => format!("interface number {index}"),
    }
}
