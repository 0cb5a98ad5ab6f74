//! Programs that the agent runs for its users: checks and notifications.

use hacluster_core::time::Duration;

/// A program with its arguments. No shell takes part unless it is the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Who runs it; `None` for the user of all scripts.
    pub user: Option<ScriptUser>,
}

impl Command {
    /// The program.
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

/// A user, and perhaps a group, by name or number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScriptUser {
    /// Name or number.
    pub user: String,
    /// Name or number; the user's own group when `None`.
    pub group: Option<String>,
}

/// What holds for all programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts {
    /// `script_user`; `None` for `keepalived_script` where that user exists, else the agent's own.
    pub user: Option<ScriptUser>,
    /// Run nothing as root that others than root could have changed (`enable_script_security`).
    pub security: bool,
    /// Follow links at every run, not once (`use_symlink_paths`).
    pub symlink_paths: bool,
    /// Run at start before anything else, with its time limit.
    pub startup: Option<(Command, Duration)>,
    /// Run at the end after everything else, with its time limit.
    pub shutdown: Option<(Command, Duration)>,
}

/// What is told when a virtual router or group changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Run on becoming master.
    pub master: Option<Command>,
    /// Run on becoming backup.
    pub backup: Option<Command>,
    /// Run on falling into Fault.
    pub fault: Option<Command>,
    /// Run when the agent stops it.
    pub stop: Option<Command>,
    /// Run when a reload removes it.
    pub deleted: Option<Command>,
    /// A removed one is told as DELETED (`notify_deleted`, with or without a program), else as FAULT.
    pub tells_deleted: bool,
    /// Run on every change, with `INSTANCE|GROUP NAME STATE PRIORITY` as last arguments.
    pub any: Option<Command>,
    /// Run as master when a lower priority was heard.
    pub master_rx_lower_pri: Option<Command>,
    /// Changes of the priority are told to the fifos too.
    pub priority_changes: bool,
    /// Send a mail.
    pub mail: bool,
    /// Run what failed again until it succeeds or a newer state is told; `agent.toml` only.
    pub retry: bool,
}

/// A named pipe that gets a line for every change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// Its path; made when it does not exist.
    pub path: std::path::PathBuf,
    /// Whose it is made; `None` for its reader's user, else that of all scripts.
    pub owner: Option<ScriptUser>,
    /// A program that is started with the path as last argument and reads from it.
    pub script: Option<Command>,
}

/// All fifos and what else concerns them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fifos {
    /// `notify_fifo`: everything.
    pub all: Option<Fifo>,
    /// `vrrp_notify_fifo`: virtual routers and groups.
    pub vrrp: Option<Fifo>,
    /// Tell all states again after a reload.
    pub states_on_reload: bool,
}

/// Who gets mail, from whom and by which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Recipients; none means no mail.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// Host, name or address.
    pub server: String,
    /// TCP port.
    pub port: u16,
    /// Name that is told to the server; the host's name when `None`.
    pub helo: Option<String>,
    /// How long the server may take to answer.
    pub timeout: Duration,
    /// Encryption; `agent.toml` only.
    pub starttls: bool,
    /// Name and the file that holds the password; `agent.toml` only.
    pub login: Option<(String, std::path::PathBuf)>,
    /// PEM file with the certificates that `starttls` believes beside the system's; `agent.toml` only.
    pub ca_file: Option<std::path::PathBuf>,
    /// Changes to Fault are mailed, too; not with `no_email_faults`.
    pub faults: bool,
}

/// Virtual routers that change state together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncGroup {
    /// As written, unique.
    pub name: String,
    /// Names of virtual routers, at least one.
    pub members: Vec<String>,
    /// Trackers of all members.
    pub tracked: Vec<super::track::Tracked>,
    /// Let those change priorities instead of only faulting all (`sync_group_tracking_weight`).
    pub tracking_weight: bool,
    /// What is told when the group changes.
    pub notify: Notify,
}
