//! The documents do what they say: their files are written, their commands run, in their order, on two
//! nodes whose /etc/hacluster, /etc/keepalived, /run and /var/lib/hacluster are their own.
//!
//! A block whose first line names `NODE: PATH` is a file; in a `console` block each line `NODE$ COMMAND` is
//! run and must end with 0 (`status` and `diff` with 0 or 1). systemd does not run in a namespace: what
//! `systemctl` would do to the agent is done here. Commands that are only mentioned must exist, with their flags.

use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::{Agent, Ctl, Host, LIMIT, Lab, Process, Topology, wait_for};
use hacluster_tests::harness::{Skip, Suite};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("the_way_from_keepalived_works_as_written", || documents(&["keepalived.md"]));
    suite.trial("joining_and_troubleshooting_work_as_written", || {
        documents(&["cluster.md", "troubleshooting.md"])
    });
    suite.trial("the_security_model_works_as_written", || documents(&["security.md"]));
    suite.trial("commands_that_documents_mention_exist", mentioned);
}

const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const NODES: [(&str, &str); 3] =
    [("node1", "192.0.2.11/24"), ("node2", "192.0.2.12/24"), ("admin", "192.0.2.9/24")];
/// What a node has for itself.
const OWN: [&str; 4] = ["/etc/hacluster", "/etc/keepalived", "/etc/default", "/var/lib/hacluster"];
/// Lays the node's own directories over those of this machine, in a mount namespace of its own.
const WRAP: &str = r#"
set -e
own=$0
mount --make-rprivate /
for over in /etc /var/lib; do
    mount -t tmpfs none "$own/scratch"
    mkdir "$own/scratch/up" "$own/scratch/work"
    mount -t overlay overlay -o "lowerdir=$over,upperdir=$own/scratch/up,workdir=$own/scratch/work" "$over"
done
for directory in /etc/hacluster /etc/keepalived /etc/default /var/lib/hacluster; do
    mkdir -p "$directory"
    mount --bind "$own$directory" "$directory"
done
mount --bind "$own/run" /run
exec bash -c "$1"
"#;

/// One block of a document.
enum Block {
    File { node: String, path: String, text: String },
    Command { node: String, line: String },
}

fn read(name: &str) -> Result<Vec<Block>> {
    let text = fs::read_to_string(Path::new(DOCUMENTS).join(name)).context(name.to_owned())?;
    let mut blocks = Vec::new();
    for (number, fenced) in text.split("```").enumerate() {
        let Some((language, body)) = fenced.split_once('\n').filter(|_| number % 2 == 1) else { continue };
        if language == "console" {
            for line in body.lines() {
                let command = line.split_once("$ ").filter(|(node, _)| is_node(node));
                let (node, line) = command.with_context(|| format!("{name}: not a command: {line}"))?;
                blocks.push(Block::Command { node: node.to_owned(), line: line.to_owned() });
            }
        } else if let Some((node, path)) = body.lines().next().and_then(file_header) {
            blocks.push(Block::File { node, path, text: body.to_owned() });
        }
    }
    ensure!(!blocks.is_empty(), "{name} has no commands");
    Ok(blocks)
}

fn is_node(name: &str) -> bool {
    NODES.iter().any(|(node, _)| *node == name)
}

/// `! node1: /etc/keepalived/keepalived.conf`
fn file_header(line: &str) -> Option<(String, String)> {
    let (node, path) = line.strip_prefix("! ").or(line.strip_prefix("# "))?.split_once(": ")?;
    (is_node(node) && path.starts_with('/')).then(|| (node.to_owned(), path.to_owned()))
}

/// The nodes and what runs on them.
struct Stage<'a> {
    lab: &'a Lab,
    agents: BTreeMap<String, Process>,
}

impl Stage<'_> {
    fn host(&self, node: &str) -> Result<&Host> {
        self.lab.host(node)
    }

    fn own(&self, node: &str) -> Result<PathBuf> {
        Ok(self.host(node)?.directory().to_owned())
    }

    fn prepare(&self) -> Result<()> {
        for (node, _) in NODES {
            for directory in OWN.iter().chain(&["/run", "/home", "/scratch", "/etc/hacluster/pki"]) {
                fs::create_dir_all(self.own(node)?.join(&directory[1..]))?;
            }
        }
        Ok(())
    }

    fn wrapped(&self, node: &str, line: &str) -> Result<Command> {
        let own = self.own(node)?;
        let programs = Agent::find()?.binary.parent().context("the agent is nowhere")?.to_owned();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "bash", "-c", WRAP]).arg(&own).arg(line);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", programs.display())).env("HOME", own.join("home"));
        for variable in ["HACLUSTERCTL_CONFIG", "HACLUSTERCTL_CONTEXT", "HACLUSTER_SOCKET", "XDG_CONFIG_HOME"]
        {
            command.env_remove(variable);
        }
        Ok(command)
    }

    fn run(&self, node: &str, line: &str) -> Result<Output> {
        self.host(node)?.run(self.wrapped(node, line)?)
    }

    /// Writes a file as it stands in the document; the other node gets its own version.
    fn write(&self, node: &str, path: &str, text: &str) -> Result<()> {
        fs::write(self.own(node)?.join(&path[1..]), text)?;
        let other = |text: &str| {
            let swapped = text.replace("node1", "NODE").replace("node2", "node1").replace("NODE", "node2");
            let swapped = swapped.replace(".11:", ".X:").replace(".12:", ".11:").replace(".X:", ".12:");
            swapped.replace("priority 100", "priority 98")
        };
        fs::write(self.own("node2")?.join(&path[1..]), other(text)).context(path.to_owned())
    }

    fn command(&mut self, node: &str, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["dpkg", ..] => Ok(()), // see `package`
            ["systemctl", "stop", "keepalived"] => Ok(()),
            ["systemctl", "start" | "restart", "hacluster-agent"] => self.start(node),
            ["scp", "-r", from, to] => {
                let (node_to, to) = to.split_once(':').context("scp to where?")?;
                let (from, to) = (self.own(node)?.join(&from[1..]), self.own(node_to)?.join(&to[1..]));
                let copied = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
                ensure!(copied.success(), "{line}");
                Ok(())
            }
            [program, ..] if ["haclusterctl", "hacluster-agent", "touch"].contains(program) => {
                let said = self.run(node, line)?;
                let may_differ = line.contains(" status") || line.contains(" diff");
                let well = said.status.success() || may_differ && said.status.code() == Some(1);
                let text = [said.stdout, said.stderr].concat();
                ensure!(well, "{node}$ {line}: {}\n{}", said.status, String::from_utf8_lossy(&text));
                Ok(())
            }
            _ => bail!("nobody tries `{line}`: add it here"),
        }
    }

    fn start(&mut self, node: &str) -> Result<()> {
        if let Some(agent) = self.agents.remove(node) {
            agent.stop()?;
        }
        let line = "[ ! -f /etc/default/hacluster-agent ] || . /etc/default/hacluster-agent\n\
                    mkdir -p /run/hacluster\n\
                    exec hacluster-agent --config /etc/keepalived/keepalived.conf $HACLUSTER_OPTIONS";
        let agent = self.host(node)?.spawn("hacluster-agent", self.wrapped(node, line)?)?;
        self.agents.insert(node.to_owned(), agent);
        wait_for("the agent answers", LIMIT, || {
            self.run(node, "haclusterctl events --socket /run/hacluster/agent.sock")
                .is_ok_and(|said| said.status.success())
        })?;
        let both = self.agents.len() == 2;
        wait_for("all nodes answer, one is master", LIMIT, || {
            let Ok(said) = self.run("node1", "haclusterctl status") else { return false };
            let text = String::from_utf8_lossy(&said.stdout).to_lowercase();
            text.contains("master") && (!both || said.status.success())
        })
    }
}

fn documents(names: &[&str]) -> Result<()> {
    if Command::new("unshare").arg("--version").output().is_err() {
        return Err(Skip("needs unshare: apt-get install util-linux".to_owned()).into());
    }
    let blocks: Vec<_> =
        names.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let empty = Topology::new("documents").network("lan");
    let topology = NODES
        .iter()
        .fold(empty, |topology, (node, address)| topology.node(node, &[("eth0", "lan", *address)]));
    Lab::run(topology, |lab| {
        let mut stage = Stage { lab, agents: BTreeMap::new() };
        stage.prepare()?;
        for block in &blocks {
            match block {
                Block::File { node, path, text } => stage.write(node, path, text)?,
                Block::Command { node, line } => stage.command(node, line)?,
            }
        }
        Ok(())
    })
}

/// `haclusterctl ...` and `hacluster-agent ...` in running text and tables.
fn mentioned() -> Result<()> {
    let (agent, ctl) = (Agent::find()?.binary, Ctl::find()?.binary);
    let mut count = 0;
    let documents = fs::read_dir(DOCUMENTS)?.filter_map(|entry| Some(entry.ok()?.path()));
    for document in documents.chain([PathBuf::from(README)]) {
        let text = fs::read_to_string(&document)?;
        let commands = text.split(['`', '\n', '|']).map(str::trim);
        for command in
            commands.filter_map(|line| line.split_once("$ ").map_or(Some(line), |(_, line)| Some(line)))
        {
            let Some((program, rest)) = command.split_once(' ') else { continue };
            let program = match program {
                "haclusterctl" => &ctl,
                "hacluster-agent" => &agent,
                _ => continue,
            };
            exists(program, rest).with_context(|| format!("{}: `{command}`", document.display()))?;
            count += 1;
        }
    }
    ensure!(count > 30, "only {count} commands were found");
    Ok(())
}

/// Whether the subcommands and flags of `rest` are known.
fn exists(program: &Path, rest: &str) -> Result<()> {
    let rest = rest.split(['#', ';', '(', ')']).next().unwrap_or_default();
    let words: Vec<_> = rest.split_whitespace().map(|word| word.trim_matches(['[', ']', ','])).collect();
    let help = |path: &[&str]| -> Result<Option<String>> {
        let said = Command::new(program).args(path).arg("--help").output()?;
        Ok(said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned()))
    };
    let mut path = Vec::new();
    let mut known = help(&path)?.context("no help")?;
    for word in words.iter().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase())) {
        if *word == "help" || !known.contains("Commands:") {
            break;
        }
        path.push(*word);
        known = help(&path)?.with_context(|| format!("no command {path:?}"))?;
    }
    for flag in words.iter().filter(|word| word.starts_with('-')) {
        let flag = flag.split('=').next().unwrap_or(flag);
        ensure!(known.contains(flag), "{path:?} has no {flag}");
    }
    Ok(())
}
