//! Every keyword of the specification is known in its block and treated by its class.

use crate::{load_text, root, summary};
use hacluster_conf::diag::Severity;

/// Opens a block from the top level; `@` stands for what goes inside.
fn around(block: &str) -> String {
    let server = |inner: &str| format!("virtual_server 10.0.0.1 80 {{\n{inner}\n}}\n");
    let real = |inner: &str| server(&format!("real_server 10.0.0.2 80 {{\n{inner}\n}}"));
    match block {
        "-" => "@".to_owned(),
        "vrrp_instance" => {
            "vrrp_instance x {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.9\n}\n@\n}\n"
                .to_owned()
        }
        "authentication" | "auth_hmac" => format!("vrrp_instance x {{\n{block} {{\n@\n}}\n}}\n"),
        "virtual_server" => server("@"),
        "real_server" => real("@"),
        "url" => real("HTTP_GET {\nurl {\n@\n}\n}"),
        _ if block.ends_with("_CHECK") || block.ends_with("_GET") => real(&format!("{block} {{\n@\n}}")),
        _ => format!("{block} x {{\n@\n}}\n"),
    }
}

#[test]
fn each_keyword_of_the_specification() {
    let table = std::fs::read_to_string(root("tests/spec/keywords.tsv")).unwrap();
    let mut rows = 0;
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let [block, keyword, class] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        rows += 1;
        let loaded = load_text(around(block).replace('@', &format!("{keyword} 1")));
        let about = |code: &str| {
            let named = |d: &&hacluster_conf::diag::Diagnostic| d.message.contains(&format!("`{keyword}`"));
            loaded.diagnostics.iter().filter(named).any(|d| d.code == code)
        };
        let shown = || format!("{row}\n{}", summary(&loaded));
        assert!(!about("unknown-keyword") && !about("misplaced-keyword"), "{}", shown());
        match class {
            "S" | "C" | "R" => {}
            "D" => {
                let found = loaded.diagnostics.iter().find(|d| ["outdated", "old-name"].contains(&d.code));
                let found = found.unwrap_or_else(|| panic!("{}", shown()));
                let grade = if found.code == "outdated" { Severity::Warning } else { Severity::Hint };
                assert_eq!(found.severity, grade);
                assert!(found.label.is_some(), "the reason is missing: {}", shown());
            }
            _ => panic!("{row}"),
        }
    }
    assert!(rows >= 380, "{rows} rows");
}

#[test]
fn an_unknown_word_is_unknown_in_every_block() {
    let table = std::fs::read_to_string(root("tests/spec/keywords.tsv")).unwrap();
    let blocks: std::collections::BTreeSet<&str> =
        table.lines().filter(|row| !row.starts_with('#')).filter_map(|row| row.split('\t').next()).collect();
    for block in blocks {
        let loaded = load_text(around(block).replace('@', "no_such_keyword 1"));
        assert!(loaded.diagnostics.iter().any(|d| d.code == "unknown-keyword"), "{block}");
    }
}

/// What of VRRP waits: its blocks and keywords of classes S and C are in force but for these.
const WAITING: [(&str, &str, &str); 8] = [
    ("global_defs", "vrrp_mcast_group6", "IPv6"),
    ("global_defs", "vrrp_check_unicast_src", "unicast"),
    ("vrrp_instance", "check_unicast_src", "unicast"),
    ("vrrp_instance", "unicast_src_ip", "unicast"),
    ("vrrp_instance", "unicast_peer", "unicast"),
    ("vrrp_instance", "use_vmac", "virtual MAC"),
    ("vrrp_instance", "vmac_xmit_base", "virtual MAC"),
    ("vrrp_sync_group", "track_bfd", "BFD"),
];

/// Blocks of VRRP, and of the process.
const VRRP_BLOCKS: [&str; 8] = [
    "-",
    "global_defs",
    "vrrp_instance",
    "vrrp_sync_group",
    "vrrp_script",
    "authentication",
    "track_file",
    "vrrp_track_process",
];

#[test]
fn every_keyword_that_people_use_with_vrrp_is_in_force() {
    let table = std::fs::read_to_string(root("tests/spec/keywords.tsv")).unwrap();
    let mut rows = 0;
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let [block, keyword, class] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let waits = WAITING.iter().any(|(b, k, _)| (*b, *k) == (block, keyword));
        if !["S", "C"].contains(&class)
            || !VRRP_BLOCKS.contains(&block)
            || keyword.starts_with("virtual_server")
        {
            assert!(!waits, "{row}: no such row waits");
            continue;
        }
        rows += 1;
        let loaded = load_text(around(block).replace('@', &format!("{keyword} 1")));
        let named = |d: &&hacluster_conf::diag::Diagnostic| {
            d.code == "not-in-force-yet" && d.message.contains(&format!("`{keyword}`"))
        };
        let found = loaded.diagnostics.iter().find(named);
        assert!(found.is_none() || waits, "{row}\n{}", summary(&loaded));
    }
    assert!(rows > 100, "{rows} rows");
}
