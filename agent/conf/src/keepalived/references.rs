//! Names that one block uses and another must define.
//!
//! ```text
//!   vrrp_instance, vrrp_sync_group:  track_script, track_file, track_process, track_bfd
//!   vrrp_sync_group, track_group:    group -> vrrp_instance
//! ```
//!
//! Definitions may follow their use, so this looks at the whole tree.

use super::parser::{Statement, Word};
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::notation::is_interface_name;
use std::collections::{HashMap, HashSet};

/// A name is searched for its nearest among so many: the search is long.
const CANDIDATES: usize = 200;

/// A list of names, the blocks that define them, and what follows from a name that none defines.
struct Kind {
    list: &'static str,
    defined_by: &'static [&'static str],
    consequence: &'static str,
}

const UNTRACKED: &str = "keepalived leaves it out: it changes neither priority nor state";

const KINDS: [Kind; 5] = [
    Kind { list: "track_script", defined_by: &["vrrp_script"], consequence: UNTRACKED },
    Kind { list: "track_file", defined_by: &["track_file", "vrrp_track_file"], consequence: UNTRACKED },
    Kind { list: "track_process", defined_by: &["vrrp_track_process"], consequence: UNTRACKED },
    Kind { list: "track_bfd", defined_by: &["bfd_instance"], consequence: UNTRACKED },
    Kind {
        list: "group",
        defined_by: &["vrrp_instance"],
        consequence: "a member that does not exist moves with nobody; check the spelling on every node",
    },
];

/// Reports every name that is used and not defined.
pub(super) fn check(top: &[Statement], findings: &Findings) {
    let mut defined: HashMap<&str, HashSet<&str>> = HashMap::new();
    for statement in top {
        let name = statement.params().first().map(|word| word.text.as_str());
        defined.entry(statement.keyword()).or_default().extend(name);
    }
    let users = ["vrrp_instance", "vrrp_sync_group", "track_group"];
    for statement in top.iter().filter(|statement| users.contains(&statement.keyword())) {
        for list in statement.block.iter().flatten() {
            if list.keyword() == "track_interface" {
                interfaces(list, findings);
            } else if let Some(kind) = KINDS.iter().find(|kind| kind.list == list.keyword()) {
                names(list, kind, &defined, findings);
            }
        }
    }
}

fn names(list: &Statement, kind: &Kind, defined: &HashMap<&str, HashSet<&str>>, findings: &Findings) {
    let sets = || kind.defined_by.iter().filter_map(|block| defined.get(block));
    for entry in list.block.iter().flatten() {
        // Members share a line; after a tracked name come its options.
        let used =
            if kind.list == "group" { &entry.words[..] } else { entry.words.get(..1).unwrap_or_default() };
        for word in used.iter().filter(|word| !sets().any(|set| set.contains(word.text.as_str()))) {
            let candidates: Vec<&str> = sets().flatten().take(CANDIDATES).copied().collect();
            undefined(word, kind, &candidates, findings);
        }
    }
}

fn undefined(word: &Word, kind: &Kind, candidates: &[&str], findings: &Findings) {
    let message = format!("no `{}` defines `{}`", kind.defined_by[0], show(&word.text));
    let mut found = Diagnostic::new(Severity::Warning, "undefined-reference", message)
        .at(&word.span)
        .not_in_force()
        .note(kind.consequence);
    if let Some(near) = findings.suggest(&word.text, candidates) {
        found = found.label(format!("did you mean `{}`?", show(near)));
    }
    findings.push(found);
}

/// Interfaces come and go: only a name that none can have is wrong here.
fn interfaces(list: &Statement, findings: &Findings) {
    for word in list.block.iter().flatten().filter_map(|entry| entry.words.first()) {
        if !is_interface_name(&word.text) {
            let message = format!("`{}` cannot be an interface", show(&word.text));
            let found = Diagnostic::new(Severity::Warning, "bad-interface", message).at(&word.span);
            findings.push(found.note("names have 1 to 15 bytes, without blanks, `/` and `:`"));
        }
    }
}
