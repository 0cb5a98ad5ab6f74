//! Virtual servers in TOML: the same model as from keepalived.conf, and nothing half understood.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_conf::model::lvs::{CheckKind, Frontend, HttpVersion, VirtualServer};
use hacluster_conf::model::track::TrackerKind;
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, load};
use hacluster_core::track::Weight;
use std::path::Path;

fn read(name: &str, text: &str) -> Loaded {
    load(Path::new(name), &Memory::new(name, text).with_host("nodea"))
}

const KEEPALIVED: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.80\n }\n}\n\
virtual_server 192.0.2.80 443 {\n delay_loop 6\n lb_algo sh\n sh-port\n lb_kind DR\n persistence_timeout 50\n quorum 2\n \
hysteresis 1\n quorum_up \"/bin/up now\"\n sorry_server 198.51.100.9 443\n virtualhost www.example.org\n \
real_server 198.51.100.1 443 {\n weight 3\n uthreshold 10\n notify_down /bin/down\n \
SSL_GET {\n url {\n path /healthz\n status_code 200 204-206\n }\n url {\n path /x\n digest 9b3a0c85a887a256d6939da88aabd8cd\n \
regex OK\n regex_no_match\n }\n enable_sni\n http_protocol 1.1\n connect_timeout 2\n retry 3\n }\n \
MISC_CHECK {\n misc_path \"/bin/check -v\"\n misc_dynamic\n }\n }\n \
real_server 198.51.100.2 443 {\n inhibit_on_failure\n delay_loop 2\n TCP_CHECK {\n connect_port 80\n bindto 192.0.2.9\n }\n \
DNS_CHECK {\n type MX\n name example.org\n connect_port 53\n }\n UDP_CHECK {\n payload 0a0b\n require_reply 0x\n }\n PING_CHECK {\n }\n \
SMTP_CHECK {\n connect_port 25\n }\n }\n}\n";

const TOML: &str = r#"
[[virtual_router]]
name = "VI_1"
interface = "eth0"
vrid = 51
addresses = ["192.0.2.80"]
[[virtual_server]]
name = "192.0.2.80 443"
addresses = ["192.0.2.80:443"]
delay_loop = 6
scheduler = "sh"
flags = ["sh-port"]
forwarding = "DR"
persistence = 50
quorum = 2
hysteresis = 1
quorum_up = ["/bin/up", "now"]
sorry_server = "198.51.100.9:443"
host = "www.example.org"
[[virtual_server.real_server]]
address = "198.51.100.1:443"
weight = 3
upper_threshold = 10
notify_down = "/bin/down"
[[virtual_server.real_server.check]]
kind = "https"
version = "1.1"
timeout = 2
retry = 3
urls = [
  { path = "/healthz", status = ["200", "204-206"] },
  { path = "/x", digest = "9b3a0c85a887a256d6939da88aabd8cd", regex = "OK", forbidden = true },
]
[[virtual_server.real_server.check]]
kind = "script"
command = ["/bin/check", "-v"]
dynamic = true
[[virtual_server.real_server]]
address = "198.51.100.2:443"
inhibit_on_failure = true
delay_loop = 2
check = [
  { kind = "tcp", to = "80", from = "192.0.2.9" },
  { kind = "dns", to = "53", record = "MX", name = "example.org" },
  { kind = "udp", payload = "0a0b", reply = "0x" },
  { kind = "ping" },
  { kind = "smtp", to = "25" },
]
"#;

fn service(loaded: &Loaded) -> &VirtualServer {
    let codes: Vec<_> = loaded.diagnostics.iter().map(|found| (found.code, &found.message)).collect();
    assert_eq!(codes, [], "nothing is wrong here");
    &loaded.config.lvs.services[0]
}

#[test]
fn both_languages_say_the_same() {
    let (conf, toml) = (read("/k.conf", KEEPALIVED), read("/a.toml", TOML));
    assert_eq!(service(&toml), service(&conf));
}

#[test]
fn what_only_toml_has() {
    let text = "[lvs]\nauthorities = \"ca.pem\"\nflush_on_stop = \"all\"\ntimeout_tcp = 60\n\
        [[virtual_server]]\nname = \"web\"\naddresses = [\"192.0.2.1-3:80\", \"[2001:db8::1]:80\"]\nmarks = [7]\n\
        forwarding = \"TUN\"\n[[virtual_server.real_server]]\naddress = \"198.51.100.1:80\"\n\
        check = [{ kind = \"http\", version = \"2\" }]\n";
    let loaded = read("/etc/a.toml", text);
    let lvs = &loaded.config.lvs;
    assert_eq!(lvs.authorities.as_deref(), Some(Path::new("/etc/ca.pem")));
    assert_eq!(lvs.services[0].frontends.len(), 5);
    assert!(lvs.services[0].frontends.contains(&Frontend::Mark { mark: 7, ipv6: false }));
    let CheckKind::Http(http) = &lvs.services[0].servers[0].checks[0].kind else { panic!() };
    assert_eq!(http.version, HttpVersion::V2);
    assert!(loaded.diagnostics.iter().any(|found| found.code == "address-not-held"));
}

#[test]
fn a_layer_changes_keys_of_the_base() {
    let toml = "[[virtual_server]]\nname = \"192.0.2.80 443\"\nscheduler = \"wrr\"\npersistence = 0\nsorry_server = \"\"\n";
    let memory = Memory::new("/a.toml", format!("[global]\nkeepalived_conf = \"k.conf\"\n{toml}"))
        .with("/k.conf", KEEPALIVED)
        .with_host("nodea");
    let loaded = load(Path::new("/a.toml"), &memory);
    let service = service(&loaded);
    assert_eq!(service.scheduler.name, "wrr");
    assert!(service.persistence.is_none() && service.sorry.is_none());
    assert_eq!((service.servers.len(), service.quorum), (2, 2));
}

#[test]
fn a_peer_among_the_servers_is_told_whoever_writes_them() {
    let cluster = |peer: &str| {
        format!(
            "[api]\nlisten = \"0.0.0.0:9443\"\ncertificate = \"a\"\nkey = \"b\"\nauthority = \"c\"\n[[peer]]\nname = \
             \"nodeb\"\naddress = \"{peer}:9443\"\n"
        )
    };
    let toml = |peer: &str| read("/a.toml", &(TOML.to_owned() + &cluster(peer)));
    let below = |peer: &str| {
        let text = format!("[global]\nkeepalived_conf = \"k.conf\"\n{}", cluster(peer));
        let memory = Memory::new("/a.toml", text).with("/k.conf", KEEPALIVED).with_host("nodea");
        load(Path::new("/a.toml"), &memory)
    };
    for read in [&toml as &dyn Fn(&str) -> Loaded, &below] {
        let found = read("198.51.100.2").diagnostics;
        let [found] = &found[..] else { panic!("{found:?}") };
        let expected =
            ("director-is-server", "real server 198.51.100.2 is the other director (peer `nodeb`)");
        assert_eq!((found.code, found.message.as_str()), expected);
        assert_eq!(read("198.51.100.7").diagnostics, []);
    }
}

#[test]
fn anything_wrong_leaves_the_service_out() {
    let base = |service: &str, server: &str, check: &str| {
        format!(
            "[[virtual_server]]\nname = \"web\"\n{service}\n[[virtual_server.real_server]]\n{server}\n\
             [[virtual_server.real_server.check]]\n{check}\n"
        )
    };
    let address = "addresses = [\"192.0.2.1:80\"]";
    let server = "address = \"198.51.100.1:80\"";
    let tcp = "kind = \"tcp\"";
    assert_eq!(read("/a.toml", &base(address, server, tcp)).config.lvs.services.len(), 1);
    let service = |line: &str| base(&format!("{address}\n{line}"), server, tcp);
    let check = |line: &str| base(address, server, line);
    for (text, code) in [
        (base("", server, tcp), "missing-key"),
        (base("addresses = [\"10.0.0.0/8:80\"]", server, tcp), "bad-value"),
        (base("addresses = [\"192.0.2.1\"]", server, tcp), "contradiction"),
        (base(address, "weight = 1", tcp), "missing-key"),
        (base(address, "address = \"[2001:db8::1]:80\"", tcp), "contradiction"),
        (base(address, &format!("{server}\nlower_threshold = 1"), tcp), "contradiction"),
        (base(address, &format!("{server}\nlower_threshold = 3\nupper_threshold = 2"), tcp), "contradiction"),
        (service("scheduler = \"loadbalance\""), "bad-value"),
        (service("flags = [\"sh-port\"]"), "bad-value"),
        (service("one_packet = true"), "contradiction"),
        (service("hysteresis = 1"), "contradiction"),
        (service("delay_loop = 0"), "out-of-range"),
        (service("persistence_prefix = 24"), "contradiction"),
        (service("sorry_server = \"nowhere\""), "bad-value"),
        (service("shceduler = \"rr\""), "unknown-key"),
        (check("kind = \"https\"\nurls = [{ path = \"x\" }]"), "bad-value"),
        (check("kind = \"http\"\nurls = [{ regex = \"(?=x)\" }]"), "bad-pattern"),
        (check("kind = \"http\"\nversion = \"3\""), "bad-value"),
        (check("kind = \"tcp\"\nurls = []"), "unknown-key"),
        (check("kind = \"tcp\"\nfrom = \"2001:db8::1\""), "mixed-families"),
        (check("kind = \"script\""), "missing-key"),
        (check("kind = \"file\"\ntracker = \"x\""), "unknown-tracker"),
        (check("kind = \"udp\"\npayload = \"xyz\""), "bad-value"),
        (check("timeout = 1"), "missing-key"),
    ] {
        let loaded = read("/a.toml", &text);
        let codes: Vec<_> = loaded.diagnostics.iter().map(|found| found.code).collect();
        assert!(codes.contains(&code), "{code} in {codes:?}: {text}");
        assert!(loaded.config.lvs.services.is_empty(), "{text}");
    }
}

/// A virtual router that tracks `track`, beside two virtual servers.
fn tracking(track: &str) -> Loaded {
    let server =
        "[[virtual_server.real_server]]\naddress = \"198.51.100.1:80\"\ncheck = [{ kind = \"tcp\" }]\n";
    read(
        "/a.toml",
        &format!(
            "[[virtual_router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"192.0.2.80\"]\n\
             track = {track}\n[[virtual_server]]\nname = \"192.0.2.80 80\"\naddresses = [\"192.0.2.80:80\"]\n{server}\
             [[virtual_server]]\nname = \"web\"\naddresses = [\"192.0.2.80:443\"]\n{server}"
        ),
    )
}

#[test]
fn a_tracked_virtual_server_is_found_as_people_write_it() {
    for (typed, name) in [
        ("192.0.2.80 80", "192.0.2.80 80"),
        ("192.0.2.80:80", "192.0.2.80 80"),
        ("web", "web"),
        ("WEB", "web"),
    ] {
        let loaded = tracking(&format!("[{{ virtual_server = \"{typed}\", weight = -20 }}]"));
        assert_eq!(loaded.exit_status(), 0, "{:?}", loaded.diagnostics);
        let [of] = &loaded.config.routers[0].tracked[..] else { panic!("{typed}") };
        assert_eq!((of.tracker.kind, of.tracker.name.as_str()), (TrackerKind::VirtualServer, name));
        assert_eq!(of.weight, Some(Weight::new(-20)));
    }
}

#[test]
fn a_tracked_virtual_server_that_is_not_there_is_told_where_it_is_written() {
    let loaded = tracking("[\n{ virtual_server = \"web\" },\n{ virtual_server = \"wbe\" },\n]");
    let [found] = &loaded.diagnostics[..] else { panic!("{:?}", loaded.diagnostics) };
    assert_eq!(
        (found.code, found.message.as_str()),
        ("unknown-tracker", "no virtual server `wbe` runs: it is not tracked",)
    );
    assert_eq!(found.label.as_deref(), Some("did you mean `web`?"));
    assert_eq!(loaded.sources.line_column(found.span.as_ref().unwrap()).0, 8);
    assert_eq!((loaded.exit_status(), loaded.config.routers[0].tracked.len()), (1, 1));
}

#[test]
fn a_group_that_tracks_a_virtual_server_that_is_not_there_is_told_once() {
    let router = |name: &str, vrid: u8| {
        format!(
            "[[virtual_router]]\nname = \"{name}\"\ninterface = \"eth0\"\nvrid = {vrid}\naddresses = [\"192.0.2.{vrid}\"]\n"
        )
    };
    let group =
        "[[sync_group]]\nname = \"G\"\nmembers = [\"a\", \"b\"]\ntrack = [{ virtual_server = \"web\" }]\n";
    let loaded = read("/a.toml", &format!("{}{}{group}", router("a", 51), router("b", 52)));
    let codes: Vec<_> = loaded.diagnostics.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["unknown-tracker"], "{:?}", loaded.diagnostics);
    assert!(loaded.config.groups[0].tracked.is_empty());
    assert!(loaded.config.routers.iter().all(|router| router.tracked.is_empty()));
}

#[test]
fn what_only_pcre_has_is_told_with_its_mend() {
    let text = "[[virtual_server]]\nname = \"web\"\naddresses = [\"192.0.2.1:80\"]\n[[virtual_server.real_server]]\n\
        address = \"198.51.100.1:80\"\ncheck = [{ kind = \"http\", urls = [{ regex = \"(?!down)up\" }] }]\n";
    let loaded = read("/a.toml", text);
    let found = loaded.diagnostics.iter().find(|found| found.code == "bad-pattern").unwrap();
    let label = found.label.as_deref().unwrap();
    assert!(label.contains("negative look-ahead") && label.contains("second `url`"), "{label}");
}
