//! Sockets that leave as configured, and no more of them than the process may have.

use super::outcome::{Bad, bad, ours, words};
use hacluster_conf::model::lvs::CheckRoute;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::TcpStream as StdStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Open files that a process of many checks should be allowed.
const FILES_WANTED: u64 = 65_536;
/// Of those, what everything else needs.
const FILES_KEPT: u64 = 512;
const SOCKETS_MIN: u64 = 64;

/// Lets the process open as many files as it may, and says how many of them checks can have.
pub(super) fn sockets_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
    let wanted = FILES_WANTED.clamp(soft.min(hard), hard);
    let allowed = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    };
    usize::try_from(allowed.saturating_sub(FILES_KEPT).clamp(SOCKETS_MIN, FILES_WANTED)).unwrap_or(1_024)
}

/// A socket towards `route.to`, not connected.
pub(super) fn open(route: &CheckRoute, kind: Type, protocol: Option<Protocol>) -> Result<Socket, Bad> {
    let socket = Socket::new(Domain::for_address(route.to), kind.nonblocking(), protocol)
        .map_err(|error| ours("no socket", words(&error)))?;
    if route.fwmark != 0 {
        let marked = socket.set_mark(route.fwmark);
        let why = |error| format!("{}; grant CAP_NET_ADMIN", words(&error));
        marked.map_err(|error| ours(&format!("fwmark {}", route.fwmark), why(error)))?;
    }
    if let Some(interface) = &route.interface {
        let bound = socket.bind_device(Some(interface.as_bytes()));
        bound.map_err(|error| ours(&format!("interface {interface}"), words(&error)))?;
    }
    if let Some(from) = route.from {
        let bind = || {
            if from.port() != 0 {
                socket.set_reuse_address(true)?;
                if kind == Type::STREAM {
                    // The port must be free again at the next try, not only after a minute.
                    socket.set_linger(Some(Duration::ZERO))?;
                }
            }
            socket.bind(&from.into())
        };
        bind().map_err(|error| ours(&format!("source address {from}"), words(&error)))?;
    }
    Ok(socket)
}

/// A TCP connection.
pub(super) async fn connect(route: &CheckRoute) -> Result<TcpStream, Bad> {
    let socket = open(route, Type::STREAM, Some(Protocol::TCP))?;
    let connected = TcpSocket::from_std_stream(StdStream::from(socket)).connect(route.to).await;
    connected.map_err(|error| refused(&error))
}

/// A socket that sends datagrams to, and hears of, `route.to` alone.
pub(super) fn datagrams(route: &CheckRoute, kind: Type, protocol: Protocol) -> Result<UdpSocket, Bad> {
    let socket = open(route, kind, Some(protocol))?;
    socket.connect(&route.to.into()).map_err(|error| refused(&error))?;
    UdpSocket::from_std(socket.into()).map_err(|error| ours("no socket", words(&error)))
}

/// Waits for a datagram, of which at most `most` bytes are kept, or for word that ours was refused: tokio
/// wakes readers for the former alone.
pub(super) async fn receive(socket: &UdpSocket, most: usize) -> Result<Vec<u8>, Bad> {
    let failed = |error: io::Error| bad(words(&error));
    loop {
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await.map_err(failed)?;
        if ready.is_error() {
            if let Some(error) = socket.take_error().map_err(failed)? {
                return Err(failed(error));
            }
            let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        let mut bytes = vec![0; most]; // not before: thousands may wait
        match socket.try_recv(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Whether it is the server that is not reached, or we who cannot try.
fn refused(error: &io::Error) -> Bad {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL | libc::EAGAIN | libc::EADDRINUSE) => ours("no free port", words(error)),
        Some(libc::ENOBUFS | libc::ENOMEM) => ours("no memory", words(error)),
        _ => bad(words(error)),
    }
}
