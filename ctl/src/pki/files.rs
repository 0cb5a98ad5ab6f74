//! Files that are there whole or not at all, with their mode from the first byte.

use anyhow::Context;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// For the owner alone.
pub(crate) const SECRET: u32 = 0o600;
/// For everybody, as far as the umask lets.
pub(crate) const PUBLIC: u32 = 0o644;
/// A directory for the owner alone.
const SECRET_DIR: u32 = 0o700;
/// Longest file that is read here.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Makes a file that must not be there yet.
pub(crate) fn create(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let make = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    make().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes or replaces a file; who reads it sees the former or the new text. What a symbolic link names
/// is replaced, not the link.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside(path, "new");
    remove(&new)?;
    create(&new, text, mode)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))?;
    sync_parent(path)
}

/// Makes a directory for the owner alone, which must not be there yet.
pub(crate) fn create_dir(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().mode(SECRET_DIR).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Makes a directory for the owner alone, and those above it as they usually are.
pub(crate) fn create_dir_all(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the directory {}", parent.display()))?;
    }
    create_dir(path)
}

/// Puts the directory `new` in the place of `path` at once, and removes what was there.
pub(crate) fn replace_dir(new: &Path, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot put {} in place", path.display());
    let old = beside(path, "old");
    remove_dir(&old)?;
    if !path.exists() {
        fs::rename(new, path).with_context(cannot)?;
        return sync_parent(path);
    }
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(new, &old).with_context(cannot)?,
        // Some network file systems: rather nothing for an instant than halves that do not fit.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::rename(path, &old).with_context(cannot)?;
            fs::rename(new, path).with_context(cannot)?;
        }
        Err(error) => return Err(error).with_context(cannot),
    }
    sync_parent(path)?;
    remove_dir(&old)
}

/// Points the symbolic link `path` at `target`, whatever it was before.
pub(crate) fn link(target: &str, path: &Path) -> anyhow::Result<()> {
    if fs::read_link(path).is_ok_and(|now| now == Path::new(target)) {
        return Ok(());
    }
    let new = beside(path, "new");
    remove(&new)?;
    std::os::unix::fs::symlink(target, &new)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("cannot link {}", path.display()))
}

/// Reads a text of bounded length.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::NotFound`] can be told from the others.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file")); // opening a pipe would wait for a writer
    }
    let mut text = String::new();
    if File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// A name in the same directory that no holder can have: it begins with a dot.
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}"))
}

/// Removes a directory of ours, if it is there.
pub(crate) fn remove_dir(path: &Path) -> anyhow::Result<()> {
    absent_is_well(fs::remove_dir_all(path), path)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    absent_is_well(fs::remove_file(path), path)
}

fn absent_is_well(result: io::Result<()>, path: &Path) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A rename lasts once its directory is on disk.
fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("cannot write {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_there_and_of_one_piece_at_every_instant() {
        let stage = tempfile::tempdir().unwrap();
        let path = stage.path().join("node1");
        let fill = |number: u32| {
            let new = beside(&path, "new");
            create_dir(&new).unwrap();
            for name in ["crt", "key"] {
                create(&new.join(name), &number.to_string(), SECRET).unwrap();
            }
            replace_dir(&new, &path).unwrap();
        };
        fill(0);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut whole = 0_u32;
                while !done.load(std::sync::atomic::Ordering::Relaxed) || whole == 0 {
                    let dir = File::open(&path).unwrap();
                    let inside = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
                    // Of one that was replaced meanwhile files may be missing already.
                    if let [Ok(first), Ok(second)] = ["crt", "key"].map(|name| read(&inside.join(name))) {
                        assert_eq!(first, second);
                        whole += 1;
                    }
                }
            });
            (1..300).take_while(|_| !reader.is_finished()).for_each(fill);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(stage.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_a_crash_left_is_no_hindrance() {
        let stage = tempfile::tempdir().unwrap();
        let file = stage.path().join("index.json");
        fs::write(beside(&file, "new"), "half").unwrap();
        replace(&file, "whole", SECRET).unwrap();
        assert_eq!(read(&file).unwrap(), "whole");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (dir, new) = (stage.path().join("a"), stage.path().join(".a.new"));
        create_dir(&beside(&dir, "old")).unwrap();
        create_dir(&new).unwrap();
        replace_dir(&new, &dir).unwrap();
        assert!(dir.is_dir() && !beside(&dir, "old").exists());
    }

    #[test]
    fn a_new_file_replaces_nothing_and_follows_no_link() {
        let stage = tempfile::tempdir().unwrap();
        let (victim, trap) = (stage.path().join("victim"), stage.path().join("key"));
        std::os::unix::fs::symlink(&victim, &trap).unwrap();
        assert!(create(&trap, "secret", SECRET).is_err() && !victim.exists());
        let linked = stage.path().join("config.toml");
        fs::write(&victim, "old").unwrap();
        link("victim", &linked).unwrap();
        replace(&linked, "new", SECRET).unwrap();
        assert_eq!(read(&victim).unwrap(), "new", "what the link names");
        assert!(linked.is_symlink());
    }
}
