//! `haclusterctl pki` and `context` as their users meet them: files, modes, words, and handshakes
//! with what was made.
#![allow(clippy::unwrap_used)]

#[path = "pki/authority.rs"]
mod authority;

use hacluster_proto::identity::{Identity, Role};
use hacluster_proto::tls::{Files, Material, provider};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, version::TLS13};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// A home of its own, with an authority in `pki`.
struct Stage(tempfile::TempDir);

impl Stage {
    /// Without an authority.
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn new() -> Self {
        let stage = Self::empty();
        stage.pki("init web");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("pki").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haclusterctl"));
        command.args(arguments).stdin(Stdio::null()).env("HOME", self.0.path()).current_dir(self.0.path());
        for name in ["XDG_CONFIG_HOME", "HACLUSTERCTL_CONFIG", "HACLUSTERCTL_CONTEXT", "HACLUSTER_SOCKET"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(&line.split_whitespace().collect::<Vec<_>>()).output().unwrap()
    }

    /// What it says; it must do what was asked.
    fn pki(&self, line: &str) -> String {
        done(&self.run(&format!("pki --dir pki {line}")))
    }

    /// What it complains of; it must refuse.
    fn refused(&self, line: &str) -> String {
        refused(&self.run(&format!("pki --dir pki {line}")))
    }

    fn files(&self, name: &str) -> Files {
        let [certificate, key] = ["crt", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        Files { certificate, key, authority: self.path("ca.crt"), revoked: Some(self.path("ca.crl")) }
    }

    fn identity(&self, name: &str) -> Identity {
        Material::load(&self.files(name)).unwrap().identity().clone()
    }
}

fn done(output: &Output) -> String {
    let (said, complained) = texts(output);
    assert_eq!(output.status.code(), Some(0), "{said}{complained}");
    said
}

fn refused(output: &Output) -> String {
    let (said, complained) = texts(output);
    assert_eq!(output.status.code(), Some(3), "{said}{complained}");
    assert!(complained.starts_with("error: ") && !complained.contains("os error 2)\n\n"), "{complained}");
    complained
}

fn texts(output: &Output) -> (String, String) {
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Whom `server` took for its client in a TLS 1.3 handshake, or why it took nobody.
fn handshake(server: &Files, client: &Files, server_name: &str) -> Result<Identity, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let own = Material::load(server).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(own.roots(), provider())
        .with_crls(own.revoked().to_vec())
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain().to_vec(), own.key())
        .unwrap();
    let theirs = Material::load(client).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(theirs.roots())
        .with_client_auth_cert(theirs.chain().to_vec(), theirs.key())
        .unwrap();
    let name = server_name.to_owned().try_into().unwrap();
    let asking = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut tls = ClientConnection::new(Arc::new(client), name).unwrap();
        let _ = tls.complete_io(&mut stream); // the server says how it went
        let _ = tls.complete_io(&mut stream);
    });
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let shaken = tls.complete_io(&mut stream);
    drop(stream);
    asking.join().unwrap();
    shaken.map_err(|error| error.to_string())?;
    Ok(Identity::of(&tls.peer_certificates().unwrap()[0]).unwrap())
}

#[test]
fn from_nothing_to_a_handshake_in_three_commands() {
    let stage = Stage::empty();
    assert!(stage.pki("init web").contains("pki --dir"), "names the next command");
    let said = stage.pki("node node1 --address 192.0.2.11 --address node1.example");
    for expected in ["[api]", "listen = \"192.0.2.11:9443\"", "[[peer]]", "scp"] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(stage.pki("operator alice").contains("context add"));
    let alice = handshake(&stage.files("node1"), &stage.files("alice"), "node1").unwrap();
    assert_eq!((alice.name.as_str(), alice.roles), ("alice", vec![Role::Operator]));
    stage.pki("viewer bob");
    assert_eq!(stage.identity("bob").roles, [Role::Viewer]);
    let node = stage.identity("node1");
    assert_eq!((node.node.as_deref(), node.roles), (Some("node1"), vec![Role::Peer]));
    handshake(&stage.files("node1"), &stage.files("alice"), "node2").unwrap_err();
    handshake(&stage.files("node1"), &stage.files("alice"), "node1.example").unwrap();
}

#[test]
fn secrets_are_for_the_owner_alone() {
    let stage = Stage::new();
    stage.pki("node node1");
    for dir in ["", "node1"] {
        assert_eq!(mode(&stage.path(dir)), 0o700, "{dir}");
    }
    for secret in ["ca.key", "node1.key", "node1/node1.key", "index.json"] {
        assert_eq!(mode(&stage.path(secret)), 0o600, "{secret}");
    }
    let said = stage.pki("renew node1");
    assert!(!said.contains("PRIVATE") && mode(&stage.path("node1.key")) == 0o600, "{said}");
    fs::set_permissions(stage.path("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(stage.refused("node node2").contains("chmod 600"));
}

#[test]
fn nothing_is_overwritten() {
    let stage = Stage::new();
    let before = fs::read(stage.path("ca.key")).unwrap();
    assert!(stage.refused("init web").contains("never overwritten"));
    assert!(stage.refused("init --name other").contains("never overwritten"));
    assert_eq!(fs::read(stage.path("ca.key")).unwrap(), before);
    stage.pki("operator alice");
    let serial = stage.identity("alice").serial;
    for line in ["operator alice", "viewer alice", "node ALICE"] {
        assert!(stage.refused(line).contains("pki renew alice"), "{line}");
    }
    assert_eq!(stage.identity("alice").serial, serial);
}

#[test]
fn what_others_put_there_is_not_lost() {
    let stage = Stage::new();
    let (diary, own) = (stage.path("alice/diary"), stage.path("node1/agent.toml"));
    fs::create_dir(stage.path("alice")).unwrap();
    fs::write(&diary, "").unwrap();
    assert!(stage.refused("operator alice").contains("alice/diary was not made by"));
    stage.pki("node node1");
    fs::write(&own, "").unwrap();
    assert!(stage.refused("renew node1").contains("agent.toml was not made by"));
    fs::write(stage.path("bob.crt"), "").unwrap();
    assert!(stage.refused("viewer bob").contains("bob.crt was not made by"));
    assert!(diary.exists() && own.exists());
    fs::remove_file(own).unwrap();
    stage.pki("renew node1");
}

#[test]
fn a_directory_of_others_is_not_taken() {
    let stage = Stage::empty();
    fs::create_dir(stage.path("")).unwrap();
    fs::set_permissions(stage.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(stage.path("theirs"), "").unwrap();
    assert!(stage.refused("init web").contains("chmod 700"));
    assert!(!stage.path("ca.key").exists());
    fs::remove_file(stage.path("theirs")).unwrap();
    stage.pki("init web");
    assert_eq!(mode(&stage.path("")), 0o700, "an empty one is closed");
}

#[test]
fn renewing_keeps_who_it_is_and_changes_the_key() {
    let stage = Stage::new();
    stage.pki("node node1 --address 192.0.2.11 --days 20");
    stage.pki("operator alice");
    let (before, key) = (stage.identity("node1"), fs::read(stage.path("node1.key")).unwrap());
    assert!(stage.pki("renew NODE1 --days 400").contains("at 192.0.2.11"), "addresses are kept");
    let after = stage.identity("node1");
    assert_eq!((&after.name, &after.node, &after.roles), (&before.name, &before.node, &before.roles));
    assert!(after.serial != before.serial && after.expires > before.expires);
    assert_ne!(fs::read(stage.path("node1.key")).unwrap(), key);
    handshake(&stage.files("node1"), &stage.files("alice"), "node1").unwrap();
    let key = fs::read(stage.path("node1.key")).unwrap();
    stage.pki("renew node1 --keep-key");
    assert_eq!(fs::read(stage.path("node1.key")).unwrap(), key);
    assert_ne!(stage.identity("node1").serial, after.serial);
    handshake(&stage.files("node1"), &stage.files("alice"), "node1").unwrap();
}

/// Certificate and key are in one directory that is exchanged at once.
#[test]
fn while_renewing_no_reader_finds_halves_that_do_not_fit() {
    let stage = Stage::new();
    stage.pki("node node1");
    let (mut pairs, mut serials) = (0, std::collections::BTreeSet::new());
    for _ in 0..500 {
        if pairs > 5 && serials.len() > 2 {
            return;
        }
        let mut renewing = stage.command(&["pki", "--dir", "pki", "renew", "node1"]);
        let mut renewing = renewing.stdout(Stdio::null()).spawn().unwrap();
        while renewing.try_wait().unwrap().is_none() {
            let dir = fs::File::open(stage.path("node1")).unwrap(); // there at every instant
            let inside = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
            let [certificate, key] = ["node1.crt", "node1.key"].map(|name| inside.join(name));
            let files = Files { certificate, key, authority: stage.path("ca.crt"), revoked: None };
            match Material::load(&files) {
                Ok(material) => {
                    pairs += 1;
                    serials.insert(material.identity().serial.clone());
                }
                // The old one may be gone while it is read, but never half new.
                Err(error) => assert!(error.to_string().contains("cannot be read"), "{error}"),
            }
        }
    }
    panic!("{pairs} pairs, {} certificates", serials.len());
}

#[test]
fn whoever_is_revoked_is_refused_with_all_certificates() {
    let stage = Stage::new();
    stage.pki("node node1");
    stage.pki("operator alice");
    let old = stage.0.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["alice.crt", "alice.key"] {
        fs::copy(stage.path(name), old.join(name)).unwrap();
    }
    let [certificate, key] = ["alice.crt", "alice.key"].map(|name| old.join(name));
    let former = Files { certificate, key, ..stage.files("alice") };
    stage.pki("renew alice");
    stage.pki("operator bob");
    for files in [&former, &stage.files("alice"), &stage.files("bob")] {
        handshake(&stage.files("node1"), files, "node1").unwrap();
    }
    let said = stage.pki("revoke alice --yes");
    assert!(said.contains("all 2 certificates") && said.contains("node1:"), "{said}");
    for files in [&former, &stage.files("alice")] {
        let error = handshake(&stage.files("node1"), files, "node1").unwrap_err();
        assert!(error.contains("Revoked"), "{error}");
    }
    handshake(&stage.files("node1"), &stage.files("bob"), "node1").unwrap();
    let copy = Files { revoked: Some(stage.path("node1/ca.crl")), ..stage.files("node1") };
    handshake(&copy, &former, "node1").unwrap_err();
    assert!(stage.refused("renew alice").contains("pki operator alice"));
    assert!(stage.pki("revoke alice --yes").contains("no certificate that counts"));
    stage.pki("operator alice");
    handshake(&stage.files("node1"), &stage.files("alice"), "node1").unwrap();
    assert!(handshake(&stage.files("node1"), &former, "node1").is_err(), "revoked for good");
}

#[test]
fn nothing_is_revoked_unasked() {
    let stage = Stage::new();
    stage.pki("operator alice");
    assert!(stage.refused("revoke alice").contains("--yes"), "there is no terminal to ask at");
    let said = stage.pki("revoke Alice --dry-run");
    assert!(said.contains("alice (operator) holds 1 certificate until 20"), "{said}");
    stage.pki("node node1");
    handshake(&stage.files("node1"), &stage.files("alice"), "node1").unwrap();
}

#[test]
fn what_ends_soon_is_said_and_is_1() {
    let stage = Stage::new();
    stage.pki("node node1 --days 365");
    assert!(stage.pki("list").contains("node1  node"));
    stage.pki("operator alice --days 29");
    let output = stage.run("pki --dir pki list");
    let (table, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{table}");
    let warned = ["28", "29"].map(|days| format!("! the certificate of alice ends in {days} days\n  mend: "));
    assert!(warned.iter().any(|warning| table.contains(warning)), "{table}");
    assert!(table.contains("renew alice") && table.contains("revoke alice"), "{table}");
    let output = stage.run("pki --dir pki show -o json");
    let (json, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{json}");
    for expected in ["\"days_left\": 2", "\"serial\"", "\"addresses\"", "\"warnings\"", "\"revoked\": null"] {
        assert!(json.contains(expected), "{expected}: {json}");
    }
    assert_eq!(stage.run("pki --dir pki list NODE1").status.code(), Some(0));
    stage.pki("revoke alice --yes");
    assert!(stage.pki("list").contains("revoked 2"), "revoked ones are no warning");
    assert!(stage.refused("list carol").contains("node1, alice"));
}

#[test]
fn the_authoritys_end_is_everybodys() {
    let stage = Stage::empty();
    stage.pki("init web --days 10");
    let said = stage.pki("operator alice");
    assert!(said.contains("days; the authority ends then"), "{said}");
    let ten_days = SystemTime::now() + Duration::from_secs(10 * 24 * 3600);
    assert!(stage.identity("alice").expires <= ten_days);
    let (table, _) = texts(&stage.run("pki --dir pki list"));
    assert!(table.contains("! the authority ends in"), "{table}");
}

#[test]
fn odd_words_are_refused_with_full_words() {
    let stage = Stage::new();
    for (line, expected) in [
        ("node a/b", "letters, digits"),
        ("node ..", "letters, digits"),
        ("operator ca", "name of a file"),
        ("operator x.key", "name of a file"),
        ("node n --address 192.0.2.1:9443", "give no port"),
        ("renew nobody", "it knows nobody"),
        ("revoke nobody --yes", "it knows nobody"),
        ("operator alice --days 0", "--days"),
        ("operator alice --address 192.0.2.1", "--address"),
    ] {
        assert!(stage.refused(line).contains(expected), "{line}: {}", stage.refused(line));
    }
    let entries: Vec<_> =
        fs::read_dir(stage.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries.len(), 4, "nothing half-done: {entries:?}");
    let empty = Stage::empty();
    for line in ["node node1", "list", "renew a", "revoke a --yes"] {
        assert!(empty.refused(line).contains("haclusterctl pki init"), "{line}");
    }
    let nowhere = refused(&empty.run("pki --dir /proc/hacluster init web"));
    assert!(nowhere.contains("cannot make the directory /proc/hacluster"), "{nowhere}");
}

#[test]
fn damaged_files_are_named_and_nothing_is_half_done() {
    let stage = Stage::new();
    stage.pki("operator alice");
    let index = fs::read_to_string(stage.path("index.json")).unwrap();
    fs::write(stage.path("index.json"), &index[..index.len() / 2]).unwrap();
    assert!(stage.refused("operator bob").contains("index.json is damaged"));
    fs::write(stage.path("index.json"), &index).unwrap();
    fs::rename(stage.path("ca.crl"), stage.path("away")).unwrap();
    assert!(stage.refused("node node1").contains("ca.crl"), "a node gets the list too");
    assert!(!stage.path("node1").exists() && !stage.path("node1.crt").exists());
    assert_eq!(fs::read_to_string(stage.path("index.json")).unwrap(), index);
    fs::rename(stage.path("away"), stage.path("ca.crl")).unwrap();
    stage.pki("node node1");
    let other = Stage::new();
    fs::copy(other.path("ca.key"), stage.path("ca.key")).unwrap();
    assert!(stage.refused("operator bob").contains("does not belong to ca.crt"));
    fs::remove_file(stage.path("ca.key")).unwrap();
    let said = stage.refused("operator bob");
    assert!(said.contains("ca.key is missing"), "{said}");
    assert!(stage.pki("list").contains("alice"), "looking needs no secret");
}

/// Root may write everywhere, so it asks as nobody, with a copy of the program that nobody can reach.
#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let stage = Stage::new();
    stage.pki("node node1");
    let mut command = stage.command(&["pki", "--dir", "pki", "operator", "alice"]);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let program = stage.0.path().join("haclusterctl");
        fs::copy(env!("CARGO_BIN_EXE_haclusterctl"), &program).unwrap();
        fs::set_permissions(stage.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["", "ca.key", "index.json"] {
            chown(stage.path(name), Some(NOBODY), None).unwrap();
        }
        command = Command::new(program);
        command.args(["pki", "--dir", "pki", "operator", "alice"]).current_dir(stage.0.path()).uid(NOBODY);
    }
    fs::set_permissions(stage.path(""), fs::Permissions::from_mode(0o500)).unwrap();
    let said = refused(&command.output().unwrap());
    assert!(said.contains("cannot make the directory") && said.contains("ermission denied"), "{said}");
    fs::set_permissions(stage.path("ca.key"), fs::Permissions::from_mode(0o000)).unwrap();
    let said = refused(&command.output().unwrap());
    assert!(said.contains("ca.key may not be read by you"), "{said}");
    fs::set_permissions(stage.path(""), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn commands_at_once_wait_for_each_other() {
    let stage = Stage::new();
    let names: Vec<_> = (0..8).map(|number| format!("node{number}")).collect();
    let started: Vec<_> = names
        .iter()
        .map(|name| stage.command(&["pki", "--dir", "pki", "node", name]).spawn().unwrap())
        .collect();
    for mut one in started {
        assert!(one.wait().unwrap().success());
    }
    let list = stage.pki("list");
    for name in &names {
        assert!(list.contains(name), "{name} in {list}");
        stage.identity(name);
    }
}

#[test]
fn from_the_pki_to_a_context_in_one_command() {
    let stage = Stage::new();
    stage.pki("node node1 --address 192.0.2.11");
    stage.pki("node node2 --address 2001:db8::2");
    stage.pki("operator alice");
    let add = "context add web --from-pki pki --operator alice";
    assert!(done(&stage.run(add)).contains("haclusterctl status"));
    let file = stage.0.path().join(".config/haclusterctl/config.toml");
    assert_eq!(mode(&file), 0o600);
    let text = fs::read_to_string(&file).unwrap();
    for expected in ["current = \"web\"", "node1 = \"192.0.2.11:9443\"", "node2 = \"[2001:db8::2]:9443\""] {
        assert!(text.contains(expected), "{text}");
    }
    fs::write(&file, format!("# mine\n{text}")).unwrap();
    let lab = "context add lab --node n=localhost --certificate pki/alice.crt --key pki/alice.key \
               --authority pki/ca.crt";
    assert!(done(&stage.run(lab)).contains("context use lab"), "the first stays current");
    assert_eq!(done(&stage.run("context list")), "  lab  n\n* web  node1 node2\n");
    done(&stage.run("context use lab"));
    assert!(done(&stage.run("context show")).contains("localhost:9443"));
    assert!(fs::read_to_string(&file).unwrap().contains("# mine"), "comments stay");
    assert!(done(&stage.run("context remove lab")).contains("context use NAME (web)"));
    assert!(done(&stage.run("context show web -o json")).contains("\"current\": false"));
}

#[test]
fn a_context_that_cannot_work_is_refused_when_it_is_added() {
    let stage = Stage::new();
    stage.pki("node node1 --address 192.0.2.11");
    stage.pki("node node2");
    stage.pki("operator alice");
    let by_hand = "--certificate pki/alice.crt --authority pki/ca.crt --key";
    for (line, expected) in [
        ("add web --from-pki pki --operator alice", "where node2 is reached"),
        ("add web --from-pki pki --operator node1 --node a=b:1", "is a node"),
        ("add web --from-pki pki --operator carol --node a=b:1", "it knows node1, node2, alice"),
        ("add web --from-pki nowhere --operator alice", "haclusterctl pki init"),
        ("add web --node a=b:1", "who asks?"),
        ("add a/b --node a=b:1", "cannot name a context"),
        (&format!("add web --node node1=192.0.2.11:99999 {by_hand} pki/alice.key"), "1 to 65535"),
        (&format!("add web --node a=b:1 --node a=c:1 {by_hand} pki/alice.key"), "twice"),
        (&format!("add web --node a=b:1 {by_hand} pki/node1.key"), "does not belong"),
        (&format!("add web --node a=b:1 {by_hand} absent.key"), "absent.key"),
        (&format!("add web {by_hand} pki/alice.key"), "where are the nodes?"),
        ("use web", "it has none"),
        ("remove web", "it has none"),
        ("show", "no context is current"),
    ] {
        let said = refused(&stage.run(&format!("context {line}")));
        assert!(said.contains(expected), "{line}: {said}");
    }
    assert!(!stage.0.path().join(".config").exists(), "nothing was written");
    let said = refused(&stage.run("--context web status"));
    assert!(said.contains("context add web"), "{said}");
}
