//! A file with a number: what an operator or a program writes there counts.

use super::desk::{Observation, Reporter};
use crate::in_force::{Mark, mark};
use crate::readable::{Readable, readable};
use hacluster_core::track::Reading;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// How often it is looked at when the kernel tells of changes: links and remote files may hide them.
const LOOK: Duration = Duration::from_secs(1);
/// How often otherwise.
const LOOK_ALONE: Duration = Duration::from_millis(100);
/// Who empties a file by `>` writes it right after.
const SETTLE: Duration = Duration::from_millis(20);
/// Bytes that are read: a number is shorter.
const NUMBER_MAX: u64 = 64;

/// A file's mark, and what it holds.
type Look = (Option<Mark>, io::Result<String>);

/// Who wants to know what a file says.
pub(crate) trait Listener: Send + Sync {
    /// The number is `number` now, for this reason; returns whether anybody still listens.
    fn hear(&self, number: i64, why: String) -> impl Future<Output = bool> + Send;
}

impl Listener for Reporter {
    async fn hear(&self, number: i64, why: String) -> bool {
        self.tell(Observation::new(Reading::Number(number), why)).await
    }
}

/// Tells the number in `path` and every change of it, until nobody listens. No file, or an empty one,
/// counts as 0, as with keepalived; so does what is no number, with a warning.
pub(crate) async fn numbers(path: PathBuf, init: Option<(i64, bool)>, to: impl Listener) {
    if let Some((number, overwrite)) = init
        && let Err(error) = begin(&path, number, overwrite)
    {
        tracing::warn!("cannot write {}: {error}", path.display());
    }
    let bell = Bell::new();
    let mut told = None;
    let mut rung = true;
    loop {
        // First the bell, then the look: nothing falls in between.
        let hung = bell.hang(&path);
        let mut seen = look(&path, told).await;
        if !rung && matches!(&seen, Some((_, Ok(text))) if text.is_empty()) {
            sleep(SETTLE).await;
            seen = look(&path, told).await;
        }
        if let Some((mark, text)) = seen {
            told = Some(mark);
            let number = text.and_then(|text| number(&text));
            let why = explain(&path, &number);
            if !to.hear(number.unwrap_or_default(), why).await {
                return;
            }
        }
        rung = bell.wait(hung).await;
    }
}

/// Looks at the file unless it has the mark `told`. Disks may be slow, and far away.
async fn look(path: &Path, told: Option<Option<Mark>>) -> Option<Look> {
    let path = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let mark = mark(&path);
        (told != Some(mark)).then(|| (mark, read(&path)))
    });
    looked.await.ok()?
}

fn explain(path: &Path, number: &io::Result<i64>) -> String {
    let path = path.display();
    match number {
        Ok(number) => format!("{path} says {number}"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{path} does not exist: 0"),
        Err(error) => {
            let why = format!("{path} counts as 0: {error}");
            tracing::warn!("{why}");
            why
        }
    }
}

/// Tells when something in the folder of a file was written, moved or removed.
struct Bell(Option<AsyncFd<Readable<Inotify>>>);

impl Bell {
    /// Without a bell (the kernel gives a user so many) it is looked at more often.
    fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(io::Error::from);
        Self(inotify.and_then(readable).ok())
    }

    /// Hangs it beside `path`, again if the folder is another one by now.
    fn hang(&self, path: &Path) -> bool {
        let events = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB;
        let (Some(bell), Some(folder)) = (&self.0, path.parent()) else { return false };
        bell.get_ref().0.add_watch(folder, events).is_ok()
    }

    /// Waits until it rings (true), or for as long as one may go without looking.
    async fn wait(&self, hung: bool) -> bool {
        let Some(bell) = self.0.as_ref().filter(|_| hung) else {
            sleep(LOOK_ALONE).await;
            return false;
        };
        let Ok(Ok(mut ready)) = timeout(LOOK, bell.readable()).await else { return false };
        while bell.get_ref().0.read_events().is_ok_and(|events| !events.is_empty()) {}
        ready.clear_ready();
        true
    }
}

fn begin(path: &Path, number: i64, overwrite: bool) -> io::Result<()> {
    if overwrite || !path.exists() { fs::write(path, format!("{number}\n")) } else { Ok(()) }
}

/// The text without blanks around it.
fn read(path: &Path) -> io::Result<String> {
    // A pipe must not make us wait.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    file.take(NUMBER_MAX).read_to_string(&mut text).map_err(|_| io::Error::other("it holds no number"))?;
    Ok(text.trim().to_owned())
}

fn number(text: &str) -> io::Result<i64> {
    let wrong = || io::Error::other(format!("`{}` is no whole number", text.escape_debug()));
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("down");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        for (text, value) in [("", Some(0)), (" -20 \n", Some(-20)), ("x", None), ("1 2", None)] {
            fs::write(&path, text).unwrap();
            assert_eq!(number(&read(&path).unwrap()).ok(), value, "{text}");
        }
        assert!(number(&"9".repeat(30)).is_err());
        fs::write(&path, [0xff; 100]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("no number"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn a_pipe_does_not_make_anybody_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn an_existing_file_is_kept_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("down");
        begin(&path, 5, false).unwrap();
        begin(&path, 7, false).unwrap();
        assert_eq!(read(&path).unwrap(), "5");
        begin(&path, 7, true).unwrap();
        assert_eq!(read(&path).unwrap(), "7");
    }
}
