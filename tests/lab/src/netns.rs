//! A network namespace and the thread that lives in it.
//!
//! The kernel keeps a namespace per thread and gives it to children and sockets at birth. So each
//! namespace has one thread that entered it for good: what must be born inside (programs, sockets,
//! netlink requests) is done there, by [`Namespace::run`]. A socket may then be used from anywhere.

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use std::{
    fs::{self, File},
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace of its own; it vanishes with this value, once nothing inside runs any more.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    path: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes an empty namespace, its loopback interface still down. `name` is for messages only.
    pub fn new(name: &str) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (report, born) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || live(inbox, report))
            .with_context(|| format!("cannot start a thread for {name}"))?;
        let (file, path) = born
            .recv()
            .map_err(|_| anyhow!("the thread died at birth"))
            .flatten()
            .with_context(|| format!("cannot make a network namespace for {name}"))?;
        Ok(Self { name: name.to_owned(), file, path, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` inside the namespace and gives its result. A job that panics is an error here.
    pub fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let (reply, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(job));
            let _ = reply.send(outcome.unwrap_or_else(|_| Err(anyhow!("the job panicked"))));
        });
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(anyhow!("the namespace of {} is gone", self.name));
        }
        result
            .recv()
            .map_err(|_| anyhow!("the thread is gone"))
            .flatten()
            .with_context(|| format!("on {}", self.name))
    }

    /// A handle that can be given to another namespace's thread.
    pub fn try_clone_fd(&self) -> Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned().with_context(|| format!("cannot share {}", self.name))
    }

    /// Where `nsenter --net=PATH` finds the namespace while it lives.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live(inbox: Receiver<Job>, report: Sender<Result<(File, PathBuf)>>) {
    let born = unshare(CloneFlags::CLONE_NEWNET).context("unshare").and_then(|()| {
        let task = fs::read_link("/proc/thread-self").context("/proc/thread-self")?;
        let path = PathBuf::from("/proc").join(task).join("ns/net");
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        Ok((file, path))
    });
    let alive = born.is_ok();
    if report.send(born).is_err() || !alive {
        return;
    }
    for job in inbox {
        job();
    }
}
