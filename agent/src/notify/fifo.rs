//! A named pipe that gets a line for every change, in order, and the program that reads it.
//!
//! ```text
//!   write(line) -> Lines (bounded, the oldest go first) -> pump -> fifo -> the user's reader
//! ```
//!
//! Contract: a reader that is slow, absent or dead holds up nobody and ends nothing. Lines go out
//! whole, in batches that a pipe takes whole or not at all. What is lost is counted and said.

use super::hooks::{prepare, told};
use super::voice::{Sparing, Voice};
use crate::script::{Purpose, Runner};
use crate::tally::Queue;
use anyhow::{Context, anyhow, bail};
use hacluster_conf::model::{self, Scripts};
use hacluster_programs::fifo::{not_a_fifo, owner};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{chown, mkfifo, unlink};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Lines that wait for a slow reader.
const LINES_MAX: usize = 65_536;
/// A pipe takes so many bytes whole or not at all [POSIX `PIPE_BUF`].
const BATCH_MAX: usize = 4_096;
/// Between attempts to open the fifo or to start its reader; doubled each time, up to a minute.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A reader runs as long as the agent; a job needs some limit.
const READER_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long the last lines may take when the fifo is closed.
const LAST_LINES: Duration = Duration::from_millis(500);

/// An open fifo.
#[derive(Debug)]
pub(super) struct Fifo {
    pub(super) settings: model::Fifo,
    buffer: Arc<Buffer>,
    pump: JoinHandle<()>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Buffer {
    path: String,
    lines: Mutex<Lines>,
    more: tokio::sync::Notify,
    voice: Voice,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<String>,
    lost: Sparing,
    /// The pump holds lines that are not in the pipe yet.
    busy: bool,
}

impl Fifo {
    /// Makes the fifo if it is absent, and starts its reader. Never fails: what does not work is said
    /// and tried again. Needs a tokio runtime around it.
    pub(super) fn open(
        settings: model::Fifo,
        scripts: Arc<Scripts>,
        runner: Option<Runner>,
        voice: Voice,
    ) -> Self {
        let path = settings.path.display().to_string();
        let buffer = Arc::new(Buffer { path, lines: Mutex::default(), more: Default::default(), voice });
        let (opened, is_open) = tokio::sync::oneshot::channel();
        let pump = tokio::spawn(pump(settings.clone(), scripts.clone(), buffer.clone(), opened));
        let reader = settings.script.clone().map(|script| {
            let (buffer, path) = (buffer.clone(), settings.path.clone());
            tokio::spawn(async move {
                let _ = is_open.await;
                keep_reading(script, &path, scripts, runner, buffer).await;
            })
        });
        Self { settings, buffer, pump, reader }
    }

    /// Appends `line`, which ends with a line feed.
    pub(super) fn write(&self, line: String) {
        let mut lines = self.buffer.lock();
        if lines.waiting.len() == LINES_MAX {
            lines.waiting.pop_front(); // the latest states matter most
            Queue::FifoLines.dropped(1);
            let lost = lines.lost.count(1);
            self.buffer.say_lost(lost);
        }
        lines.waiting.push_back(line);
        drop(lines);
        self.buffer.more.notify_one();
    }

    /// Says what was lost since the last time, if it is due. Returns whether more is to be said later.
    pub(super) fn remember_losses(&self) -> bool {
        let mut lines = self.buffer.lock();
        let lost = lines.lost.count(0);
        self.buffer.say_lost(lost);
        lines.lost.owes()
    }

    /// Lets the last lines out, as far as somebody reads, and ends the reader.
    pub(super) async fn close(self) {
        let deadline = Instant::now() + LAST_LINES;
        let is_unread =
            || !self.buffer.is_empty() || self.reader.is_some() && holds_lines(&self.settings.path);
        while is_unread() && Instant::now() < deadline && !self.pump.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        let left = self.buffer.lock().waiting.len();
        if left > 0 {
            let text = format!("fifo {}: closed with {left} line(s) that nobody read", self.buffer.path);
            self.buffer.voice.trouble(None, text);
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.pump.abort();
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        let lines = self.lock();
        lines.waiting.is_empty() && !lines.busy
    }

    fn say_lost(&self, lost: Option<u64>) {
        if let Some(lost) = lost {
            let text = format!(
                "fifo {}: {lost} line(s) lost, the oldest of {LINES_MAX} that wait: nobody reads it fast \
                 enough. Look whether its reader runs",
                self.path
            );
            self.voice.trouble(None, text);
        }
    }

    /// Whole lines that go out together; empty when none wait.
    fn batch(&self) -> Vec<u8> {
        let mut lines = self.lock();
        let mut batch = Vec::new();
        while let Some(line) = lines.waiting.front() {
            if !batch.is_empty() && batch.len() + line.len() > BATCH_MAX {
                break;
            }
            batch.extend_from_slice(line.as_bytes());
            lines.waiting.pop_front();
        }
        lines.busy = !batch.is_empty();
        batch
    }
}

/// Moves lines into the pipe for ever.
async fn pump(
    settings: model::Fifo,
    scripts: Arc<Scripts>,
    buffer: Arc<Buffer>,
    opened: tokio::sync::oneshot::Sender<()>,
) {
    let mut pipe = open_at_last(&settings, &scripts, &buffer).await;
    let _ = opened.send(());
    loop {
        let batch = buffer.batch();
        if batch.is_empty() {
            buffer.more.notified().await;
            continue;
        }
        if let Err(error) = pipe.write_all(&batch).await {
            let text = format!("fifo {}: {error}; it is opened again, some lines may be lost", buffer.path);
            buffer.voice.trouble(None, text);
            pipe = open_at_last(&settings, &scripts, &buffer).await;
        }
    }
}

async fn open_at_last(settings: &model::Fifo, scripts: &Arc<Scripts>, buffer: &Buffer) -> pipe::Sender {
    let mut pause = PAUSE.0;
    loop {
        // The user database may be slow.
        let (fifo, rules) = (settings.clone(), scripts.clone());
        let made = tokio::task::spawn_blocking(move || make(&fifo, &rules)).await;
        let opened = made.unwrap_or_else(|_| bail!("it could not be looked at"));
        match opened.and_then(|file| Ok(pipe::Sender::from_file_unchecked(file)?)) {
            Ok(pipe) => return pipe,
            Err(error) => {
                let secs = pause.as_secs();
                let text = format!("fifo {}: {error:#}; tried again in {secs} s", buffer.path);
                buffer.voice.trouble(None, text);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Makes the fifo, for its owner alone, unless it is there; opens it.
fn make(settings: &model::Fifo, scripts: &Scripts) -> anyhow::Result<std::fs::File> {
    let path: &Path = &settings.path;
    match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => {
            let given = owner(settings, scripts).map_err(|trap| anyhow!("{trap}")).and_then(|(uid, gid)| {
                chown(path, Some(uid), Some(gid)).context("it cannot be given to its owner")
            });
            if given.is_err() {
                let _ = unlink(path); // else the next attempt would find it, and take it for right
            }
            given?;
        }
        Err(Errno::EEXIST) => {}
        Err(error) => return Err(error).context("it cannot be made; does its folder exist?"),
    }
    // Reading and writing: opening does not wait for a reader, and its end does not end us.
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW);
    // Looked at first: opening a device may do something.
    let found = std::fs::symlink_metadata(path).context("it cannot be looked at")?;
    if let Some(what) = not_a_fifo(found.file_type()) {
        bail!("{what}; remove it, or name another path");
    }
    let file = options.open(path).context("it cannot be opened")?;
    match not_a_fifo(file.metadata()?.file_type()) {
        Some(what) => bail!("{what}"),
        None => Ok(file),
    }
}

/// Whether lines stand in the fifo that its reader did not take yet.
fn holds_lines(path: &Path) -> bool {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW);
    let Ok(file) = options.open(path) else { return false };
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && polled[0].revents().is_some_and(|found| found.contains(PollFlags::POLLIN))
}

/// Keeps the reader running, with the fifo's path as last argument.
async fn keep_reading(
    script: model::Command,
    path: &Path,
    scripts: Arc<Scripts>,
    runner: Option<Runner>,
    buffer: Arc<Buffer>,
) {
    let mut command = script;
    let program = command.program().to_owned();
    command.argv.push(path.display().to_string());
    let mut pause = PAUSE.0;
    loop {
        let outcome = match (prepare(command.clone(), &scripts, READER_LIMIT, true).await, &runner) {
            (Ok((job, _)), Some(runner)) => runner.run_while_wanted(job).await,
            (Err(outcome), _) => outcome,
            (Ok(_), None) => crate::script::Outcome::failed("there is no script runner"),
        };
        Purpose::Reader.ended(&outcome);
        if outcome.took > PAUSE.1 {
            pause = PAUSE.0;
        }
        let text = format!(
            "fifo {}: its reader {program} ended: {}; started again in {} s",
            buffer.path,
            told(&outcome),
            pause.as_secs()
        );
        buffer.voice.trouble(None, text);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
