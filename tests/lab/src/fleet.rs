//! Agents that know each other: certificates, an agent.toml each, and operators who may ask them.
//!
//! ```text
//!   pki/  ca, one certificate per node      left  [agent]--mTLS--[agent] right
//!         operator.toml  viewer.toml           ^                    ^
//!              `-- haclusterctl --config ------'--------mTLS--------'
//! ```
//!
//! Everything is made by the real `haclusterctl pki`, in the lab's directory, and goes with it.

use crate::{
    agent::{Agent, write},
    ctl::Ctl,
    lab::Lab,
    node::Host,
    process::Process,
};
use anyhow::{Context, Result, ensure};
use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Output,
};

/// Where agents of a fleet listen.
pub const PORT: u16 = 9443;
/// May do everything.
pub const OPERATOR: &str = "operator";
/// May only look.
pub const VIEWER: &str = "viewer";

/// A node of a fleet; its host has the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// In certificates, peers and answers.
    pub name: String,
    /// Where its API listens.
    pub address: Ipv4Addr,
}

/// Certificates and addresses of agents that know each other.
#[derive(Clone, Debug)]
pub struct Fleet {
    agent: Agent,
    ctl: Ctl,
    folder: PathBuf,
    members: Vec<Member>,
}

impl Fleet {
    /// Makes an authority, a certificate for each of `members` (name and address), one for an
    /// [`OPERATOR`] and one for a [`VIEWER`].
    pub fn found(lab: &Lab, members: &[(&str, Ipv4Addr)]) -> Result<Self> {
        let folder = lab.directory().join("pki");
        let members = members
            .iter()
            .map(|(name, address)| Member { name: (*name).to_owned(), address: *address })
            .collect();
        let fleet = Self { agent: Agent::find()?, ctl: Ctl::find()?, folder, members };
        fleet.pki(&["init", "lab"])?;
        for member in &fleet.members {
            fleet.pki(&["node", &member.name, "--address", &member.address.to_string()])?;
        }
        for role in [OPERATOR, VIEWER] {
            fleet.pki(&[role, role])?;
            fleet.write_context(role, role)?;
        }
        Ok(fleet)
    }

    /// Runs `haclusterctl pki` in the fleet's folder; anything but success is an error.
    pub fn pki(&self, arguments: &[&str]) -> Result<String> {
        let folder = self.folder.to_string_lossy();
        let arguments = [&["pki", "--dir", &folder][..], arguments].concat();
        let output = self.ctl.command(&arguments).output().context("cannot run haclusterctl pki")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "haclusterctl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where certificates and contexts are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The nodes, in the order they were given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// `haclusterctl` as used here.
    pub fn program(&self) -> &Ctl {
        &self.ctl
    }

    /// Certificate and key that go by `name`.
    pub fn identity(&self, name: &str) -> [PathBuf; 2] {
        ["crt", "key"].map(|kind| self.folder.join(format!("{name}.{kind}")))
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The authority's key; only a test that forges certificates needs it.
    pub fn authority_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// The context file that asks all members as `who`.
    pub fn context(&self, who: &str) -> PathBuf {
        self.folder.join(format!("{who}.toml"))
    }

    /// Writes the context file `who`, with the certificate that goes by `identity`.
    pub fn write_context(&self, who: &str, identity: &str) -> Result<()> {
        let [certificate, key] = self.identity(identity);
        let text = format!(
            "current = \"lab\"\n\n[context.lab]\ncertificate = {certificate:?}\nkey = {key:?}\n\
             authority = {:?}\n\n[context.lab.nodes]\n{}",
            self.authority(),
            self.nodes()
        );
        write(&self.context(who), &text)
    }

    fn nodes(&self) -> String {
        self.members.iter().fold(String::new(), |mut text, Member { name, address }| {
            let _ = writeln!(text, "{name} = \"{address}:{PORT}\"");
            text
        })
    }

    /// The agent.toml of the member called `name`: its API, and all others as its peers.
    pub fn agent_toml(&self, name: &str) -> Result<String> {
        let own = self.members.iter().find(|member| member.name == name);
        let own = own.with_context(|| format!("{name} is not in the fleet"))?;
        let [certificate, key] = self.identity(name);
        let mut text = format!(
            "[global]\nrouter_id = \"{name}\"\n\n[api]\nlisten = \"{}:{PORT}\"\ncertificate = {certificate:?}\n\
             key = {key:?}\nauthority = {:?}\nrevoked = {:?}\n",
            own.address,
            self.authority(),
            self.folder.join("ca.crl")
        );
        for Member { name, address } in self.members.iter().filter(|member| member.name != name) {
            let _ = write!(text, "\n[[peer]]\nname = \"{name}\"\naddress = \"{address}:{PORT}\"\n");
        }
        Ok(text)
    }

    /// Starts the agent of the member that `host` is, with `config` (the text of a keepalived.conf).
    pub fn start(&self, host: &Host, config: &str) -> Result<Process> {
        self.start_with(host, config, &self.agent_toml(host.name())?)
    }

    /// As [`start`](Self::start), with another agent.toml.
    pub fn start_with(&self, host: &Host, config: &str, agent_toml: &str) -> Result<Process> {
        let file = host.directory().join("agent.toml");
        write(&file, agent_toml)?;
        self.agent.start_with(host, config, &["--agent-config", &file.to_string_lossy()])
    }

    /// Runs `haclusterctl` on `host` as the [`OPERATOR`].
    pub fn ctl(&self, host: &Host, arguments: &[&str]) -> Result<Output> {
        self.ctl_as(host, OPERATOR, arguments)
    }

    /// Runs `haclusterctl` on `host` with the context file `who`.
    pub fn ctl_as(&self, host: &Host, who: &str, arguments: &[&str]) -> Result<Output> {
        let file = self.context(who);
        let file = file.to_string_lossy();
        self.ctl.run(host, &[&["--config", &file][..], arguments].concat())
    }
}
