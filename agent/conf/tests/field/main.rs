//! Real files from the field, one trial each, when they are present beside the repository.
//!
//! They are not part of it: where they are absent each trial counts as ignored, by name.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;

use common::{load_file, root, summary};
use hacluster_conf::{Loaded, diag::Diagnostic, diag::Severity};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};

/// Folders of files, beside the repository.
const FOLDERS: [&str; 4] =
    ["seed-configs", "seed-configs/composed", "seed-configs/004-decoded", "config-probes"];

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

/// keepalived finds nothing wrong in these: neither may we.
const CLEAN: [&str; 6] = [
    "02-000-node11-master",
    "03-000-node10-backup",
    "22-003-node1-master",
    "23-003-node2-backup",
    "33-004-web-master",
    "34-004-web-slave",
];

fn main() {
    let arguments = Arguments::from_args();
    let shared = root("../shared");
    let mut trials: Vec<Trial> = FOLDERS.iter().flat_map(|folder| files(&shared, folder)).collect();
    let seeds = shared.join("seed-configs");
    for (name, expected) in FACTS {
        let check = move |loaded: &Loaded| says(loaded, expected);
        trials.push(trial(format!("says/{name}"), seeds.join(format!("{name}.conf")), check));
    }
    for name in CLEAN {
        trials.push(trial(format!("clean/{name}"), seeds.join(format!("{name}.conf")), clean));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A trial for each file of `folder`, or one that is ignored where there is none.
fn files(shared: &Path, folder: &str) -> Vec<Trial> {
    let Ok(entries) = std::fs::read_dir(shared.join(folder)) else {
        return vec![trial(format!("few/{folder}"), shared.join(folder), few)];
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    paths.sort();
    let name = |path: &Path| format!("few/{folder}/{}", path.file_stem().unwrap_or_default().display());
    paths.into_iter().map(|path| trial(name(&path), path, few)).collect()
}

/// `check` on the file at `path`; ignored, with the reason, where there is none.
fn trial(
    name: String,
    path: PathBuf,
    check: impl Fn(&Loaded) -> Result<(), String> + Send + 'static,
) -> Trial {
    let absent = !path.exists();
    if absent {
        eprintln!("ignored: {name}: {} is absent", path.display());
    }
    let body = move || {
        let loaded = load_file(&path);
        check(&loaded).map_err(|why| Failed::from(format!("{why}\n{}", summary(&loaded))))
    };
    Trial::test(name, body).with_ignored_flag(absent)
}

fn says(loaded: &Loaded, expected: &[&str]) -> Result<(), String> {
    let routers = loaded.config.routers.iter().map(|router| {
        let auth = if format!("{:?}", router.authentication) == "None" { "none" } else { "PASS" };
        let addresses: Vec<String> = router.addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {auth} {}", router.vrid, router.priority, addresses.join(" "))
    });
    let found: Vec<String> = routers.collect();
    if found != expected || loaded.exit_status() == 2 {
        return Err(format!("expected {expected:?}, found {found:?}"));
    }
    Ok(())
}

/// A reader can take them in.
fn few(loaded: &Loaded) -> Result<(), String> {
    if loaded.diagnostics.len() < 60 { Ok(()) } else { Err("too many findings".to_owned()) }
}

/// Nothing is wrong, whatever is not in force yet.
fn clean(loaded: &Loaded) -> Result<(), String> {
    let wrong = |found: &Diagnostic| found.severity > Severity::Hint && found.code != "not-in-force-yet";
    if loaded.diagnostics.iter().any(wrong) { Err("findings in a clean file".to_owned()) } else { Ok(()) }
}
