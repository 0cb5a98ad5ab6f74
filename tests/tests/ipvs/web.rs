//! Small servers that say who they are, and clients that ask.

use crate::scene::LIMIT;
use anyhow::{Context, Result, ensure};
use hacluster_lab::Host;
use nix::sys::socket::{Shutdown, shutdown};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a server or client waits for the other's bytes.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any request here has.
const REQUEST_BYTES_MAX: usize = 4096;

/// A server on one port of all IPv4 addresses of a host. It ends with this value; connections are refused
/// then.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Server {
    /// Answers every request at `port` with the host's name.
    pub(crate) fn web(host: &Host, port: u16) -> Result<Self> {
        Self::start(host, port, answer)
    }

    /// Says every line back at `port`, the host's name before it, as long as the client likes.
    pub(crate) fn echo(host: &Host, port: u16) -> Result<Self> {
        Self::start(host, port, echo)
    }

    /// Hands each connection to `serve`, with the host's name.
    pub(crate) fn start<F>(host: &Host, port: u16, serve: F) -> Result<Self>
    where
        F: Fn(TcpStream, &str) -> Result<()> + Clone + Send + 'static,
    {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener =
            host.namespace().run(move || TcpListener::bind(any).with_context(|| any.to_string()))?;
        let (theirs, name) = (listener.try_clone()?, host.name().to_owned());
        let taken = Arc::<Mutex<BTreeMap<IpAddr, usize>>>::default();
        let count = taken.clone();
        let thread = thread::spawn(move || {
            for stream in theirs.incoming() {
                let Ok(stream) = stream else { return }; // shut down
                if let Ok(from) = stream.peer_addr() {
                    *count.lock().unwrap().entry(from.ip()).or_default() += 1;
                }
                let (serve, name) = (serve.clone(), name.clone());
                thread::spawn(move || drop(serve(stream, &name)));
            }
        });
        Ok(Self { listener, thread: Some(thread), taken })
    }

    /// Connections taken from `ip` so far.
    pub(crate) fn taken_from(&self, ip: Ipv4Addr) -> usize {
        self.taken.lock().unwrap().get(&ip.into()).copied().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both); // wakes the one who accepts
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn echo(stream: TcpStream, name: &str) -> Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        answers.write_all(format!("{name} {}\n", line?).as_bytes())?;
    }
    Ok(())
}

/// A connection to an [echo](Server::echo) that stays open.
#[derive(Debug)]
pub(crate) struct Talk(BufReader<TcpStream>);

impl Talk {
    pub(crate) fn open(client: &Host, ip: Ipv4Addr, port: u16) -> Result<Self> {
        let to = SocketAddr::V4(SocketAddrV4::new(ip, port));
        let stream = client.namespace().run(move || Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Says `words` and hears them back; who said them.
    pub(crate) fn say(&mut self, words: &str) -> Result<String> {
        self.0.get_mut().write_all(format!("{words}\n").as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line).with_context(|| format!("no answer to: {words}"))?;
        let (who, said) = line.trim_end().split_once(' ').with_context(|| format!("`{line}`"))?;
        ensure!(said == words, "`{said}` came back, not `{words}`");
        Ok(who.to_owned())
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
