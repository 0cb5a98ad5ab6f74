//! At a terminal: whatever ends the live view leaves the terminal as it was, and nothing that cannot be
//! taken back is done unasked.
#![allow(clippy::unwrap_used)]

mod common;

use common::command;
use common::fake::Fake;
use common::samples::willing;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal, and everything it wrote there.
struct Seated {
    child: Child,
    terminal: File,
    /// Keeps the terminal's settings alive when the program is gone.
    _line: std::os::fd::OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Seated {
    fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        for set in [Command::stdin, Command::stdout, Command::stderr] {
            set(&mut command, slave.try_clone().unwrap());
        }
        let child = command.env("TERM", "xterm").spawn().unwrap();
        let (terminal, shown) = (File::from(master), Arc::<Mutex<Vec<u8>>>::default());
        let (mut reader, into) = (terminal.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                into.lock().unwrap().extend(&buffer[..length]);
            }
        });
        Self { child, terminal, _line: slave, shown }
    }

    fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(text)
    }

    /// The terminal hands over whole lines and echoes what is typed, as a shell needs it.
    fn is_cooked(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    fn wait_for(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            let shown = String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned();
            assert!(begun.elapsed() < PATIENCE, "{what}: {shown:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn watch_restores_the_terminal_whatever_ends_it() {
    for ends in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let agent = Fake::start(willing());
        let run_dir = agent.run_dir().to_str().unwrap();
        let mut seated = Seated::start(command(&["--run-dir", run_dir, "watch"]));
        seated.wait_for("a picture", |seated| seated.shows("VI_1"));
        assert!(!seated.is_cooked() && seated.shows("\u{1b}[?1049h"), "the view has the terminal");
        kill(Pid::from_raw(seated.child.id() as i32), ends).unwrap();
        assert_eq!(seated.end().code(), Some(0), "{ends}");
        assert!(seated.is_cooked(), "{ends} leaves the terminal raw");
        seated.wait_for("the shell's own picture", |seated| seated.shows("\u{1b}[?1049l"));
        assert!(seated.shows("\u{1b}[?25h"), "{ends} leaves the cursor hidden");
    }
}

#[test]
fn revoking_asks_and_no_means_no() {
    let home = tempfile::tempdir().unwrap();
    let pki = |verb: &[&str]| {
        let dir = home.path().join("pki");
        command(&[&["pki", "--dir", dir.to_str().unwrap()], verb].concat())
    };
    assert!(
        pki(&["init"]).status().unwrap().success() && pki(&["operator", "alice"]).status().unwrap().success()
    );
    for (answer, status, outcome) in
        [("n\n", 1, "nothing was revoked"), ("y\n", 0, "Revoked the certificate of alice")]
    {
        let mut seated = Seated::start(pki(&["revoke", "alice"]));
        seated.wait_for("the question", |seated| seated.shows("Revoke what alice holds now? [y/N]"));
        assert!(seated.shows("alice (operator) holds 1 certificate until 20"));
        seated.terminal.write_all(answer.as_bytes()).unwrap();
        assert_eq!(seated.end().code(), Some(status));
        seated.wait_for(outcome, |seated| seated.shows(outcome));
    }
}
