//! Named clusters: where the agents are, and who asks them.
//!
//! ```text
//!   --socket, --run-dir > --context > HACLUSTER_SOCKET > HACLUSTERCTL_CONTEXT > `current` > /run/hacluster
//!           |                 |                                   |
//!           v                 `-----> [context.NAME] of the file <-'
//!     Where::Socket                      Where::Cluster
//! ```
//!
//! The file is `--config`, `HACLUSTERCTL_CONFIG`, the user's `haclusterctl/config.toml`, or
//! `/etc/hacluster/ctl.toml`, the first that is there. Paths in it are relative to its directory.

mod edit;

use crate::Usage;
use crate::output::safe;
use crate::pki::files;
use clap::Args as Arguments;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Where the agents of a machine keep their socket.
const RUN_DIR: &str = "/run/hacluster";
/// The contexts of everybody on this machine.
const SYSTEM_FILE: &str = "/etc/hacluster/ctl.toml";

/// Where the agents are. What the environment says is read in [`resolve`], after the flags: it must
/// not contradict them.
#[derive(Clone, Debug, Default, Arguments)]
#[command(next_help_heading = "Where the agents are")]
pub(crate) struct ContextArgs {
    /// Named cluster to ask, instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// File of contexts, instead of ~/.config/haclusterctl/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Ask the local agent at this socket alone, whatever the contexts say
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Ask the local agent with this run directory alone; its socket is agent.sock in there
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
}

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The agent of this machine, by its unix socket.
    Socket(PathBuf),
    /// The agents of a cluster, over TLS.
    Cluster {
        /// The context's name.
        name: String,
        /// Node name and `HOST:PORT`, in the order of the names; at least one.
        nodes: Vec<(String, String)>,
        /// Who asks.
        tls: ClientTlsFiles,
    },
}

/// An identity, as PEM files. Whether they can be read is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientTlsFiles {
    /// The certificate, with its chain.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authority that signs the nodes.
    pub(crate) authority: PathBuf,
}

/// Where to ask.
///
/// # Errors
/// [`Usage`]: no such context, two places at once, or a file that cannot be read or understood.
pub(crate) fn resolve(args: &ContextArgs) -> anyhow::Result<Where> {
    // Beside these no variable counts; and a unit's own ones are in the environment of what it runs.
    if args.socket.is_none() && args.run_dir.is_none() {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        misspelt(names).iter().for_each(|warning| eprintln!("{warning}"));
    }
    resolve_in(args, &Surroundings::now())
}

/// Variables of the environment that this program reads.
const VARIABLES: [&str; 3] = ["HACLUSTER_SOCKET", "HACLUSTERCTL_CONTEXT", "HACLUSTERCTL_CONFIG"];

/// What to say of variables that look like one of ours and are none.
fn misspelt(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in names.filter(|name| name.starts_with("HACLUSTER") && !VARIABLES.contains(&name.as_str())) {
        // Others of that beginning are the agent's; who misspells `HACLUSTERCTL_` means us.
        match hacluster_conf::nearest(&name, VARIABLES.into_iter()) {
            Some(near) => {
                warnings.push(format!("warning: {} is not used: did you mean {near}?", safe(&name)))
            }
            None if name.starts_with("HACLUSTERCTL_") => {
                warnings.push(format!("warning: {} is not used: there is no such variable", safe(&name)));
            }
            None => {}
        }
    }
    warnings
}

/// What the environment says; apart, so that tests can say something else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    socket: Option<OsString>,
    context: Option<OsString>,
    config: Option<OsString>,
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
    system_file: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn now() -> Self {
        let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let absolute = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            socket: get("HACLUSTER_SOCKET"),
            context: get("HACLUSTERCTL_CONTEXT"),
            config: get("HACLUSTERCTL_CONFIG"),
            config_home: absolute("XDG_CONFIG_HOME"),
            home: absolute("HOME"),
            system_file: SYSTEM_FILE.into(),
        }
    }

    /// The user's own directory of this program: contexts and, for other users than root, the PKI.
    pub(crate) fn user_dir(&self) -> Option<PathBuf> {
        let home = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(home.join("haclusterctl"))
    }

    /// The file that is read and written, and whether it was named.
    pub(crate) fn file(&self, args: &ContextArgs) -> (PathBuf, bool) {
        let named = args.config.clone().or_else(|| self.config.clone().map(PathBuf::from));
        if let Some(path) = named {
            return (path, true);
        }
        let users = self.user_dir().map(|dir| dir.join("config.toml"));
        let system = self.system_file.clone();
        match users {
            Some(users) if users.exists() || !system.exists() => (users, false),
            _ => (system, false),
        }
    }
}

fn resolve_in(args: &ContextArgs, env: &Surroundings) -> anyhow::Result<Where> {
    let in_run_dir = |dir: &Path| Where::Socket(dir.join("agent.sock"));
    let flag = match (&args.socket, &args.run_dir) {
        (Some(socket), _) => Some(Where::Socket(socket.clone())),
        (None, Some(dir)) => Some(in_run_dir(dir)),
        (None, None) => None,
    };
    match (flag, &args.context) {
        (Some(_), Some(_)) => {
            Err(Usage("--context and --socket or --run-dir name two places: leave one out".to_owned()).into())
        }
        (Some(socket), None) => Ok(socket),
        (None, Some(name)) => File::named(args, env)?.cluster(name, env),
        (None, None) => {
            if let Some(socket) = &env.socket {
                return Ok(Where::Socket(socket.into()));
            }
            let file = File::named(args, env)?;
            let variable = env.context.as_ref().map(|name| name.to_string_lossy().into_owned());
            match variable.as_ref().or(file.contexts.current.as_ref()) {
                Some(name) => file.cluster(name, env),
                None => Ok(in_run_dir(Path::new(RUN_DIR))),
            }
        }
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The context in use when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them, by name.
    #[serde(default, rename = "context", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) all: BTreeMap<String, Entry>,
}

/// `[context.NAME]`, as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Certificate of who asks.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authority that signs the nodes.
    pub(crate) authority: PathBuf,
    /// Node name -> `HOST:PORT`.
    pub(crate) nodes: BTreeMap<String, String>,
}

/// A file of contexts, read; an absent one is empty.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Where it is, or would be.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) contexts: Contexts,
}

impl File {
    /// Reads the file in force.
    pub(crate) fn named(args: &ContextArgs, env: &Surroundings) -> anyhow::Result<Self> {
        let (path, must_exist) = env.file(args);
        Self::read(path, must_exist)
    }

    /// Reads `path`; an absent one is empty unless it has to be there.
    ///
    /// # Errors
    /// [`Usage`], with the line when it is a matter of one.
    pub(crate) fn read(path: PathBuf, must_exist: bool) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match files::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => String::new(),
            Err(error) => return Err(Usage(explain(&path, &error)).into()),
        };
        let contexts: Contexts = toml::from_str(&text)
            .map_err(|error| Usage(format!("{shown} is not a file of contexts: {error}")))?;
        if let Some(current) = contexts.current.as_ref().filter(|name| !contexts.all.contains_key(*name)) {
            let known = known(&contexts);
            let text =
                format!("{shown}: current = \"{current}\" names no context of the file; it has {known}");
            return Err(Usage(text).into());
        }
        Ok(Self { path, contexts })
    }

    /// Writes `wanted` in its place, whole or not at all; comments stay where nothing changed.
    pub(crate) fn save(&self, wanted: &Contexts) -> anyhow::Result<()> {
        let old = match files::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Usage(explain(&self.path, &error)).into()),
        };
        let text = edit::edited(&old, &self.contexts, wanted)?;
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            files::create_dir_all(dir)?;
        }
        files::replace(&self.path, &text, files::SECRET)
    }

    /// The context `name`, with its paths made whole.
    fn cluster(&self, name: &str, env: &Surroundings) -> anyhow::Result<Where> {
        let shown = self.path.display();
        let Some(entry) = self.contexts.all.get(name) else {
            let known = known(&self.contexts);
            let text = format!(
                "no context `{name}` in {shown}; it has {known}. To add it: haclusterctl context add {name}"
            );
            return Err(Usage(text).into());
        };
        entry.check().map_err(|error| Usage(format!("{shown}: context `{name}`: {error}")))?;
        let dir = self.path.parent().unwrap_or(Path::new(""));
        let whole = |path: &Path| match (path.strip_prefix("~"), &env.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => dir.join(path),
        };
        Ok(Where::Cluster {
            name: name.to_owned(),
            nodes: entry.nodes.clone().into_iter().collect(),
            tls: ClientTlsFiles {
                certificate: whole(&entry.certificate),
                key: whole(&entry.key),
                authority: whole(&entry.authority),
            },
        })
    }
}

impl Entry {
    /// Whether it can be used at all.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.nodes.is_empty() {
            return Err("it has no nodes: nodes = { node1 = \"192.0.2.11:9443\" }".to_owned());
        }
        self.nodes.iter().try_for_each(|(node, address)| check_address(node, address))
    }
}

/// `HOST:PORT`, an IPv6 host in brackets.
fn check_address(node: &str, address: &str) -> Result<(), String> {
    let wrong =
        |why: &str| Err(format!("node {node}: `{address}` {why}, as in {node} = \"192.0.2.11:9443\""));
    let Some((host, port)) = address.rsplit_once(':') else { return wrong("has no port; write HOST:PORT") };
    if port.parse::<u16>().ok().filter(|port| *port != 0).is_none() {
        return wrong("has no port from 1 to 65535; write HOST:PORT");
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    if is_host { Ok(()) } else { wrong("has no host that could be one (IPv6 goes in brackets)") }
}

/// The names of the contexts, in words.
pub(crate) fn known(contexts: &Contexts) -> String {
    match contexts.all.len() {
        0 => "none".to_owned(),
        _ => contexts.all.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn explain(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "no file of contexts at {shown}. To make it: haclusterctl --config {shown} context add NAME"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("{shown} may not be read by you: own it, or name another with --config")
        }
        _ => format!("cannot read {shown}: {error}"),
    }
}

#[cfg(test)]
mod tests;
