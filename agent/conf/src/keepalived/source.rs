//! Where texts come from: the disk, or memory in tests.
//!
//! Contract: reading is bounded ([`MAX_FILE_BYTES`]), only regular files are opened, and globs give
//! sorted, bounded lists.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

/// Largest file that is read.
pub const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most names one glob may give.
const MAX_MATCHES: usize = 1000;

/// Files, environment and host name, as a configuration sees them.
pub trait Source {
    /// The whole of a regular file; an error for anything else or more than [`MAX_FILE_BYTES`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Files whose path matches `pattern` (`*`, `?`, `[a-z]`), relative to `base`, sorted.
    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>>;
    /// An environment variable, for `${_ENV NAME}`.
    fn env(&self, name: &str) -> Option<String>;
    /// Names of environment variables that begin with `prefix`, sorted.
    fn env_names(&self, _prefix: &str) -> Vec<String> {
        Vec::new()
    }
    /// The name `@ID` lines are compared with, whole or up to its first dot.
    fn host_name(&self) -> String;
    /// Addresses that this host has now, as far as they can be known: only warnings depend on them.
    fn own_addresses(&self) -> HashSet<IpAddr> {
        HashSet::new()
    }
}

/// The real file system.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Overrides the host name (`-i`).
    pub config_id: Option<String>,
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}

/// Many a file is its owner's alone for the password in it, and the unit runs as another user.
fn refused(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::PermissionDenied => {
            io::Error::new(kind, format!("{error}; for the unit's user: chgrp _hacluster and chmod g+r"))
        }
        _ => error,
    }
}

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Asked before opening: opening a FIFO would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(invalid("not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path).map_err(refused)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(invalid("larger than 8 MiB"));
        }
        Ok(bytes)
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![PathBuf::new()];
        for part in base.join(pattern).components() {
            let name = part.as_os_str().to_string_lossy();
            found = match part {
                Component::Normal(_) if has_magic(&name) => {
                    found.iter().flat_map(|dir| entries(dir, &name)).take(MAX_MATCHES).collect()
                }
                _ => found
                    .into_iter()
                    .map(|dir| dir.join(part))
                    .filter(|path| path.as_os_str() == ".." || path.exists())
                    .collect(),
            };
        }
        found.retain(|path| !path.is_dir());
        found.sort();
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn env_names(&self, prefix: &str) -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }

    fn host_name(&self) -> String {
        match &self.config_id {
            Some(id) => id.clone(),
            None => {
                std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
            }
        }
    }

    fn own_addresses(&self) -> HashSet<IpAddr> {
        let text = |path: &str| self.read(Path::new(path)).unwrap_or_default();
        let v4 = String::from_utf8_lossy(&text("/proc/net/fib_trie")).into_owned();
        let v6 = String::from_utf8_lossy(&text("/proc/net/if_inet6")).into_owned();
        local_v4(&v4).map(IpAddr::V4).chain(local_v6(&v6).map(IpAddr::V6)).collect()
    }
}

fn entries(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }) else {
        return Vec::new();
    };
    let mut names: Vec<_> = listing
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| matches(pattern, &name.to_string_lossy()))
        .take(MAX_MATCHES)
        .collect();
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// Local addresses of the kernel's routing tables: an address on one line, what it is on the next.
fn local_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines = trie.lines().zip(trie.lines().skip(1));
    lines
        .filter(|(_, what)| what.trim_start().starts_with("/32 host LOCAL"))
        .filter_map(|(ip, _)| ip.trim_start_matches([' ', '|', '-', '+']).parse().ok())
}

/// Addresses of interfaces: 32 hexadecimal digits at the beginning of each line.
fn local_v6(list: &str) -> impl Iterator<Item = Ipv6Addr> {
    let digits = list.lines().filter_map(|line| line.get(..32));
    digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from)
}

/// Texts in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    env: BTreeMap<String, String>,
    host: String,
    own: HashSet<IpAddr>,
}

impl Memory {
    /// One file.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().with(path, bytes)
    }

    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), bytes.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the host name.
    #[must_use]
    pub fn with_host(mut self, name: &str) -> Self {
        name.clone_into(&mut self.host);
        self
    }

    /// Gives the host an address.
    #[must_use]
    pub fn with_own_address(mut self, ip: IpAddr) -> Self {
        self.own.insert(ip);
        self
    }
}

impl Source for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let wanted = base.join(pattern);
        let same = |path: &&PathBuf| {
            path.components().count() == wanted.components().count()
                && path.components().zip(wanted.components()).all(|(have, want)| {
                    matches(&want.as_os_str().to_string_lossy(), &have.as_os_str().to_string_lossy())
                })
        };
        Ok(self.files.keys().filter(same).take(MAX_MATCHES).cloned().collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn env_names(&self, prefix: &str) -> Vec<String> {
        self.env.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    fn host_name(&self) -> String {
        self.host.clone()
    }

    fn own_addresses(&self) -> HashSet<IpAddr> {
        self.own.clone()
    }
}

/// Whether `pattern` holds a wildcard.
pub(super) fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Whether `name` matches the shell pattern, as glob(7): a leading dot must be written.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    // The latest star only: that keeps the time within pattern * name.
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if let Some(after) = one(&pattern, p, name[n]) {
            (p, n) = (after, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Matches one character; gives the place after the pattern's part.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let Some(close) = pattern[at + 1..].iter().skip(1).position(|c| *c == ']') else {
                return (c == '[').then_some(at + 1);
            };
            let set = &pattern[at + 1..at + 2 + close];
            let (negated, set) = match set.split_first() {
                Some(('!' | '^', rest)) if !rest.is_empty() => (true, rest),
                _ => (false, set),
            };
            let mut inside = false;
            let mut i = 0;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == '-' {
                    inside |= (set[i]..=set[i + 2]).contains(&c);
                    i += 3;
                } else {
                    inside |= set[i] == c;
                    i += 1;
                }
            }
            (inside != negated).then_some(at + 3 + close)
        }
        literal => (*literal == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x", "[]x", true),
            ("[", "[", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("", "", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        assert!(!matches(&"*a".repeat(300), &"a".repeat(250)));
    }

    #[test]
    fn disk_reads_regular_files_only_and_sorts_globs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let disk = Disk::default();
        assert!(disk.read(dir.path()).is_err());
        assert_eq!(disk.read(&dir.path().join("a.conf")).unwrap(), b"a.conf");
        let names = disk.glob(dir.path(), "*.conf").unwrap();
        assert_eq!(names, [dir.path().join("a.conf"), dir.path().join("b.conf")]);
        assert_eq!(disk.glob(dir.path(), "nothing").unwrap(), Vec::<PathBuf>::new());
    }
}
