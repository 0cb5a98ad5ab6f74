//! `cargo bench -p hacluster-tests --bench checks [-- CHECKS [SECONDS]]`: many HTTP checks on one
//! processor, keepalived's beside them where its checker runs (it needs IPVS).
//!
//! ```text
//!   this program -- starts itself as --farm: one listener, thousands of addresses of 127.0.0.0/8
//!              |       notes when each address was asked: what servers see is measured alike for all
//!              `-- starts itself as --checks, pinned to one processor; then keepalived the same way
//! ```

#![allow(clippy::print_stdout)] // tables are what it is for

use hacluster_agent::check::{Checks, Settings, Wanted};
use hacluster_conf::model::lvs::{Check, CheckKind, CheckPace, CheckRoute, HttpCheck, HttpVersion, Url};
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration as Span;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(6);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number =
        |at: usize, default: u32| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let outcome = match words.first() {
        Some(&"--farm") => farm(),
        Some(&"--checks") => checks(number(1, 1), number(2, 1), number(3, 1)),
        _ => compare(number(0, 10_000), u64::from(number(1, 36))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The address of target `number`.
fn target(number: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number), port)
}

fn pin(to: usize) {
    let mut set = CpuSet::new();
    if set.set(to).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

fn raise_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Answers every request; a byte on standard input begins a new count, its end ends the farm. A line for
/// each count: requests, and how much later than a period after its last request each address was
/// asked again, in microseconds: p50, p99, maximum, and how many more than 100 ms.
fn farm() -> anyhow::Result<()> {
    pin(1);
    raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        socket.listen(4_096)?;
        let listener = tokio::net::TcpListener::from_std(TcpListener::from(socket))?;
        println!("{}", listener.local_addr()?.port());
        let (knock, mut knocks) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for byte in BufReader::new(std::io::stdin()).bytes() {
                if byte.is_err() || knock.send(()).is_err() {
                    return;
                }
            }
        });
        let mut seen: HashMap<SocketAddr, Instant> = HashMap::new();
        let mut late: Vec<u64> = Vec::new();
        let mut count = 0u64;
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
                    let Some(()) = knock else { return anyhow::Ok(()) };
                    late.sort_unstable();
                    let at = |part: f64| late.get((late.len() as f64 * part) as usize).copied().unwrap_or(0);
                    let over = late.iter().filter(|late| **late > 100_000).count();
                    println!("{count} {} {} {} {over}", at(0.5), at(0.99), late.last().copied().unwrap_or(0));
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

/// Runs `count` checks against the farm until standard input ends.
fn checks(count: u32, port: u32, seconds: u32) -> anyhow::Result<()> {
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (reports, mut heard) = tokio::sync::mpsc::channel(1_024);
        let mut checks = Checks::new(Settings::default(), Path::new("/nonexistent"), reports);
        let period = Span::from_micros(u64::try_from(PERIOD.as_micros())?);
        let wanted = (0..count).map(|number| {
            let url = Url {
                path: "/".into(),
                host: None,
                sni: None,
                statuses: vec![(200, 299)],
                digest: None,
                pattern: None,
            };
            let http =
                HttpCheck { tls: false, version: HttpVersion::V10, urls: vec![url], fast_recovery: false };
            let to = SocketAddr::V4(target(number, port as u16));
            let check = Check {
                kind: CheckKind::Http(http),
                route: CheckRoute { to, from: None, interface: None, fwmark: 0 },
                pace: CheckPace {
                    delay_loop: period,
                    timeout: Span::from_secs(3),
                    retry: 0,
                    delay_before_retry: Span::from_secs(1),
                    warmup: period,
                    alpha: false,
                    log_all_failures: false,
                },
            };
            Wanted { check: Arc::new(check), before: None, known: Verdict::Unknown, resting: false }
        });
        checks.set(wanted.collect());
        let mut bad = 0u64;
        let end = tokio::time::sleep(Duration::from_secs(seconds.into()));
        tokio::pin!(end);
        loop {
            tokio::select! {
                Some(report) = heard.recv() => bad += u64::from(!report.outcome.good),
                () = &mut end => break,
            }
        }
        eprintln!("  inside: {:?}, {bad} bad", checks.tally());
        anyhow::Ok(())
    })
}

/// Processor time and memory of a child and what it started: seconds and KiB.
fn usage(child: &Child) -> (f64, u64) {
    let mut numbers = vec![child.id().to_string()];
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    numbers
        .extend(std::fs::read_to_string(children).unwrap_or_default().split_whitespace().map(str::to_owned));
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    numbers.iter().fold((0.0, 0), |(seconds, memory), number| {
        let schedstat = std::fs::read_to_string(format!("/proc/{number}/schedstat")).unwrap_or_default();
        let nanos = schedstat.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let used =
            nanos.filter(|nanos| *nanos > 0.0).map_or((field(11) + field(12)) / ticks, |nanos| nanos / 1e9);
        (seconds + used, memory + field(21) as u64 * 4)
    })
}

fn compare(count: u32, seconds: u64) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let mut farm = Command::new(&own).arg("--farm").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut knock), Some(lines)) = (farm.stdin.take(), farm.stdout.take()) else {
        anyhow::bail!("the farm has no pipes");
    };
    let mut lines = BufReader::new(lines).lines();
    let port: u16 = lines.next().transpose()?.unwrap_or_default().parse()?;
    println!("{count} HTTP checks, delay_loop 6 s, {seconds} s after two rounds");
    println!("checks/s | CPU per check | lateness p50, p99, max | over 100 ms | memory");
    let mut run = |name: &str, mut child: Child| -> anyhow::Result<()> {
        std::thread::sleep(2 * PERIOD + Duration::from_secs(1));
        let mut count = || -> anyhow::Result<Vec<u64>> {
            knock.write_all(b"x")?;
            let line = lines.next().transpose()?.unwrap_or_default();
            Ok(line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
        };
        count()?;
        let (before, _) = usage(&child);
        std::thread::sleep(Duration::from_secs(seconds));
        let (after, memory) = usage(&child);
        let [requests, p50, p99, max, over] = count()?[..] else { anyhow::bail!("the farm is silent") };
        let each = (after - before) * 1e6 / requests.max(1) as f64;
        let millis = |micros: u64| micros as f64 / 1e3;
        println!(
            "{name}: {}/s | {each:.1} us | {:.1}, {:.1}, {:.1} ms | {over} | {} MiB",
            requests / seconds,
            millis(p50),
            millis(p99),
            millis(max),
            memory >> 10
        );
        let _ = nix::sys::signal::kill(Pid::from_raw(i32::try_from(child.id())?), nix::sys::signal::SIGTERM);
        child.wait()?;
        Ok(())
    };
    let total = (seconds + 20).to_string();
    let ours =
        Command::new(&own).args(["--checks", &count.to_string(), &port.to_string(), &total]).spawn()?;
    run("agent", ours)?;
    if std::path::Path::new("/proc/net/ip_vs").exists() {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("keepalived.conf");
        std::fs::write(&config, keepalived_conf(count, port))?;
        let keepalived = Command::new("taskset")
            .args(["-c", "0", "keepalived", "-C", "-n", "-l", "-f"])
            .arg(&config)
            .args(["-p", "/dev/shm/k.pid", "-c", "/dev/shm/kc.pid"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        run("keepalived", keepalived)?;
    } else {
        println!("keepalived: no IPVS here");
    }
    drop(knock);
    farm.wait()?;
    Ok(())
}

fn keepalived_conf(count: u32, port: u16) -> String {
    let mut text = String::from("virtual_server 10.99.0.1 80 {\n delay_loop 6\n lb_algo rr\n lb_kind NAT\n");
    for number in 0..count {
        let to = target(number, port);
        text += &format!(
            " real_server {} {} {{\n  HTTP_GET {{\n   url {{\n    path /\n    status_code 200\n   }}\n   connect_timeout 3\n   \
             retry 0\n  }}\n }}\n",
            to.ip(),
            to.port()
        );
    }
    text + "}\n"
}
