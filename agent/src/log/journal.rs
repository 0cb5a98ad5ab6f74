//! systemd's journal by its own protocol: fields that can be asked for, instead of text.
//!
//! ```text
//!   line and its fields --> MESSAGE=...  PRIORITY=4  HACLUSTER_TO=master  ... --> one datagram --> journald
//! ```
//!
//! Contract: used only where stderr is the journal's, as `JOURNAL_STREAM` says. Values are bounded, so that
//! an entry fits into a datagram. A journal that takes nothing is waited for [`PATIENCE`] once, then lines
//! are lost and counted until it takes one again; where there is none, lines go to stderr.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Names another place, for tests.
const SOCKET_VARIABLE: &str = "HACLUSTER_JOURNAL_SOCKET";
/// Bytes of one value; the rest is cut.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Fields that a reader of the text sees behind it, as in every other log.
const SHOWN: [&str; 4] = ["router", "vrid", "interface", "trace_id"];
/// How long a journal that is behind is waited for, in this many steps.
const PATIENCE: (Duration, u32) = (Duration::from_millis(1), 10);

/// A way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    lost: AtomicU64,
}

impl Journal {
    /// The journal that stderr leads to; `None` when it leads elsewhere.
    pub(super) fn of_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        let path = std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| OsString::from(SOCKET));
        is_same(&stream, (stderr.dev(), stderr.ino())).then(|| Self::at(path.into()).ok()).flatten()
    }

    fn at(path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path, lost: AtomicU64::new(0) })
    }

    fn tell(&self, entry: &Entry) {
        let lost = self.lost.load(Relaxed);
        match self.put(entry, lost == 0) {
            Ok(()) if lost > 0 => {
                let mut entry = Entry::new(Level::WARN);
                entry.message = format!("{lost} log line(s) lost: the journal did not take them");
                if self.put(&entry, false).is_ok() {
                    self.lost.fetch_sub(lost, Relaxed);
                }
            }
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.lost.fetch_add(1, Relaxed)),
            // Whoever reads stderr for systemd knows these levels.
            Err(_) => {
                let _ = writeln!(io::stderr(), "<{}>{}", entry.priority, entry.text().replace('\n', " "));
            }
        }
    }

    /// By path each time: the journal may have been started anew.
    fn put(&self, entry: &Entry, patiently: bool) -> io::Result<()> {
        let bytes = entry.bytes();
        let (pause, mut steps) = PATIENCE;
        loop {
            match self.socket.send_to(&bytes, &self.path) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && patiently && steps > 0 => {
                    steps -= 1;
                    thread::sleep(pause);
                }
                done => return done.map(drop),
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::new(*event.metadata().level());
        event.record(&mut entry);
        self.tell(&entry);
    }
}

/// Whether `stream`, as systemd writes it, is the file with these numbers of device and inode.
fn is_same(stream: &str, file: (u64, u64)) -> bool {
    let numbers = stream.split_once(':').map(|(device, inode)| (device.parse(), inode.parse()));
    matches!(numbers, Some((Ok(device), Ok(inode))) if (device, inode) == file)
}

/// One line with its fields.
#[derive(Debug)]
struct Entry {
    priority: u8,
    message: String,
    /// What stands behind it.
    shown: String,
    /// As they are sent.
    fields: Vec<u8>,
}

impl Entry {
    fn new(level: Level) -> Self {
        let priority = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        Self { priority, message: String::new(), shown: String::new(), fields: Vec::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, "MESSAGE", &self.text());
        put(&mut bytes, "PRIORITY", &self.priority.to_string());
        put(&mut bytes, "SYSLOG_IDENTIFIER", "hacluster-agent");
        bytes.extend(&self.fields);
        bytes
    }

    fn text(&self) -> String {
        format!("{}{}", cut(&self.message), self.shown)
    }

    fn add(&mut self, field: &Field, value: &str, shown: &dyn fmt::Debug) {
        let name = field.name();
        if name == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        put(&mut self.fields, &name_of(name), cut(value));
        if SHOWN.contains(&name) {
            let _ = write!(self.shown, " {name}={shown:?}");
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"), value);
    }
}

/// `trace_id` is `HACLUSTER_TRACE_ID`: the journal takes capitals, digits and underscores.
fn name_of(field: &str) -> String {
    let letters = field.chars().map(|letter| match letter.to_ascii_uppercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    });
    "HACLUSTER_".chars().chain(letters).take(64).collect()
}

fn cut(value: &str) -> &str {
    let end = (0..=VALUE_BYTES_MAX.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
    &value[..end.unwrap_or(0)]
}

/// `NAME=value`, or where the value has line ends: name, length and value.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend(value.bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// What a listener in journald's place gets of what `talk` says.
    fn heard(talk: impl FnOnce()) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(path).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), talk);
        listener.set_nonblocking(true).unwrap();
        let mut room = vec![0; 1 << 20];
        let next = || {
            let length = listener.recv(&mut room).ok()?;
            Some(room[..length].to_vec())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_line_is_one_datagram_of_fields() {
        let heard = heard(|| {
            let nothing: Option<&str> = None;
            tracing::warn!(router = "VI_1", vrid = 51, to = nothing, trace_id = %"4bf9", "it {}", "fell");
        });
        let expected = "MESSAGE=it fell router=\"VI_1\" vrid=51 trace_id=4bf9\nPRIORITY=4\nSYSLOG_IDENTIFIER=hacluster-agent\n\
                        HACLUSTER_ROUTER=VI_1\nHACLUSTER_VRID=51\nHACLUSTER_TRACE_ID=4bf9\n";
        assert_eq!(heard, [expected.as_bytes()]);
    }

    #[test]
    fn a_value_of_several_lines_goes_with_its_length() {
        let heard = heard(|| tracing::info!(reason = "one\ntwo=2", "a\nb"));
        let expected = [
            &b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"[..],
            b"PRIORITY=6\nSYSLOG_IDENTIFIER=hacluster-agent\n",
            b"HACLUSTER_REASON\n\x09\0\0\0\0\0\0\0one\ntwo=2\n",
        ];
        assert_eq!(heard, [expected.concat()]);
    }

    #[test]
    fn no_value_can_make_a_field_and_none_is_endless() {
        let heard = heard(|| tracing::info!("{}", "\u{e4}".repeat(20_000)));
        let text = String::from_utf8(heard[0].clone()).unwrap();
        let message = text.lines().next().unwrap();
        assert_eq!(message.len(), "MESSAGE=".len() + VALUE_BYTES_MAX);
        assert_eq!(name_of("a.b=C\n1"), "HACLUSTER_A_B_C_1");
        assert_eq!(name_of(&"x".repeat(99)).len(), 64);
    }

    #[test]
    fn a_journal_that_reads_nothing_is_not_waited_for_and_told_of_what_it_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(path).unwrap();
        let mut line = Entry::new(Level::INFO);
        line.message = "x".repeat(4_000);
        // Whatever this kernel's limits are, they end.
        while journal.lost.load(Relaxed) < 100 {
            journal.tell(&line);
        }
        listener.set_nonblocking(true).unwrap();
        let mut room = vec![0; 8_192];
        while listener.recv(&mut room).is_ok() {}
        journal.tell(&line);
        assert_eq!(journal.lost.load(Relaxed), 0);
        listener.recv(&mut room).unwrap();
        let length = listener.recv(&mut room).unwrap();
        assert!(room[..length].starts_with(b"MESSAGE=100 log line(s) lost"));
    }

    #[test]
    fn stderr_is_the_journals_only_when_both_numbers_say_so() {
        assert!(is_same("8:12345", (8, 12_345)));
        for other in ["8:12346", "9:12345", "8", "", ":", "8:12345:1", "x:y", "8:99999999999999999999999"] {
            assert!(!is_same(other, (8, 12_345)), "{other}");
        }
    }
}
