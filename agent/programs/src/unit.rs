//! What the installed unit makes of the agent: its user, and whether its programs may be others'.
//!
//! ```text
//!   hacluster-agent.service, its drop-ins --> User=, AmbientCapabilities= --> whom programs are judged for
//! ```
//!
//! Contract: reads files and asks no service manager. Without a unit, or with one that runs as root, there is
//! nothing to add to what root finds.

use crate::resolve::Agent;
use nix::unistd::User;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The unit.
pub(crate) const NAME: &str = "hacluster-agent.service";
/// Where units are, the strongest first.
const FOLDERS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// An agent that is not root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its user.
    pub(crate) user: String,
    /// Whether it may become others.
    pub(crate) others: bool,
}

impl Unit {
    /// The one installed below `root`.
    pub(crate) fn installed(root: &Path) -> Option<Self> {
        let folders = FOLDERS.map(|folder| root.join(folder));
        let unit = folders.iter().find_map(|folder| fs::read_to_string(folder.join(NAME)).ok())?;
        let mut drop_ins = BTreeMap::new(); // applied by name, each name once
        for folder in folders.iter().map(|folder| folder.join(format!("{NAME}.d"))) {
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = file.path();
                if path.extension().is_some_and(|kind| kind == "conf") {
                    drop_ins.entry(file.file_name()).or_insert_with(|| fs::read_to_string(path));
                }
            }
        }
        let texts = std::iter::once(unit).chain(drop_ins.into_values().flatten());
        Self::of(&texts.collect::<Vec<_>>().concat()).filter(|unit| unit.user != "root")
    }

    fn of(text: &str) -> Option<Self> {
        let (mut user, mut others) = (None, false);
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match name.trim() {
                "User" => user = Some(value.trim().to_owned()),
                "AmbientCapabilities" if value.trim().is_empty() => others = false,
                "AmbientCapabilities" => others |= value.split_whitespace().any(|one| one == "CAP_SETUID"),
                _ => {}
            }
        }
        Some(Self { user: user.filter(|user| !user.is_empty())?, others })
    }

    /// Who that is on this machine; nobody when there is no such user.
    pub(crate) fn agent(&self) -> Option<Agent> {
        let user = User::from_name(&self.user).ok().flatten()?;
        Some(Agent {
            own: (user.uid, user.gid),
            may_become_others: if self.others { || true } else { || false },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_change_the_unit_in_the_order_of_their_names() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Unit::installed(root.path()), None);
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd");
        let (units, own) = (root.path().join("lib/systemd/system"), root.path().join(FOLDERS[0]));
        let drop_ins = own.join(format!("{NAME}.d"));
        [&units, &drop_ins].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let copy = |name: &str, to: &Path| fs::copy(Path::new(shipped).join(name), to.join(name)).unwrap();
        copy(NAME, &units);
        let unit = |others| Some(Unit { user: "_hacluster".to_owned(), others });
        assert_eq!(Unit::installed(root.path()), unit(false));
        copy("scripts-as-others.conf", &drop_ins);
        assert_eq!(Unit::installed(root.path()), unit(true));
        copy("as-root.conf", &drop_ins);
        assert_eq!(Unit::installed(root.path()), None, "root finds what root finds");
    }
}
