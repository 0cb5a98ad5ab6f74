//! One program from start to end, in the runner.

use super::{End, Job, OUTPUT_MAX, Outcome, readable};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// Between the request to end and the end itself.
const GRACE: Duration = Duration::from_millis(200);
/// How long output is awaited from what a program left running.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Runs `job`; when the other end of `stop` goes, it is ended before its time.
pub(super) async fn run(job: &Job, mut stop: oneshot::Receiver<()>) -> Outcome {
    let Some((program, arguments)) = job.argv.split_first() else {
        return Outcome::failed("no program is named");
    };
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).current_dir("/");
    // It must not outlive the runner, not even one that was killed.
    hacluster_net::process::end_with_parent(command.as_std_mut());
    hacluster_net::process::keep_privileges(command.as_std_mut());
    if let Some((user, group)) = job.user {
        command.gid(group).uid(user);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Outcome::failed(explain(program, &error)),
    };
    let mut group = Group(child.id());
    let mut tail = Tail::default();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let ended = {
        let reading = async { tokio::join!(tail_of(out.as_mut()), tail_of(err.as_mut())) };
        let waiting = end_of_child(&mut child, start + job.limit, &mut stop);
        tokio::pin!(reading);
        let ended = tokio::select! {
            ended = waiting => ended,
            (out, err) = &mut reading => {
                tail.take(out, err);
                end_of_child(&mut child, start + job.limit, &mut stop).await
            }
        };
        if ended.is_ok() && !tail.full {
            if job.end_group {
                group.kill(Signal::SIGKILL);
            }
            if let Ok((out, err)) = timeout(LAST_WORDS, reading).await {
                tail.take(out, err);
            }
        }
        ended
    };
    let took = start.elapsed();
    let end = match ended {
        Ok(Ok(status)) => end_of(status),
        Ok(Err(error)) => End::Failed(format!("it cannot be waited for: {error}")),
        Err(Cut::Late) => {
            tokio::spawn(put_down(child, group));
            return Outcome { end: End::TimedOut, output: String::new(), took };
        }
        Err(Cut::Unwanted) => {
            put_down(child, group).await;
            return Outcome { took, ..Outcome::failed("it is not wanted any more and was ended") };
        }
    };
    if !job.end_group {
        group.leave();
    }
    Outcome { end, output: readable(&tail.bytes), took }
}

/// Why a program does not run to its end.
enum Cut {
    Late,
    Unwanted,
}

async fn end_of_child(
    child: &mut Child,
    deadline: Instant,
    stop: &mut oneshot::Receiver<()>,
) -> Result<std::io::Result<ExitStatus>, Cut> {
    tokio::select! {
        ended = timeout_at(deadline, child.wait()) => ended.map_err(|_| Cut::Late),
        _ = stop => Err(Cut::Unwanted),
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signalled(signal),
        (None, None) => End::Failed("it ended in an unknown way".to_owned()),
    }
}

/// Asks the whole group to end, and then does not ask any more.
async fn put_down(mut child: Child, group: Group) {
    group.kill(Signal::SIGTERM);
    let _ = timeout(GRACE, child.wait()).await;
    group.kill(Signal::SIGKILL);
    let _ = child.wait().await;
}

/// A program's process group, which bears its number. Whatever is left of it ends when this is
/// dropped: also when the runner itself ends.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        self.kill(Signal::SIGKILL);
    }
}

impl Group {
    /// What is left of it may go on.
    fn leave(&mut self) {
        self.0 = None;
    }

    fn kill(&self, signal: Signal) {
        if let Some(number) = self.0.and_then(|number| i32::try_from(number).ok()) {
            let _ = killpg(Pid::from_raw(number), signal);
        }
    }
}

/// The last bytes of both outputs.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    full: bool,
}

impl Tail {
    fn take(&mut self, out: Vec<u8>, err: Vec<u8>) {
        self.full = true;
        self.bytes = [out, err].concat();
        let surplus = self.bytes.len().saturating_sub(OUTPUT_MAX);
        self.bytes.drain(..surplus);
    }
}

/// Reads to the end and keeps the last bytes.
async fn tail_of(from: Option<&mut (impl AsyncRead + Unpin)>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(from) = from else { return kept };
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        let surplus = kept.len().saturating_sub(OUTPUT_MAX);
        kept.drain(..surplus);
    }
    kept
}

fn explain(program: &str, error: &std::io::Error) -> String {
    use nix::libc::{EACCES, ENOENT, ENOEXEC, EPERM};
    match error.raw_os_error() {
        Some(ENOENT) => format!("{program} does not exist, or its interpreter does not"),
        Some(EACCES) => format!("{program} may not be executed by this user; chmod +x it"),
        Some(ENOEXEC) => format!("{program} has no interpreter line; begin it with #!/bin/sh"),
        Some(EPERM) => format!("{program} cannot be run as another user: the agent lacks the privilege"),
        _ => format!("{program} cannot be started: {error}"),
    }
}
