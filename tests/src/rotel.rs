//! rotel as a collector that prints what it is told, and its print read back.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Absent, Host, LIMIT, Process, wait_until};
use std::{collections::BTreeMap, env, path::PathBuf, process::Command};

/// Where it listens on the host that has it.
pub const PORT: u16 = 4317;

/// A running collector.
#[derive(Debug)]
pub struct Rotel {
    process: Process,
}

/// A span as it was printed; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// `service.instance.id` of the agent that told it.
    pub node: String,
    /// The story, in hexadecimal digits.
    pub trace: String,
    /// Its own part.
    pub id: String,
    /// The part it follows from; empty at the beginning.
    pub parent: String,
    /// What it is.
    pub name: String,
    /// Since 1970.
    pub start: u128,
    /// Since 1970.
    pub end: u128,
    /// By key.
    pub attributes: BTreeMap<String, String>,
    /// Stories that it refers to.
    pub links: Vec<String>,
}

impl Rotel {
    fn find() -> Result<PathBuf> {
        let named = env::var_os("HACLUSTER_ROTEL").map(PathBuf::from);
        let own = env::current_exe().context("where are we?")?;
        // Trials live below the target directory: TARGET_DIR/debug/deps.
        let beside = own.ancestors().nth(3).map(|target| target.join("rotel/rotel/rotel-agent"));
        let found = named.into_iter().chain(beside).find(|path| path.is_file());
        let absent = "rotel is not here: pip install --target TARGET_DIR/rotel rotel==0.0.1a15";
        Ok(found.ok_or_else(|| Absent(absent.to_owned()))?)
    }

    /// Whether it is on this machine; a trial is skipped otherwise.
    pub fn present() -> Result<()> {
        Self::find().map(drop)
    }

    /// Starts it on `host`.
    pub fn start(host: &Host) -> Result<Self> {
        let mut command = Command::new(Self::find()?);
        command.args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"]);
        for signal in ["traces", "metrics", "logs"] {
            command.args(["--debug-log", signal]);
        }
        command.arg("--otlp-grpc-endpoint").arg(format!("0.0.0.0:{PORT}"));
        command.arg("--otlp-http-endpoint").arg("0.0.0.0:4318");
        let process = host.spawn("rotel", command)?;
        Ok(Self { process })
    }

    /// Starts it on `host` so that it takes everything and prints nothing of it.
    pub fn sink(host: &Host) -> Result<Self> {
        Self::sink_at(host, PORT)
    }

    /// As [`sink`](Self::sink), at another port.
    pub fn sink_at(host: &Host, port: u16) -> Result<Self> {
        let mut command = Command::new(Self::find()?);
        command.args(["start", "--exporter", "blackhole"]);
        command.arg("--otlp-grpc-endpoint").arg(format!("0.0.0.0:{port}"));
        command.arg("--otlp-http-endpoint").arg("0.0.0.0:4318");
        Ok(Self { process: host.spawn("rotel", command)? })
    }

    /// All it printed.
    pub fn text(&self) -> String {
        self.process.lines().iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// All spans so far.
    pub fn all(&self) -> Vec<Span> {
        spans(&self.text())
    }

    /// The spans of the story `trace` once they are as `whole` says.
    pub fn story(&self, trace: &str, whole: impl Fn(&[Span]) -> bool) -> Result<Vec<Span>> {
        let mut last = Vec::new();
        let told = wait_until(&format!("the story {trace}"), LIMIT, || {
            ensure!(self.process.is_running(), "rotel ended:\n{}", self.text());
            last = spans(&self.text());
            last.retain(|span| span.trace == trace);
            Ok(whole(&last).then(|| last.clone()))
        });
        told.with_context(|| format!("so far: {last:#?}"))
    }
}

/// Reads the print of all spans.
pub fn spans(text: &str) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let (mut node, mut within) = (String::new(), false);
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("Resource") || line.starts_with("ScopeMetrics") || line.starts_with("LogRecord") {
            within = false;
        }
        if line.starts_with("Span #") {
            found.push(Span { node: node.clone(), ..Span::default() });
            within = true;
        }
        if let Some(attribute) = line.strip_prefix("-> ") {
            let (key, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            let value = value.trim();
            let value = value.split_once('(').map_or(value, |(_, inner)| inner.trim_end_matches(')'));
            if key == "service.instance.id" {
                value.clone_into(&mut node);
            }
            if let Some(span) = found.last_mut().filter(|_| within) {
                if key == "Trace ID" {
                    span.links.push(value.to_owned());
                }
                span.attributes.insert(key.to_owned(), value.trim_matches('"').to_owned());
            }
            continue;
        }
        let (Some((key, value)), Some(span)) = (line.split_once(':'), found.last_mut().filter(|_| within))
        else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match key.trim() {
            "Trace ID" => value.clone_into(&mut span.trace),
            "Parent ID" => value.clone_into(&mut span.parent),
            "ID" => value.clone_into(&mut span.id),
            "Name" => value.clone_into(&mut span.name),
            "Start time" => span.start = value.parse().unwrap_or_default(),
            "End time" => span.end = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    found
}
