//! Thousands of web servers in one process: a listener for all of 127.0.0.0/8, which notes when each
//! address was asked. What servers see is measured alike for whoever asks.

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PART: &str = "--farm";
/// `delay_loop` of the checks.
pub const PERIOD: Duration = Duration::from_secs(6);

/// The address of target `number`.
pub fn target(number: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number), port)
}

/// Puts this thread on one processor, where there are that many.
pub fn pin(to: usize) {
    let mut set = CpuSet::new();
    if set.set(to).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// What servers saw in one count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Requests.
    pub requests: f64,
    /// How much later than a period after its last request an address was asked again, in milliseconds:
    /// the middle.
    pub late_p50_ms: f64,
    /// Of a hundred all but one were earlier.
    pub late_p99_ms: f64,
    /// The latest.
    pub late_max_ms: f64,
    /// How many were later than 100 ms.
    pub over_100_ms: f64,
}

/// A farm that runs; it ends with this value.
#[derive(Debug)]
pub struct Farm {
    /// Where all its servers listen.
    pub port: u16,
    child: Child,
    knock: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Farm {
    /// Starts one in the network namespace of the calling thread. The program's `main` must begin with
    /// [`play_if_asked`].
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(PART).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (knock, output) = (child.stdin.take(), child.stdout.take().context("the farm has no pipes")?);
        let mut lines = BufReader::new(output).lines();
        let port = lines.next().transpose()?.unwrap_or_default().parse().context("the farm is silent")?;
        Ok(Self { port, child, knock, lines })
    }

    /// What was seen since the last count; begins a new one.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn count(&mut self) -> Result<Seen> {
        self.knock.as_mut().context("the farm has no pipes")?.write_all(b"x")?;
        let line = self.lines.next().transpose()?.unwrap_or_default();
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        ensure!(numbers.len() == 5, "the farm is silent");
        Ok(Seen {
            requests: numbers[0],
            late_p50_ms: numbers[1] / 1e3,
            late_p99_ms: numbers[2] / 1e3,
            late_max_ms: numbers[3] / 1e3,
            over_100_ms: numbers[4],
        })
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.knock = None;
        let _ = self.child.wait();
    }
}

/// Becomes a farm when started as such, and never returns then.
pub fn play_if_asked() {
    if std::env::args().nth(1).is_some_and(|part| part == PART) {
        if let Err(error) = play() {
            eprintln!("{error:#}");
        }
        std::process::exit(0);
    }
}

/// Answers every request; a byte on standard input begins a new count, its end ends the farm. A line for
/// each count: requests, lateness in microseconds (p50, p99, maximum), how many more than 100 ms.
fn play() -> Result<()> {
    pin(1);
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        socket.listen(4_096)?;
        let listener = tokio::net::TcpListener::from_std(TcpListener::from(socket))?;
        let mut output = std::io::stdout();
        writeln!(output, "{}", listener.local_addr()?.port())?;
        let (knock, mut knocks) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            for byte in BufReader::new(std::io::stdin()).bytes() {
                if byte.is_err() || knock.blocking_send(()).is_err() {
                    return;
                }
            }
        });
        let mut seen: HashMap<SocketAddr, Instant> = HashMap::new();
        let (mut late, mut count) = (Vec::<u64>::new(), 0u64);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let now = Instant::now();
                    count += 1;
                    if let Some(before) = seen.insert(stream.local_addr()?, now) {
                        let off = now.duration_since(before).saturating_sub(PERIOD);
                        late.push(u64::try_from(off.as_micros())?);
                    }
                    tokio::spawn(answer(stream));
                }
                knock = knocks.recv() => {
                    let Some(()) = knock else { return Ok(()) };
                    late.sort_unstable();
                    let at = |part: f64| late.get((late.len() as f64 * part) as usize).copied().unwrap_or(0);
                    let over = late.iter().filter(|late| **late > 100_000).count();
                    let max = late.last().copied().unwrap_or(0);
                    writeln!(output, "{count} {} {} {max} {over}", at(0.5), at(0.99))?;
                    (count, late) = (0, Vec::new());
                    seen.clear();
                }
            }
        }
    })
}

async fn answer(mut stream: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut bytes = [0; 1_024];
    if stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await;
    }
}
