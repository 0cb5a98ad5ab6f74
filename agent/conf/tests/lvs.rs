//! Virtual servers: what a reload tells, and texts that are meant to hurt.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_conf::diag::{Diagnostic, Severity};
use hacluster_conf::diff::diff;
use hacluster_conf::model::lvs::CheckKind;
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, load_keepalived};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

fn load(text: &str) -> Loaded {
    load_keepalived(Path::new("/k.conf"), &Memory::new("/k.conf", text).with_host("nodea"))
}

/// One service with two servers; `service`, `first` and `checks` stand in their blocks.
fn pair(service: &str, first: &str, check: &str) -> String {
    format!(
        "virtual_server 192.0.2.1 80 {{\n lb_algo wrr\n {service}\n real_server 198.51.100.1 80 {{\n {first}\n TCP_CHECK {{\n \
         {check}\n}}\n}}\n real_server 198.51.100.2 80 {{\n TCP_CHECK {{\n {check}\n}}\n}}\n}}\n"
    )
}

fn told(old: &str, new: &str) -> Vec<String> {
    let config = |text| load(text).config;
    diff(&config(old), &config(new)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_reload_tells_what_it_changes() {
    let base = pair("", "", "");
    assert_eq!(told(&base, &base), [""; 0]);
    let head = "virtual_server 192.0.2.1 80: ";
    for (service, first, check, expected) in [
        ("", "weight 2", "", "real_server 198.51.100.1 80 weight 1 -> 2"),
        ("", "", "retry 3", "every real_server retry 1 -> 3"),
        (
            "",
            "delay_loop 3",
            "",
            "real_server 198.51.100.1 80 delay_loop 60s -> 3s, real_server 198.51.100.1 80 warmup 60s -> 3s",
        ),
        ("lb_algo rr", "", "", "scheduler wrr -> rr"),
        ("lb_kind DR", "", "", "forwarding NAT -> DR, every real_server forwarding NAT -> DR"),
        ("quorum 2", "", "", "quorum 1 -> 2"),
        ("persistence_timeout 50", "", "", "persistence off -> 50s /32"),
        ("sorry_server 198.51.100.9 80", "", "", "sorry_server none -> 198.51.100.9 80 NAT"),
        ("quorum_up /bin/up", "", "", "quorum_up changed"),
        ("real_server 198.51.100.3 80 {\n}", "", "", "real_server +198.51.100.3 80 (weight 1)"),
        ("", "PING_CHECK {\n}", "", "real_server 198.51.100.1 80 checks TCP_CHECK -> PING_CHECK TCP_CHECK"),
        (
            "",
            "",
            "connect_port 81",
            "real_server 198.51.100.1 80 check_to 198.51.100.1 80 -> 198.51.100.1 81, real_server 198.51.100.2 80 check_to 198.51.100.2 80 -> 198.51.100.2 81",
        ),
    ] {
        assert_eq!(told(&base, &pair(service, first, check)), [format!("{head}{expected}")]);
    }
    let both = format!("{base}virtual_server fwmark 3 {{\n}}\n");
    assert_eq!(told(&base, &both), ["virtual_server fwmark 3: added (wlc, NAT, 0 real servers)"]);
    assert_eq!(told(&both, &base), ["virtual_server fwmark 3: removed (wlc, NAT, 0 real servers)"]);
    let global = format!("global_defs {{\n lvs_flush\n lvs_timeouts tcp 60\n}}\n{base}");
    assert_eq!(told(&base, &global), ["lvs: timeout.tcp the kernel's -> 60s", "lvs: flush false -> true"]);
}

#[test]
fn an_own_address_among_the_servers_is_told() {
    let own: IpAddr = "198.51.100.2".parse().unwrap();
    let memory = Memory::new("/k.conf", pair("lb_kind DR", "", "")).with_own_address(own);
    let loaded = load_keepalived(Path::new("/k.conf"), &memory);
    let found = loaded.diagnostics.iter().find(|found| found.code == "director-is-server").unwrap();
    assert!(found.message.contains("198.51.100.2 is an address of this node"), "{}", found.message);
}

/// Unicast is not in force: its instances are refused, and name the other director all the same.
#[test]
fn the_other_director_among_the_servers_is_told() {
    let warned = |peer: &str, kind: &str| {
        let instance = format!(
            "vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n unicast_peer {{\n {peer}\n}}\n}}\n"
        );
        let loaded = load(&(instance + &pair(kind, "", "")));
        let found = loaded.diagnostics.into_iter().find(|found| found.code == "director-is-server");
        found.map(|found| format!("{}; {}", found.message, found.notes.join(" ")))
    };
    let text = warned("198.51.100.2", "lb_kind DR").unwrap();
    let words = "real server 198.51.100.2 is the other director (unicast peer of `VI_1`); two directors";
    assert!(text.starts_with(words), "{text}");
    assert!(warned("198.51.100.2", "lb_kind NAT").unwrap().contains("answers locally"));
    assert_eq!(warned("198.51.100.7", "lb_kind DR"), None);
}

#[test]
fn five_thousand_services_load_and_compare() {
    let text = |weight: u32| {
        let mut text = String::new();
        for at in 0..5_000u32 {
            let (high, low) = (at / 250, at % 250 + 1);
            write!(text, "virtual_server 10.0.{high}.{low} 80 {{\n lb_algo wrr\n").unwrap();
            for server in 1..=5 {
                let weight = if (at, server) == (4_999, 5) { weight } else { 1 };
                write!(
                    text,
                    " real_server 10.1.{high}.{low} {server} {{\n weight {weight}\n HTTP_GET {{\n url {{\n path /\n}}\n}}\n}}\n"
                )
                .unwrap();
            }
            text.push_str("}\n");
        }
        text
    };
    let (old, new) = (load(&text(1)), load(&text(7)));
    assert_eq!(old.config.lvs.services.len(), 5_000);
    let changes = diff(&old.config, &new.config);
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["virtual_server 10.0.19.250 80: real_server 10.1.19.250 5 weight 1 -> 7"]);
}

#[test]
fn groups_do_not_explode() {
    let mut text = String::from("virtual_server_group g {\n 10.0.0.0/20 80\n}\n");
    for _ in 0..2_000 {
        text.push_str("virtual_server group g {\n protocol UDP\n}\n");
    }
    let loaded = load(&text);
    let [service] = &loaded.config.lvs.services[..] else { panic!("{}", loaded.config.lvs.services.len()) };
    assert_eq!((service.name.as_str(), service.frontends.len()), ("group g UDP", 4_096));
    assert!(loaded.diagnostics.iter().any(|found| found.code == "duplicate-service"));
    let mut text = String::new();
    for at in 0..10_000 {
        write!(text, "virtual_server_group g{at} {{\n 2001:db8:{at:x}::/116 80\n}}\n").unwrap();
    }
    let loaded = load(&text);
    let found = loaded.diagnostics.iter().filter(|found| found.code == "too-many-addresses");
    assert_eq!(found.count(), 1);
}

#[test]
fn hostile_values_are_refused_and_the_rest_runs() {
    let long = "9".repeat(2_000);
    for line in [
        format!("HTTP_GET {{\n url {{\n path /\n digest {long}\n}}\n}}"),
        format!("HTTP_GET {{\n url {{\n path /\n regex \"{}\"\n}}\n}}", "(".repeat(900)),
        "HTTP_GET {\n url {\n path /\n regex \"((a{1000}){1000}){1000}\"\n}\n}".to_owned(),
        format!("UDP_CHECK {{\n payload {}\n}}", "g".repeat(900)),
        format!("DNS_CHECK {{\n name {}\n}}", "a.".repeat(400)),
        format!("weight {long}"),
        format!("uthreshold -{long}"),
        format!("delay_loop {long}"),
        "notify_up \"\"".to_owned(),
    ] {
        let loaded = load(&pair("", &line, ""));
        let shown: String = line.chars().take(60).collect();
        assert!(loaded.diagnostics.iter().any(|found| found.severity == Severity::Error), "{shown}");
        assert!(loaded.diagnostics.iter().all(|found| found.message.len() < 400), "{shown}");
        assert_eq!(loaded.config.lvs.services[0].servers.len(), 2, "{shown}");
    }
}

/// Codes of what is told of a virtual server at 192.0.2.1 port 80 with these lines, on a director that has
/// 192.0.2.9 and holds 192.0.2.1 and 192.0.2.2.
fn warned(service: &str, servers: &[&str]) -> Vec<(&'static str, String)> {
    let router = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.1\n 192.0.2.2\n}\n}\n";
    let servers: String =
        servers.iter().map(|of| format!(" real_server {of}\n TCP_CHECK {{\n}}\n}}\n")).collect();
    let head = if service.contains("virtual_server") { "" } else { "virtual_server 192.0.2.1 80 {\n" };
    let memory = Memory::new("/k.conf", format!("{router}{head}{service}\n{servers}}}\n"));
    let loaded =
        load_keepalived(Path::new("/k.conf"), &memory.with_own_address("192.0.2.9".parse().unwrap()));
    let grade = |found: &Diagnostic| found.severity == Severity::Warning && !found.not_in_force;
    assert!(loaded.diagnostics.iter().all(grade), "{:?}", loaded.diagnostics);
    loaded.diagnostics.into_iter().map(|found| (found.code, found.message)).collect()
}

/// Each mistake of directors that keepalived takes without a word, and what is as it should be beside it.
#[test]
fn what_loads_and_cannot_work_is_warned_of() {
    let (one, two) = ("198.51.100.1 80 {", "198.51.100.2 80 {");
    let heavy = "198.51.100.1 80 {\nweight 2";
    type Row<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);
    let table: [Row<'_>; 23] = [
        ("lb_algo wrr", &[heavy, two], &[]),
        ("lb_algo rr", &[one, two], &[]),
        ("lb_algo rr", &[heavy, two], &[("weights-ignored", "weights 1 to 2 have no effect: `rr`")]),
        ("lb_algo lc", &[heavy, two], &[("weights-ignored", "weights 1 to 2 have no effect: `lc`")]),
        ("lb_algo rr", &["198.51.100.1 80 {\nweight 0", two], &[]),
        ("weight 0", &[one], &[("no-weight", "every real server of `192.0.2.1 80` has weight 0")]),
        ("sorry_server 198.51.100.9 80", &[one], &[]),
        ("sorry_server 192.0.2.2 80", &[one], &[("sorry-server-here", "address of virtual router `VI_1`")]),
        ("sorry_server 192.0.2.9 80", &[one], &[("sorry-server-here", "is an address of this node")]),
        (
            "lb_kind DR\nsorry_server 127.0.0.1 80",
            &[one],
            &[("sorry-server-here", "the director itself answers")],
        ),
        ("sorry_server 127.0.0.1 80", &[one], &[("sorry-server-here", "does not rewrite to loopback")]),
        (
            "lb_kind DR",
            &["192.0.2.9 80 {"],
            &[("director-is-server", "192.0.2.9 is an address of this node")],
        ),
        ("lb_kind DR", &["192.0.2.2 80 {"], &[("director-is-server", "of virtual router `VI_1`")]),
        ("virtual_server 192.0.2.9 80 {\nlb_kind DR", &[one], &[]),
        (
            "virtual_server 192.0.2.7 80 {\nlb_kind DR",
            &[one],
            &[("address-not-held", "no virtual router here holds 192.0.2.7 of `192.0.2.7 80`")],
        ),
        ("virtual_server fwmark 3 {\nlb_kind DR", &[one], &[]),
        ("lb_kind DR", &["198.51.100.1 8080 {"], &[("port-not-rewritten", "DR does not change the port")]),
        ("lb_kind NAT", &["198.51.100.1 8080 {"], &[]),
        ("lb_kind NAT", &["198.51.100.1 8080 {", one], &[]),
        (
            "virtual_server fwmark 3 {\nlb_kind DR",
            &["198.51.100.1 8080 {", one],
            &[("one-server", "198.51.100.1 is in the kernel's table once")],
        ),
        ("quorum 3", &[one, two], &[("unreachable-quorum", "the quorum of 3 is never reached")]),
        ("quorum 2\nhysteresis 1", &[one, two], &[("unreachable-quorum", "a lost quorum is never regained")]),
        ("", &[], &[("no-server", "virtual server `192.0.2.1 80` has no real server")]),
    ];
    for (service, servers, expected) in table {
        let found = warned(service, servers);
        let same = |(found, expected): (&(&str, String), &(&str, &str))| {
            found.0 == expected.0 && found.1.contains(expected.1)
        };
        let all = found.len() == expected.len() && found.iter().zip(expected).all(same);
        assert!(all, "{service} {servers:?}: {found:?}");
    }
}

/// The kernel takes such a server from nobody (ERANGE): it would count as up and never get a connection.
#[test]
fn a_lower_threshold_above_the_upper_one_is_left_out() {
    for (lines, said, limits) in [
        ("uthreshold 9\nlthreshold 9", None, (9, 9)),
        ("uthreshold 9\nlthreshold 10", Some("the lower threshold 10 is above the upper one 9"), (9, 0)),
        ("lthreshold 1", Some("a lower threshold of 1 means nothing without an upper one"), (0, 0)),
    ] {
        let loaded = load(&pair("", lines, ""));
        let errors = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let errors: Vec<_> = errors.map(|found| found.message.as_str()).collect();
        assert_eq!(errors, said.into_iter().collect::<Vec<_>>());
        let server = &loaded.config.lvs.services[0].servers[0];
        assert_eq!((server.upper_threshold, server.lower_threshold), limits, "{lines}");
    }
}

/// keepalived greets for each url by its own host; `sni_name` is for all of them.
#[test]
fn each_url_has_its_own_name_in_the_greeting() {
    let names = |block: &str, lines: &str| {
        let url = |path: &str, more: &str| format!("url {{\n path {path}\n status_code 200\n {more}\n}}\n");
        let urls = url("/a", "virtualhost a.example") + &url("/b", "virtualhost b.example") + &url("/c", "");
        let loaded = load(&pair("virtualhost c.example", &format!("{block} {{\n {lines}\n {urls}}}"), ""));
        let checks = &loaded.config.lvs.services[0].servers[0].checks;
        let Some(CheckKind::Http(http)) = checks.iter().map(|check| check.kind.clone()).next() else {
            panic!("{checks:?}")
        };
        http.urls.into_iter().map(|url| url.sni.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(names("SSL_GET", "enable_sni"), ["a.example", "b.example", "c.example"]);
    assert_eq!(names("SSL_GET", "enable_sni\n sni_name all.example"), ["all.example"; 3]);
    assert_eq!(names("SSL_GET", ""), [""; 3]);
    assert_eq!(names("HTTP_GET", "enable_sni"), [""; 3]);
}

/// Files that people run: a brace that touches a port, an old word in the wrong check, a persistence of
/// none, a missing brace at the end.
#[test]
fn quirks_of_real_files_load_and_are_told() {
    let text = "virtual_server 192.0.2.1 80{\n delay_loop 3\n lb_algo wrr\n lb_kind DR\n persistence_timeout 0\n \
        protocol TCP\n real_server 198.51.100.1 80{\n TCP_CHECK {\n connect_timeout 2\n nb_get_retry 3\n \
        delay_before_retry 1\n connect_port 80\n}\n}\n real_server 198.51.100.2 80 {\n HTTP_GET {\n url {\n \
        path /\n status_code 200\n}\n nb_get_retry 3\n}\n}\n";
    let loaded = load(text);
    let found: Vec<_> = loaded.diagnostics.iter().map(|found| (found.code, found.severity)).collect();
    let [service] = &loaded.config.lvs.services[..] else { panic!("{found:?}") };
    assert_eq!((service.servers.len(), &service.persistence), (2, &None));
    for server in &service.servers {
        assert_eq!(server.checks[0].pace.retry, 3, "the old word counts in every check");
    }
    let codes = ["address-not-held", "unclosed-block", "no-persistence", "old-name", "old-name"];
    assert_eq!(loaded.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>(), codes, "{found:?}");
    assert_eq!(loaded.exit_status(), 0, "{found:?}");
}
