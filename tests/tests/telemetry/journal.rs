//! The journal's fields, by a listener in journald's place: no systemd runs here. The agent is told, as
//! systemd tells it, that its stderr leads to the journal.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Ctl, Host, LIMIT, Lab, Process, wait_until};
use hacluster_tests::harness::{Instance, Suite, VIP, hold, pair};
use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram, path::Path, process::Command};

/// Says what systemd says of the stderr of a unit, then becomes the agent.
const AS_A_UNIT: &str = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec \"$@\"";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_journal_gets_fields_and_without_it_stderr_has_the_lines", fields);
}

type Entry = BTreeMap<String, String>;

/// Reads the journal's protocol.
fn entry(mut bytes: &[u8]) -> Result<Entry> {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').context("no end")?;
        let line = std::str::from_utf8(&bytes[..end])?;
        bytes = &bytes[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = bytes.split_first_chunk::<8>().context("no length")?;
                let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length))?);
                bytes = rest.strip_prefix(b"\n").context("no end of a value")?;
                (line, String::from_utf8(value.to_vec())?)
            }
        };
        entry.insert(name.to_owned(), value);
    }
    Ok(entry)
}

/// An agent as a unit of systemd's, whose journal listens at `socket`.
fn start(host: &Host, socket: &Path) -> Result<Process> {
    let folder = host.directory();
    let (file, run) = (folder.join("keepalived.conf"), folder.join("run"));
    fs::write(&file, Instance::new(255).to_string())?;
    fs::create_dir_all(&run)?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", AS_A_UNIT, "sh"]).arg(Agent::find()?.binary);
    command.arg("--config").arg(file).arg("--run-dir").arg(run);
    command.env("HACLUSTER_JOURNAL_SOCKET", socket);
    host.spawn("hacluster-agent", command)
}

fn fields() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let socket = left.directory().join("journal");
        let journal = UnixDatagram::bind(&socket)?;
        journal.set_nonblocking(true)?;
        let process = start(left, &socket)?;
        hold(left, VIP)?;
        let mut room = vec![0; 1 << 18];
        let told = wait_until("the change as fields", LIMIT, || {
            while let Ok(length) = journal.recv(&mut room) {
                let entry = entry(&room[..length])?;
                ensure!(entry.contains_key("MESSAGE") && entry.contains_key("PRIORITY"), "{entry:?}");
                if entry.get("HACLUSTER_TO").is_some_and(|to| to == "master") {
                    return Ok(Some(entry));
                }
            }
            Ok(None)
        })?;
        for (name, value) in [
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "hacluster-agent"),
            ("HACLUSTER_ROUTER", "VI_1"),
            ("HACLUSTER_VRID", "51"),
            ("HACLUSTER_INTERFACE", "eth0"),
            ("HACLUSTER_PRIORITY", "255"),
            ("HACLUSTER_REASON_KIND", "started"),
        ] {
            ensure!(told.get(name).is_some_and(|told| told == value), "{name} is not {value}: {told:#?}");
        }
        let field = |name: &str| told.get(name).with_context(|| format!("no {name}: {told:#?}"));
        let (message, reason, trace) =
            (field("MESSAGE")?, field("HACLUSTER_REASON")?, field("HACLUSTER_TRACE_ID")?);
        ensure!(message.contains(reason) && message.ends_with(trace), "{message}");
        // The history, too, names this story.
        let socket_of_api = left.directory().join("run/agent.sock");
        let asked = ["--socket", &socket_of_api.to_string_lossy(), "history", "-o", "json"];
        let history = Ctl::find()?.run(left, &asked)?.stdout;
        ensure!(String::from_utf8_lossy(&history).contains(trace), "not in the history: {told:#?}");
        ensure!(process.lines().is_empty(), "told twice: {:?}", process.lines());
        drop(journal);
        fs::remove_file(&socket)?;
        ensure!(process.stop()?.code() == Some(0));
        let lines = process.lines();
        ensure!(lines.iter().any(|line| line.text == "<6>stopped"), "{lines:?}");
        ensure!(lines.iter().all(|line| line.text.starts_with('<')), "{lines:?}");
        Ok(())
    })
}
