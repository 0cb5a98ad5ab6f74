//! Named pipes for changes of state: whose they are, and what may stand in their way.

use crate::resolve::{Agent, Identity, Trap, identity, identity_for, trap};
use hacluster_conf::model::{Fifo, ScriptUser, Scripts};
use std::fs::FileType;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;

/// What is wrong with `fifo` for `agent`.
pub(crate) fn trap_for(agent: Agent, fifo: &Fifo, scripts: &Scripts) -> Option<Trap> {
    let path = &fifo.path;
    match std::fs::symlink_metadata(path) {
        Ok(found) => not_a_fifo(found.file_type())
            .map(|what| trap(format!("{}: {what}", path.display()), "remove it, or name another path")),
        Err(error) if error.kind() != ErrorKind::NotFound => None, // root may see more
        Err(_) => match path.parent().filter(|folder| !folder.is_dir()) {
            Some(folder) => {
                let what = format!("folder {} does not exist", folder.display());
                Some(trap(what, format!("mkdir -p {}", folder.display())))
            }
            None => identity_for(agent, user(fifo, scripts)).err(),
        },
    }
}

/// What bears the name of a fifo and is none.
pub fn not_a_fifo(found: FileType) -> Option<String> {
    let what = match () {
        () if found.is_fifo() => return None,
        () if found.is_file() => "a regular file",
        () if found.is_dir() => "a folder",
        () if found.is_symlink() => "a symbolic link",
        () => "something else",
    };
    Some(format!("{what} has that name, not a named pipe: no line is written to it"))
}

/// Whose it is made: as written, else its reader's, else the user's of all scripts.
///
/// # Errors
/// When there is no such user or group, or the calling process may not give it away.
pub fn owner(fifo: &Fifo, scripts: &Scripts) -> Result<Identity, Trap> {
    identity(user(fifo, scripts))
}

fn user<'a>(fifo: &'a Fifo, scripts: &'a Scripts) -> Option<&'a ScriptUser> {
    let reader = fifo.script.as_ref().and_then(|script| script.user.as_ref());
    fifo.owner.as_ref().or(reader).or(scripts.user.as_ref())
}
