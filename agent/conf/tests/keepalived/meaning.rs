//! What keepalived makes of odd values, one rule at a time.

use crate::{codes, load_text, summary};
use hacluster_conf::diag::Severity;
use hacluster_conf::model::{Authentication, InitialState, Preemption};
use hacluster_conf::source::Memory;
use hacluster_conf::{Loaded, load_keepalived};
use hacluster_core::time::Duration;
use std::path::Path;

fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance edge {{\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {{\n10.0.0.9\n}}\n{lines}\n}}\n"
    )
}

fn load_instance(lines: &str) -> Loaded {
    load_text(instance(lines))
}

#[test]
fn priority_and_state() {
    use InitialState::{Backup, Master};
    let cases = [
        ("", 100, Backup, vec![]),
        ("state MASTER", 255, Master, vec!["no-priority"]),
        ("state master", 100, Backup, vec!["bad-state"]),
        ("state MASTER\npriority 300", 100, Master, vec!["bad-value"]),
        ("priority 0", 100, Backup, vec!["bad-value"]),
        ("priority 255", 255, Master, vec![]),
        ("state BACKUP\npriority 255", 255, Master, vec!["owner-backup"]),
        ("strict_mode\nstate MASTER\npriority 200", 200, Backup, vec!["filtered-addresses", "strict-state"]),
        ("priority 50\npriority 60", 60, Backup, vec![]),
    ];
    for (lines, priority, state, expected) in cases {
        let loaded = load_instance(lines);
        let router = &loaded.config.routers[0];
        assert_eq!((router.priority.get(), router.initial_state), (priority, state), "{lines}");
        assert_eq!(codes(&loaded), expected, "{lines}\n{}", summary(&loaded));
    }
}

#[test]
fn preemption() {
    let after = |seconds| Preemption::After(Duration::from_secs(seconds));
    let cases = [
        ("nopreempt", Preemption::Never, 0),
        ("nopreempt\npreempt", after(0), 0),
        ("preempt_delay 300", after(300), 0),
        ("preempt_delay 1001", after(0), 1),
        ("preempt_delay", after(0), 1),
        ("nopreempt\npreempt_delay 5", Preemption::Never, 1),
        ("state MASTER\npriority 9\nnopreempt\npreempt_delay 5", after(0), 2),
        ("priority 255\nnopreempt", after(0), 1),
        ("strict_mode on\naccept\npreempt_delay 5", after(0), 1),
    ];
    for (lines, expected, findings) in cases {
        let loaded = load_instance(lines);
        assert_eq!(loaded.config.routers[0].preemption, expected, "{lines}");
        assert_eq!(loaded.diagnostics.len(), findings, "{lines}\n{}", summary(&loaded));
    }
}

#[test]
fn intervals_are_whole_seconds() {
    for (written, seconds, code) in [
        ("1", 1, None),
        ("3", 3, None),
        ("0.5", 1, Some("rounded-interval")),
        ("1.4", 1, Some("rounded-interval")),
        ("1.5", 2, Some("rounded-interval")),
        ("0", 1, Some("rounded-interval")),
        ("300", 1, Some("bad-value")),
        ("1s", 1, Some("bad-value")),
    ] {
        let loaded = load_instance(&format!("advert_int {written}"));
        assert_eq!(loaded.config.routers[0].advert_interval.get(), seconds, "{written}");
        assert_eq!(codes(&loaded).first().copied(), code, "{written}");
    }
}

#[test]
fn authentication() {
    let pass = |text: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..text.len()].copy_from_slice(text);
        Authentication::Pass(bytes)
    };
    let cases = [
        ("auth_type PASS\nauth_pass ab#cd", pass(b"ab"), 0),
        ("auth_pass \"ab#cd\"\nauth_type PASS", pass(b"ab#cd"), 0),
        ("auth_type PASS\nauth_pass ab\\#cd", pass(b"ab#cd"), 0),
        ("auth_type PASS\nauth_pass 0123456789", pass(b"01234567"), 0),
        ("auth_type pass\nauth_pass 1111", Authentication::None, 1),
        ("auth_type PASS", Authentication::None, 1),
        ("auth_pass 1111", Authentication::None, 1),
    ];
    let cut = load_instance("authentication {\nauth_type PASS\nauth_pass ab#cd\n}");
    assert_eq!(codes(&cut), ["cut-password"]);
    let remark = load_instance("authentication {\nauth_type PASS\nauth_pass ab###cd\n}");
    assert_eq!(codes(&remark), [""; 0]);
    for (lines, expected, exit) in cases {
        let loaded = load_instance(&format!("authentication {{\n{lines}\n}}"));
        assert!(loaded.config.routers[0].authentication == expected, "{lines}");
        assert_eq!(loaded.exit_status(), exit, "{lines}\n{}", summary(&loaded));
    }
    let lower = load_instance("authentication {\nauth_type pass\nauth_pass 1111\n}");
    assert_eq!(lower.diagnostics.len(), 1);
    assert_eq!(lower.diagnostics[0].label.as_deref(), Some("did you mean `PASS`?"));
    assert_eq!(lower.diagnostics[0].severity, Severity::Error);
}

#[test]
fn what_changes_the_packets_is_refused_and_the_rest_runs() {
    for line in [
        "version 3",
        "use_vmac",
        "use_ipvlan",
        "unicast_peer {\n10.0.0.2\n}",
        "authentication {\nauth_type AH\nauth_pass x\n}",
        "auth_hmac {\nkey 1 00\n}",
        "virtual_ipaddress {\n10.0.0.8 use_vmac\n}",
        "virtual_router_id 0",
        "virtual_router_id 256",
        "virtual_router_id x",
        "interface a/b",
    ] {
        let alone = load_instance(line);
        assert_eq!((alone.config.routers.len(), alone.config.refused.len()), (0, 1), "{line}");
        assert_eq!(alone.exit_status(), 2, "{line}");
        let both = load_text(instance(line) + &instance("").replace("edge", "other").replace("id 7", "id 8"));
        assert_eq!((both.config.routers.len(), both.config.refused.len()), (1, 1), "{line}");
        assert_eq!(both.exit_status(), 1, "{line}");
    }
    let global = load_text("global_defs {\nvrrp_version 3\n}\n".to_owned() + &instance(""));
    assert_eq!(global.exit_status(), 2);
    let mended = load_text("global_defs {\nvrrp_version 3\n}\n".to_owned() + &instance("version 2"));
    assert_eq!(mended.exit_status(), 0, "{}", summary(&mended));
}

#[test]
fn names_must_be_defined_somewhere() {
    let others = "vrrp_sync_group g {\ngroup {\nedge nobody\n}\n}\nvrrp_script chk_nginx {\nscript /bin/true\n}\ntrack_file drain {\nfile /run/drain\n}\n";
    let cases = [
        ("track_script {\nchk_nginx weight 20\n}", vec![]),
        ("track_script {\nchk_ngnix\n}", vec!["no `vrrp_script` defines `chk_ngnix`"]),
        ("track_file {\ndrain\n}", vec![]),
        ("track_file {\nchk_nginx\n}", vec!["no `track_file` defines `chk_nginx`"]),
        ("track_process {\nx\n}", vec!["no `vrrp_track_process` defines `x`"]),
        ("track_interface {\neth9 weight 5\neth0:1\n}", vec!["`eth0:1` cannot be an interface"]),
    ];
    for (lines, expected) in cases {
        let loaded = load_text(instance(lines) + others);
        let named = |code| ["undefined-reference", "bad-interface"].contains(&code);
        let found = loaded.diagnostics.iter().filter(|found| named(found.code));
        let found: Vec<&str> = found.map(|found| found.message.as_str()).collect();
        let all: Vec<&str> = expected.into_iter().chain(["no `vrrp_instance` defines `nobody`"]).collect();
        assert_eq!(found, all, "{lines}\n{}", summary(&loaded));
    }
    let loaded = load_text(instance("track_script {\nchk_ngnix\n}") + others);
    let labels: Vec<_> = loaded.diagnostics.iter().filter_map(|found| found.label.as_deref()).collect();
    assert!(labels.contains(&"did you mean `chk_nginx`?"), "{labels:?}");
}

#[test]
fn announcements_inherit() {
    let text =
        "global_defs {\nvrrp_garp_master_delay 2\nvrrp_garp_master_repeat 3\nvrrp_garp_interval 0.5\n}\n";
    let loaded = load_text(text.to_owned() + &instance("garp_master_delay 0"));
    let garp = loaded.config.routers[0].garp;
    assert!(garp.master_delay.is_zero() && garp.lower_prio_delay.is_zero());
    assert_eq!((garp.master_repeat, garp.lower_prio_repeat), (3, 3));
    assert_eq!(garp.interval, Duration::from_millis(500));
    let strict = load_instance("strict_mode\naccept");
    assert_eq!(strict.config.routers[0].garp.lower_prio_repeat, 0);
    let zero = load_instance("garp_master_repeat 0");
    assert_eq!(zero.config.routers[0].garp.master_repeat, 1);
    assert_eq!(codes(&zero), ["out-of-range"]);
}

#[test]
fn switches() {
    for (line, on) in [("", false), (" on", true), (" off", false), (" True", true)] {
        let text = if line.is_empty() { String::new() } else { format!("vrrp_skip_check_adv_addr{line}") };
        let loaded = load_text(format!("global_defs {{\n{text}\n}}\n{}", instance("")));
        assert_eq!(loaded.config.routers[0].skip_check_adv_addr, on, "{line}");
    }
    assert!(load_instance("").config.routers[0].higher_prio_send_advert);
    assert!(!load_instance("higher_prio_send_advert off").config.routers[0].higher_prio_send_advert);
    assert!(load_instance("skip_check_adv_addr").config.routers[0].skip_check_adv_addr);
}

#[test]
fn hundreds_of_addresses() {
    let mut list = String::new();
    for n in 0..300 {
        list += &format!("10.1.{}.{}\n", n / 250, n % 250 + 1);
    }
    let loaded = load_instance(&format!("virtual_ipaddress {{\n{list}}}"));
    assert_eq!(loaded.config.routers[0].addresses.len(), 255);
    assert_eq!(codes(&loaded), vec!["too-many-addresses"; 46]);
}

#[test]
fn a_sync_length_that_the_kernel_raises_is_hinted_at() {
    for (length, expected) in [(500, vec!["out-of-range"]), (1_023, vec!["out-of-range"]), (1_024, vec![])] {
        let text = format!("global_defs {{\n lvs_sync_daemon eth0 id 1 maxlen {length}\n}}\n");
        let loaded = load_text(text + &instance(""));
        assert_eq!(loaded.config.lvs.sync.as_ref().unwrap().max_len, Some(length));
        let hints = codes(&loaded).into_iter().filter(|code| *code == "out-of-range");
        assert_eq!(hints.collect::<Vec<_>>(), expected, "{length}");
    }
}

#[test]
fn findings_are_bounded() {
    let loaded = load_text("nonsense x\n".repeat(2000) + &instance(""));
    assert_eq!(loaded.diagnostics.len(), 501);
    assert_eq!(loaded.exit_status(), 1);
    assert!(loaded.diagnostics[500].message.contains("1500 more"));
}

#[test]
fn unreadable_files() {
    let missing = load_keepalived(Path::new("/none"), &Memory::default());
    assert_eq!((missing.exit_status(), codes(&missing)), (2, vec!["unreadable"]));
    let large = load_text(vec![b'#'; (8 << 20) + 1]);
    assert_eq!(large.exit_status(), 2);
    assert_eq!(load_text("").exit_status(), 0);
}

#[test]
fn passwords_are_masked_wherever_they_are_written() {
    for text in [
        instance("authentication {\nauth_type PASS\nauth_pass hunter2 # hunter2\n}"),
        instance("authentication { auth_type PASS auth_pass hunter2 }"),
        instance("authentication {\nauth_type PASS\nautp_pass hunter2\n}"),
        instance("authentication\nauth_type PASS\nauth_pass hunter2\n}"),
        "$SECRET=hunter2\n".to_owned() + &instance("authentication {\nauth_type PASS\nauth_pass $SECRET\n}"),
        "$PART=hunter\n$SECRET=${PART}2\n".to_owned()
            + &instance("authentication {\nauth_type PASS\nauth_pass ${SECRET}\n}").replace("hunter2", ""),
        "auth_pass hunter2\n".to_owned(),
        "# auth_pass hunter2\n".to_owned() + &"a {\n".repeat(50) + "auth_pass hunter2\n",
        "$AUTH=authentication { \\\n auth_type PASS \\\n auth_pass hunter2 \\\n}\n".to_owned()
            + &instance("$AUTH"),
    ] {
        let loaded = load_text(text.clone());
        let kept = format!("{loaded:?}{}", summary(&loaded));
        assert!(!kept.contains("hunter"), "{text}\n{kept}");
    }
}

#[test]
fn included_files_are_named_in_findings() {
    let memory = Memory::new("/k/keepalived.conf", "include conf.d/*.conf\n")
        .with("/k/conf.d/a.conf", instance("priority 1000"))
        .with("/k/conf.d/b.conf", "}\n");
    let loaded = load_keepalived(Path::new("/k/keepalived.conf"), &memory);
    assert_eq!(codes(&loaded), ["bad-value", "extra-brace"]);
    let span = loaded.diagnostics[0].span.as_ref().unwrap();
    assert_eq!(loaded.sources.path(span.file), Path::new("/k/conf.d/a.conf"));
    assert_eq!(&loaded.sources.text(span.file)[span.range.clone()], "1000");
    assert_eq!(loaded.sources.paths().count(), 3);
}

#[test]
fn packet_filter() {
    let text = |lines: &str| format!("global_defs {{\n{lines}\n}}\n{}", instance("no_accept"));
    let loaded = load_text(text("nftables vips\nnftables_priority -150\nnftables_counters"));
    let filter = &loaded.config.filter;
    assert_eq!((filter.table.as_deref(), filter.priority, filter.counters), (Some("vips"), -150, true));
    assert!(loaded.config.routers[0].is_filtered());
    assert_eq!(loaded.exit_status(), 0, "{}", summary(&loaded));
    let loaded = load_text(text("vrrp_iptables INPUT\nnftables `a;b`\nnftables_priority high"));
    let filter = &loaded.config.filter;
    assert_eq!((filter.table.as_deref(), filter.priority, filter.counters), (None, -1, false));
    assert_eq!(codes(&loaded).iter().filter(|code| **code == "bad-value").count(), 2);
    assert!(codes(&loaded).contains(&"nftables-instead"), "{}", summary(&loaded));
}

#[test]
fn how_urgent_late_timers_are() {
    use hacluster_conf::model::Urgency;
    let urgency = |lines: &str| {
        let loaded = load_text(format!("global_defs {{\n{lines}\n}}\n"));
        (loaded.config.agent.urgency, loaded.diagnostics.iter().any(|d| d.not_in_force))
    };
    let of = |most, late| Some(Urgency { most, late });
    assert_eq!(urgency(""), (None, false));
    assert_eq!(urgency("max_auto_priority 20"), (of(20, Duration::from_secs(1)), false));
    let both = "min_auto_priority_delay 250000\nmax_auto_priority 99";
    assert_eq!(urgency(both), (of(99, Duration::from_millis(250)), false));
    for off in ["-1", "0"] {
        assert_eq!(urgency(&format!("max_auto_priority {off}")), (None, false));
    }
    for wrong in ["max_auto_priority 100", "max_auto_priority -2", "max_auto_priority x"] {
        assert_eq!(urgency(wrong), (None, true), "{wrong}");
    }
}
