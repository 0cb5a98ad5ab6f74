//! `haclusterctl context`: named clusters.

use crate::args::Format;
use crate::context::{ContextArgs, Contexts, Entry, File, Surroundings, known};
use crate::output::{self, safe};
use crate::pki::{PORT, Store};
use crate::{Outcome, Usage};
use anyhow::Context;
use clap::{Args as Arguments, Subcommand};
use hacluster_proto::identity::{Role, check_node_name};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    haclusterctl context add web --operator alice\n  \
    haclusterctl context add lab --node node1=192.0.2.11:9443 --certificate me.crt --key me.key --authority ca.crt\n  \
    haclusterctl context use web")]
pub(crate) enum ContextVerb {
    /// Name a cluster: its nodes, and the certificate to ask them with
    Add(AddArgs),
    /// Ask this cluster from now on
    Use {
        /// Its name
        name: String,
    },
    /// The names, the current one marked
    #[command(visible_alias = "ls")]
    List {
        /// How to answer: table, wide, json or yaml
        #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
        output: Format,
    },
    /// Nodes and files of one
    Show {
        /// Its name; the current one when left out
        name: Option<String>,
        /// How to answer: table, wide, json or yaml
        #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
        output: Format,
    },
    /// Forget one; its certificates stay
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct AddArgs {
    /// What to call it
    name: String,
    /// A node and where it listens, NAME=HOST or NAME=HOST:PORT; repeat for each. Left out: the nodes of the PKI
    #[arg(long = "node", value_name = "NODE=HOST:PORT")]
    nodes: Vec<String>,
    /// Certificate of who asks
    #[arg(long, value_name = "FILE", requires_all = ["key", "authority"])]
    certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Certificate of the authority that signed the nodes
    #[arg(long, value_name = "FILE", requires = "certificate")]
    authority: Option<PathBuf>,
    /// Ask as this operator or viewer of the PKI, instead of the three files
    #[arg(long, visible_alias = "viewer", value_name = "NAME", conflicts_with = "certificate")]
    operator: Option<String>,
    /// Directory of the PKI [default: that of haclusterctl pki]
    #[arg(long, value_name = "DIR", requires = "operator")]
    from_pki: Option<PathBuf>,
    /// Ask it from now on; the first one is used anyway
    #[arg(long = "use")]
    make_current: bool,
}

/// Does what was asked. All of it is about files here: what fails is wrong use.
pub(super) fn run(place: &ContextArgs, verb: ContextVerb) -> anyhow::Result<Outcome> {
    did(place, verb).map_err(|error| match error {
        error if error.is::<Usage>() || output::is_broken_pipe(&error) => error,
        error => Usage(format!("{error:#}")).into(),
    })
}

fn did(place: &ContextArgs, verb: ContextVerb) -> anyhow::Result<Outcome> {
    let (path, is_named) = Surroundings::now().file(place);
    let is_new = matches!(verb, ContextVerb::Add(_));
    let file = File::read(path, is_named && !is_new)?;
    let mut wanted = file.contexts.clone();
    match verb {
        ContextVerb::Add(args) => return add(&file, wanted, &args),
        ContextVerb::Use { name } => {
            find(&file, &name)?;
            wanted.current = Some(name.clone());
            file.write(&wanted)?;
            output::print(&format!("haclusterctl asks {name} from now on: {}\n", file.path.display()))?;
        }
        ContextVerb::Remove { name } => {
            find(&file, &name)?;
            wanted.all.remove(&name);
            let was_current = wanted.current.as_ref() == Some(&name);
            if was_current {
                wanted.current = None;
            }
            file.write(&wanted)?;
            output::print(&removed(&file.path, &name, was_current, &wanted))?;
        }
        ContextVerb::List { output } => output::print(&list(&file, output)?)?,
        ContextVerb::Show { name, output } => {
            let name = name.or_else(|| file.contexts.current.clone());
            let name = name.ok_or_else(|| {
                let known = known(&file.contexts);
                Usage(format!(
                    "no context is current; name one, or haclusterctl context use NAME. There is: {known}"
                ))
            })?;
            output::print(&show(&file, &name, output)?)?;
        }
    }
    Ok(Outcome::Well)
}

fn find<'a>(file: &'a File, name: &str) -> anyhow::Result<&'a Entry> {
    file.contexts.all.get(name).ok_or_else(|| {
        let (path, known) = (file.path.display(), known(&file.contexts));
        Usage(format!("no context {name:?} in {path}; it has {known}")).into()
    })
}

fn add(file: &File, mut wanted: Contexts, args: &AddArgs) -> anyhow::Result<Outcome> {
    let name = &args.name;
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_bare) {
        return Err(
            Usage(format!("{name:?} cannot name a context: 1 to 63 letters, digits, `-` or `_`")).into()
        );
    }
    let entry = entry(args)?;
    entry.check().map_err(Usage)?;
    let replaced = wanted.all.insert(name.clone(), entry);
    if args.make_current || wanted.current.is_none() {
        wanted.current = Some(name.clone());
    }
    file.write(&wanted)?;
    let path = file.path.display();
    let did = if replaced.is_some() { "Replaced" } else { "Added" };
    let next = if wanted.current.as_ref() == Some(name) {
        "Next: haclusterctl status\n".to_owned()
    } else {
        format!("Next: haclusterctl context use {name}, or haclusterctl --context {name} status\n")
    };
    output::print(&format!("{did} the context {name} in {path}\n{next}"))?;
    Ok(Outcome::Well)
}

/// Files are checked now, where the mistake is made, and written with their whole path.
fn entry(args: &AddArgs) -> anyhow::Result<Entry> {
    let mut nodes: BTreeMap<String, String> = BTreeMap::new();
    for node in &args.nodes {
        let (name, address) = node_of(node)?;
        if nodes.insert(name.clone(), address).is_some() {
            return Err(Usage(format!("--node {name} is there twice")).into());
        }
    }
    let files = match (&args.operator, &args.certificate, &args.key, &args.authority) {
        (Some(operator), ..) => {
            let dir = args.from_pki.clone().map_or_else(super::pki::default_dir, Ok)?;
            let store = Store::open(&dir)?;
            if nodes.is_empty() {
                nodes = nodes_of(&store)?;
            }
            let record = store.latest(operator)?;
            if record.role == Role::Peer.name() {
                let text = format!(
                    "{} is a node; make one to ask with: haclusterctl pki operator NAME",
                    record.name
                );
                return Err(Usage(text).into());
            }
            [store.path(&record.name, "crt"), store.path(&record.name, "key"), dir.join("ca.crt")]
        }
        (None, Some(certificate), Some(key), Some(authority)) => {
            [certificate.clone(), key.clone(), authority.clone()]
        }
        _ => {
            let text = "who asks? Give --operator NAME (of haclusterctl pki), or --certificate, --key and --authority";
            return Err(Usage(text.to_owned()).into());
        }
    };
    if nodes.is_empty() {
        return Err(Usage("where are the nodes? Give --node NAME=HOST:PORT for each".to_owned()).into());
    }
    let [certificate, key, authority] = files.map(|path| std::path::absolute(&path).unwrap_or(path));
    let tls = hacluster_proto::tls::Files { certificate, key, authority, revoked: None };
    let material = hacluster_proto::tls::Material::load(&tls).map_err(|error| Usage(error.to_string()))?;
    if material.identity().roles.is_empty() {
        let text = format!(
            "{} gives no role, so its holder may do nothing: make one with haclusterctl pki operator NAME",
            tls.certificate.display()
        );
        return Err(Usage(text).into());
    }
    Ok(Entry { certificate: tls.certificate, key: tls.key, authority: tls.authority, nodes })
}

/// `NAME=HOST[:PORT]`.
fn node_of(text: &str) -> anyhow::Result<(String, String)> {
    let Some((name, address)) = text.split_once('=') else {
        return Err(
            Usage(format!("--node {text}: write NAME=HOST:PORT, as in node1=192.0.2.11:{PORT}")).into()
        );
    };
    check_node_name(name).map_err(|error| Usage(format!("--node {text}: {error}")))?;
    let has_port =
        address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let address = match address.parse::<std::net::Ipv6Addr>() {
        Ok(v6) => format!("[{v6}]:{PORT}"),
        Err(_) if has_port => address.to_owned(),
        Err(_) => format!("{address}:{PORT}"),
    };
    Ok((name.to_owned(), address))
}

/// Every node of the PKI that says where it is reached.
fn nodes_of(store: &Store) -> anyhow::Result<BTreeMap<String, String>> {
    let records = store.index.current().into_iter();
    let nodes = records.filter(|record| record.role == Role::Peer.name() && record.revoked.is_none());
    let mut found = BTreeMap::new();
    for record in nodes {
        let host = record.addresses.first().ok_or_else(|| {
            let name = &record.name;
            Usage(format!(
                "the PKI does not say where {name} is reached: give --node NAME=HOST:PORT for each node"
            ))
        })?;
        let (name, address) = node_of(&format!("{}={host}", record.name))?;
        found.insert(name, address);
    }
    Ok(found)
}

fn removed(path: &Path, name: &str, was_current: bool, left: &Contexts) -> String {
    let mut text = format!("Removed the context {name} from {}\n", path.display());
    if was_current && left.all.is_empty() {
        text.push_str("haclusterctl asks the agent of this machine from now on\n");
    } else if was_current {
        let known = known(left);
        text.push_str(&format!("No context is current now. Next: haclusterctl context use NAME ({known})\n"));
    }
    text
}

/// A context as programs get it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    current: bool,
    #[serde(flatten)]
    entry: &'a Entry,
}

fn shown<'a>(file: &'a File, name: &'a str, entry: &'a Entry) -> Shown<'a> {
    Shown { name, current: file.contexts.current.as_deref() == Some(name), entry }
}

fn list(file: &File, format: Format) -> anyhow::Result<String> {
    let all: Vec<_> = file.contexts.all.iter().map(|(name, entry)| shown(file, name, entry)).collect();
    if let Some(text) = output::structured(&all, format)? {
        return Ok(text);
    }
    if all.is_empty() {
        let path = file.path.display();
        return Ok(format!("No contexts in {path}. Next: haclusterctl context add NAME --operator YOU\n"));
    }
    let width = all.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let line = |one: &Shown<'_>| {
        let mark = if one.current { '*' } else { ' ' };
        let nodes: Vec<_> = one.entry.nodes.keys().map(|name| safe(name)).collect();
        format!("{mark} {:width$}  {}\n", safe(one.name), nodes.join(" "))
    };
    Ok(all.iter().map(line).collect())
}

fn show(file: &File, name: &str, format: Format) -> anyhow::Result<String> {
    let entry = find(file, name)?;
    if let Some(text) = output::structured(&shown(file, name, entry), format)? {
        return Ok(text);
    }
    let path = |path: &Path| safe(&path.display().to_string());
    let current = if file.contexts.current.as_deref() == Some(name) { "   current" } else { "" };
    let mut text = format!(
        "{name}{current}   {}\ncertificate  {}\nkey          {}\nauthority    {}\n",
        path(&file.path),
        path(&entry.certificate),
        path(&entry.key),
        path(&entry.authority)
    );
    for (node, address) in &entry.nodes {
        text.push_str(&format!("node         {} {}\n", safe(node), safe(address)));
    }
    Ok(text)
}

impl File {
    fn write(&self, wanted: &Contexts) -> anyhow::Result<()> {
        self.save(wanted).with_context(|| {
            format!(
                "the contexts of {} are as before; to use a file of your own: --config FILE",
                self.path.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_written_in_many_ways() {
        for (text, expected) in [
            ("node1=192.0.2.11:9443", "192.0.2.11:9443"),
            ("node1=192.0.2.11", "192.0.2.11:9443"),
            ("node1=2001:db8::1", "[2001:db8::1]:9443"),
            ("node1=[2001:db8::1]:1", "[2001:db8::1]:1"),
            ("node1=node1.example", "node1.example:9443"),
        ] {
            assert_eq!(node_of(text).unwrap(), ("node1".to_owned(), expected.to_owned()), "{text}");
        }
        for text in ["node1", "=192.0.2.11:1", "a/b=192.0.2.11:1"] {
            assert!(node_of(text).unwrap_err().is::<Usage>(), "{text}");
        }
    }
}
