//! The configuration in force, and whether the disk still says the same.
//!
//! ```text
//!   files --read through Recorder--> conf -> Loaded
//!                 `--> SHA-256 of all bytes, names of all files
//! ```

use crate::args::Args;
use hacluster_conf::Loaded;
use hacluster_conf::model::lvs::Lvs;
use hacluster_conf::model::{Config, Statics};
use hacluster_conf::source::{Disk, Source};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// A configuration that was read, and what it was read from.
#[derive(Debug)]
pub struct InForce {
    /// The file named on the command line.
    pub path: PathBuf,
    /// Model, findings, and texts with passwords masked.
    pub loaded: Loaded,
    /// When it was read.
    pub at: SystemTime,
    /// SHA-256, in hex, of the bytes of all files one after the other, as read (not masked):
    /// `cat FILE... | sha256sum`.
    pub hash: String,
    /// Every file that was asked for, in order.
    files: Vec<PathBuf>,
    balanced: OnceLock<Balanced>,
}

/// Fingerprints, in hex, of what all directors must have alike of virtual servers.
#[derive(Debug, Default)]
struct Balanced {
    all: String,
    /// By name.
    each: HashMap<String, String>,
}

impl InForce {
    /// Fingerprint, in hex, of what all directors must have alike of virtual servers. Another version of the
    /// agent may write another one for the same.
    pub fn balanced(&self) -> &str {
        &self.fingerprints().all
    }

    /// The same of the virtual server of this name; empty where there is none.
    pub fn balanced_as(&self, name: &str) -> &str {
        self.fingerprints().each.get(name).map_or("", String::as_str)
    }

    fn fingerprints(&self) -> &Balanced {
        self.balanced.get_or_init(|| {
            let mut hasher = Sha256::new();
            let mut each = HashMap::new();
            for service in &self.loaded.config.lvs.services {
                let text = format!("{:?}\n", service.shared());
                hasher.update(&text);
                each.insert(service.name.clone(), fingerprint(&Sha256::digest(&text)));
            }
            Balanced { all: fingerprint(&hasher.finalize()), each }
        })
    }
}

fn fingerprint(digest: &[u8]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what the command line names.
pub fn load(args: &Args) -> InForce {
    let disk = Disk { config_id: args.config_id.clone() };
    let recorder = Recorder { disk, ..Recorder::default() };
    let mut loaded = hacluster_conf::load_with(&args.config, args.agent_config.as_deref(), &recorder);
    restrict(&mut loaded.config, args);
    let Recorder { hasher, files, .. } = recorder;
    InForce {
        path: args.config.clone(),
        loaded,
        at: SystemTime::now(),
        hash: hasher.into_inner().finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        files: files.into_inner(),
        balanced: OnceLock::new(),
    }
}

/// Leaves what keepalived's `-P` and `-C` leave: one of its two processes.
fn restrict(config: &mut Config, args: &Args) {
    match (args.only_vrrp, args.only_checkers) {
        (true, false) => config.lvs = Lvs::default(),
        (false, true) => {
            config.routers.clear();
            config.groups.clear();
            config.refused.clear();
            config.statics = Statics::default();
            config.lvs.sync = None; // it follows a virtual router
            for service in &mut config.lvs.services {
                service.ha_suspend = false; // nobody here says when the address is held
            }
        }
        (true, true) | (false, false) => {}
    }
}

/// The disk, and what was read from it.
#[derive(Default)]
struct Recorder {
    disk: Disk,
    hasher: RefCell<Sha256>,
    files: RefCell<Vec<PathBuf>>,
}

impl Source for Recorder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.borrow_mut().push(path.to_owned());
        let bytes = self.disk.read(path)?;
        self.hasher.borrow_mut().update(&bytes);
        Ok(bytes)
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        self.disk.glob(base, pattern)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.disk.env(name)
    }

    fn env_names(&self, prefix: &str) -> Vec<String> {
        self.disk.env_names(prefix)
    }

    fn host_name(&self) -> String {
        self.disk.host_name()
    }

    fn own_addresses(&self) -> HashSet<IpAddr> {
        self.disk.own_addresses()
    }
}

/// How the disk compares with what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// The same.
    Loaded,
    /// Another text.
    Changed,
    /// The file cannot be read any more.
    Unreadable,
}

/// Compares the disk with what is in force; reads only what looks touched since the last time.
#[derive(Debug)]
pub struct DiskCheck {
    args: Args,
    last: Mutex<Option<Look>>,
}

/// One reading of the disk.
#[derive(Debug)]
struct Look {
    /// Files and their folders (a new file in an included folder touches the folder).
    marks: Vec<(PathBuf, Option<Mark>)>,
    hash: String,
}

/// Device, number, length and times of a file: another file, or another text, has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64, u64, u64, i64, i64, i64, i64);

impl DiskCheck {
    /// For the files that `args` names.
    pub fn new(args: Args) -> Self {
        Self { args, last: Mutex::new(None) }
    }

    /// Reads files: not for a thread that others wait for.
    pub fn compare(&self, in_force: &InForce) -> OnDisk {
        if std::fs::File::open(&in_force.path).is_err() {
            return OnDisk::Unreadable;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|look| look.marks.iter().all(|(path, at)| mark(path) == *at));
        let hash = match known {
            Some(look) => look.hash.clone(),
            None => {
                let fresh = load(&self.args);
                let look = Look { marks: marks(&fresh.files), hash: fresh.hash.clone() };
                // What was written a moment ago may be written again within one tick of the clock.
                *last = look.is_settled().then_some(look);
                fresh.hash
            }
        };
        if hash == in_force.hash { OnDisk::Loaded } else { OnDisk::Changed }
    }
}

impl Look {
    fn is_settled(&self) -> bool {
        let recent = SystemTime::now() - Duration::from_secs(2);
        let recent = recent.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.marks.iter().flat_map(|(_, mark)| mark).all(|mark| mark.3.max(mark.5) < recent as i64)
    }
}

fn marks(files: &[PathBuf]) -> Vec<(PathBuf, Option<Mark>)> {
    let mut paths: Vec<PathBuf> = files.to_vec();
    paths.extend(files.iter().filter_map(|file| file.parent()).map(Path::to_owned));
    paths.retain(|path| !path.as_os_str().is_empty());
    paths.sort();
    paths.dedup();
    paths.into_iter().map(|path| (path.clone(), mark(&path))).collect()
}

/// The mark of the file at `path`; `None` when it is not there.
pub(crate) fn mark(path: &Path) -> Option<Mark> {
    let found = std::fs::metadata(path).ok()?;
    let (mtime, ctime) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some(Mark(found.dev(), found.ino(), found.len(), mtime.0, mtime.1, ctime.0, ctime.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    const TEXT: &str = "vrrp_instance VI_1 {\n  interface eth0\n  virtual_router_id 51\n  priority 90\n  \
                        authentication {\n auth_type PASS\n auth_pass first\n }\n \
                        virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n";

    fn args(path: &Path) -> Args {
        Args::parse_from(["hacluster-agent", "--config", path.to_str().unwrap()])
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        fs::write(&file, "").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(load(&args(&file)).hash, empty);
    }

    #[test]
    fn addresses_of_this_host_are_known_to_the_findings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        let server = "real_server 127.0.0.1 80 {\n TCP_CHECK {\n}\n}\n";
        fs::write(&file, format!("virtual_server 127.0.0.1 80 {{\n{server}}}\n")).unwrap();
        let found = load(&args(&file)).loaded.diagnostics;
        let codes: Vec<_> = found.iter().map(|found| found.code).collect();
        assert_eq!(codes, ["director-is-server"], "and it is held here: {found:?}");
    }

    #[test]
    fn directors_agree_whatever_each_runs_and_disagree_over_a_weight() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        let print = |weight: u8, notify: &str| {
            let server =
                format!("real_server 192.0.2.9 80 {{\n weight {weight}\n TCP_CHECK {{\n}}\n{notify}}}\n");
            fs::write(&file, format!("virtual_server 192.0.2.1 80 {{\n{server}}}\n")).unwrap();
            load(&args(&file)).balanced().to_owned()
        };
        assert_eq!(print(1, "").len(), 32);
        assert_eq!(print(1, ""), print(1, "notify_up /bin/true\n"));
        assert_ne!(print(1, ""), print(2, ""));
    }

    /// Each of these changes what clients meet after a failover, and none of it stands in `haclusterctl lvs`.
    #[test]
    fn virtual_servers_agree_one_by_one_in_all_that_clients_meet() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        let print = |service: &str, server: &str| {
            let server =
                format!("real_server 192.0.2.9 80 {{\n{server}\nTCP_CHECK {{\nconnect_port 81\n}}\n}}\n");
            let other = "virtual_server 192.0.2.2 80 {\n}\n";
            let text = format!("{other}virtual_server 192.0.2.1 80 {{\nquorum 9\n{service}\n{server}}}\n");
            fs::write(&file, text).unwrap();
            let in_force = load(&args(&file));
            [in_force.balanced_as("192.0.2.2 80"), in_force.balanced_as("192.0.2.1 80")].map(str::to_owned)
        };
        let [other, base] = print("", "");
        assert_eq!((base.len(), other.len()), (32, 32));
        for (service, server) in [
            ("sorry_server 192.0.2.7 80", ""),
            ("hysteresis 1", ""),
            ("persistence_timeout 9", ""),
            ("persistence_timeout 9\npersistence_granularity 255.255.255.0", ""),
            ("protocol UDP\nops", ""),
            ("ha_suspend", ""),
            ("", "uthreshold 9"),
            ("", "inhibit_on_failure"),
            ("", "PING_CHECK {\n}"),
            ("", "TCP_CHECK {\nconnect_port 82\n}"),
        ] {
            let [same, changed] = print(service, server);
            assert_eq!(same, other, "the other one is as it was");
            assert_ne!(changed, base, "{service} {server}");
        }
    }

    #[test]
    fn one_half_of_keepalived_runs_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        let server = "virtual_server 192.0.2.1 80 {\n ha_suspend\n real_server 192.0.2.9 80 {\n TCP_CHECK {\n}\n}\n}\n";
        fs::write(&file, format!("{TEXT}{server}")).unwrap();
        let halves = |flags: &[&str]| {
            let line = ["hacluster-agent", "--config", file.to_str().unwrap()];
            let loaded = load(&Args::parse_from(line.iter().chain(flags))).loaded;
            let rests = loaded.config.lvs.services.iter().any(|service| service.ha_suspend);
            (loaded.config.routers.len(), loaded.config.lvs.services.len(), rests)
        };
        assert_eq!(halves(&[]), (1, 1, true));
        assert_eq!(halves(&["-P"]), (1, 0, false));
        assert_eq!(halves(&["-C"]), (0, 1, false));
        assert_eq!(halves(&["-PC", "-D"]), (1, 1, true));
    }

    #[test]
    fn a_changed_password_is_a_change_and_the_old_text_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        fs::write(&file, TEXT).unwrap();
        let (in_force, check) = (load(&args(&file)), DiskCheck::new(args(&file)));
        assert_eq!(check.compare(&in_force), OnDisk::Loaded);
        fs::write(&file, TEXT.replace("first", "other")).unwrap();
        assert_eq!(check.compare(&in_force), OnDisk::Changed);
        fs::write(&file, TEXT).unwrap();
        assert_eq!(check.compare(&in_force), OnDisk::Loaded);
        fs::remove_file(&file).unwrap();
        assert_eq!(check.compare(&in_force), OnDisk::Unreadable);
    }

    #[test]
    fn a_new_file_in_an_included_folder_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keepalived.conf");
        fs::create_dir(dir.path().join("more")).unwrap();
        fs::write(dir.path().join("more/a.conf"), TEXT).unwrap();
        fs::write(&file, "include more/*.conf\n").unwrap();
        let (in_force, check) = (load(&args(&file)), DiskCheck::new(args(&file)));
        assert_eq!(check.compare(&in_force), OnDisk::Loaded);
        fs::write(dir.path().join("more/b.conf"), "# nothing\n").unwrap();
        assert_eq!(check.compare(&in_force), OnDisk::Changed);
    }
}
