//! VRRP over IPv4: one raw socket per interface, shared by all its virtual routers.
//!
//! ```text
//!   open ─▶ filter "nothing" ─▶ bind to the interface ─▶ empty the queue ─▶ set_filter(vrids)
//! ```
//!
//! A raw socket hears every interface from the moment it exists. Hence this order: when the first
//! packet is let in, the queue holds nothing from elsewhere.

use super::{
    batch::{self, RecvBuffers as Buffers},
    filter,
};
use crate::{NetError, option};
use hacluster_core::vrid::Vrid;
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd},
};

pub use super::batch::RecvBuffers;

const VRRP: i32 = 112;
/// Network control (`TC_PRIO_CONTROL`): the most urgent class that default queues know.
const PRIORITY: u32 = 6;
/// Thousands of adverts, should we be kept from reading for a while.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// One advert of each of 255 virtual routers to several unicast peers.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Bound on what can have been queued between opening and filtering.
const DRAIN_BATCHES_MAX: usize = 1024;

/// A packet to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to: the group, or a unicast peer.
    pub destination: Ipv4Addr,
    /// The whole packet from the IP header on. The kernel fills in total length, header checksum, and
    /// where they are 0, source and identification.
    pub bytes: &'a [u8],
}

/// The raw socket of one interface.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    index: u32,
    name: String,
    groups: BTreeMap<Ipv4Addr, usize>,
}

impl VrrpSocket {
    /// Opens a socket on interface number `index`, called `name`. It receives nothing until
    /// [`join`](Self::join) and [`set_filter`](Self::set_filter). Needs `CAP_NET_RAW`.
    ///
    /// A socket does not survive its interface: open another when that is recreated.
    pub fn open(index: u32, name: &str) -> Result<Self, NetError> {
        let failed = |error| NetError::from_io(format!("open a VRRP socket on {name}"), &error);
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP))).map_err(failed)?;
        socket.attach_filter(filter::NOTHING).map_err(failed)?;
        bind(&socket, index, name).map_err(|errno| failed(errno.into()))?;
        let this = Self { socket, index, name: name.into(), groups: BTreeMap::new() };
        this.configure().map_err(failed)?;
        this.drain().map_err(|errno| failed(errno.into()))?;
        Ok(this)
    }

    fn configure(&self) -> io::Result<()> {
        let socket = &self.socket;
        socket.set_nonblocking(true)?;
        socket.set_header_included_v4(true)?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_priority(PRIORITY)?;
        option::set(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &self.interface())?;
        // Otherwise groups that other programs joined would be delivered here as well.
        option::set(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, &0i32)?;
        if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        }
        if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER_BYTES).is_err() {
            socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        }
        // For telemetry alone: without it nobody knows how long packets waited.
        let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
        Ok(())
    }

    /// Names the interface by its number: it may have no address of its own, or share one.
    fn interface(&self) -> libc::ip_mreqn {
        let none = libc::in_addr { s_addr: 0 };
        libc::ip_mreqn { imr_multiaddr: none, imr_address: none, imr_ifindex: self.index.cast_signed() }
    }

    fn drain(&self) -> Result<(), Errno> {
        let mut buffers = Buffers::new();
        for _ in 0..DRAIN_BATCHES_MAX {
            if buffers.receive(self.socket.as_fd())? == 0 {
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }

    /// Number of the interface.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Joins `group` on the interface. Counted: as many [`leave`](Self::leave) take it back.
    pub fn join(&mut self, group: Ipv4Addr) -> Result<(), NetError> {
        let users = self.groups.entry(group).or_default();
        if *users == 0 {
            let interface = InterfaceIndexOrAddress::Index(self.index);
            if let Err(error) = self.socket.join_multicast_v4_n(&group, &interface) {
                self.groups.remove(&group);
                let error = NetError::from_io(format!("join group {group} on {}", self.name), &error);
                return Err(match error.errno() {
                    Errno::ENOBUFS => error.with_detail("raise net.ipv4.igmp_max_memberships"),
                    _ => error,
                });
            }
        }
        *users += 1;
        Ok(())
    }

    /// Takes back one [`join`](Self::join). One too many does nothing.
    pub fn leave(&mut self, group: Ipv4Addr) {
        let Some(users) = self.groups.get_mut(&group) else { return };
        *users -= 1;
        if *users == 0 {
            self.groups.remove(&group);
            // Fails only when the interface is gone, and the membership with it.
            let _ = self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index));
        }
    }

    /// From now on, receive the packets of these virtual routers and of no others. What is queued stays.
    pub fn set_filter(&self, vrids: &[Vrid]) -> Result<(), NetError> {
        self.socket
            .attach_filter(&filter::only(vrids))
            .map_err(|error| NetError::from_io(format!("filter VRRP packets on {}", self.name), &error))
    }

    /// Fetches up to 64 packets into `buffers`; their number, 0 when there are none. Never waits.
    ///
    /// An error such as `ENETDOWN` is reported once; the socket can be used further.
    pub fn recv(&self, buffers: &mut RecvBuffers) -> Result<usize, NetError> {
        let attempt = || format!("receive VRRP packets on {}", self.name);
        buffers.receive(self.socket.as_fd()).map_err(|errno| NetError::new(attempt(), errno))
    }

    /// Sends all packets and returns how many left; the others go to `failed` with position and reason.
    /// Never waits: a full queue is `EAGAIN` or `ENOBUFS`.
    pub fn send(&self, packets: &[Outgoing<'_>], failed: &mut dyn FnMut(usize, NetError)) -> usize {
        let message = |position: usize| {
            let Outgoing { destination, bytes } = packets[position];
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(destination.octets()) },
                sin_zero: [0; 8],
            };
            (address, bytes)
        };
        batch::send(self.socket.as_fd(), packets.len(), message, &mut |position, errno| {
            let destination = packets[position].destination;
            let attempt = format!("send an advert to {destination} on {}", self.name);
            failed(position, NetError::new(attempt, errno));
        })
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds to the interface by number, so that a renaming in between does no harm; by name on kernels
/// before 5.0.
fn bind(socket: &Socket, index: u32, name: &str) -> Result<(), Errno> {
    match option::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index.cast_signed()) {
        Err(Errno::ENOPROTOOPT) => setsockopt(socket, sockopt::BindToDevice, &OsString::from(name)),
        outcome => outcome,
    }
}
