//! Which place is asked, and what is said about files that cannot tell.

use super::*;
use std::fs;

const WEB: &str = r#"
current = "web"
[context.web]
certificate = "pki/alice.crt"
key = "~/alice.key"
authority = "/etc/hacluster/pki/ca.crt"
nodes = { node2 = "192.0.2.12:9443", node1 = "[2001:db8::1]:9443" }
[context.lab]
certificate = "a"
key = "b"
authority = "c"
nodes = { n = "localhost:1" }
"#;

struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn env(&self) -> Surroundings {
        Surroundings {
            home: Some(self.0.path().join("me")),
            system_file: self.0.path().join("ctl.toml"),
            ..Default::default()
        }
    }

    fn users(&self, text: &str) -> PathBuf {
        let dir = self.env().user_dir().unwrap();
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.toml"), text).unwrap();
        dir
    }
}

fn name(place: Where) -> String {
    match place {
        Where::Socket(path) => path.display().to_string(),
        Where::Cluster { name, .. } => name,
    }
}

fn args(text: &str) -> ContextArgs {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        place: ContextArgs,
    }
    Line::try_parse_from(std::iter::once("x").chain(text.split_whitespace())).unwrap().place
}

#[test]
fn without_a_file_it_is_this_machines_agent() {
    let stage = Stage::new();
    let asked = |text: &str| name(resolve_in(&args(text), &stage.env()).unwrap());
    assert_eq!(asked(""), "/run/hacluster/agent.sock");
    assert_eq!(asked("--run-dir /run/x"), "/run/x/agent.sock");
    assert_eq!(asked("--run-dir /run/x --socket /y.sock"), "/y.sock");
}

#[test]
fn the_nearer_word_wins() {
    let stage = Stage::new();
    stage.users(WEB);
    let mut env = stage.env();
    assert_eq!(name(resolve_in(&args(""), &env).unwrap()), "web");
    env.context = Some("lab".into());
    assert_eq!(name(resolve_in(&args(""), &env).unwrap()), "lab");
    env.socket = Some("/s.sock".into());
    assert_eq!(name(resolve_in(&args(""), &env).unwrap()), "/s.sock");
    assert_eq!(name(resolve_in(&args("--context web"), &env).unwrap()), "web");
    assert_eq!(name(resolve_in(&args("--run-dir /r"), &env).unwrap()), "/r/agent.sock");
    let error = resolve_in(&args("--context web --socket /s"), &env).unwrap_err();
    assert!(error.is::<Usage>() && error.to_string().contains("two places"), "{error}");
}

#[test]
fn paths_are_relative_to_the_file_and_nodes_are_sorted() {
    let stage = Stage::new();
    let dir = stage.users(WEB);
    let Where::Cluster { nodes, tls, .. } = resolve_in(&args(""), &stage.env()).unwrap() else {
        panic!("a cluster")
    };
    assert_eq!(nodes[0], ("node1".to_owned(), "[2001:db8::1]:9443".to_owned()));
    assert_eq!(nodes[1].0, "node2");
    assert_eq!(tls.certificate, dir.join("pki/alice.crt"));
    assert_eq!(tls.key, stage.0.path().join("me/alice.key"));
    assert_eq!(tls.authority, Path::new("/etc/hacluster/pki/ca.crt"));
}

#[test]
fn the_users_file_comes_before_the_systems() {
    let stage = Stage::new();
    fs::write(stage.env().system_file, WEB.replace("\"web\"", "\"lab\"")).unwrap();
    assert_eq!(name(resolve_in(&args(""), &stage.env()).unwrap()), "lab");
    stage.users(WEB);
    assert_eq!(name(resolve_in(&args(""), &stage.env()).unwrap()), "web");
}

#[test]
fn errors_name_the_mend() {
    let stage = Stage::new();
    let said = |text: &str, arguments: &str| {
        stage.users(text);
        let error = resolve_in(&args(arguments), &stage.env()).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
        error.to_string()
    };
    assert!(said(WEB, "--context wob").contains("it has lab, web"));
    assert!(said("current = \"web\"", "").contains("names no context"));
    let unknown = said("[context.web]\ncertificat = \"x\"\n", "");
    assert!(unknown.contains("certificat") && unknown.contains("line 2"), "{unknown}");
    for (address, why) in [
        ("192.0.2.11", "HOST:PORT"),
        ("192.0.2.11:0", "1 to 65535"),
        (":9443", "no host"),
        ("2001:db8::1:9443", "brackets"),
        ("https://node1:9443", "no host"),
    ] {
        let text = said(&WEB.replace("192.0.2.12:9443", address), "");
        assert!(text.contains(why) && text.contains("node2"), "{text}");
    }
    let empty = WEB.replace("nodes = { n = \"localhost:1\" }", "nodes = {}");
    assert!(said(&empty, "--context lab").contains("no nodes"));
    let absent = resolve_in(&args("--config /nonexistent/c.toml"), &stage.env()).unwrap_err();
    assert!(absent.to_string().contains("context add"), "{absent}");
}

#[test]
fn a_pipe_or_a_device_is_not_waited_for() {
    let error = File::read("/dev/zero".into(), true).unwrap_err();
    assert!(error.to_string().contains("not a file"), "{error}");
}

#[test]
fn a_misspelt_variable_is_told() {
    let of = |name: &str| misspelt([name.to_owned()].into_iter());
    for (name, near) in [
        ("HACLUSTER_SOKET", "HACLUSTER_SOCKET"),
        ("HACLUSTERCTL_CONTEX", "HACLUSTERCTL_CONTEXT"),
        ("HACLUSTER_CTL_CONFIG", "HACLUSTERCTL_CONFIG"),
    ] {
        assert_eq!(of(name), [format!("warning: {name} is not used: did you mean {near}?")]);
    }
    assert!(of("HACLUSTERCTL_TIMEOUT")[0].contains("no such variable"));
    for other in VARIABLES.into_iter().chain(["HACLUSTER_OPTIONS", "HACLUSTER_AGENT__RUN_DIR", "HOME"]) {
        assert!(of(other).is_empty(), "{other}");
    }
}
