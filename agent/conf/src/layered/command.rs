//! Programs: lists of words, run without a shell.

use super::table::Table;
use crate::diag::Severity;
use crate::model::{Command, Notify, ScriptUser};
use config::ValueKind;

/// Keys of a program written as a table.
const COMMAND_KEYS: [&str; 3] = ["command", "user", "group"];
/// Keys of `notify`.
const NOTIFY_KEYS: [&str; 11] = [
    "master",
    "backup",
    "fault",
    "stop",
    "deleted",
    "any",
    "master_rx_lower_pri",
    "tells_deleted",
    "priority_changes",
    "mail",
    "retry",
];

/// Overwrites `setting` when `key` is written: `["/path", "argument"]`, `"/path"`, or
/// `{ command = [...], user = "..." }`. An empty list takes back what a lower layer says.
pub(super) fn set(table: &mut Table<'_>, key: &str, setting: &mut Option<Command>) {
    let Some(kind) = table.take(key) else { return };
    let (argv, user) = match kind {
        ValueKind::Table(_) => {
            let Some(mut inner) = table.as_table(key, kind) else { return };
            let user = user(&mut inner);
            let Some(kind) = inner.take("command") else {
                let message = format!("`{key}` needs `command`");
                return inner.report(
                    Severity::Error,
                    "missing-key",
                    "",
                    message,
                    "write command = [\"/path\"]",
                );
            };
            let argv = argv(&inner, "command", kind);
            inner.finish(&COMMAND_KEYS);
            (argv, user)
        }
        kind => (argv(table, key, kind), None),
    };
    if let Some(argv) = argv {
        *setting = (!argv.is_empty()).then_some(Command { argv, user });
    }
}

/// `user` and `group`.
pub(super) fn user(table: &mut Table<'_>) -> Option<ScriptUser> {
    let (user, group) = (table.text("user"), table.text("group"));
    if group.is_some() && user.is_none() && !table.has_errors() {
        let message = "`group` without `user`".to_owned();
        table.report(Severity::Error, "missing-key", "group", message, "name the user, too");
    }
    Some(ScriptUser { user: user?, group })
}

fn argv(table: &Table<'_>, key: &str, kind: ValueKind) -> Option<Vec<String>> {
    let expected = "a program with its arguments: [\"/path\", \"argument\"]";
    let words: Option<Vec<String>> = match &kind {
        ValueKind::Array(elements) => elements
            .iter()
            .map(|element| match &element.kind {
                ValueKind::String(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        ValueKind::String(text) => match table.unquoted::<String>(key, &kind) {
            Some(text) => Some(text.split(',').map(|word| word.trim().to_owned()).collect()),
            // What looks like a shell's line would be one name.
            None if text.contains(char::is_whitespace) => None,
            None => Some(vec![text.clone()]),
        },
        _ => None,
    };
    let Some(words) = words else {
        table.wrong_type(key, expected, &kind);
        return None;
    };
    if words.first().is_some_and(|program| program.trim().is_empty()) {
        let message = format!("`{key}` names no program");
        table.report(Severity::Error, "no-program", key, message, "");
        return None;
    }
    Some(words)
}

/// Overwrites what is written of `notify`.
pub(super) fn notify(table: &mut Table<'_>, notify: &mut Notify) {
    let Some(mut table) = table.table("notify") else { return };
    set(&mut table, "master", &mut notify.master);
    set(&mut table, "backup", &mut notify.backup);
    set(&mut table, "fault", &mut notify.fault);
    set(&mut table, "stop", &mut notify.stop);
    notify.tells_deleted |= table.has("deleted");
    set(&mut table, "deleted", &mut notify.deleted);
    set(&mut table, "any", &mut notify.any);
    set(&mut table, "master_rx_lower_pri", &mut notify.master_rx_lower_pri);
    table.set_bool("tells_deleted", &mut notify.tells_deleted);
    table.set_bool("priority_changes", &mut notify.priority_changes);
    table.set_bool("mail", &mut notify.mail);
    table.set_bool("retry", &mut notify.retry);
    table.finish(&NOTIFY_KEYS);
}
