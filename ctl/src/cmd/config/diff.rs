//! `haclusterctl config diff`: what differs between files, between a file and what a node runs, and
//! between what nodes run.
//!
//! ```text
//!   FILE FILE, FILE NODE, NODE FILE    every setting: what loading the second instead would change
//!   NODE NODE, NODE, nothing           what all nodes must agree on: the others differ as they should
//! ```

use super::in_force;
use crate::args::{DiffArgs, Format, Place};
use crate::client::NodeError;
use crate::fanout::Cluster;
use crate::output::{self, safe};
use crate::view::agreement::{Party, compare};
use crate::view::find;
use crate::{Outcome, Usage};
use hacluster_conf::diff::Effect;
use hacluster_conf::model::{Authentication, Config};
use hacluster_conf::source::{Disk, Memory, Source};
use hacluster_conf::{Loaded, diag::Severity, layered};
use hacluster_proto::v1;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One of the two things that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Side {
    File(PathBuf),
    Node(String),
}

impl Side {
    fn of(typed: &str, cluster: Option<&Cluster>) -> Result<Self, Usage> {
        let names: Vec<String> =
            cluster.iter().flat_map(|cluster| &cluster.members).map(|member| member.name.clone()).collect();
        match find("node", typed, &names) {
            Ok(name) => Ok(Self::Node(name.to_owned())),
            Err(_) if typed.contains(['/', '.']) || Path::new(typed).exists() => Ok(Self::File(typed.into())),
            Err(usage) => Err(Usage(format!("{}; and no such file is there", usage.0))),
        }
    }
}

/// One difference, for programs.
#[derive(Debug, Serialize)]
struct Difference {
    from: String,
    to: String,
    text: String,
    /// `in_place` or `restart`; `null` between nodes.
    effect: Option<&'static str>,
}

pub(in crate::cmd) async fn run(place: &Place, args: &DiffArgs) -> anyhow::Result<Outcome> {
    let sides = [&args.from, &args.to].into_iter().flatten();
    let file = |typed: &String| Path::new(typed).is_file() || typed.contains('/');
    // Two files need no agent, whatever the contexts say.
    if let (Some(from), Some(to)) = (&args.from, &args.to)
        && file(from)
        && file(to)
    {
        let (from, to) = (read(Path::new(from))?, read(Path::new(to))?);
        return show(&changes(&from, &to, Config::clone), false, args.output);
    }
    let mut cluster = Cluster::of(place)?;
    let sides: Vec<Side> = sides.map(|typed| Side::of(typed, Some(&cluster))).collect::<Result<_, _>>()?;
    if sides.len() == 2 {
        let named = |name: &String| sides.contains(&Side::Node(name.clone()));
        cluster.members.retain(|member| named(&member.name));
    }
    let mut running = Running::of(&cluster, place).await?;
    let found = match &sides[..] {
        [] if cluster.is_local() => {
            let node = running.take_first()?;
            let path = node.path.clone();
            steps(&node, &read(&path)?)
        }
        [] => {
            anyhow::ensure!(running.named.len() > 1, running.too_few());
            running.against_the_first()
        }
        [Side::Node(name)] => {
            running.put_first(name)?;
            running.against_the_first()
        }
        [Side::File(path)] if cluster.is_local() => steps(&running.take_first()?, &read(path)?),
        [Side::File(path)] => {
            running.named.insert(0, (path.display().to_string(), read(path)?));
            running.against_the_first()
        }
        [Side::Node(one), Side::Node(other)] => {
            let parties = [running.get(one)?, running.get(other)?];
            agreement(&parties)
        }
        [Side::Node(name), Side::File(path)] => steps(running.get(name)?.1, &read(path)?),
        [Side::File(path), Side::Node(name)] => steps(&read(path)?, running.get(name)?.1),
        [Side::File(from), Side::File(to), ..] => changes(&read(from)?, &read(to)?, Config::clone),
        [_, _, _, ..] => Vec::new(), // the command line takes two
    };
    for (node, error) in &running.dead {
        eprintln!("{}: {}", safe(node), safe(&error.to_string()));
    }
    let outcome = show(&found, true, args.output)?;
    Ok(if running.dead.is_empty() { outcome } else { Outcome::Unreachable })
}

/// A configuration and where it is from.
struct Read {
    name: String,
    path: PathBuf,
    loaded: Loaded,
}

/// What the nodes run.
struct Running {
    named: Vec<(String, Read)>,
    dead: Vec<(String, NodeError)>,
}

impl Running {
    async fn of(cluster: &Cluster, place: &Place) -> anyhow::Result<Self> {
        let (mut named, mut dead) = (Vec::new(), Vec::new());
        for answer in in_force(cluster, place).await? {
            match answer.result {
                Ok(told) => named.push((answer.node.clone(), rebuilt(&answer.node, &told))),
                Err(error) => dead.push((answer.node, error)),
            }
        }
        Ok(Self { named, dead })
    }

    fn get(&self, name: &str) -> anyhow::Result<(&str, &Read)> {
        if let Some((_, error)) = self.dead.iter().find(|(dead, _)| dead == name) {
            anyhow::bail!("{name}: {error}");
        }
        let found = self.named.iter().find(|(node, _)| node == name);
        let found = found.map(|(node, read)| (node.as_str(), read));
        found.ok_or_else(|| Usage(format!("no node is called `{name}`")).into())
    }

    fn take_first(&mut self) -> anyhow::Result<Read> {
        anyhow::ensure!(!self.named.is_empty(), "no node answers");
        Ok(self.named.remove(0).1)
    }

    /// Why nothing can be compared.
    fn too_few(&self) -> String {
        let dead =
            self.dead.iter().map(|(node, error)| format!("{}: {}", safe(node), safe(&error.to_string())));
        let dead = dead.collect::<Vec<_>>().join("; ");
        format!("fewer than two nodes answer, so there is nothing to compare. {dead}")
    }

    fn put_first(&mut self, name: &str) -> anyhow::Result<()> {
        self.get(name)?;
        self.named.sort_by_key(|(node, _)| node != name);
        Ok(())
    }

    fn against_the_first(&self) -> Vec<Difference> {
        let Some((first, others)) = self.named.split_first() else { return Vec::new() };
        let pair = |other: &(String, Read)| agreement(&[(&first.0, &first.1), (&other.0, &other.1)]);
        others.iter().flat_map(pair).collect()
    }
}

fn read(path: &Path) -> anyhow::Result<Read> {
    let loaded = hacluster_conf::load(path, &Disk::default());
    let fatal = loaded.diagnostics.iter().find(|found| found.severity == Severity::Fatal);
    if let Some(fatal) = fatal {
        return Err(Usage(format!("{}: {}", path.display(), fatal.message)).into());
    }
    Ok(Read { name: path.display().to_string(), path: path.to_owned(), loaded })
}

/// What a node runs, out of the texts that it tells.
fn rebuilt(node: &str, told: &v1::GetConfigurationResponse) -> Read {
    let path = PathBuf::from(told.state.as_ref().map_or("", |state| state.path.as_str()));
    let mut texts = Memory::default().with_host(node);
    for file in &told.files {
        texts = texts.with(&file.path, file.text.as_bytes());
    }
    let mut loaded = hacluster_conf::load(&path, &texts);
    // `--agent-config` names a second file that nothing in the first one does.
    let is_toml = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    let overlay = told.files.iter().map(|file| Path::new(&file.path)).find(|path| is_toml(path));
    if let Some(toml) = overlay.filter(|_| !is_toml(&path)) {
        loaded = layered::overlay(loaded, toml, &texts as &dyn Source);
    }
    Read { name: node.to_owned(), path, loaded }
}

/// The configuration without passwords: agents do not tell them.
fn masked(config: &Config) -> Config {
    let mut config = config.clone();
    for router in &mut config.routers {
        if let Authentication::Pass(password) = &mut router.authentication {
            *password = [b'*'; Authentication::PASSWORD_BYTES];
        }
    }
    config
}

/// What loading `to` in place of `from` would change, as far as agents tell.
fn steps(from: &Read, to: &Read) -> Vec<Difference> {
    changes(from, to, masked)
}

/// What loading `to` in place of `from` would change, both seen `through` something.
fn changes(from: &Read, to: &Read, through: fn(&Config) -> Config) -> Vec<Difference> {
    let changes = hacluster_conf::diff::diff(&through(&from.loaded.config), &through(&to.loaded.config));
    let difference = |change: &hacluster_conf::diff::Change| Difference {
        from: from.name.clone(),
        to: to.name.clone(),
        text: change.to_string(),
        effect: Some(match change.effect() {
            Effect::Live => "in_place",
            Effect::Restart => "restart",
        }),
    };
    changes.iter().map(difference).collect()
}

/// What two nodes must agree on and do not.
fn agreement(parties: &[(&str, &Read); 2]) -> Vec<Difference> {
    let [one, other] = parties.map(|(name, read)| Party { name, config: &read.loaded.config });
    let text = compare(&one, &other).into_iter();
    text.map(|text| Difference { from: one.name.to_owned(), to: other.name.to_owned(), text, effect: None })
        .collect()
}

fn show(found: &[Difference], masked: bool, format: Format) -> anyhow::Result<Outcome> {
    let text = match output::structured(&found, format)? {
        Some(text) => text,
        None if found.is_empty() => "No difference.\n".to_owned(),
        None => {
            let mut lines: String = found.iter().map(|of| format!("{}\n", safe(&of.text))).collect();
            if masked {
                lines.push_str("Passwords were not compared: agents do not tell them.\n");
            }
            lines
        }
    };
    output::print(&text)?;
    Ok(if found.is_empty() { Outcome::Well } else { Outcome::Degraded })
}
