//! Who told the agent to do what, for later: one JSON object a line, append-only.
//!
//! ```text
//!   admin, roles -- write(Entry) --> bounded queue --> thread "hacluster-audit" -> STATE_DIR/audit.log
//! ```
//!
//! The file belongs to the agent's user alone (0600); at 10 MiB it becomes `audit.log.1`, in place of
//! the one before. Contract: writing never waits. An entry that cannot be written is said as a warning,
//! with what it was; what was asked for is done all the same, and the log has it.

use super::roles::Caller;
use crate::event::{Event, EventSender, What};
use crate::tally::Queue;
use anyhow::Context;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Longest file before it is set aside.
const FILE_BYTES_MAX: u64 = 10 << 20;
/// Entries that may wait for the disk.
const WAITING: usize = 256;
/// How long the entries that wait may take when the agent ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// One thing that somebody asked for, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When it was asked for, RFC 3339.
    pub at: String,
    /// Name in the certificate, or the user of the unix socket.
    pub who: String,
    /// Serial number of the certificate; left out on the unix socket.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// The role that allowed it.
    pub role: &'static str,
    /// Address and port, or `unix socket`.
    pub from: String,
    /// Name of the call: `Failover`.
    pub method: &'static str,
    /// What was asked for, without the reason.
    pub arguments: serde_json::Value,
    /// Why, as given.
    pub reason: String,
    /// Nothing was to be done.
    pub dry_run: bool,
    /// What came of it, for programs: `MOVED`.
    pub outcome: String,
    /// What came of it, in words.
    pub text: String,
}

impl Entry {
    /// What `caller` asks for now; outcome and text are to be filled in.
    pub fn begin(
        caller: &Caller,
        method: &'static str,
        arguments: serde_json::Value,
        reason: &str,
        dry_run: bool,
    ) -> Self {
        Self {
            at: prost_types::Timestamp::from(SystemTime::now()).to_string(),
            who: caller.name.clone(),
            serial: caller.serial.clone(),
            role: caller.role.name(),
            from: caller.from.clone(),
            method,
            arguments,
            reason: reason.to_owned(),
            dry_run,
            outcome: String::new(),
            text: String::new(),
        }
    }

    /// With what came of it.
    #[must_use]
    pub fn end(mut self, outcome: impl Into<String>, text: impl Into<String>) -> Self {
        (self.outcome, self.text) = (outcome.into(), text.into());
        self
    }
}

/// The open log.
#[derive(Debug)]
pub struct Audit {
    queue: Option<SyncSender<Entry>>,
    /// In a lock only to be shared; nobody but the end waits for it.
    done: Mutex<Receiver<()>>,
    events: EventSender,
}

impl Audit {
    /// Writes to `audit.log` in `state_dir`, which is made when it is missing.
    ///
    /// # Errors
    /// When the kernel refuses the thread. A file that cannot be written is said at the first entry.
    pub fn open(state_dir: &Path, events: EventSender) -> anyhow::Result<Self> {
        let (queue, entries) = sync_channel(WAITING);
        let (finished, done) = sync_channel(1);
        let (path, said) = (state_dir.join("audit.log"), events.clone());
        std::thread::Builder::new()
            .name("hacluster-audit".into())
            .stack_size(256 << 10)
            .spawn(move || {
                keep(&path, &entries, &said);
                let _ = finished.send(());
            })
            .context("cannot start the thread of the audit log")?;
        Ok(Self { queue: Some(queue), done: Mutex::new(done), events })
    }

    /// Puts `entry` down. Never waits.
    pub fn write(&self, entry: Entry) {
        let Some(queue) = &self.queue else { return };
        if let Err(error) = queue.try_send(entry) {
            let entry = match error {
                std::sync::mpsc::TrySendError::Full(entry)
                | std::sync::mpsc::TrySendError::Disconnected(entry) => entry,
            };
            Queue::Audit.dropped(1);
            self.events.send_or_drop(lost(&entry, "the disk does not keep up"));
        }
    }
}

impl Drop for Audit {
    /// What waits is written, unless the disk hangs.
    fn drop(&mut self) {
        self.queue = None;
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(FAREWELL_MAX);
    }
}

fn keep(path: &Path, entries: &Receiver<Entry>, events: &EventSender) {
    for entry in entries {
        if let Err(error) = append(path, &entry, FILE_BYTES_MAX) {
            events.send_or_drop(lost(&entry, &format!("{}: {error}", path.display())));
        }
    }
}

fn lost(entry: &Entry, why: &str) -> Event {
    let line = serde_json::to_string(entry).unwrap_or_default();
    let text = format!(
        "the audit log cannot be written ({why}); see that the directory is there, writable and not full. \
         The entry: {line}"
    );
    Event::now(None, What::ApiTrouble(text))
}

/// Opened for each entry: who moves the file away does no harm.
fn append(path: &Path, entry: &Entry, most: u64) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let mut file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            open(path)?
        }
        other => other?,
    };
    if file.metadata()?.len() + line.len() as u64 > most {
        fs::rename(path, former(path))?;
        file = open(path)?;
    }
    file.write_all(&line)?;
    file.sync_data()
}

fn open(path: &Path) -> io::Result<File> {
    let link = nix::libc::O_NOFOLLOW;
    File::options().create(true).append(true).mode(0o600).custom_flags(link).open(path)
}

fn former(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;
    use hacluster_net::poll::Wake;
    use hacluster_proto::identity::Role;
    use std::os::unix::fs::PermissionsExt;

    fn entry(reason: &str) -> Entry {
        let caller = Caller {
            name: "alice".into(),
            role: Role::Operator,
            from: "192.0.2.9:4711".into(),
            serial: "0a".into(),
            node: None,
        };
        let arguments = serde_json::json!({"router": "VI_1", "to_node": "node2"});
        Entry::begin(&caller, "Failover", arguments, reason, false).end("MOVED", "VI_1 is on node2")
    }

    #[test]
    fn an_entry_is_one_line_of_json_that_only_the_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (events, said) = mailbox(8, &Wake::new().unwrap());
        let state = dir.path().join("not/yet/there");
        let audit = Audit::open(&state, events).unwrap();
        audit.write(entry("two\nlines \u{1b}[31m"));
        audit.write(entry("again"));
        drop(audit);
        let path = state.join("audit.log");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        for (key, expected) in [
            ("who", "alice"),
            ("serial", "0a"),
            ("role", "operator"),
            ("from", "192.0.2.9:4711"),
            ("method", "Failover"),
            ("reason", "two\nlines \u{1b}[31m"),
            ("outcome", "MOVED"),
        ] {
            assert_eq!(lines[0][key], expected, "{key}");
        }
        assert_eq!(lines[0]["arguments"]["router"], "VI_1");
        assert_eq!(lines[0]["dry_run"], false);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(said.pop().is_none());
    }

    #[test]
    fn a_full_file_is_set_aside_and_one_former_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        for number in 0..100 {
            append(&path, &entry(&number.to_string()), 2_000).unwrap();
        }
        let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
        assert!(fs::metadata(&path).unwrap().len() <= 2_000);
        assert!(lines(&former(&path)) > 1 && lines(&path) >= 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(fs::read_to_string(&path).unwrap().contains("\"reason\":\"99\""));
    }

    #[test]
    fn what_cannot_be_written_is_said_with_the_entry() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let (events, said) = mailbox(8, &Wake::new().unwrap());
        let audit = Audit::open(&dir.path().join("file/below"), events).unwrap();
        audit.write(entry("why"));
        drop(audit);
        let text = said.pop().unwrap().what.to_string();
        assert!(text.contains("audit log cannot be written") && text.contains("alice"), "{text}");
    }
}
