//! `notify_*` and `smtp_alert` of virtual routers and groups.

use super::super::parser::Statement;
use super::command::{split, user, with_user};
use super::values::switch;
use crate::findings::Findings;
use crate::model::{Command, Notify};

/// Notifications as far as they are written; what is not comes from the global settings.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) notify: Notify,
    pub(super) mail: Option<bool>,
    pub(super) priority_changes: Option<bool>,
}

impl Draft {
    /// Takes a line; `false` when it is none of these.
    pub(super) fn read(&mut self, line: &Statement, findings: &Findings) -> bool {
        let notify = &mut self.notify;
        let place = match line.keyword() {
            "notify_master" => &mut notify.master,
            "notify_backup" => &mut notify.backup,
            "notify_fault" => &mut notify.fault,
            "notify_stop" => &mut notify.stop,
            "notify_master_rx_lower_pri" => &mut notify.master_rx_lower_pri,
            "notify" => &mut notify.any,
            "notify_deleted" => {
                notify.deleted = with_user(line, findings);
                notify.tells_deleted = true;
                return true;
            }
            "smtp_alert" => {
                self.mail = switch(findings, line).or(self.mail);
                return true;
            }
            "notify_priority_changes" => {
                self.priority_changes = switch(findings, line).or(self.priority_changes);
                return true;
            }
            _ => return false,
        };
        if let Some(command) = with_user(line, findings) {
            place.get_or_insert(command); // written twice: the first one counts, as with keepalived
        }
        true
    }

    /// With the global settings where nothing is written.
    pub(super) fn complete(self, mail: bool, priority_changes: bool) -> Notify {
        let mail = self.mail.unwrap_or(mail);
        let priority_changes = self.priority_changes.unwrap_or(priority_changes);
        Notify { mail, priority_changes, ..self.notify }
    }
}

/// A fifo's script: all words but a user at the end cannot be told apart, so the text is one word.
pub(super) fn fifo_script(line: &Statement, findings: &Findings) -> Option<Command> {
    let first = line.params().first()?;
    let argv = split(&first.text);
    let user = user(&line.params()[1..], findings);
    (!argv.is_empty()).then_some(Command { argv, user })
}
