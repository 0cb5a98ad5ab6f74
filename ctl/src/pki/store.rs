//! The directory: reading it, and changing it in steps that each leave it whole.

use super::authority::{self, Authority, read_authority};
use super::files::{self, PUBLIC, SECRET};
use super::index::{Index, Record};
use super::{Wish, check_host, check_name};
use crate::Usage;
use anyhow::{Context, anyhow};
use hacluster_proto::identity::Role;
use jiff::Timestamp;
use rcgen::KeyPair;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long another command may work in the directory.
const OTHERS_MAX: Duration = Duration::from_secs(10);

/// The directory, to look at. Needs no secret.
#[derive(Debug)]
pub(crate) struct Store {
    /// Where it is.
    pub(crate) dir: PathBuf,
    /// What was signed.
    pub(crate) index: Index,
    /// The authority's name.
    pub(crate) name: String,
    /// When the authority ends.
    pub(crate) expires: Timestamp,
}

/// The directory, to change; nobody else does meanwhile.
pub(crate) struct Signer {
    /// What it says.
    pub(crate) store: Store,
    authority: Authority,
    _lock: File,
}

/// A certificate and where it is.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The holder's directory, complete.
    pub(crate) dir: PathBuf,
    /// Its entry in the index.
    pub(crate) record: Record,
    /// Whether it had to end before the wish, with the authority.
    pub(crate) is_shortened: bool,
}

impl Store {
    /// Makes an authority for `cluster` in `dir`.
    ///
    /// # Errors
    /// [`Usage`] when there is one, or others may enter the directory.
    pub(crate) fn found(dir: &Path, cluster: &str, days: u32, now: Timestamp) -> anyhow::Result<Self> {
        files::create_dir_all(dir)?;
        let _lock = lock(dir)?;
        for name in ["ca.crt", "ca.key", "index.json"] {
            if dir.join(name).symlink_metadata().is_ok() {
                let shown = dir.display();
                return Err(Usage(format!(
                    "{shown} has an authority already ({name}), which is never overwritten. Use it \
                     (haclusterctl pki list), or name another directory with --dir"
                ))
                .into());
            }
        }
        close(dir)?;
        let (certificate, key) = Authority::found(cluster, days, now)?;
        let authority = Authority::open(&certificate, &key, now)?;
        let index = Index { crl_number: 1, records: Vec::new() };
        files::create(&dir.join("ca.key"), &key, SECRET)?;
        files::create(&dir.join("index.json"), &text(&index)?, SECRET)?;
        files::replace(&dir.join("ca.crl"), &authority.revocations(1, std::iter::empty(), now)?, PUBLIC)?;
        files::replace(&dir.join("ca.crt"), &certificate, PUBLIC)?;
        Ok(Self { dir: dir.to_owned(), index, name: authority.name, expires: authority.expires })
    }

    /// Reads `dir`.
    ///
    /// # Errors
    /// [`Usage`] when there is no authority; which file is damaged.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let pem = read(dir, "ca.crt")?;
        let (name, expires, _) = read_authority(&pem).with_context(|| dir.display().to_string())?;
        let index = serde_json::from_str(&read(dir, "index.json")?)
            .with_context(|| format!("{} is damaged: restore it", dir.join("index.json").display()))?;
        Ok(Self { dir: dir.to_owned(), index, name, expires })
    }

    /// The latest certificate of `name`.
    ///
    /// # Errors
    /// [`Usage`], with the names there are.
    pub(crate) fn latest(&self, name: &str) -> anyhow::Result<&Record> {
        self.index.latest(name).ok_or_else(|| {
            let (dir, known) = (self.dir.display(), self.index.known());
            Usage(format!("{name:?} holds no certificate of {dir}; it knows {known}")).into()
        })
    }

    /// The path of a holder's `crt` or `key`.
    pub(crate) fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }
}

impl Signer {
    /// Opens `dir` and waits for others to leave.
    pub(crate) fn open(dir: &Path, now: Timestamp) -> anyhow::Result<Self> {
        Self::open_with(dir, |certificate, key| Authority::open(certificate, key, now))
    }

    /// Gives the authority another end, `days` from now, and copies it to every holder's directory. Nobody's
    /// certificate changes.
    pub(crate) fn renew_authority(dir: &Path, days: u32, now: Timestamp) -> anyhow::Result<Self> {
        let mut signer =
            Self::open_with(dir, |certificate, key| Authority::renew(certificate, key, days, now))?;
        let pem = &signer.authority.pem;
        files::replace(&dir.join("ca.crt"), pem, PUBLIC)?;
        for record in signer.store.index.current() {
            let copy = dir.join(&record.name).join("ca.crt");
            if copy.exists() {
                files::replace(&copy, pem, PUBLIC)?;
            }
        }
        signer.store.expires = signer.authority.expires;
        signer.write_revoked(now)?; // it ends with the authority
        Ok(signer)
    }

    fn open_with(
        dir: &Path,
        of: impl FnOnce(&str, &str) -> anyhow::Result<Authority>,
    ) -> anyhow::Result<Self> {
        let certificate = read(dir, "ca.crt")?;
        let lock = lock(dir)?;
        let key = dir.join("ca.key");
        let mode = fs::metadata(&key).map(|found| found.permissions().mode() & 0o777).unwrap_or(0);
        if mode & 0o077 != 0 {
            let key = key.display();
            return Err(Usage(format!("others may use {key} (mode {mode:03o}): chmod 600 {key}")).into());
        }
        let authority = of(&certificate, &read(dir, "ca.key")?);
        let authority = authority.with_context(|| dir.display().to_string())?;
        Ok(Self { store: Store::open(dir)?, authority, _lock: lock })
    }

    /// Signs for somebody who holds no certificate that counts.
    pub(crate) fn issue(&mut self, wish: &Wish, now: Timestamp) -> anyhow::Result<Issued> {
        check_name(&wish.name)?;
        if let Some(record) = self.store.index.latest(&wish.name).filter(|record| record.counts(now)) {
            let Record { name, role, .. } = record;
            return Err(Usage(format!(
                "{name} holds a certificate as {role} already. For a new one: haclusterctl pki renew {name}; if \
                 its key was lost or stolen: haclusterctl pki revoke {name} first"
            ))
            .into());
        }
        self.put(wish, &authority::new_key()?, now)
    }

    /// Signs again for somebody who held a certificate that was not revoked, with the same name and
    /// role, and with the same addresses unless others are given.
    pub(crate) fn renew(
        &mut self,
        name: &str,
        (addresses, days): (&[String], u32),
        keep_key: bool,
        now: Timestamp,
    ) -> anyhow::Result<Issued> {
        let record = self.store.latest(name)?.clone();
        if record.revoked.is_some() {
            let (name, kind) = (&record.name, if record.role == "peer" { "node" } else { &record.role });
            return Err(Usage(format!(
                "{name} was revoked, which does not end. For a new certificate: haclusterctl pki {kind} {name}"
            ))
            .into());
        }
        let role = record.role().with_context(|| format!("index.json: unknown role {}", record.role))?;
        let addresses = if addresses.is_empty() { record.addresses.clone() } else { addresses.to_vec() };
        let wish = Wish { name: record.name.clone(), role, addresses, days };
        let key = if keep_key { self.kept_key(&record.name)? } else { authority::new_key()? };
        self.put(&wish, &key, now)
    }

    fn kept_key(&self, name: &str) -> anyhow::Result<KeyPair> {
        let path = self.store.path(name, "key");
        let text = files::read(&path).map_err(|error| {
            let path = path.display();
            Usage(format!("{path} cannot be read ({error}): leave out --keep-key for a new key"))
        })?;
        // The error's text may quote the file: a secret.
        KeyPair::from_pem(&text).map_err(|_| anyhow!("{} holds no private key (PEM)", path.display()))
    }

    fn put(&mut self, wish: &Wish, key: &KeyPair, now: Timestamp) -> anyhow::Result<Issued> {
        if wish.role != Role::Peer && !wish.addresses.is_empty() {
            return Err(Usage(format!("{} is no node: --address is for nodes", wish.name)).into());
        }
        wish.addresses.iter().try_for_each(|host| check_host(host))?;
        let dir = self.store.dir.join(&wish.name);
        only_ours(&self.store, &wish.name)?;
        let signed = self.authority.sign(wish, key, now)?;
        let new = files::beside(&dir, "new");
        files::remove_dir(&new)?;
        files::create_dir(&new)?;
        let [certificate, secret] = ["crt", "key"].map(|kind| format!("{}.{kind}", wish.name));
        files::create(&new.join(&certificate), &signed.pem, PUBLIC)?;
        files::create(&new.join(&secret), &key.serialize_pem(), SECRET)?;
        files::create(&new.join("ca.crt"), &self.authority.pem, PUBLIC)?;
        if wish.role == Role::Peer {
            files::create(&new.join("ca.crl"), &read(&self.store.dir, "ca.crl")?, PUBLIC)?;
        }
        let record = Record {
            name: wish.name.clone(),
            role: wish.role.name().to_owned(),
            addresses: wish.addresses.clone(),
            serial: signed.serial,
            issued: now,
            expires: signed.expires,
            revoked: None,
        };
        self.store.index.add(record.clone(), now);
        self.write_index()?;
        files::replace_dir(&new, &dir)?;
        for file in [&certificate, &secret] {
            files::link(&format!("{}/{file}", wish.name), &self.store.dir.join(file))?;
        }
        let is_shortened = record.days_left(now) < i64::from(wish.days) - 1;
        Ok(Issued { dir, record, is_shortened })
    }

    /// Revokes what `name` holds; tells how many certificates counted until now.
    pub(crate) fn revoke(&mut self, name: &str, now: Timestamp) -> anyhow::Result<usize> {
        self.store.latest(name)?;
        let count = self.store.index.revoke(name, now);
        self.write_revoked(now)?;
        Ok(count)
    }

    /// Writes the list of revoked certificates anew, to every node's directory, too.
    fn write_revoked(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.store.index.crl_number += 1;
        self.write_index()?;
        let index = &self.store.index;
        let revoked = index.revoked(now).map(|(record, since)| (record.serial.as_str(), since));
        let list = self.authority.revocations(index.crl_number, revoked, now)?;
        files::replace(&self.store.dir.join("ca.crl"), &list, PUBLIC)?;
        for record in index.current().iter().filter(|record| record.role == Role::Peer.name()) {
            let copy = self.store.dir.join(&record.name).join("ca.crl");
            if copy.exists() {
                files::replace(&copy, &list, PUBLIC)?;
            }
        }
        Ok(())
    }

    fn write_index(&self) -> anyhow::Result<()> {
        files::replace(&self.store.dir.join("index.json"), &text(&self.store.index)?, SECRET)
    }
}

/// A holder's directory is replaced as a whole: nothing may be in it that would be lost.
fn only_ours(store: &Store, name: &str) -> anyhow::Result<()> {
    let ours = [format!("{name}.crt"), format!("{name}.key"), "ca.crt".to_owned(), "ca.crl".to_owned()];
    let dir = store.dir.join(name);
    let inside = match fs::read_dir(&dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let inside = inside.with_context(|| format!("cannot read {}", dir.display()))?;
    let is_ours =
        |path: &PathBuf| ours.iter().any(|own| path.file_name().is_some_and(|name| name == own.as_str()));
    let links = ["crt", "key"].map(|kind| store.path(name, kind));
    let is_file = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|found| !found.is_symlink());
    let foreign = inside.iter().find(|path| !is_ours(path)).or_else(|| links.iter().find(is_file));
    match foreign {
        None => Ok(()),
        Some(path) => {
            let path = path.display();
            Err(Usage(format!("{path} was not made by haclusterctl pki and would be lost: move it away"))
                .into())
        }
    }
}

fn text(index: &Index) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(index)?))
}

fn read(dir: &Path, name: &str) -> anyhow::Result<String> {
    let path = dir.join(name);
    files::read(&path).map_err(|error| {
        let shown = dir.display();
        let text = match error.kind() {
            io::ErrorKind::NotFound if !dir.join("ca.crt").exists() && !dir.join("ca.key").exists() => format!(
                "no authority in {shown}. To make one: haclusterctl pki init; to use another: --dir DIR"
            ),
            io::ErrorKind::NotFound => format!(
                "{name} is missing in {shown}: restore it, or remove what is left of the authority and begin anew"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{} may not be read by you: use sudo, or name your own directory with --dir", path.display())
            }
            _ => format!("cannot read {}: {error}", path.display()),
        };
        Usage(text).into()
    })
}

/// Waits until no other command works in `dir`; the lock ends with the file.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let cannot = || format!("cannot lock {}", dir.display());
    let file = File::open(dir).with_context(cannot)?;
    let end = Instant::now() + OTHERS_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(TryLockError::WouldBlock) => {
                let shown = dir.display();
                return Err(anyhow!("another haclusterctl pki works in {shown}: wait for it, or end it"));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
    }
}

/// Nobody else may enter the directory of a new authority: an empty one is closed, another is left as
/// it is, for somebody may rely on it.
fn close(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    let look = || -> io::Result<(u32, bool)> {
        Ok((fs::metadata(dir)?.permissions().mode() & 0o777, fs::read_dir(dir)?.next().is_none()))
    };
    let (mode, is_empty) = look().with_context(|| format!("cannot read {shown}"))?;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    if !is_empty {
        return Err(Usage(format!("others may enter {shown} (mode {mode:03o}): chmod 700 {shown}")).into());
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot close {shown}"))
}
