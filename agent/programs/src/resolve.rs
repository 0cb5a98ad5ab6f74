//! Which file a written command means, who runs it, and whether that is safe.
//!
//! keepalived's rules: a name without `/` is looked for in a fixed path; with
//! `enable_script_security` nothing is run as root that anybody else could have changed. Every
//! refusal names the file or folder at fault, how it is, and the command that mends it.

use crate::head;
use hacluster_conf::model::{Command, ScriptUser, Scripts};
use nix::unistd::{Gid, Group, Uid, User};
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where names without a path are looked for.
const SEARCH_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// keepalived's user for scripts where it exists.
const CUSTOMARY_USER: &str = "keepalived_script";

/// A command ready to run, and what a reader should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The program's file before links are followed.
    pub path: PathBuf,
    /// Path and arguments.
    pub argv: Vec<String>,
    /// User and group; `None` for those of the agent.
    pub user: Option<(u32, u32)>,
    /// Odd, but it runs.
    pub remarks: Vec<Trap>,
}

/// Something wrong with a command: what, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// One sentence, without a full stop.
    pub what: String,
    /// A command or an instruction.
    pub mend: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.mend)
    }
}

pub(crate) fn trap(what: impl Into<String>, mend: impl Into<String>) -> Trap {
    Trap { what: what.into(), mend: mend.into() }
}

/// User and group that a process runs as.
pub type Identity = (Uid, Gid);

/// An agent, as far as its programs are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent {
    /// Whom it runs as.
    pub(crate) own: Identity,
    /// Whether it may run programs as somebody else without being root.
    pub(crate) may_become_others: fn() -> bool,
}

impl Agent {
    /// The calling process.
    fn this() -> Self {
        Self { own: (Uid::effective(), Gid::effective()), may_become_others }
    }
}

/// Finds out what `command` means on this machine now, to the calling process.
///
/// # Errors
/// Why it must or can not be run.
pub fn resolve(command: &Command, scripts: &Scripts) -> Result<Resolved, Trap> {
    resolve_for(Agent::this(), command, scripts)
}

/// The same for `agent`, whoever asks.
pub(crate) fn resolve_for(agent: Agent, command: &Command, scripts: &Scripts) -> Result<Resolved, Trap> {
    let own = agent.own;
    let (uid, gid) = identity_for(agent, command.user.as_ref().or(scripts.user.as_ref()))?;
    let mut remarks = Vec::new();
    let path = find(command.program(), &mut remarks)?;
    let real = fs::canonicalize(&path).map_err(|error| {
        let mend = format!("write the path of an existing program; see ls -l {}", path.display());
        trap(format!("{} cannot be found: {error}", path.display()), mend)
    })?;
    check_file(&real, uid, gid)?;
    if uid.is_root()
        && let Some(found) = unsafe_part(&real)
    {
        if scripts.security {
            return Err(found);
        }
        let mend = format!("{}, and write enable_script_security", found.mend);
        remarks.push(trap(format!("run as root although {}", found.what), mend));
    }
    let program = if scripts.symlink_paths { &path } else { &real };
    let mut argv: Vec<String> = vec![program.display().to_string()];
    argv.extend(command.argv.iter().skip(1).cloned());
    let head = head::check(&real, |interpreter| check_file(interpreter, uid, gid))?;
    remarks.extend(head.remark);
    if head.is_bare {
        argv.insert(0, head::SHELL.to_owned());
    }
    Ok(Resolved { path, argv, user: ((uid, gid) != own).then_some((uid.as_raw(), gid.as_raw())), remarks })
}

/// Who runs it: as written, else the customary user, else the agent's own.
///
/// # Errors
/// When that user or group does not exist, or the calling process may not become it.
pub(crate) fn identity(written: Option<&ScriptUser>) -> Result<Identity, Trap> {
    identity_for(Agent::this(), written)
}

pub(crate) fn identity_for(agent: Agent, written: Option<&ScriptUser>) -> Result<Identity, Trap> {
    let own = agent.own;
    let Some(written) = written else {
        let customary = User::from_name(CUSTOMARY_USER).ok().flatten().filter(|_| own.0.is_root());
        return Ok(customary.map_or(own, |user| (user.uid, user.gid)));
    };
    let number = written.user.parse().ok().map(Uid::from_raw);
    let named = User::from_name(&written.user).ok().flatten();
    let known = named.or_else(|| number.and_then(|uid| User::from_uid(uid).ok().flatten()));
    let (uid, home) = match (&known, number) {
        (Some(user), _) => (user.uid, user.gid),
        (None, Some(uid)) => (uid, Gid::from_raw(uid.as_raw())),
        (None, None) => {
            let mend = format!("useradd --system --no-create-home {0}, or name another user", written.user);
            return Err(trap(format!("user {} does not exist", written.user), mend));
        }
    };
    let gid = match &written.group {
        None => home,
        Some(name) => {
            let number = name.parse().ok().map(Gid::from_raw);
            Group::from_name(name).ok().flatten().map(|group| group.gid).or(number).ok_or_else(|| {
                let mend = format!("groupadd --system {name}, or name another group");
                trap(format!("group {name} does not exist"), mend)
            })?
        }
    };
    if (uid, gid) != own && !own.0.is_root() && !(agent.may_become_others)() {
        let what = format!("the agent runs as user {} and cannot run programs as {}", own.0, written.user);
        let mend = "give it CAP_SETUID and CAP_SETGID (the unit's drop-in scripts-as-others.conf), start it as \
                    root (as-root.conf), or leave out the user";
        return Err(trap(what, mend));
    }
    Ok((uid, gid))
}

/// Whether the calling process has CAP_SETGID and CAP_SETUID; assumed where that cannot be found out.
fn may_become_others() -> bool {
    const BOTH: u64 = 1 << 6 | 1 << 7;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_none_or(|bits| bits & BOTH == BOTH)
}

/// Finds a program that is named without a path.
pub(crate) fn find_by_name(name: &str) -> Option<PathBuf> {
    SEARCH_PATH.iter().map(|folder| Path::new(folder).join(name)).find(|place| place.is_file())
}

fn find(program: &str, remarks: &mut Vec<Trap>) -> Result<PathBuf, Trap> {
    let path = Path::new(program);
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    if let Some(first) = program.chars().next().filter(|first| !first.is_ascii()) {
        let what = format!("{program} begins with `{first}`, which is part of the name, and not with /");
        return Err(trap(what, "write ASCII quotes, or none"));
    }
    if program.contains('/') {
        let mend = "write the whole path, from / on";
        return Err(trap(format!("{program} is a path from nowhere: programs are run in /"), mend));
    }
    let Some(found) = find_by_name(program) else {
        let mend = "write its whole path";
        return Err(trap(format!("{program} is in none of {}", SEARCH_PATH.join(", ")), mend));
    };
    let mend = format!("write {}", found.display());
    remarks.push(trap(format!("{program} is looked for by its name alone"), mend));
    Ok(found)
}

/// It must be a file that `uid` may execute.
fn check_file(path: &Path, uid: Uid, gid: Gid) -> Result<(), Trap> {
    let shown = path.display();
    let found = fs::metadata(path).map_err(|error| trap(format!("{shown}: {error}"), "mend its path"))?;
    if !found.is_file() {
        return Err(trap(format!("{shown} is not a file"), "write the path of a program"));
    }
    if found.mode() & 0o111 == 0 {
        return Err(trap(
            format!("{shown} is not executable (mode {:04o})", found.mode() & 0o7777),
            format!("chmod +x {shown}"),
        ));
    }
    let parts = path.ancestors().map(|part| (part, fs::metadata(part)));
    for (part, found) in parts {
        let Ok(found) = found else { continue };
        if !may_execute(&found, uid, gid) {
            let (who, mode) = (owner(&found), found.mode() & 0o7777);
            return Err(trap(
                format!("user {uid} may not enter or execute {} ({who}, mode {mode:04o})", part.display()),
                format!("chmod o+x {}, or name another user", part.display()),
            ));
        }
    }
    Ok(())
}

fn may_execute(found: &Metadata, uid: Uid, gid: Gid) -> bool {
    let mode = found.mode();
    let bit = if uid.is_root() {
        return found.is_dir() || mode & 0o111 != 0;
    } else if found.uid() == uid.as_raw() {
        0o100
    } else if found.gid() == gid.as_raw() {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// The first part of a path that somebody else than root could change, from `/` on.
fn unsafe_part(path: &Path) -> Option<Trap> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    parts.into_iter().find_map(|part| {
        let found = fs::symlink_metadata(part).ok()?;
        let (shown, mode) = (part.display(), found.permissions().mode() & 0o7777);
        let what =
            || format!("{shown} can be changed by others than root ({}, mode {mode:04o})", owner(&found));
        if found.uid() != 0 {
            return Some(trap(what(), format!("chown root {shown}")));
        }
        // The mode of a link says nothing; it is the folder that decides who may change it.
        let mode = if found.is_symlink() { 0 } else { mode };
        let by_group = mode & 0o020 != 0 && found.gid() != 0;
        // In a folder like /tmp nobody replaces what is root's; whose the next part is comes next.
        let by_others = mode & 0o002 != 0 && !(found.is_dir() && mode & 0o1000 != 0);
        (by_group || by_others).then(|| trap(what(), format!("chmod go-w {shown}")))
    })
}

fn owner(found: &Metadata) -> String {
    let name = User::from_uid(Uid::from_raw(found.uid())).ok().flatten().map(|user| user.name);
    format!("owner {}", name.unwrap_or_else(|| found.uid().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn program(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("check");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn command(program: &str) -> Command {
        Command { argv: vec![program.to_owned(), "-x".to_owned()], user: None }
    }

    #[test]
    fn what_is_not_there_or_not_executable_is_explained() {
        let (_dir, path) = program("#!/bin/sh\n", 0o644);
        let why = resolve(&command(path.to_str().unwrap()), &Scripts::default()).unwrap_err();
        assert!(why.what.contains("not executable (mode 0644)"), "{why}");
        assert_eq!(why.mend, format!("chmod +x {}", path.canonicalize().unwrap().display()));
        let why = resolve(&command("/no/such/thing"), &Scripts::default()).unwrap_err();
        assert!(why.what.contains("/no/such/thing cannot be found"), "{why}");
        let why = resolve(&command("bin/check"), &Scripts::default()).unwrap_err();
        assert!(why.what.contains("a path from nowhere"), "{why}");
        let why = resolve(&command("/tmp"), &Scripts::default()).unwrap_err();
        assert!(why.what.contains("not a file"), "{why}");
    }

    #[test]
    fn without_an_interpreter_line_the_shell_runs_it() {
        let (_dir, path) = program("exit 0\n", 0o755);
        let path = path.canonicalize().unwrap();
        let resolved = resolve(&command(path.to_str().unwrap()), &Scripts::default()).unwrap();
        assert_eq!(resolved.argv, [head::SHELL, path.to_str().unwrap(), "-x"]);
        assert!(resolved.remarks.iter().any(|trap| trap.what.contains("no interpreter line")));
    }

    #[test]
    fn what_the_first_line_hides_is_explained() {
        let check = |text: &str| {
            let (dir, path) = program(text, 0o755);
            let path = path.canonicalize().unwrap();
            (resolve(&command(path.to_str().unwrap()), &Scripts::default()), dir)
        };
        for (text, words) in [
            ("#!/bin/sh\r\nexit 0\r\n", "ends with a carriage return"),
            ("#!/opt/shellenv/bin/python\n", "its interpreter"),
            ("#!/usr/bin/env no-such-interpreter\n", "no-such-interpreter"),
            ("#! \n", "names no interpreter"),
        ] {
            let why = check(text).0.unwrap_err();
            assert!(why.what.contains(words), "{text:?}: {why}");
        }
        for (text, words) in [
            ("[[ -f /etc/keepalived/down ]] && exit 1 || exit 0\n", "uses `[[`"),
            ("        #!/bin/bash\nexit 0\n", "not at its very beginning"),
            ("\u{feff}#!/bin/sh\n", "not at its very beginning"),
        ] {
            let remarks = check(text).0.unwrap().remarks;
            assert!(remarks.iter().any(|trap| trap.what.contains(words)), "{text:?}: {remarks:?}");
        }
        assert!(check("#!/usr/bin/env sh\nexit 0\n").0.is_ok());
    }

    #[test]
    fn a_name_is_looked_for_and_said_so() {
        let resolved = resolve(&command("true"), &Scripts::default()).unwrap();
        assert!(resolved.argv[0].ends_with("true") && resolved.argv[0].starts_with('/'));
        assert!(resolved.remarks.iter().any(|trap| trap.what.contains("by its name alone")));
        assert!(resolve(&command("no-such-program-here"), &Scripts::default()).is_err());
    }

    #[test]
    fn a_user_who_does_not_exist_is_named() {
        let mut command = command("/bin/true");
        command.user = Some(ScriptUser { user: "nobody-of-that-name".into(), group: None });
        let why = resolve(&command, &Scripts::default()).unwrap_err();
        assert!(why.to_string().contains("user nobody-of-that-name does not exist; useradd"), "{why}");
    }

    #[test]
    fn root_runs_nothing_that_others_could_change() {
        if !Uid::effective().is_root() {
            eprintln!("needs root: not tested here");
            return;
        }
        let (dir, path) = program("#!/bin/sh\n", 0o755);
        assert!(unsafe_part(&path.canonicalize().unwrap()).is_none(), "a sticky folder is safe");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let root = Some(ScriptUser { user: "root".into(), group: None });
        let scripts = Scripts { security: true, user: root, ..Scripts::default() };
        let why = resolve(&command(path.to_str().unwrap()), &scripts).unwrap_err();
        assert!(
            why.what.contains("can be changed by others than root") && why.mend.starts_with("chmod go-w")
        );
        assert!(unsafe_part(Path::new("/bin")).is_none());
        let lax = Scripts { security: false, ..scripts };
        let remarks = resolve(&command(path.to_str().unwrap()), &lax).unwrap().remarks;
        assert!(remarks.iter().any(|trap| trap.what.starts_with("run as root although")), "{remarks:?}");
        drop(dir);
    }
}
