//! Real files from the field, when they are present beside the repository.

use crate::{load_file, root, summary};
use std::path::PathBuf;

/// File, then `VRID priority PASS|none address...` of each virtual router.
const FACTS: &[(&str, &[&str])] = &[
    ("02-000-node11-master", &["50 100 PASS 172.18.50.50/16"]),
    ("03-000-node10-backup", &["50 98 PASS 172.18.50.50/16"]),
    ("12-000-vs2-full", &["50 98 PASS 172.18.50.50/16", "51 98 PASS 172.18.51.51/16"]),
    ("13-000-vs1-full", &["50 100 PASS 172.18.50.50/16", "51 98 PASS 172.18.51.51/16"]),
    ("14-001-web1-master", &["51 100 none 192.168.4.80/24"]),
    ("15-001-web2-backup", &["51 50 none 192.168.4.80/24"]),
    ("16-001-lvs1-master", &["51 100 none 192.168.4.15/24"]),
    ("17-001-lvs2-backup-missing-brace", &["51 50 none 192.168.4.15/24"]),
    ("18-002-master", &["51 100 PASS 192.168.224.100/24"]),
    ("19-002-backup", &["51 99 PASS 192.168.224.100/24"]),
    ("22-003-node1-master", &["51 100 PASS 192.168.1.199/32"]),
    ("23-003-node2-backup", &["51 96 PASS 192.168.1.199/32"]),
    ("24-003-node1-dual-master-lvs", &["51 100 PASS 192.168.1.198/32", "52 98 PASS 192.168.1.197/32"]),
    ("25-003-node1-track-scripts", &["51 100 PASS 192.168.1.198/24"]),
    ("33-004-web-master", &["51 100 PASS 172.16.60.129/32"]),
    ("34-004-web-slave", &["51 90 PASS 172.16.60.129/32"]),
    ("35-004-node01", &["191 201 PASS 192.168.20.187/32", "193 101 PASS 192.168.20.189/32"]),
    ("36-004-node02", &["192 201 PASS 192.168.20.188/32", "191 101 PASS 192.168.20.187/32"]),
    ("37-004-node03", &["192 101 PASS 192.168.20.188/32", "193 201 PASS 192.168.20.189/32"]),
    (
        "composed/004-node03-vrrp-strict-on",
        &["192 101 none 192.168.20.188/32", "193 201 none 192.168.20.189/32"],
    ),
    ("composed/002-master-dual-nic", &["51 100 PASS 192.168.224.100/24", "52 100 PASS 192.168.198.100/24"]),
    ("01-000-annotated-sample", &["51 100 PASS 192.168.200.16/24 192.168.200.17/32 192.168.200.18/32"]),
    ("29-004-instance-sample", &["51 100 none 192.168.200.17/24 192.168.200.18/24"]),
    ("30-004-vrrp-script-sample", &["101 90 PASS 1.1.1.1/32"]),
];

fn shared(folder: &str) -> Option<PathBuf> {
    let path = root("../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}

#[test]
fn files_of_the_field_say_what_they_say() {
    let Some(seeds) = shared("seed-configs") else { return };
    for (name, expected) in FACTS {
        let loaded = load_file(&seeds.join(format!("{name}.conf")));
        let found: Vec<String> = loaded
            .config
            .routers
            .iter()
            .map(|router| {
                let auth = if format!("{:?}", router.authentication) == "None" { "none" } else { "PASS" };
                let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
                format!("{} {} {auth} {}", router.vrid, router.priority, addresses.join(" "))
            })
            .collect();
        assert_eq!(found, *expected, "{name}\n{}", summary(&loaded));
        assert!(loaded.exit_status() < 2, "{name}");
    }
}

#[test]
fn every_file_of_the_field_ends_with_few_findings() {
    for folder in ["seed-configs", "seed-configs/composed", "seed-configs/004-decoded", "config-probes"] {
        let Some(dir) = shared(folder) else { return };
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "conf") {
                continue;
            }
            let loaded = load_file(&path);
            let shown = summary(&loaded);
            if std::env::var_os("SHOW").is_some() {
                eprintln!("=== {}\n{shown}", path.display());
            }
            assert!(loaded.diagnostics.len() < 60, "{}\n{shown}", path.display());
        }
    }
}
