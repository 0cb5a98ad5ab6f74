//! Many packets per system call (`sendmmsg`, `recvmmsg`), without allocation and without waiting.

use crate::clock;
use nix::errno::Errno;
use std::{
    mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    time::Duration,
};

/// musl has another type for the flags of these calls, and for the lengths of what stands aside.
const DONT_WAIT: FlagsInt = libc::MSG_DONTWAIT as FlagsInt;
#[cfg(target_env = "musl")]
type FlagsInt = libc::c_uint;
#[cfg(not(target_env = "musl"))]
type FlagsInt = libc::c_int;

/// Packets per system call. The headers of a batch live on the stack: 6 KiB.
pub(super) const BATCH_MAX: usize = 64;
/// Room per packet. The largest advert, 255 addresses and all IP options, has 1,096 bytes.
pub(super) const PACKET_BYTES_MAX: usize = 1536;

/// Sends the packets `message(0)` to `message(count - 1)`, each with its address; returns how many left.
/// The others are reported to `failed` with position and reason.
///
/// Address must be a socket address structure of the kernel, `sockaddr_in` or the like.
pub(super) fn send<'a, Address: Copy>(
    fd: BorrowedFd<'_>,
    count: usize,
    message: impl Fn(usize) -> (Address, &'a [u8]),
    failed: &mut dyn FnMut(usize, Errno),
) -> usize {
    let (mut next, mut sent) = (0, 0);
    while next < count {
        let size = (count - next).min(BATCH_MAX);
        match send_some(fd, next, size, &message) {
            Ok(done) => {
                next += done;
                sent += done;
            }
            Err(Errno::EINTR) => {}
            // The socket's buffer is full: so it is for all that follow.
            Err(errno @ Errno::EAGAIN) => {
                (next..count).for_each(|position| failed(position, errno));
                return sent;
            }
            // The kernel stops at the packet it refuses: that one is the first of this call.
            Err(errno) => {
                failed(next, errno);
                next += 1;
            }
        }
    }
    sent
}

/// One system call: packets `first` to `first + size - 1`. An error concerns the first of them.
fn send_some<'a, Address: Copy>(
    fd: BorrowedFd<'_>,
    first: usize,
    size: usize,
    message: &impl Fn(usize) -> (Address, &'a [u8]),
) -> Result<usize, Errno> {
    let mut addresses: [Option<Address>; BATCH_MAX] = [None; BATCH_MAX];
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
    // SAFETY: mmsghdr consists of integers and pointers, for which zero is a valid value.
    let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { mem::zeroed() };
    let slots = headers.iter_mut().zip(&mut vectors).zip(&mut addresses);
    for (position, ((header, vector), slot)) in (first..first + size).zip(slots) {
        let (address, bytes) = message(position);
        vector.iov_base = bytes.as_ptr().cast_mut().cast();
        vector.iov_len = bytes.len();
        header.msg_hdr.msg_name = ptr::from_mut(slot.insert(address)).cast();
        header.msg_hdr.msg_namelen = size_of::<Address>() as libc::socklen_t;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    let size = size.min(BATCH_MAX) as libc::c_uint;
    // SAFETY: the first `size` headers point to addresses and vectors that outlive the call, and the
    // vectors to packets borrowed for 'a; the kernel only reads them.
    let done = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), size, DONT_WAIT) };
    Errno::result(done).map(|done| done as usize)
}

/// Room for what the kernel says beside a packet: when it came. Aligned as its headers.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Aside([u8; ASIDE_BYTES]);

/// A header and the time behind it.
const ASIDE_BYTES: usize = 64;

/// A received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// From the first byte of its IP header. A packet that was too long is cut: its header promises more
    /// than there is.
    pub bytes: &'a [u8],
    /// How long it had been in this host when it was read, by the wall clock; `None` where the kernel does
    /// not say, or the clock was set back meanwhile. For a moment after the first socket of the machine has
    /// asked for it, the kernel counts from when a packet is read: next to nothing.
    pub waited: Option<Duration>,
}

/// Room for one batch of received packets; one serves all sockets of a thread in turn.
///
/// Of its 96 KiB only as much becomes resident as the largest batch has filled.
#[derive(Debug)]
pub struct RecvBuffers {
    room: Vec<u8>,
    lengths: [u16; BATCH_MAX],
    asides: [Aside; BATCH_MAX],
    waited: [Option<Duration>; BATCH_MAX],
    count: usize,
    cut: usize,
}

impl Default for RecvBuffers {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBuffers {
    /// Packets in a full batch: after fewer, the socket was empty.
    pub const CAPACITY: usize = BATCH_MAX;

    /// Room for 64 packets of 1,536 bytes.
    pub fn new() -> Self {
        Self {
            room: vec![0; BATCH_MAX * PACKET_BYTES_MAX],
            lengths: [0; BATCH_MAX],
            asides: [Aside([0; ASIDE_BYTES]); BATCH_MAX],
            waited: [None; BATCH_MAX],
            count: 0,
            cut: 0,
        }
    }

    /// The packets of the last batch.
    pub fn packets(&self) -> impl Iterator<Item = Received<'_>> {
        let packets = self.room.chunks(PACKET_BYTES_MAX).zip(&self.lengths).zip(&self.waited);
        packets.take(self.count).map(|((room, &length), &waited)| Received {
            bytes: room.get(..usize::from(length)).unwrap_or(room),
            waited,
        })
    }

    /// How many packets of the last batch were cut.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// Replaces the batch by what is queued on `fd` right now; the number of packets, 0 when none.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        (self.count, self.cut) = (0, 0);
        let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        // SAFETY: mmsghdr consists of integers and pointers, for which zero is a valid value.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { mem::zeroed() };
        let rooms = self.room.chunks_mut(PACKET_BYTES_MAX).zip(&mut self.asides);
        for ((header, vector), (room, aside)) in headers.iter_mut().zip(&mut vectors).zip(rooms) {
            vector.iov_base = room.as_mut_ptr().cast();
            vector.iov_len = room.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = ptr::from_mut(aside).cast();
            header.msg_hdr.msg_controllen = ASIDE_BYTES as _;
        }
        let (first, size) = (headers.as_mut_ptr(), BATCH_MAX as libc::c_uint);
        // SAFETY: all headers point to vectors that outlive the call, these to disjoint pieces of `room`,
        // and to `asides`, which nothing else refers to meanwhile; no timeout is given.
        let done = unsafe { libc::recvmmsg(fd.as_raw_fd(), first, size, DONT_WAIT, ptr::null_mut()) };
        match Errno::result(done) {
            Ok(done) => self.count = done as usize,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => return Err(errno),
        }
        let now = if self.count > 0 { clock::wall() } else { Duration::ZERO };
        let places = self.lengths.iter_mut().zip(&mut self.waited);
        for (header, (length, waited)) in headers.iter().zip(places).take(self.count) {
            *length = header.msg_len.min(PACKET_BYTES_MAX as u32) as u16;
            *waited = arrival(&header.msg_hdr).and_then(|at| now.checked_sub(at));
            self.cut += usize::from(header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0);
        }
        Ok(self.count)
    }
}

/// When the kernel received the packet, by the wall clock, where it said so (`SO_TIMESTAMPNS`).
fn arrival(header: &libc::msghdr) -> Option<Duration> {
    const LENGTH: usize = size_of::<libc::timespec>();
    // SAFETY: the kernel has filled in as much of the control buffer as `msg_controllen` now says, and the
    // buffer is alive: it belongs to the caller's `RecvBuffers`.
    let first = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    // SAFETY: no memory is read.
    let whole = unsafe { libc::CMSG_LEN(LENGTH as libc::c_uint) } as _;
    let is_time = first.cmsg_level == libc::SOL_SOCKET && first.cmsg_type == libc::SCM_TIMESTAMPNS;
    if !is_time || first.cmsg_len < whole {
        return None;
    }
    // SAFETY: the message is as long as a header and a timespec, of which every bit pattern is valid.
    let at: libc::timespec = unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast()) };
    Some(Duration::new(u64::try_from(at.tv_sec).ok()?, u32::try_from(at.tv_nsec).ok()?))
}
