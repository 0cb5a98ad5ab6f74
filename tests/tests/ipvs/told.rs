//! Whom a server that leaves and returns is told to: hooks, the fifo, mail.

use crate::{
    scene::{Daemon, LIMIT, Scene, both, flat},
    web::Server,
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, wait_until};
use hacluster_tests::harness::Suite;
use nix::fcntl::OFlag;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "servers_that_leave_and_return_are_told", flat, &[], told);
}

/// A script for hooks: writes its arguments down.
pub(crate) struct Hook {
    pub(crate) program: PathBuf,
    said: PathBuf,
}

impl Hook {
    /// One of several on this host.
    pub(crate) fn new(host: &Host, number: u32) -> Result<Self> {
        let file = |name: &str| host.directory().join(format!("{name}-{number}"));
        let (program, said) = (file("hook"), file("hooks"));
        fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n", said.display()))?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        Ok(Self { program, said })
    }

    /// Waits until exactly these were run, in whatever order: those of different servers run side by side.
    pub(crate) fn ran(&self, wanted: &[&str]) -> Result<()> {
        self.ran_within(LIMIT, wanted)
    }

    /// As [`ran`](Self::ran), with less patience.
    pub(crate) fn ran_within(&self, limit: Duration, wanted: &[&str]) -> Result<()> {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        let mut last = Vec::new();
        let waited = wait_until("the hooks", limit, || {
            let text = fs::read_to_string(&self.said).unwrap_or_default();
            last = text.lines().map(str::to_owned).collect();
            last.sort_unstable();
            Ok((last == wanted).then_some(()))
        });
        waited.with_context(|| format!("wanted {wanted:#?}, last seen {last:#?}"))
    }
}

/// The reader of a fifo.
struct Pipe {
    file: File,
    text: String,
}

impl Pipe {
    fn open(path: &PathBuf) -> Result<Self> {
        let open = || OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).ok();
        let file = wait_until(&path.display().to_string(), LIMIT, || Ok(open()))?;
        Ok(Self { file, text: String::new() })
    }

    /// Waits until exactly these lines came, in this order.
    fn said(&mut self, wanted: &[&str]) -> Result<()> {
        let waited = wait_until("the lines of the fifo", LIMIT, || {
            let mut more = [0; 4096];
            if let Ok(length) = self.file.read(&mut more) {
                self.text.push_str(&String::from_utf8_lossy(&more[..length]));
            }
            Ok(self.text.lines().eq(wanted.iter().copied()).then_some(()))
        });
        waited.with_context(|| format!("wanted {wanted:#?}, last seen {}", self.text))
    }
}

type Subjects = Arc<Mutex<Vec<String>>>;

/// Takes mail and notes the subjects.
fn post(stream: TcpStream, subjects: &Subjects) -> Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut answers = stream.try_clone()?;
    let mut say = |text: &str| answers.write_all(format!("{text}\r\n").as_bytes());
    say("220 sink")?;
    let (mut letter, mut folded) = (false, false);
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if letter {
            let mut subjects = subjects.lock().unwrap();
            match line.strip_prefix("Subject: ") {
                Some(subject) => subjects.push(subject.to_owned()),
                None if folded && line.starts_with(' ') => {
                    subjects.last_mut().context("no subject")?.push_str(&line);
                }
                None => {}
            }
            folded = line.starts_with("Subject: ") || (folded && line.starts_with(' '));
            letter = line != ".";
        }
        match line.as_str() {
            "." if !letter => say("250 taken")?,
            _ if letter => {}
            "DATA" => {
                letter = true;
                say("354 go on")?;
            }
            "QUIT" => return Ok(say("221 bye")?),
            _ => say("250 well")?,
        }
    }
    Ok(())
}

fn config(host: &Host, hook: &Hook) -> String {
    let (folder, hook) = (host.directory().display(), hook.program.display());
    let server = |ip: &str, name: &str| {
        format!(
            " real_server {ip} 80 {{\n  weight 1\n  notify_up \"{hook} {name} up\"\n  notify_down \"{hook} {name} \
             down\"\n  TCP_CHECK {{\n   connect_timeout 30\n   retry 0\n   delay_before_retry 1\n  }}\n }}\n"
        )
    };
    format!(
        "global_defs {{\n router_id director1\n script_user root\n lvs_notify_fifo {folder}/lvs.fifo\n \
         notification_email {{\n  ops@example.org\n }}\n notification_email_from lvs@example.org\n smtp_server \
         10.0.0.9 2525\n smtp_connect_timeout 30\n}}\nvirtual_server 10.0.0.100 80 {{\n delay_loop 1\n lb_algo \
         rr\n lb_kind DR\n protocol TCP\n smtp_alert\n quorum_up \"{hook} quorum up\"\n quorum_down \"{hook} quorum \
         down\"\n{}{}}}\n",
        server("10.0.0.21", "one"),
        server("10.0.0.22", "two")
    )
}

/// A server process that stops or starts, and what is told then.
struct Step {
    server: &'static str,
    starts: bool,
    lines: &'static [&'static str],
    hooks: &'static [&'static str],
    subjects: &'static [&'static str],
}

const STEPS: [Step; 4] = [
    Step {
        server: "one",
        starts: false,
        lines: &["RS [10.0.0.21]:tcp:80 [10.0.0.100]:tcp:80 DOWN"],
        hooks: &["one down"],
        subjects: &["[director1] Realserver [10.0.0.21]:tcp:80 of virtual server [10.0.0.100]:tcp:80 - DOWN"],
    },
    Step {
        server: "two",
        starts: false,
        lines: &["RS [10.0.0.22]:tcp:80 [10.0.0.100]:tcp:80 DOWN", "VS [10.0.0.100]:tcp:80 DOWN"],
        hooks: &["two down", "quorum down"],
        subjects: &[
            "[director1] Realserver [10.0.0.22]:tcp:80 of virtual server [10.0.0.100]:tcp:80 - DOWN",
            "[director1] Virtualserver [10.0.0.100]:tcp:80 - DOWN",
        ],
    },
    Step {
        server: "two",
        starts: true,
        lines: &["RS [10.0.0.22]:tcp:80 [10.0.0.100]:tcp:80 UP", "VS [10.0.0.100]:tcp:80 UP"],
        hooks: &["two up", "quorum up"],
        subjects: &[
            "[director1] Realserver [10.0.0.22]:tcp:80 of virtual server [10.0.0.100]:tcp:80 - UP",
            "[director1] Virtualserver [10.0.0.100]:tcp:80 - UP",
        ],
    },
    Step {
        server: "one",
        starts: true,
        lines: &["RS [10.0.0.21]:tcp:80 [10.0.0.100]:tcp:80 UP"],
        hooks: &["one up"],
        subjects: &["[director1] Realserver [10.0.0.21]:tcp:80 of virtual server [10.0.0.100]:tcp:80 - UP"],
    },
];

fn told(scene: &Scene<'_>) -> Result<()> {
    let (director, client) = (scene.host("director1")?, scene.host("client")?);
    let subjects = Subjects::default();
    let theirs = subjects.clone();
    let _post = Server::start(client, 2525, move |stream, _| post(stream, &theirs))?;
    let hook = Hook::new(director, 1)?;
    scene.serve("one")?;
    scene.serve("two")?;
    scene.start("director1", &config(director, &hook))?;
    let line = |last: u8| format!("-a -t 10.0.0.100:80 -r 10.0.0.{last}:80 -g -w 1");
    scene.table("director1", &["-A -t 10.0.0.100:80 -s rr".to_owned(), line(21), line(22)])?;
    let mut pipe = Pipe::open(&director.directory().join("lvs.fifo"))?;
    let mut lines = vec!["VS [10.0.0.100]:tcp:80 UP"];
    let mut hooks = vec!["quorum up"];
    let mut mails = vec!["[director1] Virtualserver [10.0.0.100]:tcp:80 - UP"];
    pipe.said(&lines)?;
    hook.ran(&hooks)?;
    mailed(scene, &subjects, &mails)?;
    for step in STEPS {
        if step.starts {
            scene.serve(step.server)?;
        } else {
            scene.close(step.server);
        }
        lines.extend(step.lines);
        hooks.extend(step.hooks);
        mails.extend(step.subjects);
        pipe.said(&lines)?;
        hook.ran(&hooks)?;
        mailed(scene, &subjects, &mails)?;
    }
    ensure!(pipe.text.lines().eq(lines), "{}", pipe.text);
    Ok(())
}

/// Waits until mails with these subjects came, in this order; keepalived sends them all at once.
fn mailed(scene: &Scene<'_>, subjects: &Subjects, wanted: &[&str]) -> Result<()> {
    let mut wanted = wanted.to_vec();
    let mut last = Vec::new();
    let waited = wait_until("the mails", LIMIT, || {
        last.clone_from(&subjects.lock().unwrap());
        if scene.daemon == Daemon::Keepalived {
            wanted.sort_unstable();
            last.sort_unstable();
        }
        Ok((last == wanted).then_some(()))
    });
    waited.with_context(|| format!("wanted {wanted:#?}, last seen {last:#?}"))
}
