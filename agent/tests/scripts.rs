//! Programs that users wrote, as badly as they can be: run by a real runner.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_agent::script::{End, Job, OUTPUT_MAX, Outcome, RUNNING_MAX, Runner};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than anything here takes on any machine.
const LIMIT: Duration = Duration::from_secs(60);

fn shell(text: &str) -> Job {
    let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    Job { argv, user: None, limit: LIMIT, end_group: true }
}

fn on_a_runner<T>(work: impl AsyncFnOnce(Runner) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        work(Runner::start(Path::new(env!("CARGO_BIN_EXE_hacluster-agent"))).unwrap()).await
    })
}

fn run(job: Job) -> Outcome {
    on_a_runner(async |runner| runner.run(job).await)
}

/// Waits until `holds`.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the process whose number stands in `file` lives; a zombie does not.
fn lives(file: &Path) -> bool {
    let number = fs::read_to_string(file).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn status_output_and_signals() {
    let outcome = run(shell("echo good; echo bad >&2; exit 3"));
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(outcome.output, "good bad");
    assert_eq!(run(shell("kill -USR1 $$")).end, End::Signalled(10));
    assert!(run(shell("exit 0")).is_success());
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut job = shell("");
    job.argv = vec!["/no/such/program".into()];
    let outcome = run(job);
    assert!(matches!(&outcome.end, End::Failed(why) if why.contains("does not exist")), "{outcome}");
}

#[test]
fn one_that_never_ends_is_ended_with_all_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = (dir.path().join("parent"), dir.path().join("child"));
    let text = format!(
        "trap '' TERM; echo waits for nobody; echo $$ > {}; sleep 1000 & echo $! > {}; wait; wait; sleep 1000",
        parent.display(),
        child.display()
    );
    let mut job = shell(&text);
    job.limit = Duration::from_secs(2);
    on_a_runner(async |runner| {
        let outcome = runner.run(job).await;
        assert_eq!((outcome.end, outcome.output.as_str()), (End::TimedOut, "waits for nobody"));
        // The runner, another process, needs no help of ours to finish.
        eventually("the program ends", || !lives(&parent));
        eventually("its child ends", || !lives(&child));
    });
}

#[test]
fn a_flood_of_output_is_read_and_only_its_end_kept() {
    let outcome = run(shell("yes 0123456789abcdef | head -c 20000000; echo the end"));
    assert_eq!(outcome.end, End::Exited(0));
    assert!(outcome.output.len() <= OUTPUT_MAX && outcome.output.ends_with("the end"), "{outcome}");
}

#[test]
fn a_check_leaves_nothing_behind_and_a_notification_may() {
    let dir = tempfile::tempdir().unwrap();
    for end_group in [true, false] {
        let file = dir.path().join(format!("left-{end_group}"));
        let mut job = shell(&format!("sleep 1000 & echo $! > {}; exit 0", file.display()));
        job.end_group = end_group;
        on_a_runner(async |runner| {
            assert!(runner.run(job).await.is_success());
            if end_group {
                eventually("the child of a check ends", || !lives(&file));
            } else {
                assert!(lives(&file), "a service that a notification starts goes on");
                let number: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), nix::sys::signal::Signal::SIGKILL)
                    .unwrap();
            }
        });
    }
}

/// A check may start the service it looks at, and a service leaves its session on purpose: it goes on,
/// and that it holds the pipe delays nobody.
#[test]
fn a_daemon_that_left_its_session_outlives_a_check_and_delays_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("daemon");
    let text = format!(
        "setsid sh -c 'echo $$ > {0}; exec sleep 1000' & while [ ! -s {0} ]; do :; done; echo up",
        file.display()
    );
    on_a_runner(async |runner| {
        let outcome = runner.run(shell(&text)).await;
        assert!(outcome.is_success() && outcome.output == "up" && outcome.took < LIMIT / 2, "{outcome}");
    });
    assert!(lives(&file), "not even the runner's end is its own");
    let number: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// An agent that is killed leaves answers unread: its connection is then reset, not closed.
#[test]
fn a_connection_that_is_reset_ends_the_runner_and_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("running");
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let runner = std::thread::spawn(move || hacluster_agent::script::serve(theirs.into()));
    let mut order = |number: u64, text: &str| {
        let order = format!("{{\"Run\":[{number},{}]}}", serde_json::to_string(&shell(text)).unwrap());
        ours.write_all(&(order.len() as u32).to_be_bytes()).unwrap();
        ours.write_all(order.as_bytes()).unwrap();
    };
    order(1, "echo answered");
    order(2, &format!("echo $$ > {}; sleep 1000", file.display()));
    eventually("the second one runs", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let waits = || {
        let mut polled = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    };
    eventually("the first answer waits", waits);
    assert!(lives(&file));
    drop(ours);
    runner.join().unwrap().unwrap();
    eventually("nothing is left behind", || !lives(&file));
}

#[test]
fn when_the_agent_goes_what_runs_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("running");
    let job = shell(&format!("echo $$ > {}; sleep 1000", file.display()));
    on_a_runner(async |runner| {
        let running = runner.clone();
        tokio::spawn(async move { running.run(job).await });
        while !fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(lives(&file));
    });
    eventually("the program ends with the agent", || !lives(&file));
}

#[test]
fn many_run_side_by_side() {
    on_a_runner(async |runner| {
        let jobs = (0..300).map(|number| {
            let runner = runner.clone();
            tokio::spawn(async move { runner.run(shell(&format!("exit {}", number % 250))).await })
        });
        for (number, job) in jobs.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(job.await.unwrap().end, End::Exited(number as i32 % 250));
        }
    });
}

#[test]
fn what_is_more_than_fits_waits_for_its_turn() {
    on_a_runner(async |runner| {
        // Each of the first holds its place until the last of all has been handed over.
        let dir = tempfile::tempdir().unwrap();
        let go = dir.path().join("go");
        let text = format!("while [ ! -f {} ]; do sleep 0.1; done", go.display());
        let job = |text: &str| {
            let (runner, job) = (runner.clone(), shell(text));
            tokio::spawn(async move { runner.run(job).await })
        };
        let holders: Vec<_> = (0..RUNNING_MAX).map(|_| job(&text)).collect();
        let more: Vec<_> = (0..50).map(|_| job("exit 0")).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(more.iter().all(|one| !one.is_finished()), "there was no room for them");
        fs::write(&go, "").unwrap();
        for one in holders.into_iter().chain(more) {
            assert!(one.await.unwrap().is_success());
        }
    });
}

#[test]
fn what_is_not_wanted_any_more_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("running");
    let job = shell(&format!("echo $$ > {}; sleep 1000", file.display()));
    on_a_runner(async |runner| {
        let wanted = runner.run_while_wanted(job);
        assert!(tokio::time::timeout(Duration::from_secs(2), wanted).await.is_err());
        let start = Instant::now();
        while lives(&file) {
            assert!(start.elapsed() < LIMIT / 2, "it goes on");
            tokio::time::sleep(Duration::from_millis(10)).await; // our side has to say so
        }
        assert!(runner.run(shell("exit 0")).await.is_success(), "and the runner goes on");
    });
}
