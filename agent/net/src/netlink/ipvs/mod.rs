//! IPVS, the kernel's load balancer, over generic netlink.
//!
//! ```text
//!   ServiceKey --- ServiceSpec -- ServiceEntry      what clients connect to       (+ counters)
//!      `--* DestKey -- DestSpec --- DestEntry       real servers, way, weight     (+ connections)
//!   SyncDaemon, Timeouts                            one table per network namespace
//! ```
//!
//! Contract: a `…Spec` is what is asked for and what is read back, so that a wanted table and the
//! kernel's can be compared with `==`; a `…Key` is what the kernel tells objects apart by. A batch is
//! carried out in order, each command for itself: one that is refused stops none that follow.
//!
//! Names are resolved by the kernel's generic netlink controller, which loads the module `ip_vs` when
//! it is there but not loaded. Kernels before 6.9 or so take changes from the machine's root only,
//! not from the root of a user namespace.

mod command;
mod daemon;
mod destination;
mod service;
mod stats;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use daemon::{SyncDaemon, SyncRole, Timeouts};
pub use destination::{Checksum, DestEntry, DestKey, DestSpec, Forwarding, Tunnel};
pub use service::{Family, Protocol, ServiceEntry, ServiceFlags, ServiceKey, ServiceSpec};
pub use stats::Stats;

use super::{
    build::{Attributes, Header, append},
    frame::{NLMSG_DONE, NLMSG_ERROR, attributes, number},
    open_socket,
    request::exchange,
};
use crate::NetError;
use command::{ATTR_DAEMON, ATTR_DEST, ATTR_SERVICE};
use command::{GET_CONFIG, GET_DAEMON, GET_DEST, GET_INFO, GET_SERVICE};
use command::{NEW_DAEMON, NEW_DEST, NEW_SERVICE, SET_CONFIG, SET_INFO};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};
use nix::errno::Errno;

/// The family of the controller, which knows all others.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const NEW_FAMILY: u8 = 1;
const ATTR_FAMILY_ID: u16 = 1;
const ATTR_FAMILY_NAME: u16 = 2;

/// Of the IPVS interface and of the controller's.
const VERSION: u8 = 1;
const GENERIC_BYTES: usize = 4;
/// Commands per `sendmsg`: past a hundred or so the system call is no longer what costs.
const BATCH_MAX: usize = 128;
/// The kernel fills dumps in pieces of at most this size, given room.
const RECEIVE_BYTES: usize = 32 << 10;
/// More entries than this are not read.
const ENTRIES_MAX: usize = 1 << 20;

/// What the kernel's IPVS is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Major, minor, patch; 1.2.1 for many years.
    pub version: [u8; 3],
    /// Buckets for connections.
    pub table_size: u32,
}

/// A generic netlink socket that asks and waits for the answer, at most five seconds each time.
#[derive(Debug)]
pub struct Ipvs {
    socket: Socket,
    /// Number of IPVS; another one after the module was unloaded and loaded again.
    family: u16,
    sequence: u32,
    sending: Vec<u8>,
    receiving: Vec<u8>,
}

/// One query: the command, its flags, and the command number of what answers.
struct Query {
    family: u16,
    command: u8,
    flags: u16,
    answer: u8,
}

impl Ipvs {
    /// The error number of [`open`](Self::open) when the kernel has no IPVS and no module of it.
    pub const ABSENT: Errno = Errno::EPROTONOSUPPORT;

    /// Opens a socket in the network namespace of the calling thread. The kernel loads its module
    /// when it has one; where that is not to be, the error is [`ABSENT`](Self::ABSENT).
    pub fn open() -> Result<Self, NetError> {
        let (socket, _) = open_socket(NETLINK_GENERIC)?;
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        let receiving = vec![0; RECEIVE_BYTES];
        let mut ipvs = Self { socket, family: CONTROLLER, sequence: 1, sending: Vec::new(), receiving };
        ipvs.family = ipvs.resolve()?;
        Ok(ipvs)
    }

    fn resolve(&mut self) -> Result<u16, NetError> {
        let query = Query { family: CONTROLLER, command: GET_FAMILY, flags: NLM_F_ACK, answer: NEW_FAMILY };
        let mut found = None;
        let outcome = self.ask(&query, |query| query.string(ATTR_FAMILY_NAME, "IPVS"), &mut |body| {
            attributes(body, &mut |kind, value| {
                if kind == ATTR_FAMILY_ID {
                    found = service::number16(value);
                }
            });
        });
        match outcome {
            Ok(()) => found.ok_or_else(absent),
            Err(Errno::ENOENT) => Err(absent()),
            Err(errno) => Err(NetError::new("reach IPVS in the kernel", errno)),
        }
    }

    /// What the kernel's IPVS is. Fails when its module is gone since [`open`](Self::open).
    pub fn info(&mut self) -> Result<Info, NetError> {
        const VERSION: u16 = 1;
        const TABLE_SIZE: u16 = 2;
        let mut found = Info::default();
        self.get("ask for the version of IPVS", (GET_INFO, SET_INFO), &mut |body| {
            attributes(body, &mut |kind, value| match (kind, number(value)) {
                (VERSION, Some(version)) => {
                    let [_, major, minor, patch] = version.to_be_bytes();
                    found.version = [major, minor, patch];
                }
                (TABLE_SIZE, Some(size)) => found.table_size = size,
                _ => {}
            });
        })?;
        Ok(found)
    }

    /// The kernel's connection timeouts.
    pub fn timeouts(&mut self) -> Result<Timeouts, NetError> {
        let mut found = Timeouts::default();
        self.get("ask for the timeouts of IPVS", (GET_CONFIG, SET_CONFIG), &mut |body| {
            found = Timeouts::parse(body);
        })?;
        Ok(found)
    }

    /// Every service of this network namespace, in no order. While services come or go meanwhile, in whatever
    /// network namespace, one may be missing or be there twice: the kernel counts all of them for its pieces.
    pub fn services(&mut self) -> Result<Vec<ServiceEntry>, NetError> {
        self.dump((GET_SERVICE, NEW_SERVICE), None, ATTR_SERVICE, ServiceEntry::parse)
            .map_err(|errno| NetError::new("list virtual servers", errno))
    }

    /// Every real server of a service, in no order; none when there is no such service.
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestEntry>, NetError> {
        let parse = |dest: &[u8]| DestEntry::parse(dest, key.family());
        self.dump((GET_DEST, NEW_DEST), Some(key), ATTR_DEST, parse)
            .map_err(|errno| NetError::new(format!("list the real servers of {key}"), errno))
    }

    /// The synchronisation daemons that run: none, one, or one of each role.
    pub fn daemons(&mut self) -> Result<Vec<SyncDaemon>, NetError> {
        self.dump((GET_DAEMON, NEW_DAEMON), None, ATTR_DAEMON, SyncDaemon::parse)
            .map_err(|errno| NetError::new("list the IPVS sync daemons", errno))
    }

    /// Carries out all commands in order, whatever becomes of the earlier ones. One result per
    /// command, in the same order. `ETIMEDOUT` and `ENOBUFS` mean that the outcome is unknown.
    pub fn execute(&mut self, commands: &[Command]) -> Vec<Result<(), NetError>> {
        let mut results = Vec::with_capacity(commands.len());
        for batch in commands.chunks(BATCH_MAX) {
            self.execute_batch(batch, &mut results);
        }
        results
    }

    /// Only the last command asks for an answer: the kernel reports refusals in any case.
    fn execute_batch(&mut self, batch: &[Command], results: &mut Vec<Result<(), NetError>>) {
        let first = self.sequence;
        let base = results.len();
        let last = batch.len() - 1;
        results.resize(base + batch.len(), Ok(()));
        self.sending.clear();
        for (position, command) in batch.iter().enumerate() {
            let flags = if position == last { NLM_F_ACK } else { 0 };
            self.append(self.family, command.number(), flags, |message| command.put(message));
        }
        let outcome = exchange(&self.socket, &self.sending, &mut self.receiving, &mut |frame| {
            let position = frame.sequence.wrapping_sub(first) as usize;
            if frame.kind != NLMSG_ERROR || position > last {
                return false;
            }
            let verdict = frame.verdict();
            if let Some(errno) = verdict.errno {
                results[base + position] = Err(batch[position].refused(errno, verdict.detail));
            }
            position == last
        });
        if let Err(errno) = outcome {
            let unknown = results[base..].iter_mut().zip(batch).filter(|(result, _)| result.is_ok());
            unknown.for_each(|(result, command)| *result = Err(command.refused(errno, None)));
        }
    }

    /// One question with one answer.
    fn get(
        &mut self,
        attempt: &str,
        (command, answer): (u8, u8),
        fold: &mut dyn FnMut(&[u8]),
    ) -> Result<(), NetError> {
        let query = Query { family: self.family, command, flags: NLM_F_ACK, answer };
        self.ask(&query, |_| (), fold).map_err(|errno| NetError::new(attempt, errno))
    }

    /// All objects that answer a query, each in an attribute of this kind.
    fn dump<T>(
        &mut self,
        (command, answer): (u8, u8),
        of: Option<&ServiceKey>,
        attribute: u16,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Errno> {
        let query = Query { family: self.family, command, flags: NLM_F_DUMP, answer };
        let mut found = Vec::new();
        let fill = |query: &mut Attributes<'_>| {
            if let Some(key) = of {
                query.nest(ATTR_SERVICE, |service| key.put(service));
            }
        };
        self.ask(&query, fill, &mut |body| {
            attributes(body, &mut |kind, value| {
                if kind == attribute && found.len() < ENTRIES_MAX {
                    found.extend(parse(value));
                }
            });
        })?;
        Ok(found)
    }

    /// Sends a query and hands the attributes of each answer to `fold`.
    fn ask(
        &mut self,
        query: &Query,
        fill: impl FnOnce(&mut Attributes<'_>),
        fold: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Errno> {
        let sequence = self.sequence;
        self.sending.clear();
        self.append(query.family, query.command, query.flags, fill);
        let mut refused = None;
        exchange(&self.socket, &self.sending, &mut self.receiving, &mut |frame| {
            if frame.sequence != sequence {
                return false;
            }
            if frame.kind == NLMSG_DONE || frame.kind == NLMSG_ERROR {
                refused = frame.verdict().errno;
                return true;
            }
            let answers = frame.kind == query.family && frame.body.first() == Some(&query.answer);
            if let Some(body) = frame.body.get(GENERIC_BYTES..).filter(|_| answers) {
                fold(body);
            }
            false
        })?;
        refused.map_or(Ok(()), Err)
    }

    /// Appends a message to the datagram being built and uses up a sequence number.
    fn append(&mut self, family: u16, command: u8, flags: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        let header = Header { kind: family, flags: NLM_F_REQUEST | flags, sequence: self.sequence };
        self.sequence = self.sequence.wrapping_add(1);
        append(&mut self.sending, &header, [command, VERSION, 0, 0], fill);
    }
}

fn absent() -> NetError {
    NetError::new("reach IPVS in the kernel", Ipvs::ABSENT)
        .with_detail("this kernel has no ip_vs")
        .with_mend("load it with `modprobe ip_vs`, or boot a kernel that has it (CONFIG_IP_VS)")
}
