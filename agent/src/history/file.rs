//! The file of the history: read once, appended to by a thread of its own, made short when it grew.

use super::{KEPT, Line};
use crate::event::{Event, EventSender, What};
use crate::tally::Queue;
use anyhow::Context;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Lines in the file before it is made short: a change has two at most.
const LINES_MAX: usize = 4 * KEPT;
/// Bytes that are read of it; no file of ours comes near.
const BYTES_MAX: u64 = 16 << 20;
/// Lines that may wait for the disk.
const WAITING: usize = 4_096;
/// What does not work is said this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
/// How long the lines that wait may take when the agent ends.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Puts lines down. Ends, when dropped, once what waits is written.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Option<SyncSender<Line>>,
    lost: std::sync::Arc<AtomicU64>,
    /// In a lock only to be shared; nobody but the end waits for it.
    done: Mutex<Receiver<()>>,
}

impl Keeper {
    /// The keeper of `path`, and what stands there.
    pub(super) fn open(path: &Path, events: EventSender) -> anyhow::Result<(Self, Vec<Line>)> {
        let (queue, waiting) = sync_channel(WAITING);
        let (finished, done) = sync_channel(1);
        let lost = std::sync::Arc::<AtomicU64>::default();
        let mut book = Book { path: path.to_owned(), lines: 0, events, lost: lost.clone(), said: None };
        let (lines, damaged) = match read(path) {
            Ok(found) => found,
            Err(error) => {
                book.complain(&format!("cannot be read: {error}"));
                (Vec::new(), 0)
            }
        };
        if damaged > 0 {
            book.complain(&format!("has {damaged} damaged line(s); the others count"));
        }
        // Written anew with the first change: nothing is appended to a torn line.
        book.lines = if damaged > 0 { LINES_MAX } else { lines.len() };
        std::thread::Builder::new()
            .name("hacluster-hist".into())
            .stack_size(256 << 10)
            .spawn(move || {
                book.keep(&waiting);
                let _ = finished.send(());
            })
            .context("cannot start the thread of the history")?;
        Ok((Self { queue: Some(queue), lost, done: Mutex::new(done) }, lines))
    }

    /// Never waits.
    pub(super) fn write(&self, line: Line) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.try_send(line).is_ok());
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
            Queue::History.dropped(1);
        }
    }
}

impl Drop for Keeper {
    /// What waits is written, unless the disk hangs.
    fn drop(&mut self) {
        self.queue = None;
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = done.recv_timeout(FAREWELL_MAX);
    }
}

/// The thread's side.
struct Book {
    path: PathBuf,
    /// In the file, as far as known.
    lines: usize,
    events: EventSender,
    lost: std::sync::Arc<AtomicU64>,
    said: Option<Instant>,
}

impl Book {
    /// Whatever waits goes to the disk together.
    fn keep(&mut self, waiting: &Receiver<Line>) {
        while let Ok(first) = waiting.recv() {
            let lines: Vec<Line> = std::iter::once(first).chain(waiting.try_iter().take(WAITING)).collect();
            if let Err(error) = self.append(&lines) {
                self.lost.fetch_add(lines.len() as u64, Ordering::Relaxed);
                Queue::History.dropped(lines.len() as u64);
                self.complain(&format!("cannot be written: {error}"));
            }
        }
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        if self.lines + lines.len() > LINES_MAX {
            let (mut kept, _) = read(&self.path)?;
            let surplus = kept.len().saturating_sub(2 * KEPT);
            kept.drain(..surplus);
            kept.extend_from_slice(lines);
            replace(&self.path, &text(&kept)?)?;
            self.lines = kept.len();
            return Ok(());
        }
        let mut file = match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
                open(&self.path)?
            }
            other => other?,
        };
        file.write_all(&text(lines)?)?;
        self.lines += lines.len();
        file.sync_data()
    }

    fn complain(&mut self, what: &str) {
        if self.said.is_some_and(|said| said.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        self.said = Some(Instant::now());
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let text = format!(
            "the history {} {what}; see that its directory is there, writable and not full. {lost} change(s) \
             are missing after a restart",
            self.path.display()
        );
        self.events.send_or_drop(Event::now(None, What::ApiTrouble(text)));
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn open(path: &Path) -> io::Result<File> {
    let link = nix::libc::O_NOFOLLOW;
    File::options().create(true).append(true).mode(0o600).custom_flags(link).open(path)
}

/// Whole or not at all.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("jsonl.new");
    let link = nix::libc::O_NOFOLLOW;
    let mut options = File::options();
    let mut file =
        options.create(true).write(true).truncate(true).mode(0o600).custom_flags(link).open(&fresh)?;
    file.write_all(text)?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

/// The lines that make sense, and how many do not.
fn read(path: &Path) -> io::Result<(Vec<Line>, usize)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        other => other?,
    };
    let surplus = file.metadata()?.len().saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(surplus))?;
    let (mut lines, mut damaged) = (Vec::new(), 0);
    let mut reader = BufReader::new(file.take(BYTES_MAX));
    let mut row = Vec::new();
    while reader.read_until(b'\n', &mut row)? > 0 {
        // A line without its end may be half of one.
        match row.strip_suffix(b"\n").map(serde_json::from_slice) {
            Some(Ok(line)) => lines.push(line),
            Some(Err(_)) | None => damaged += 1,
        }
        row.clear();
    }
    Ok((lines, damaged))
}
