//! Hearing of every process that begins, becomes another program or ends (the process connector).
//!
//! ```text
//!   nlmsghdr 16 | cn_msg 20: idx 1, val 1, seq, ack, len | what 4 | cpu 4 | time 8 | ids of the event
//!                                                          36                      52
//! ```
//!
//! The kernel tells the first network namespace alone, and counts processes as the first PID namespace
//! does. Elsewhere it refuses the first word, or does not answer it; [`ProcessEvents::open`] waits for
//! the answer and so never listens to what would not come, or would be about others.

use super::ear::{Ear, Heard, instruction, number_in_filter};
use super::frame::frames;
use super::open_socket;
use crate::NetError;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockFilter;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

const NETLINK_CONNECTOR: isize = libc::NETLINK_CONNECTOR as isize;
const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;

const NONE: u32 = 0;
const FORK: u32 = 1;
const EXEC: u32 = 2;
const COMM: u32 = 0x200;
const EXIT: u32 = 0x8000_0000;

const HEADER_BYTES: usize = 16;
/// Where things are in a datagram.
const WHAT_OFFSET: u32 = 36;
const IDS_OFFSET: u32 = 52;

/// Something happened to a process. Threads are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// `child` runs what `parent` runs.
    Forked {
        /// Who began it.
        parent: u32,
        /// The new one.
        child: u32,
    },
    /// It runs another program from now on.
    Executed(u32),
    /// It gave itself another name.
    Renamed(u32),
    /// It ended.
    Ended(u32),
    /// Events came faster than they were read: list everything anew.
    Overrun,
}

/// A socket that listens and, once open, never blocks.
#[derive(Debug)]
pub struct ProcessEvents {
    ear: Ear,
    port: u32,
}

impl ProcessEvents {
    /// Begins to listen; waits at most `limit` for the kernel's answer. List processes afterwards.
    ///
    /// # Errors
    /// When this kernel has no process connector, or does not tell this namespace or this user:
    /// `ECONNREFUSED`, `EPERM`, `ETIMEDOUT` when there is no answer.
    pub fn open(limit: Duration) -> Result<Self, NetError> {
        let (socket, port) = open_socket(NETLINK_CONNECTOR)?;
        let failed = |error| NetError::from_io("listen to process events", &error);
        socket.add_membership(CN_IDX_PROC).map_err(failed)?;
        let mut events = Self { ear: Ear::new(socket), port };
        events.ear.filter(&whole_processes())?;
        events.ask(LISTEN)?;
        events.await_answer(limit)?;
        Ok(events)
    }

    fn ask(&self, what: u32) -> Result<(), NetError> {
        let request = request(self.port, what);
        let sent = self.ear.socket.send(&request, 0);
        sent.map(drop).map_err(|error| NetError::from_io("ask for process events", &error))
    }

    /// The answer goes to everybody who listens: ours carries our number.
    fn await_answer(&mut self, limit: Duration) -> Result<(), NetError> {
        let refused = |errno| NetError::new("listen to process events", errno);
        let deadline = Instant::now() + limit;
        loop {
            let port = self.port;
            match self.ear.hear()? {
                Heard::Datagram(datagram) => {
                    match frames(datagram).find_map(|frame| answer(frame.body, port)) {
                        Some(0) => return Ok(()),
                        Some(errno) => return Err(refused(Errno::from_raw(errno))),
                        None => continue,
                    }
                }
                Heard::Lost => continue,
                Heard::Nothing => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut wait = [PollFd::new(self.ear.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut wait, left) {
                Ok(0) => {
                    let why = "the kernel does not answer; it tells the first PID and user namespace alone";
                    return Err(refused(Errno::ETIMEDOUT).with_detail(why));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
    }

    /// Hands at most `limit` events to `f`; true when there may be more.
    ///
    /// # Errors
    /// When the socket cannot be read any more.
    pub fn read(&mut self, limit: usize, f: &mut dyn FnMut(ProcessEvent)) -> Result<bool, NetError> {
        for _ in 0..limit {
            match self.ear.hear()? {
                Heard::Datagram(datagram) => {
                    frames(datagram).filter_map(|frame| event(frame.body)).for_each(&mut *f);
                }
                Heard::Nothing => return Ok(false),
                Heard::Lost => {
                    let drained = self.ear.drain();
                    f(ProcessEvent::Overrun);
                    return Ok(!drained);
                }
            }
        }
        Ok(true)
    }
}

impl Drop for ProcessEvents {
    /// Kernels before 6.6 count listeners, and not who is gone.
    fn drop(&mut self) {
        let _ = self.ask(IGNORE);
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ear.socket.as_fd()
    }
}

/// `NLMSG_DONE` with a connector message that holds `what`.
fn request(port: u32, what: u32) -> Vec<u8> {
    const DONE: u16 = 3;
    let length = HEADER_BYTES as u32 + 20 + 4;
    let header = [length.to_ne_bytes(), bytes_of(DONE, 0), 0u32.to_ne_bytes(), port.to_ne_bytes()];
    // The answer adds one to the last of these: nobody else in this namespace has our port's number.
    let ids = [CN_IDX_PROC, CN_VAL_PROC, 0, port].map(u32::to_ne_bytes);
    [header.concat(), ids.concat(), bytes_of(4, 0).to_vec(), what.to_ne_bytes().to_vec()].concat()
}

fn bytes_of(first: u16, second: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    [a, b, c, d]
}

/// The number at `offset` of a message's body.
fn number(body: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*body.get(offset..)?.first_chunk()?))
}

/// What it is about, and where its ids begin, in a message's body; `None` for other connectors.
fn head(body: &[u8]) -> Option<(u32, &[u8])> {
    let ours = (number(body, 0)?, number(body, 4)?) == (CN_IDX_PROC, CN_VAL_PROC);
    let what = number(body, WHAT_OFFSET as usize - HEADER_BYTES)?;
    ours.then_some((what, body.get(IDS_OFFSET as usize - HEADER_BYTES..)?))
}

/// The error number, 0 for none, of the answer to what the socket `port` asked.
fn answer(body: &[u8], port: u32) -> Option<i32> {
    let (what, rest) = head(body)?;
    let ours = what == NONE && number(body, 12)? == port.wrapping_add(1);
    ours.then_some(i32::from_ne_bytes(*rest.first_chunk()?).saturating_abs())
}

fn event(body: &[u8]) -> Option<ProcessEvent> {
    let (what, ids) = head(body)?;
    let (first, group) = (number(ids, 0)?, number(ids, 4)?);
    let is_process = first == group;
    Some(match what {
        FORK => {
            let (child, its_group) = (number(ids, 8)?, number(ids, 12)?);
            return (child == its_group).then_some(ProcessEvent::Forked { parent: group, child });
        }
        EXEC if is_process => ProcessEvent::Executed(first),
        COMM if is_process => ProcessEvent::Renamed(first),
        EXIT if is_process => ProcessEvent::Ended(first),
        _ => return None,
    })
}

/// Lets pass the answers, and of processes, not of their threads, what [`event`] knows: a program that
/// begins a thousand threads a second wakes nobody. The number of its group follows each id.
fn whole_processes() -> [SockFilter; 16] {
    use libc::*;
    let load = |offset| instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
    let is = |what, yes, no| instruction(BPF_JMP | BPF_JEQ | BPF_K, yes, no, number_in_filter(what));
    let keep_in_x = || instruction(BPF_MISC | BPF_TAX, 0, 0, 0);
    let is_x = |yes, no| instruction(BPF_JMP | BPF_JEQ | BPF_X, yes, no, 0);
    [
        load(WHAT_OFFSET),
        is(NONE, 12, 0),
        is(FORK, 7, 0),
        is(EXEC, 2, 0),
        is(COMM, 1, 0),
        is(EXIT, 0, 9),
        load(IDS_OFFSET),
        keep_in_x(),
        load(IDS_OFFSET + 4),
        is_x(4, 5),
        load(IDS_OFFSET + 8), // of a fork: the child
        keep_in_x(),
        load(IDS_OFFSET + 12),
        is_x(0, 1),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
        instruction(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// As Linux 6.18 on x86-64 sent them: an answer, a fork, an exec and an exit of processes.
    const RECORDED: [&str; 4] = [
        "4c00000003000000000000000000000001000000010000000000000001000000280000000000000000000000cb96d6860b15\
         0000000000000000000000000000000000000000000000000000",
        "4c00000003000000010000000000000001000000010000000100000000000000280000000100000000000000de73d7860b15\
         00009360000093600000c0600000c06000000000000000000000",
        "4c00000003000000020000000000000001000000010000000200000000000000280000000200000000000000a9d6df860b15\
         0000c0600000c060000000000000000000000000000000000000",
        "4c00000003000000030000000000000001000000010000000300000000000000280000000000008000000000788bea860b15\
         0000c0600000c060000000000000110000009360000093600000",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn events(datagram: &[u8]) -> Vec<ProcessEvent> {
        frames(datagram).filter_map(|frame| event(frame.body)).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn what_a_kernel_sent_is_understood() {
        let [answered, forked, executed, ended] = RECORDED.map(bytes);
        assert_eq!(frames(&answered).find_map(|frame| answer(frame.body, 0)), Some(0));
        assert_eq!(frames(&answered).find_map(|frame| answer(frame.body, 7)), None, "somebody else's");
        assert_eq!(frames(&forked).find_map(|frame| answer(frame.body, 1)), None, "no answer at all");
        assert_eq!(events(&answered), []);
        assert_eq!(events(&forked), [ProcessEvent::Forked { parent: 0x6093, child: 0x60c0 }]);
        assert_eq!(events(&executed), [ProcessEvent::Executed(0x60c0)]);
        assert_eq!(events(&ended), [ProcessEvent::Ended(0x60c0)]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_is_what_the_kernel_reads() {
        let expected =
            "28000000 0300 0000 00000000 07000000 01000000 01000000 00000000 07000000 0400 0000 01000000";
        assert_eq!(request(7, LISTEN), bytes(expected));
    }

    #[test]
    fn every_cut_and_every_broken_byte_is_survived() {
        for datagram in RECORDED.map(bytes) {
            for end in 0..datagram.len() {
                let _ = events(&datagram[..end]);
                let _ = frames(&datagram[..end]).find_map(|frame| answer(frame.body, 0));
            }
            for byte in 0..datagram.len() {
                let mut broken = datagram.clone();
                broken[byte] ^= 0xff;
                let _ = events(&broken);
            }
        }
    }

    /// Whether the kernel lets `datagram` pass.
    fn passes(datagram: &[u8]) -> bool {
        let (from, to) = UnixDatagram::pair().unwrap();
        socket2::SockRef::from(&to).attach_filter(&whole_processes()).unwrap();
        to.set_nonblocking(true).unwrap();
        let _ = from.send(datagram);
        to.recv(&mut [0; 256]).is_ok()
    }

    #[test]
    fn the_kernel_leaves_threads_out() {
        for datagram in RECORDED.map(bytes) {
            assert!(passes(&datagram));
            let group_at = if datagram[36] == 1 { 64 } else { 56 };
            let mut of_thread = datagram.clone();
            of_thread[group_at] ^= 1;
            let is_answer = datagram[36..40] == [0; 4];
            assert_eq!(passes(&of_thread), is_answer);
            assert_eq!(events(&of_thread), []);
        }
        let mut of_user = bytes(RECORDED[1]);
        of_user[36] = 4; // another user id: not asked for
        assert!(!passes(&of_user) && !passes(b"short"));
    }

    #[test]
    fn a_process_is_told_from_its_birth_to_its_end() {
        let mut events = match ProcessEvents::open(Duration::from_secs(10)) {
            Ok(events) => events,
            Err(error) => {
                return eprintln!("a_process_is_told_from_its_birth_to_its_end: skipped, {error}");
            }
        };
        std::thread::spawn(|| {}).join().unwrap(); // not told
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = child.id();
        child.wait().unwrap();
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !seen.contains(&ProcessEvent::Ended(number)) && Instant::now() < deadline {
            poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLIN)], PollTimeout::from(1_000u16)).unwrap();
            events.read(64, &mut |event| seen.push(event)).unwrap();
        }
        seen.retain(|event| match event {
            ProcessEvent::Forked { child, .. } => *child == number,
            ProcessEvent::Executed(of) | ProcessEvent::Ended(of) => *of == number,
            ProcessEvent::Renamed(_) | ProcessEvent::Overrun => false,
        });
        let parent = std::process::id();
        let birth = ProcessEvent::Forked { parent, child: number };
        assert_eq!(seen, [birth, ProcessEvent::Executed(number), ProcessEvent::Ended(number)]);
    }
}
