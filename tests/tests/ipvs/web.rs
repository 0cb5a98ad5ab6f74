//! Small web servers that say who they are, and a client that asks.

use anyhow::{Context, Result};
use hacluster_lab::Host;
use nix::sys::socket::{Shutdown, shutdown};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a server or client waits for the other's bytes.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any request here has.
const REQUEST_BYTES_MAX: usize = 4096;

/// A server on port 80 of all addresses of a host, which answers every request with the host's name.
/// It ends with this value; connections are refused then.
#[derive(Debug)]
pub(crate) struct Web {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub(crate) fn start(host: &Host) -> Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        let listener = host.namespace().run(move || TcpListener::bind(any).context("port 80"))?;
        let (theirs, name) = (listener.try_clone()?, host.name().to_owned());
        let thread = thread::spawn(move || {
            for stream in theirs.incoming() {
                match stream {
                    Ok(stream) => drop(answer(stream, &name)),
                    Err(_) => return, // shut down
                }
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both); // wakes the one who accepts
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn answer(mut stream: TcpStream, name: &str) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        let mut more = [0; 512];
        match stream.read(&mut more)? {
            0 => return Ok(()), // a check that only connects
            length => request.extend(&more[..length]),
        }
    }
    let length = name.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    Ok(stream.write_all((head + name).as_bytes())?)
}

/// Who answers `client` at port `port` of `ip`.
pub(crate) fn ask(client: &Host, ip: Ipv4Addr, port: u16) -> Result<String> {
    let to = SocketAddr::V4(SocketAddrV4::new(ip, port));
    client.namespace().run(move || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
        Ok(body.to_owned())
    })
}

/// How often each server answers `times` requests; whoever does not answer is an error.
pub(crate) fn tally(client: &Host, ip: Ipv4Addr, times: usize) -> Result<BTreeMap<String, usize>> {
    let mut tally = BTreeMap::new();
    for _ in 0..times {
        *tally.entry(ask(client, ip, 80)?).or_default() += 1;
    }
    Ok(tally)
}
