//! Several scripted agents behind TLS, and the context that names them.

use super::fake::{Fake, Script};
use super::{command, told};
use hacluster_proto::tls::Files;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// node1, node2, ... of the context `web`; asked as the operator alice.
pub struct FakeCluster {
    dir: tempfile::TempDir,
    pub nodes: Vec<Fake>,
}

impl FakeCluster {
    /// One node per script. `dead` more are in the context and take no connections.
    pub fn start(scripts: Vec<Script>, dead: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki").display().to_string();
        let make = |arguments: &[&str]| run(command(&[&["pki", "--dir", &pki], arguments].concat()));
        make(&["init", "web"]);
        make(&["operator", "alice"]);
        let mut context =
            vec!["context".to_owned(), "add".into(), "web".into(), "--from-pki".into(), pki.clone()];
        context.extend(["--operator".to_owned(), "alice".into()]);
        let mut nodes = Vec::new();
        for (number, script) in scripts.into_iter().enumerate() {
            let name = format!("node{}", number + 1);
            make(&["node", &name, "--address", "127.0.0.1"]);
            let file = |ending: &str| PathBuf::from(format!("{pki}/{name}.{ending}"));
            let authority = PathBuf::from(format!("{pki}/ca.crt"));
            let files = Files { certificate: file("crt"), key: file("key"), authority, revoked: None };
            let agent = Fake::start(script);
            context.extend(["--node".to_owned(), format!("{name}={}", agent.over_tls(&files))]);
            nodes.push(agent);
        }
        for number in nodes.len()..nodes.len() + dead {
            // Bound a moment ago and free again: nobody listens there.
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            context.extend(["--node".to_owned(), format!("node{}={free}", number + 1)]);
        }
        let cluster = Self { dir, nodes };
        run(cluster.command(&context.iter().map(String::as_str).collect::<Vec<_>>()));
        cluster
    }

    /// The command, with the context in force.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("HACLUSTERCTL_CONFIG", self.dir.path().join("ctl.toml"));
        command
    }
}

fn run(mut command: Command) {
    let (status, out, err) = told(&command.output().unwrap());
    assert_eq!(status, Some(0), "{command:?}\n{out}{err}");
}
