//! Trackers, scripts, mail, fifos and groups in `agent.toml`: what they mean, and what is wrong with them.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_conf::diff::diff;
use hacluster_conf::model::track::{ArgumentMatch, Pace, Probe, ProcessProbe};
use hacluster_conf::model::{Command, ScriptUser, Tracked, TrackerId, TrackerKind};
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, layered};
use hacluster_core::time::Duration;
use hacluster_core::track::Weight;
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";
const VI_1: &str = "[[virtual_router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\n\
                    addresses = [\"192.0.2.80/24\"]\n";

fn load(text: &str) -> Loaded {
    layered::load(Path::new(MAIN), &Memory::new(MAIN, text))
}

/// Loads what has nothing wrong with it.
fn fine(text: &str) -> Loaded {
    let loaded = load(text);
    assert_eq!(codes(&loaded), [""; 0], "{:?}", loaded.diagnostics);
    loaded
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|found| found.code).collect()
}

fn id(kind: TrackerKind, name: &str) -> TrackerId {
    TrackerId { kind, name: name.to_owned() }
}

fn run(argv: &[&str], user: Option<&str>) -> Command {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Command { argv, user: user.map(|user| ScriptUser { user: user.to_owned(), group: None }) }
}

#[test]
fn every_kind_of_tracker() {
    let loaded = fine(&format!(
        r#"
[[tracker]]
name = "chk_nginx"
kind = "script"
command = ["/usr/local/bin/chk_nginx", "-q"]
user = "nobody"
interval = 2.5
rise = 2
fall = 3
init_fail = true
weight = -20
[[tracker]]
name = "down"
kind = "file"
path = "/etc/hacluster/down"
init = 0
[[tracker]]
name = "nginx"
kind = "process"
process = "nginx"
arguments = ["-g", "daemon"]
match = "partial"
quorum = 2
fall_delay = 0.5
weight = 5
reverse = true
[[tracker]]
name = "web"
kind = "tcp"
address = "127.0.0.1:80"
timeout = 0.2
[[tracker]]
name = "health"
kind = "http"
url = "http://127.0.0.1:8080/health"
status = 204
{VI_1}
track = ["chk_nginx", {{ file = "down", weight = 2 }}, {{ process = "nginx" }}, {{ tcp = "web" }},
         {{ http = "health" }}, {{ interface = "eth1", weight = -10, reverse = false }}, {{ interface = "eth2" }}]
"#
    ));
    let [script, file, process, tcp, http] = &loaded.config.trackers[..] else { panic!("{loaded:?}") };
    let seconds = Duration::from_millis;
    let pace = Pace { interval: seconds(2_500), timeout: seconds(2_500), rise: 2, fall: 3, starts_bad: true };
    let command = run(&["/usr/local/bin/chk_nginx", "-q"], Some("nobody"));
    assert_eq!(script.probe, Probe::Script { command, pace });
    assert_eq!(script.weight, Weight::new(-20));
    assert_eq!(file.probe, Probe::File { path: "/etc/hacluster/down".into(), init: Some((0, false)) });
    assert_eq!(file.weight, Weight::new(1), "a file's number counts once unless said");
    let expected = ProcessProbe {
        name: "nginx".into(),
        arguments: Some((ArgumentMatch::Partial, vec!["-g".into(), "daemon".into()])),
        full_command: false,
        quorum: 2,
        quorum_max: None,
        rise_delay: Duration::ZERO,
        fall_delay: seconds(500),
    };
    assert_eq!(process.probe, Probe::Process(expected));
    assert_eq!(process.weight, Weight { points: 5, reverse: true });
    let pace = Pace { timeout: seconds(200), ..Pace::default() };
    assert_eq!(tcp.probe, Probe::Tcp { to: "127.0.0.1:80".parse().unwrap(), pace });
    let url = "http://127.0.0.1:8080/health".to_owned();
    assert_eq!(http.probe, Probe::Http { url, status: (204, 204), pace: Pace::default() });
    let used = |kind, name: &str, weight| Tracked { tracker: id(kind, name), weight };
    assert_eq!(
        loaded.config.routers[0].tracked,
        [
            used(TrackerKind::Script, "chk_nginx", None),
            used(TrackerKind::File, "down", Some(Weight::new(2))),
            used(TrackerKind::Process, "nginx", None),
            used(TrackerKind::Tcp, "web", None),
            used(TrackerKind::Http, "health", None),
            used(TrackerKind::Interface, "eth1", Some(Weight::new(-10))),
            used(TrackerKind::Interface, "eth2", None),
        ]
    );
}

#[test]
fn an_unknown_tracker_is_left_out_and_named() {
    let tracker = "[[tracker]]\nname = \"chk_nginx\"\nkind = \"file\"\npath = \"/x\"\n";
    for (written, words) in [
        ("\"chk_ngnix\"", "no tracker `chk_ngnix`"),
        ("{ file = \"chk_ngnix\" }", "no file tracker `chk_ngnix`"),
        ("{ script = \"chk_nginx\" }", "no script tracker `chk_nginx`"),
    ] {
        let loaded = load(&format!("{tracker}{VI_1}track = [{written}, \"CHK_NGINX\"]\n"));
        assert_eq!(codes(&loaded), ["unknown-tracker"], "{written}");
        assert!(loaded.diagnostics[0].message.contains(words), "{:?}", loaded.diagnostics);
        assert_eq!(loaded.exit_status(), 1);
        assert_eq!(loaded.config.routers[0].tracked.len(), 1, "the rest is tracked");
    }
    let near = load(&format!("{tracker}{VI_1}track = [\"chk_ngnix\"]\n"));
    assert_eq!(near.diagnostics[0].label.as_deref(), Some("did you mean `chk_nginx`?"));
}

#[test]
fn what_is_wrong_with_a_tracker_is_said_where_it_stands() {
    for (written, code) in [
        ("", "missing-key"),
        ("kind = \"scrpt\"", "bad-value"),
        ("kind = \"script\"", "missing-key"),
        ("kind = \"script\"\ncommand = \"pidof nginx\"", "wrong-type"),
        ("kind = \"script\"\ncommand = [1]", "wrong-type"),
        ("kind = \"script\"\ncommand = [\"\"]", "no-program"),
        ("kind = \"script\"\ncommand = [\"/x\"]\npath = \"/y\"", "unknown-key"),
        ("kind = \"script\"\ncommand = [\"/x\"]\nweight = 254", "out-of-range"),
        ("kind = \"script\"\ncommand = [\"/x\"]\ngroup = \"g\"", "missing-key"),
        ("kind = \"file\"", "missing-key"),
        ("kind = \"process\"\nprocess = \"x\"\nquorum = 2\nquorum_max = 1", "contradiction"),
        ("kind = \"tcp\"\naddress = \"localhost\"", "bad-value"),
        ("kind = \"http\"\nurl = \"https://localhost/\"", "bad-value"),
        ("kind = \"http\"\nurl = \"http://a:secret@localhost/\"", "bad-value"),
        ("kind = \"http\"\nurl = \"http://localhost/\"\nstatus = \"399-200\"", "bad-value"),
    ] {
        let loaded = load(&format!("{VI_1}[[tracker]]\nname = \"t\"\n{written}\n"));
        assert_eq!(codes(&loaded), [code], "{written}: {:?}", loaded.diagnostics);
        assert!(loaded.diagnostics[0].span.is_some(), "{written}");
        assert!(loaded.config.trackers.is_empty(), "{written}");
        assert_eq!(loaded.config.routers.len(), 1, "the virtual router runs all the same");
    }
}

#[test]
fn layers_and_environment_meet_in_a_tracker_of_keepalived_conf() {
    let conf = "vrrp_script chk {\n script \"/bin/check a\"\n interval 3\n weight -5\n}\n\
                vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n \
                track_script {\n chk\n }\n virtual_ipaddress {\n 192.0.2.80/24\n }\n}\n";
    let main = "[global]\nkeepalived_conf = \"keepalived.conf\"\n[[tracker]]\nname = \"chk\"\n\
                kind = \"script\"\nfall = 4\n";
    let source = Memory::new(MAIN, main)
        .with("/etc/hacluster/keepalived.conf", conf)
        .with_env("HACLUSTER_TRACKER__CHK__WEIGHT", "-7");
    let loaded = layered::load(Path::new(MAIN), &source);
    let [chk] = &loaded.config.trackers[..] else { panic!("{:?}", loaded.diagnostics) };
    let three = Duration::from_secs(3);
    let pace = Pace { interval: three, timeout: three, fall: 4, ..Pace::default() };
    assert_eq!(chk.probe, Probe::Script { command: run(&["/bin/check", "a"], None), pace });
    assert_eq!(chk.weight, Weight::new(-7));
    assert_eq!(loaded.config.routers[0].tracked.len(), 1);
}

#[test]
fn scripts_notifications_fifos_and_mail() {
    let loaded = fine(&format!(
        r#"
[scripts]
user = "scripts"
group = "ha"
security = true
startup = "/usr/local/bin/first"
startup_timeout = 3
[fifos]
vrrp = "/run/hacluster/vrrp.fifo"
vrrp_script = ["/usr/local/bin/reader", "-v"]
vrrp_user = "nobody"
states_on_reload = true
[mail]
to = ["root@localhost", "ops@example.com"]
from = "ha@example.com"
server = "mail.example.com"
starttls = true
login = "ha"
password_file = "/etc/hacluster/mail.password"
ca_file = "/etc/hacluster/mail-ca.pem"
alert = true
faults = false
{VI_1}
notify = {{ master = ["/etc/notify.sh", "master"], any = {{ command = ["/x"], user = "root" }}, retry = true }}
[[virtual_router]]
name = "VI_2"
interface = "eth0"
vrid = 52
addresses = ["192.0.2.81/24"]
notify = {{ mail = false, deleted = [] }}
"#
    ));
    let config = &loaded.config;
    let user = ScriptUser { user: "scripts".into(), group: Some("ha".into()) };
    assert_eq!((config.scripts.user.clone(), config.scripts.security), (Some(user), true));
    let (startup, limit) = config.scripts.startup.clone().unwrap();
    assert_eq!((startup.program(), limit), ("/usr/local/bin/first", Duration::from_secs(3)));
    let fifo = config.fifos.vrrp.as_ref().unwrap();
    assert_eq!(fifo.path, Path::new("/run/hacluster/vrrp.fifo"));
    assert_eq!(fifo.script, Some(run(&["/usr/local/bin/reader", "-v"], None)));
    assert_eq!(fifo.owner, Some(ScriptUser { user: "nobody".into(), group: None }));
    assert!(config.fifos.states_on_reload && config.fifos.all.is_none());
    let mail = config.mail.as_ref().unwrap();
    assert_eq!((mail.port, mail.starttls, mail.to.len()), (587, true, 2));
    assert_eq!(mail.login, Some(("ha".into(), "/etc/hacluster/mail.password".into())));
    assert_eq!((mail.faults, &mail.ca_file), (false, &Some("/etc/hacluster/mail-ca.pem".into())));
    let [one, two] = &config.routers[..] else { panic!() };
    assert_eq!(one.notify.master, Some(run(&["/etc/notify.sh", "master"], None)));
    assert_eq!(one.notify.any, Some(run(&["/x"], Some("root"))));
    assert!(one.notify.mail && one.notify.retry && !one.notify.tells_deleted);
    assert!(!two.notify.mail && two.notify.tells_deleted && two.notify.deleted.is_none());
}

#[test]
fn what_is_wrong_with_mail_scripts_and_fifos() {
    for (written, code) in [
        ("[mail]\nserver = \"x\"", "missing-key"),
        ("[mail]\nto = [\"a b\", \"root\"]", "bad-value"),
        ("[mail]\nto = [\"root\"]\nlogin = \"x\"", "missing-key"),
        ("[mail]\nto = [\"root\"]\nlogin = \"x\"\npassword_file = \"/x\"", "login-in-clear"),
        ("[mail]\nto = [\"root\"]\npassword = \"x\"", "unknown-key"),
        ("[fifos]\nall_script = \"/x\"", "missing-key"),
        ("[fifos]\nvrrp_user = \"root\"", "missing-key"),
        ("[scripts]\nstartup = 3", "wrong-type"),
        ("[script]\nuser = \"x\"", "unknown-key"),
    ] {
        let loaded = load(&format!("{VI_1}{written}\n"));
        assert_eq!(codes(&loaded), [code], "{written}: {:?}", loaded.diagnostics);
    }
}

#[test]
fn groups_share_their_trackers_and_leave_out_who_does_not_run() {
    let loaded = load(&format!(
        "[[tracker]]\nname = \"chk\"\nkind = \"file\"\npath = \"/x\"\n{VI_1}\
         [[virtual_router]]\nname = \"VI_2\"\ninterface = \"eth1\"\nvrid = 52\naddresses = [\"192.0.2.81/24\"]\n\
         [[sync_group]]\nname = \"VG_1\"\nmembers = [\"vi_1\", \"VI_2\", \"VI_3\"]\ntrack = [\"chk\"]\n\
         [[sync_group]]\nname = \"VG_2\"\nmembers = [\"VI_2\"]\n"
    ));
    assert_eq!(codes(&loaded), ["unknown-member", "duplicate-name", "empty-list"]);
    let [group] = &loaded.config.groups[..] else { panic!() };
    assert_eq!(group.members, ["VI_1", "VI_2"]);
    for router in &loaded.config.routers {
        let shared = Tracked { tracker: id(TrackerKind::File, "chk"), weight: Some(Weight::default()) };
        assert_eq!(router.tracked, [shared], "without weights of the group a failure faults all");
    }
}

#[test]
fn a_changed_tracker_is_one_change() {
    let text = |path| {
        format!("[[tracker]]\nname = \"t\"\nkind = \"file\"\npath = \"{path}\"\n{VI_1}track = [\"t\"]\n")
    };
    let (old, new) = (fine(&text("/x")), fine(&text("/y")));
    let changes: Vec<String> = diff(&old.config, &new.config).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["global: trackers ~file t"]);
    let changes: Vec<String> =
        diff(&old.config, &fine(VI_1).config).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["global: trackers -file t", "VI_1: track -file t"]);
}
