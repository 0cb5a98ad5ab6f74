//! A packet filter of our own (nf_tables): a table that drops what is sent to some addresses.
//!
//! ```text
//!   table ip hacluster {
//!       set vips  { type ipv4_addr; comment "OWNER"; elements = { 192.0.2.1 } }
//!       chain in  { type filter hook input priority -1;   ip daddr @vips drop }
//!       chain out { type filter hook output priority -1;  ip saddr != @vips accept
//!                                                         VRRP and ICMP errors accept;  drop }
//!   }
//! ```
//!
//! Contract: each change happens wholly or not at all. The set's comment says whose the table is; a
//! table with another comment, or none, is somebody else's and is never touched. ARP is not filtered.

mod message;
mod monitor;
mod rules;

pub use monitor::NftMonitor;

use super::frame::{NLMSG_DONE, NLMSG_ERROR, attributes};
use super::request::exchange;
use crate::NetError;
use message::{Datagram, GENERIC_BYTES, Kind, find_comment};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const RECEIVE_BYTES: usize = 32 << 10;
/// Elements per transaction: the datagram stays below the default send buffer.
const ELEMENTS: usize = 4096;
/// More elements than this are not ours.
const ELEMENTS_MAX: usize = 1 << 20;
const DORMANT: u32 = 1;

/// How the table shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, of the family `ip`.
    pub name: String,
    /// Whose it is: compared when it is found again. Shown by `nft list ruleset`; at most 128 bytes.
    pub owner: String,
    /// When its chains see packets: lower is earlier, 0 is an ordinary filter.
    pub priority: i32,
    /// Count what is dropped.
    pub counters: bool,
}

/// Whose a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// There is none of that name.
    Nobody,
    /// It carries our comment.
    Us,
    /// It does not.
    Other,
}

/// A netfilter netlink socket that asks and waits for the answer, at most five seconds each time.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    port: u32,
    sequence: u32,
    receiving: Vec<u8>,
}

impl Nft {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetError> {
        let (socket, port) = super::open_socket(NETLINK_NETFILTER)?;
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self { socket, port, sequence: 1, receiving: vec![0; RECEIVE_BYTES] })
    }

    /// What changes made here are known by, see [`NftMonitor::open`].
    pub fn port_id(&self) -> u32 {
        self.port
    }

    /// Whose the table called `name` is, as seen by `owner`.
    pub fn owner(&mut self, name: &str, owner: &str) -> Result<Owner, NetError> {
        if self.flags(name)?.is_none() {
            return Ok(Owner::Nobody);
        }
        let comment = self.ask(Kind::GetSet, 0, name, true, &mut |body, found: &mut Option<String>| {
            attributes(body, &mut |kind, value| {
                if kind == 13 {
                    *found = find_comment(rules::SET_COMMENT, value);
                }
            });
        })?;
        Ok(if comment.flatten().is_some_and(|comment| comment == owner) { Owner::Us } else { Owner::Other })
    }

    /// Puts the table in place with these elements, instead of the one that is there when `replace`
    /// (which must be ours), else as a new one: `EEXIST` when there is one by now. In one step for up
    /// to 4096 elements.
    pub fn build(
        &mut self,
        table: &Table,
        replace: bool,
        elements: &BTreeSet<Ipv4Addr>,
    ) -> Result<(), NetError> {
        let elements: Vec<_> = elements.iter().copied().collect();
        let (first, rest) = elements.split_at(elements.len().min(ELEMENTS));
        self.transaction(&table.name, "set up", &mut |datagram| {
            if replace {
                datagram.message(Kind::DelTable, 0, |old| old.string(1, &table.name));
            }
            rules::build(datagram, table, !replace);
            rules::elements(datagram, &table.name, Kind::NewElements, first);
        })?;
        self.add(&table.name, rest)
    }

    /// Adds elements; those that are there already are no error.
    pub fn add(&mut self, table: &str, addresses: &[Ipv4Addr]) -> Result<(), NetError> {
        self.change(table, Kind::NewElements, addresses)
    }

    /// Removes elements; `ENOENT`, and nothing is removed, when one of them is not there.
    pub fn remove(&mut self, table: &str, addresses: &[Ipv4Addr]) -> Result<(), NetError> {
        self.change(table, Kind::DelElements, addresses)
    }

    fn change(&mut self, table: &str, kind: Kind, addresses: &[Ipv4Addr]) -> Result<(), NetError> {
        addresses.chunks(ELEMENTS).try_for_each(|some| {
            self.transaction(table, "change", &mut |datagram| rules::elements(datagram, table, kind, some))
        })
    }

    /// Deletes the table with all its content. Ask [`owner`](Self::owner) first.
    pub fn delete(&mut self, table: &str) -> Result<(), NetError> {
        self.transaction(table, "delete", &mut |datagram| {
            datagram.message(Kind::DelTable, 0, |old| old.string(1, table));
        })
    }

    /// Whether the table is as [`build`](Self::build) and the changes since left it.
    pub fn intact(&mut self, table: &Table, elements: &BTreeSet<Ipv4Addr>) -> Result<bool, NetError> {
        let Some(flags) = self.flags(&table.name)? else { return Ok(false) };
        if flags & DORMANT != 0 || self.owner(&table.name, &table.owner)? != Owner::Us {
            return Ok(false);
        }
        let rules =
            self.ask(Kind::GetRule, NLM_F_DUMP, &table.name, false, &mut |body, count: &mut usize| {
                // Older kernels list the rules of all tables.
                attributes(body, &mut |kind, value| {
                    *count += usize::from(kind == 1 && super::frame::string(value) == table.name);
                });
            })?;
        if rules != Some(rules::RULES) {
            return Ok(false);
        }
        let there =
            self.ask(Kind::GetElements, NLM_F_DUMP, &table.name, true, &mut |body,
                                                                             found: &mut BTreeSet<
                Ipv4Addr,
            >| {
                if found.len() < ELEMENTS_MAX {
                    attributes(body, &mut |kind, value| {
                        if kind == 3 {
                            addresses(value, found);
                        }
                    });
                }
            })?;
        Ok(there.as_ref() == Some(elements))
    }

    /// `None` when there is no such table.
    fn flags(&mut self, table: &str) -> Result<Option<u32>, NetError> {
        self.ask(Kind::GetTable, 0, table, false, &mut |body, flags: &mut u32| {
            attributes(body, &mut |kind, value| {
                if let (2, Ok(value)) = (kind, value.try_into()) {
                    *flags = u32::from_be_bytes(value);
                }
            });
        })
    }

    /// Asks about a table, or about its set, and folds the objects of the answer; `None` when the
    /// kernel knows none of that name.
    fn ask<T: Default>(
        &mut self,
        kind: Kind,
        flags: u16,
        table: &str,
        of_set: bool,
        fold: &mut dyn FnMut(&[u8], &mut T),
    ) -> Result<Option<T>, NetError> {
        let first = self.sequence;
        let mut datagram = Datagram::new(first);
        datagram.message(kind, flags | NLM_F_ACK, |query| {
            query.string(1, table);
            if of_set {
                query.string(2, rules::SET);
            }
        });
        self.sequence = datagram.sequence;
        let (mut found, mut refused) = (T::default(), None);
        let outcome = exchange(&self.socket, &datagram.bytes, &mut self.receiving, &mut |frame| {
            if frame.sequence != first {
                return false;
            }
            if frame.kind == NLMSG_DONE || frame.kind == NLMSG_ERROR {
                refused = frame.verdict().errno;
                return true;
            }
            fold(frame.body.get(GENERIC_BYTES..).unwrap_or_default(), &mut found);
            false
        });
        match outcome.err().or(refused) {
            None => Ok(Some(found)),
            Some(Errno::ENOENT) => Ok(None),
            Some(errno) => Err(NetError::new(format!("look at nftables table {table}"), errno)),
        }
    }

    fn transaction(
        &mut self,
        table: &str,
        attempt: &str,
        fill: &mut dyn FnMut(&mut Datagram),
    ) -> Result<(), NetError> {
        let first = self.sequence;
        let mut datagram = Datagram::new(first);
        datagram.begin();
        fill(&mut datagram);
        let last = datagram.acknowledge();
        datagram.end();
        self.sequence = datagram.sequence;
        let mut refused = None;
        let outcome = exchange(&self.socket, &datagram.bytes, &mut self.receiving, &mut |frame| {
            let position = frame.sequence.wrapping_sub(first);
            if frame.kind != NLMSG_ERROR || position > last.wrapping_sub(first) {
                return false;
            }
            let verdict = frame.verdict();
            let failed = verdict.errno.is_some();
            if failed {
                refused = Some(verdict);
            }
            failed || frame.sequence == last
        });
        let describe = |errno| NetError::new(format!("{attempt} nftables table {table}"), errno);
        outcome.map_err(describe)?;
        match refused {
            None => Ok(()),
            Some(verdict) => {
                let error = describe(verdict.errno.unwrap_or(Errno::EIO));
                Err(verdict.detail.map_or(error.clone(), |detail| error.with_detail(detail)))
            }
        }
    }
}

/// The addresses in a list of elements.
fn addresses(list: &[u8], found: &mut BTreeSet<Ipv4Addr>) {
    attributes(list, &mut |_, element| {
        attributes(element, &mut |kind, key| {
            if kind == 1 {
                attributes(key, &mut |_, value| {
                    if let Ok(octets) = <[u8; 4]>::try_from(value) {
                        found.insert(octets.into());
                    }
                });
            }
        });
    });
}
