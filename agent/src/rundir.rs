//! The run directory: the lock that keeps a second agent out, and the record of our addresses.
//!
//! ```text
//!   RUN_DIR/agent.lock       held while the agent lives; contains its process id
//!   RUN_DIR/addresses.json   addresses we may have put in place: a successor of a killed agent removes
//!                            those that its own configuration does not name
//!   RUN_DIR/tables           nftables tables we may have made, one a line: likewise
//!   RUN_DIR/routes.json      the same of routes and rules, see `routes`
//!   RUN_DIR/agent.sock       where the agent answers, see `api`
//! ```

mod routes;

use crate::kernel::{Fixed, Leftover};
use anyhow::{Context, bail};
use hacluster_conf::model::Config;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Tables of predecessors that are looked for.
const LEFTOVER_TABLES: usize = 16;

/// Where the agent writes unless told otherwise.
pub const DEFAULT: &str = "/run/hacluster";

/// Where the agent keeps what must survive a reboot unless told otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/hacluster";

/// The directory of what must survive a reboot: as told, else the system's, else, for an agent with a
/// run directory of its own, below that.
pub fn state_dir(told: Option<&Path>, run_dir: &Path) -> PathBuf {
    match told {
        Some(told) => told.to_owned(),
        None if run_dir == Path::new(DEFAULT) => PathBuf::from(DEFAULT_STATE),
        None => run_dir.join("state"),
    }
}

/// The locked directory; released when dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl RunDir {
    /// Creates the directory and takes its lock.
    ///
    /// # Errors
    /// When it cannot be written, or another agent holds it.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        let mend = "choose another directory with --run-dir";
        fs::create_dir_all(path).with_context(|| format!("cannot create {}; {mend}", path.display()))?;
        let lock = path.join("agent.lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&lock);
        let file = file.with_context(|| format!("cannot write {}; {mend}", lock.display()))?;
        let mut held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((_, errno)) if errno != Errno::EWOULDBLOCK => {
                bail!("cannot lock {}: {errno}; {mend}", lock.display())
            }
            Err(_) => {
                let holder = fs::read_to_string(&lock).unwrap_or_default();
                bail!(
                    "another agent (pid {}) runs with {}; stop it, or {mend}",
                    holder.trim(),
                    path.display()
                );
            }
        };
        held.set_len(0).and_then(|()| writeln!(held, "{}", std::process::id()))?;
        Ok(Self { path: path.to_owned(), _lock: held })
    }

    /// As [`lock`](Self::lock), for who only wants to read what is left: nothing is written, so that it may
    /// be done with more rights than the directory's owner has. `None` when there was no agent, or one runs.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn abandoned(path: &Path) -> anyhow::Result<Option<Self>> {
        let lock = path.join("agent.lock");
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = match File::options().read(true).custom_flags(flags).open(&lock) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("cannot read {}", lock.display()))?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { path: path.to_owned(), _lock: held })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => bail!("cannot lock {}: {errno}", lock.display()),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the agent answers.
    pub fn socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    fn addresses(&self) -> PathBuf {
        self.path.join("addresses.json")
    }

    fn routes(&self) -> PathBuf {
        self.path.join("routes.json")
    }

    /// What a predecessor left recorded; nothing when it ended in order. A damaged record is no
    /// record: it must not keep the agent from starting.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let text = fs::read_to_string(self.addresses()).unwrap_or_default();
        let rows: Vec<(String, std::net::Ipv4Addr, u8)> = serde_json::from_str(&text).unwrap_or_default();
        rows.into_iter().map(|(interface, ip, prefix_len)| Leftover { interface, ip, prefix_len }).collect()
    }

    /// Records all that `configs` may put in place, and what is still there of before: addresses, and
    /// routes and rules.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn record(&self, configs: &[&Config], before: &[Leftover], fixed: &Fixed) -> anyhow::Result<()> {
        let mut rows: Vec<_> =
            before.iter().map(|row| (row.interface.clone(), row.ip, row.prefix_len)).collect();
        rows.extend(configs.iter().flat_map(|config| rows_of(config)));
        rows.sort();
        rows.dedup();
        self.record_routes(configs, fixed)?;
        self.replace(&self.addresses(), &serde_json::to_string(&rows)?)
    }

    /// Whole or not at all: a crash while writing leaves the former record.
    fn replace(&self, record: &Path, text: &str) -> anyhow::Result<()> {
        let fresh = record.with_extension("json.new");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, record)?;
        Ok(())
    }

    fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// Names of nftables tables that a predecessor may have left behind. It is for the finder to see
    /// whose they are.
    pub fn leftover_tables(&self) -> Vec<String> {
        let text = fs::read_to_string(self.tables()).unwrap_or_default();
        let names = text.lines().filter(|name| !name.is_empty() && name.len() < 128);
        names.take(LEFTOVER_TABLES).map(str::to_owned).collect()
    }

    /// Records tables that may be made from now on; those recorded before stay.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_tables(&self, names: &[String]) -> anyhow::Result<()> {
        let mut all = self.leftover_tables();
        all.extend(names.iter().cloned());
        all.sort();
        all.dedup();
        let fresh = self.path.join("tables.new");
        fs::write(&fresh, all.join("\n"))?;
        fs::rename(&fresh, self.tables())?;
        Ok(())
    }

    /// All was removed in order: nothing is left to clean.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.addresses());
        let _ = fs::remove_file(self.routes());
        let _ = fs::remove_file(self.tables());
    }
}

fn rows_of(config: &Config) -> impl Iterator<Item = (String, std::net::Ipv4Addr, u8)> + '_ {
    let of_routers = config.routers.iter().flat_map(|router| {
        let all = router.addresses.iter().chain(&router.excluded);
        all.map(|address| (address, address.dev.as_ref().unwrap_or(&router.interface)))
    });
    let fixed = config.statics.addresses.iter().filter_map(|address| Some((address, address.dev.as_ref()?)));
    of_routers.chain(fixed).map(|(address, dev)| (dev.clone(), address.ip, address.prefix_len))
}

/// Keeps of `leftovers` what `config` does not name. Decided before the first router is defined: of
/// many, the last are defined after the kernel's addresses were listed for the first ones.
pub fn keep_stale(leftovers: &mut Vec<Leftover>, config: &Config) {
    let named: std::collections::BTreeSet<_> = rows_of(config).collect();
    leftovers.retain(|row| !named.contains(&(row.interface.clone(), row.ip, row.prefix_len)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = RunDir::lock(dir.path()).unwrap();
        let message = RunDir::lock(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        assert!(message.contains("--run-dir"), "{message}");
        assert!(RunDir::abandoned(dir.path()).unwrap().is_none(), "one runs");
        drop(held);
        RunDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn who_looks_at_what_is_left_changes_nothing_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunDir::abandoned(dir.path()).unwrap().is_none(), "no agent ever ran");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        drop(RunDir::lock(dir.path()).unwrap());
        let lock = dir.path().join("agent.lock");
        let before = fs::read_to_string(&lock).unwrap();
        let left = RunDir::abandoned(dir.path()).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&lock).unwrap(), before);
        assert!(RunDir::lock(dir.path()).is_err(), "nobody starts meanwhile");
        drop(left);
        fs::rename(&lock, dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &lock).unwrap();
        RunDir::abandoned(dir.path()).unwrap_err();
    }

    #[test]
    fn state_is_kept_where_told_or_apart_from_other_agents() {
        let told = |told: Option<&str>, run: &str| state_dir(told.map(Path::new), Path::new(run));
        assert_eq!(told(Some("/srv/a"), DEFAULT), Path::new("/srv/a"));
        assert_eq!(told(None, DEFAULT), Path::new(DEFAULT_STATE));
        assert_eq!(told(None, "/tmp/a"), Path::new("/tmp/a/state"));
    }

    #[test]
    fn the_record_survives_and_damage_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::lock(dir.path()).unwrap();
        let row = Leftover { interface: "eth0".into(), ip: [192, 0, 2, 1].into(), prefix_len: 24 };
        run.record(&[], std::slice::from_ref(&row), &Fixed::default()).unwrap();
        assert_eq!(run.leftovers(), [row]);
        fs::write(run.addresses(), "[[\"eth0\",").unwrap();
        assert_eq!(run.leftovers(), []);
        run.record_tables(&["hacluster".to_owned(), "b".to_owned()]).unwrap();
        run.record_tables(&["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(run.leftover_tables(), ["a", "b", "hacluster"]);
        fs::write(run.tables(), [b'a', b'\n', 0xff]).unwrap();
        run.forget();
        assert_eq!((run.leftovers(), run.leftover_tables()), (vec![], vec![]));
    }
}
