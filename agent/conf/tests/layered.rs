//! `agent.toml`, drop-ins and environment: what they mean, and where each error is reported.

use hacluster_conf::diag::{Diagnostic, Severity};
use hacluster_conf::model::{
    Accept, Address, AddressScope, Authentication, Broadcast, InitialState, Preemption,
};
use hacluster_conf::source::{Disk, Memory};
use hacluster_conf::{Loaded, layered, render};
use hacluster_core::{interval::Seconds, priority::Priority, time::Duration, vrid::Vrid};
use std::net::Ipv4Addr;
use std::path::Path;

const MAIN: &str = "/etc/hacluster/agent.toml";
/// A virtual router that says only what it must.
const VI_1: &str =
    "[[virtual_router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.80/24\"]\n";

fn files(main: &str) -> Memory {
    Memory::new(MAIN, main)
}

fn load(source: &Memory) -> Loaded {
    layered::load(Path::new(MAIN), source)
}

/// `code line:column message (label)` of every finding.
fn findings(loaded: &Loaded) -> Vec<String> {
    let line = |d: &Diagnostic| {
        let (line, column) = d.span.as_ref().map_or((0, 0), |span| loaded.sources.line_column(span));
        let label = d.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
        format!("{} {line}:{column} {}{label}", d.code, d.message)
    };
    loaded.diagnostics.iter().map(line).collect()
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|found| found.code).collect()
}

fn shown(loaded: &Loaded) -> String {
    render::text(&loaded.diagnostics, &loaded.sources, false)
}

#[test]
fn everything_that_can_be_said() {
    let loaded = load(&files(
        r#"
[agent]
realtime_priority = 50
lock_memory = true
cpu_affinity = [1, 2]
fast_takeover = false
run_dir = "/run/x"
[global]
router_id = "n1"
mcast_group = "224.0.0.99"
startup_delay = 1.5
log_unknown_vrids = true
[[virtual_router]]
name = "VI_1"
interface = "eth0"
vrid = 51
state = "master"
priority = 150
advert_interval = 2
preempt_delay = 2.5
auth_pass = "secret"
addresses = ["192.0.2.1", { ip = "192.0.2.2/24", dev = "eth1", label = "eth1:x", scope = "link", broadcast = "+", peer = "192.0.2.9/32", no_prefix_route = true, no_track = true }]
excluded = ["192.0.2.3/25"]
source = "192.0.2.7"
down_timer_adverts = 5
lower_prio_no_advert = true
higher_prio_send_advert = false
owner_ignore_adverts = true
skip_check_adv_addr = true
accept = false
dont_track_primary = true
promote_secondaries = true
[virtual_router.garp]
master_delay = 1
master_repeat = 2
master_refresh = 60
master_refresh_repeat = 3
interval = 0.001
"#,
    ));
    // It is strict, and says that it does not accept: a word is due, and nothing else.
    assert_eq!(codes(&loaded), ["filtered-addresses"], "{}", shown(&loaded));
    let agent = &loaded.config.agent;
    assert_eq!((agent.realtime_priority, agent.lock_memory, agent.fast_takeover), (Some(50), true, false));
    assert_eq!((&agent.cpu_affinity[..], agent.run_dir.as_deref()), (&[1, 2][..], Some(Path::new("/run/x"))));
    let global = &loaded.config.global;
    assert_eq!((global.router_id.as_deref(), global.startup_delay_ms), (Some("n1"), 1500));
    assert!(global.log_unknown_vrids);
    let router = &loaded.config.routers[0];
    assert_eq!((router.vrid, router.initial_state), (Vrid::new(51).unwrap(), InitialState::Master));
    assert_eq!(router.priority, Priority::from_wire(150));
    assert_eq!(router.advert_interval, Seconds::new(2).unwrap());
    assert_eq!(router.preemption, Preemption::After(Duration::from_millis(2500)));
    assert_eq!(router.authentication, Authentication::Pass(*b"secret\0\0"));
    assert_eq!(router.mcast_group, Ipv4Addr::new(224, 0, 0, 99));
    assert_eq!(router.source, Some(Ipv4Addr::new(192, 0, 2, 7)));
    assert_eq!((router.down_timer_adverts, router.accept), (5, Accept::No));
    assert!(router.lower_prio_no_advert && !router.higher_prio_send_advert && router.owner_ignore_adverts);
    assert!(router.skip_check_adv_addr && router.dont_track_primary && router.promote_secondaries);
    assert_eq!((router.garp.master_repeat, router.garp.master_refresh_repeat), (2, 3));
    assert_eq!(router.garp.lower_prio_delay, Duration::from_secs(1), "as master_delay");
    assert_eq!(router.garp.lower_prio_repeat, 2, "as master_repeat");
    assert_eq!(router.garp.interval, Duration::from_millis(1));
    let mut second = Address::new(Ipv4Addr::new(192, 0, 2, 2), 24);
    second.dev = Some("eth1".into());
    second.label = Some("eth1:x".into());
    second.scope = AddressScope::LINK;
    second.broadcast = Broadcast::HostBitsSet;
    second.peer = Some((Ipv4Addr::new(192, 0, 2, 9), 32));
    (second.no_prefix_route, second.no_track) = (true, true);
    assert_eq!(router.addresses, [Address::new(Ipv4Addr::new(192, 0, 2, 1), 32), second]);
    assert_eq!(router.excluded, [Address::new(Ipv4Addr::new(192, 0, 2, 3), 25)]);
}

/// Text, and all that is reported of it.
const WRONG: &[(&str, &[&str])] = &[
    (
        "[agent]\nfast_takover = true",
        &["unknown-key 2:1 unknown key `fast_takover` (did you mean `fast_takeover`?)"],
    ),
    ("[global]\nzzz = 1", &["unknown-key 2:1 unknown key `zzz`"]),
    ("[agnet]", &["unknown-key 1:2 unknown table or key `agnet` (did you mean `agent`?)"]),
    ("agent = 3", &["wrong-type 1:9 `agent` must be a table (this is a whole number)"]),
    (
        "[agent]\nlock_memory = \"yes\"",
        &["wrong-type 2:15 `lock_memory` must be true or false (this is a text)"],
    ),
    (
        "[agent]\nrealtime_priority = 100\ncpu_affinity = [0, 5000, -1]",
        &[
            "out-of-range 2:21 `realtime_priority` must be a whole number from 0 to 99",
            "out-of-range 3:20 `cpu_affinity.1` must be a whole number from 0 to 1023",
        ],
    ),
    ("[global]\nstartup_delay = -1", &["out-of-range 2:17 `startup_delay` must be seconds from 0 to 3600"]),
    ("[global]\nstartup_delay = nan", &["out-of-range 2:17 `startup_delay` must be seconds from 0 to 3600"]),
    (
        "[global]\nstartup_delay = 1979-05-27",
        &["wrong-type 2:17 `startup_delay` must be seconds from 0 to 3600 (this is a date or time)"],
    ),
    (
        "[global]\nmcast_group = \"192.0.2.1\"",
        &["bad-value 2:15 `mcast_group` must be an IPv4 multicast address (224.0.0.0/4)"],
    ),
    ("[global]\nrouter_id = \"\"", &["bad-value 2:13 `router_id` must not be empty (leave it out instead)"]),
    (
        "[virtual_router]\nname = \"x\"",
        &[
            "wrong-type 1:1 `virtual_router` must be a list of tables (begin each one with [[virtual_router]])",
        ],
    ),
    (
        "[[virtual_router]]\nvrid = 1",
        &["missing-key 1:1 a virtual router needs a `name` (write name = \"VI_1\")"],
    ),
];

/// What follows a virtual router of six lines, and all that is reported of it.
const WRONG_ROUTER: &[(&str, &[&str])] = &[
    ("priorty = 90", &["unknown-key 6:1 unknown key `priorty` (did you mean `priority`?)"]),
    ("priority = 0", &["out-of-range 6:12 `priority` must be a whole number from 1 to 255"]),
    (
        "priority = 99999999999999999999999999999999999999999999",
        &["out-of-range 6:12 `priority` must be a whole number from 1 to 255"],
    ),
    (
        "priority = 300\nadvert_interval = 0.5\nstate = \"MASTR\"",
        &[
            "out-of-range 6:12 `priority` must be a whole number from 1 to 255",
            "wrong-type 7:19 `advert_interval` must be a whole number from 1 to 255 (this is a decimal number)",
            "bad-value 8:9 `state` must be one of BACKUP, MASTER (did you mean `MASTER`?)",
        ],
    ),
    (
        "auth_pass = 11112222",
        &["wrong-type 6:13 `auth_pass` must be a text in quotes (this is a whole number)"],
    ),
    (
        "preempt = false\npreempt_delay = 5",
        &["contradiction 7:17 `preempt_delay` without preemption (remove it, or set preempt = true)"],
    ),
    (
        "strict = true\nauth_pass = \"x\"",
        &[
            "contradiction 7:13 `strict` forbids authentication, which RFC 3768 removed (remove it, or set strict = false)",
        ],
    ),
    (
        "excluded = [\"192.0.2.1/33\", \"x\", 5]",
        &[
            "bad-value 6:13 not an IPv4 address with an optional prefix length (write it as \"192.0.2.1/24\")",
            "bad-value 6:29 not an IPv4 address with an optional prefix length (write it as \"192.0.2.1/24\")",
            "wrong-type 6:34 `excluded.2` must be a table (this is a whole number)",
        ],
    ),
    (
        "excluded = [{ ip = \"192.0.2.9\", label = \"0123456789abcdef\", lable = \"x\" }, { dev = \"e\" }]",
        &[
            "bad-value 6:41 `label` must be at most 15 bytes without blanks",
            "unknown-key 6:61 unknown key `lable` (did you mean `label`?)",
            "missing-key 6:76 an address needs `ip`",
        ],
    ),
    ("excluded = \"192.0.2.9\"", &["wrong-type 6:12 `excluded` must be a list in brackets (this is a text)"]),
    (
        "[virtual_router.garp]\nmaster_repat = 5\nmaster_delay = true",
        &[
            "unknown-key 7:1 unknown key `master_repat` (did you mean `master_repeat`?)",
            "wrong-type 8:16 `master_delay` must be seconds from 0 to 1000 (this is true or false)",
        ],
    ),
    (
        "[[virtual_router]]\nname = \"vi_1\"",
        &[
            "duplicate-name 7:8 virtual router `vi_1` is written twice in this file (names must differ, regardless of case)",
        ],
    ),
];

#[test]
fn every_wrong_key_is_reported_where_it_stands() {
    for (text, expected) in WRONG {
        let loaded = load(&files(text));
        assert_eq!(findings(&loaded), *expected, "{text}");
        assert!(loaded.diagnostics.iter().all(|d| d.severity == Severity::Error && d.not_in_force), "{text}");
    }
}

#[test]
fn a_virtual_router_with_an_error_is_refused_and_every_error_shown() {
    for (text, expected) in WRONG_ROUTER {
        let loaded = load(&files(&format!("{VI_1}{text}\n")));
        assert_eq!(findings(&loaded), *expected, "{text}");
        if !text.contains("[[") {
            assert_eq!(loaded.config.routers, [], "{text}");
            assert_eq!(loaded.config.refused[0].name, "VI_1", "{text}");
        }
    }
}

#[test]
fn a_virtual_router_needs_interface_and_vrid() {
    let loaded = load(&files("[[virtual_router]]\nname = \"A\"\npriority = 0\n"));
    assert_eq!(
        findings(&loaded),
        [
            "missing-key 1:1 virtual router `A` needs `interface`",
            "missing-key 1:1 virtual router `A` needs `vrid`",
            "out-of-range 3:12 `priority` must be a whole number from 1 to 255",
        ]
    );
}

#[test]
fn warnings_leave_it_running() {
    let cut = load(&files(&format!("{VI_1}auth_pass = \"123456789\"\n")));
    assert_eq!(cut.config.routers[0].authentication, Authentication::Pass(*b"12345678"));
    assert_eq!(cut.diagnostics[0].code, "password-cut");
    assert!(!shown(&cut).contains("12345"), "{}", shown(&cut));
    let none = load(&files("[[virtual_router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 1\n"));
    assert_eq!(none.diagnostics[0].code, "no-address");
    assert_eq!(none.config.routers.len(), 1);
    let twice = load(&files(&format!("{VI_1}excluded = [\"192.0.2.80/32\"]\n")));
    assert_eq!(twice.diagnostics[0].code, "duplicate-address");
}

#[test]
fn more_addresses_than_an_advert_holds() {
    let list: Vec<String> = (0..256).map(|n| format!("\"10.0.{n}.1\"")).collect();
    let text = format!(
        "[[virtual_router]]\nname = \"A\"\ninterface = \"e\"\nvrid = 1\naddresses = [{}]\n",
        list.join(",")
    );
    assert_eq!(load(&files(&text)).diagnostics[0].code, "too-many-addresses");
}

#[test]
fn one_vrid_on_one_interface_is_one_router() {
    let loaded = load(&files(&format!("{VI_1}{}", VI_1.replace("VI_1", "VI_2").replace(".80", ".81"))));
    assert_eq!(
        findings(&loaded),
        ["duplicate-vrid 9:8 virtual router `VI_2` is not run: VRID 51 on eth0 belongs to `VI_1` already"]
    );
    assert_eq!((loaded.config.routers.len(), loaded.config.refused.len()), (1, 1));
}

#[test]
fn syntax_errors_are_all_shown_and_nothing_is_used() {
    let loaded = load(&files(&format!("{VI_1}priority = \n[global\nrouter_id = \"x\n")));
    assert!(loaded.diagnostics.len() >= 2, "{:?}", findings(&loaded));
    assert!(loaded.diagnostics.iter().all(|d| d.severity == Severity::Fatal && d.code == "toml-syntax"));
    for place in ["toml-syntax 6:", "toml-syntax 7:"] {
        assert!(findings(&loaded).iter().any(|f| f.starts_with(place)), "{place} {:?}", findings(&loaded));
    }
    assert_eq!(loaded.config.routers, []);
}

#[test]
fn a_file_that_is_not_there_or_not_text() {
    let missing = layered::load(Path::new("/nowhere.toml"), &Memory::default());
    assert_eq!(
        (missing.diagnostics[0].severity, missing.diagnostics[0].code),
        (Severity::Fatal, "cannot-read")
    );
    assert!(missing.diagnostics[0].message.contains("/nowhere.toml"));
    let binary = load(&Memory::new(MAIN, b"[agent]\n\xff\xfe".to_vec()));
    assert_eq!(findings(&binary), ["not-utf8 2:1 bytes that are not UTF-8 (save the file as UTF-8)"]);
}

#[test]
fn drop_ins_are_laid_over_in_the_order_of_their_names() {
    let folder = "/etc/hacluster/agent.toml.d";
    let source = files(VI_1)
        .with(format!("{folder}/20.toml"), "[[virtual_router]]\nname = \"vi_1\"\npriority = 20\n")
        .with(
            format!("{folder}/10.toml"),
            "[[virtual_router]]\nname = \"VI_1\"\npriority = 10\npreempt = false\n[[virtual_router]]\nname = \"B\"\ninterface = \"eth1\"\nvrid = 51\nexcluded = [\"192.0.2.1\"]\n",
        )
        .with(format!("{folder}/00.conf"), "not read");
    let loaded = load(&source);
    assert_eq!(findings(&loaded), Vec::<String>::new());
    let names: Vec<&str> = loaded.config.routers.iter().map(|router| router.name.as_str()).collect();
    assert_eq!(names.len(), 2);
    assert!(names[0].eq_ignore_ascii_case("VI_1") && names[1] == "B");
    let first = &loaded.config.routers[0];
    assert_eq!((first.priority, first.preemption), (Priority::from_wire(20), Preemption::Never));
    assert_eq!(first.interface, "eth0");
}

#[test]
fn an_error_in_a_drop_in_names_the_drop_in() {
    let drop_in = "/etc/hacluster/agent.toml.d/10.toml";
    let loaded = load(&files(VI_1).with(drop_in, "[[virtual_router]]\nname = \"VI_1\"\npriority = 0\n"));
    let line = render::line(&loaded.diagnostics[0], &loaded.sources);
    assert_eq!(line, format!("{drop_in}:3:12: error: `priority` must be a whole number from 1 to 255"));
    let broken = load(&files(VI_1).with(drop_in, "= ["));
    assert_eq!(broken.config.routers, [], "half of the layers is not what was meant");
}

#[test]
fn the_environment_overrides_files() {
    let source = files(VI_1)
        .with_env("HACLUSTER_AGENT__FAST_TAKEOVER", "False")
        .with_env("HACLUSTER_AGENT__CPU_AFFINITY", "1, 3")
        .with_env("HACLUSTER_GLOBAL__ROUTER_ID", "007")
        .with_env("HACLUSTER_GLOBAL__STARTUP_DELAY", "0.5")
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__PRIORITY", "90")
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__AUTH_PASS", "0042")
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__GARP__MASTER_REPEAT", "1")
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__ADDRESSES", "192.0.2.5/24,192.0.2.6/24")
        .with_env("HACLUSTER_PRIORITY", "1")
        .with_env("HACLUSTER_CONFIG", "/x");
    let loaded = load(&source);
    assert_eq!(findings(&loaded), Vec::<String>::new());
    assert_eq!(
        (loaded.config.agent.fast_takeover, &loaded.config.agent.cpu_affinity[..]),
        (false, &[1, 3][..])
    );
    assert_eq!(loaded.config.global.router_id.as_deref(), Some("007"));
    assert_eq!(loaded.config.global.startup_delay_ms, 500);
    let router = &loaded.config.routers[0];
    assert_eq!((router.priority, router.garp.master_repeat), (Priority::from_wire(90), 1));
    assert_eq!(router.authentication, Authentication::Pass(*b"0042\0\0\0\0"), "a text, not a number");
    assert_eq!(router.addresses.len(), 2);
}

#[test]
fn an_error_in_the_environment_is_shown_as_such() {
    let source = files(VI_1).with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__PRIORITY", "high");
    let loaded = load(&source);
    insta::assert_snapshot!(shown(&loaded));
    assert_eq!(loaded.config.routers, []);
}

#[test]
fn a_router_named_by_a_number_or_oddly() {
    let numbered = files(&VI_1.replace("VI_1", "51")).with_env("HACLUSTER_VIRTUAL_ROUTER__51__PRIORITY", "9");
    assert_eq!(load(&numbered).config.routers[0].priority, Priority::from_wire(9));
    for name in ["a.b", "a[9999999999]", "a b", "Ä", "virtual_router", "a__b", "-"] {
        let loaded = load(&files(&VI_1.replace("VI_1", name)));
        assert_eq!(findings(&loaded), Vec::<String>::new(), "{name}");
        assert_eq!(loaded.config.routers[0].name, name);
    }
}

#[test]
fn an_overlay_changes_what_it_names_and_nothing_else() {
    let base = load(&files(&format!(
        "{VI_1}priority = 200\nauth_pass = \"x\"\n{}",
        VI_1.replace("VI_1", "B").replace("51", "52").replace(".80", ".81")
    )));
    let before = base.config.clone();
    let source = Memory::new(
        "/o.toml",
        "[agent]\nfast_takeover = false\n[global]\nmcast_group = \"224.0.0.9\"\n[[virtual_router]]\nname = \"vi_1\"\npriority = 50\n",
    )
    .with_env("HACLUSTER_VIRTUAL_ROUTER__B__PRIORITY", "7");
    let loaded = layered::overlay(base, Path::new("/o.toml"), &source);
    assert_eq!(findings(&loaded), Vec::<String>::new());
    let mut expected = before;
    expected.agent.fast_takeover = false;
    expected.global.mcast_group = Ipv4Addr::new(224, 0, 0, 9);
    for router in &mut expected.routers {
        router.mcast_group = Ipv4Addr::new(224, 0, 0, 9);
    }
    expected.routers[0].priority = Priority::from_wire(50);
    expected.routers[1].priority = Priority::from_wire(7);
    assert_eq!(loaded.config, expected);
}

/// What the base's own front end has said is not said again; what a layer brings about is.
#[test]
fn an_overlay_repeats_nothing_and_sees_what_it_causes() {
    let twin = VI_1.replace("VI_1", "B").replace("51", "52");
    let base = load(&files(&format!("{VI_1}{twin}")));
    assert_eq!(base.diagnostics.len(), 1, "{:?}", findings(&base));
    let quiet = layered::overlay(base.clone(), Path::new("/o.toml"), &Memory::new("/o.toml", ""));
    assert_eq!(quiet.diagnostics.len(), 1, "{:?}", findings(&quiet));
    let text = "[[virtual_router]]\nname = \"b\"\nvrid = 51\nsource = \"192.0.2.80\"\n";
    let loud = layered::overlay(base, Path::new("/o.toml"), &Memory::new("/o.toml", text));
    assert_eq!(loud.diagnostics.last().map(|found| found.code), Some("duplicate-vrid"));
    assert_eq!((loud.config.routers.len(), loud.config.refused.len()), (1, 1));
}

#[test]
fn an_overlay_cannot_name_another_base() {
    let base = load(&files(VI_1));
    let source = Memory::new("/o.toml", "[global]\nkeepalived_conf = \"x.conf\"\n");
    let loaded = layered::overlay(base, Path::new("/o.toml"), &source);
    assert_eq!(loaded.diagnostics[0].code, "base-not-used");
    assert_eq!(loaded.config.routers.len(), 1);
}

#[test]
fn several_errors_as_people_see_them() {
    let loaded = load(&files(&format!("{VI_1}priorty = 90\nauth_pass = 1234\n\n[agent]\nlock_memory = 1\n")));
    insta::assert_snapshot!(shown(&loaded));
}

#[test]
fn the_texts_that_are_kept_hold_no_password() {
    let source = files(&format!("{VI_1}auth_pass = \"hünterunter2\" # mine\npriority = 0\n"))
        .with_env("HACLUSTER_VIRTUAL_ROUTER__VI_1__AUTH_PASS", "hunter3");
    let loaded = load(&source);
    assert!(!format!("{:?}", loaded.sources).contains("unter"));
    assert!(findings(&loaded)[0].starts_with("out-of-range 7:12"), "{:?}", findings(&loaded));
}

/// A stranger's keepalived.conf as the base, with what differs on top.
#[test]
fn a_keepalived_conf_can_be_the_base() {
    let conf = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n priority 150\n virtual_ipaddress {\n 192.0.2.80/24\n }\n}\nbogus 1\n";
    let main = "[global]\nkeepalived_conf = \"k.conf\"\n[[virtual_router]]\nname = \"vi_1\"\npriority = 90\n[[virtual_router]]\nname = \"B\"\n";
    let loaded = load(&files(main).with("/etc/hacluster/k.conf", conf));
    let router = &loaded.config.routers[0];
    assert_eq!((router.name.as_str(), router.priority), ("VI_1", Priority::from_wire(90)));
    assert_eq!((loaded.config.routers.len(), loaded.config.refused.len()), (1, 1));
    let lines: Vec<String> = loaded.diagnostics.iter().map(|d| render::line(d, &loaded.sources)).collect();
    assert!(lines.iter().any(|line| line.starts_with("/etc/hacluster/k.conf:9:1: ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("/etc/hacluster/agent.toml:6:1: ")), "{lines:?}");
}

#[test]
fn a_base_that_is_not_there_is_fatal() {
    let loaded = load(&files("[global]\nkeepalived_conf = \"/none.conf\"\n"));
    assert!(loaded.diagnostics.iter().any(|d| d.severity == Severity::Fatal), "{:?}", findings(&loaded));
}

#[test]
fn both_samples_say_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config");
    let disk = Disk::default();
    let conf = hacluster_conf::load(&folder.join("keepalived.conf"), &disk);
    let toml = hacluster_conf::load(&folder.join("agent.toml"), &disk);
    assert_eq!(shown(&conf), "");
    assert_eq!(shown(&toml), "");
    assert_eq!(conf.config.routers.len(), 2);
    assert_eq!(conf.config, toml.config);
}

#[test]
fn packet_filter() {
    let loaded = load(&files(
        "[packet_filter]\ntable = \"vips\"\npriority = -150\ncounters = true\n\
         [[virtual_router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 1\naddresses = [\"192.0.2.1/24\"]\naccept = false",
    ));
    let filter = &loaded.config.filter;
    assert_eq!((filter.table.as_deref(), filter.priority, filter.counters), (Some("vips"), -150, true));
    assert!(loaded.config.routers[0].is_filtered(), "{}", shown(&loaded));
    let loaded = load(&files("[packet_filter]\ntable = \"a b\"\npriority = \"high\"\nname = \"x\""));
    assert_eq!(loaded.config.filter, Default::default());
    assert_eq!(findings(&loaded).len(), 3, "{}", shown(&loaded));
}
