//! `global_defs` beside the protocol: scripts, fifos and mail.

use super::super::parser::{Statement, Word};
use super::command::{self, with_user};
use super::notify::fifo_script;
use super::values::{number, switch, wrong};
use crate::diag::{Diagnostic, Severity};
use crate::findings::Findings;
use crate::model::{Command, Fifo, Fifos, Mail, ScriptUser, Scripts};
use hacluster_core::time::Duration;

const SMTP_PORT: u16 = 25;
/// keepalived's time limits, in seconds.
const SMTP_TIMEOUT: u32 = 30;
const STARTUP_TIMEOUT: u32 = 10;

/// Settings as far as they are written; later lines win.
#[derive(Default)]
pub(super) struct Services {
    pub(super) scripts: Scripts,
    /// `smtp_alert`, and for virtual routers alone.
    pub(super) alert: Option<bool>,
    alert_vrrp: Option<bool>,
    pub(super) priority_changes: bool,
    to: Vec<String>,
    from: Option<String>,
    server: Option<(String, u16)>,
    helo: Option<String>,
    timeout: Option<u32>,
    no_faults: bool,
    startup: (Option<Command>, Option<u32>),
    shutdown: (Option<Command>, Option<u32>),
    all: Pipe,
    vrrp: Pipe,
    states_on_reload: bool,
}

/// A fifo while it is read.
#[derive(Default)]
pub(super) struct Pipe {
    path: Option<String>,
    owner: Option<ScriptUser>,
    pub(super) script: Option<Command>,
}

impl Pipe {
    /// `PATH [user [[:]group]]`.
    pub(super) fn place(&mut self, line: &Statement, findings: &Findings) {
        let Some((path, owner)) = line.params().split_first() else { return };
        self.path = Some(path.text.clone());
        self.owner = command::user(owner, findings);
    }

    pub(super) fn complete(self) -> Option<Fifo> {
        Some(Fifo { path: self.path?.into(), owner: self.owner, script: self.script })
    }
}

/// Reads every `global_defs` block.
pub(super) fn read(top: &[Statement], findings: &Findings) -> Services {
    let mut services = Services::default();
    let blocks = top.iter().filter(|statement| statement.keyword() == "global_defs");
    for line in blocks.filter_map(|statement| statement.block.as_ref()).flatten() {
        let _ =
            services.script(line, findings) || services.fifo(line, findings) || services.mail(line, findings);
    }
    services
}

impl Services {
    fn script(&mut self, line: &Statement, findings: &Findings) -> bool {
        let limit = || number(findings, line, 1..=1000, "10 seconds are used");
        match line.keyword() {
            "script_user" => self.scripts.user = command::user(line.params(), findings),
            "enable_script_security" => {
                self.scripts.security = switch(findings, line).unwrap_or(self.scripts.security)
            }
            "use_symlink_paths" => {
                self.scripts.symlink_paths = switch(findings, line).unwrap_or(self.scripts.symlink_paths)
            }
            "startup_script" => self.startup.0 = with_user(line, findings),
            "shutdown_script" => self.shutdown.0 = with_user(line, findings),
            "startup_script_timeout" => self.startup.1 = limit(),
            "shutdown_script_timeout" => self.shutdown.1 = limit(),
            _ => return false,
        }
        true
    }

    fn fifo(&mut self, line: &Statement, findings: &Findings) -> bool {
        match line.keyword() {
            "notify_fifo" => self.all.place(line, findings),
            "vrrp_notify_fifo" => self.vrrp.place(line, findings),
            "notify_fifo_script" => self.all.script = fifo_script(line, findings),
            "vrrp_notify_fifo_script" => self.vrrp.script = fifo_script(line, findings),
            "fifo_write_vrrp_states_on_reload" => self.states_on_reload = true,
            "vrrp_notify_priority_changes" => {
                self.priority_changes = switch(findings, line).unwrap_or(self.priority_changes)
            }
            _ => return false,
        }
        true
    }

    fn mail(&mut self, line: &Statement, findings: &Findings) -> bool {
        let first = line.params().first();
        match line.keyword() {
            "smtp_alert" => self.alert = switch(findings, line).or(self.alert),
            "smtp_alert_vrrp" => self.alert_vrrp = switch(findings, line).or(self.alert_vrrp),
            "notification_email" => {
                let words = line.block.iter().flatten().flat_map(|entry| &entry.words);
                self.to.extend(words.filter_map(|word| recipient(word, findings)));
            }
            "notification_email_from" => {
                self.from = first.and_then(|word| recipient(word, findings)).or(self.from.take())
            }
            "smtp_server" => self.server = server(line.params(), findings).or(self.server.take()),
            "smtp_helo_name" => self.helo = first.map(|word| word.text.clone()),
            "smtp_connect_timeout" => {
                self.timeout = number(findings, line, 1..=3_600, "30 seconds are used").or(self.timeout)
            }
            "no_email_faults" => self.no_faults = true,
            _ => return false,
        }
        true
    }

    /// Whether virtual routers mail unless they say otherwise.
    pub(super) fn mails(&self) -> bool {
        self.alert_vrrp.or(self.alert).unwrap_or(false)
    }

    /// The settings of the process.
    pub(super) fn complete(self, host_name: &str) -> (Scripts, Fifos, Option<Mail>) {
        let limit = |secs: Option<u32>| Duration::from_secs(secs.unwrap_or(STARTUP_TIMEOUT).into());
        let Self { startup, shutdown, .. } = self;
        let scripts = Scripts {
            startup: startup.0.map(|command| (command, limit(startup.1))),
            shutdown: shutdown.0.map(|command| (command, limit(shutdown.1))),
            ..self.scripts
        };
        let fifos = Fifos {
            all: self.all.complete(),
            vrrp: self.vrrp.complete(),
            states_on_reload: self.states_on_reload,
        };
        let (server, port) = self.server.unwrap_or_else(|| ("127.0.0.1".to_owned(), SMTP_PORT));
        let mail = Mail {
            to: self.to,
            from: self.from.unwrap_or_else(|| format!("keepalived@{host_name}")),
            server,
            port,
            helo: self.helo,
            timeout: Duration::from_secs(self.timeout.unwrap_or(SMTP_TIMEOUT).into()),
            starttls: false,
            login: None,
            ca_file: None,
            faults: !self.no_faults,
        };
        (scripts, fifos, Some(mail).filter(|mail| !mail.to.is_empty()))
    }
}

/// An address as a mail server takes it; angle brackets are keepalived's custom.
fn recipient(word: &Word, findings: &Findings) -> Option<String> {
    let text = word.text.trim_matches(['<', '>']);
    let usable = !text.is_empty() && text.chars().all(|char| !char.is_whitespace() && !char.is_control());
    if !usable {
        let found = Diagnostic::new(Severity::Error, "bad-value", "this is no mail address: it is left out");
        findings.push(found.at(&word.span));
    }
    usable.then(|| text.to_owned())
}

/// `HOST [PORT]`.
fn server(words: &[Word], findings: &Findings) -> Option<(String, u16)> {
    let host = words.first()?.text.clone();
    let port = match words.get(1) {
        None => SMTP_PORT,
        Some(word) => match word.text.parse() {
            Ok(port) if port > 0 => port,
            _ => {
                wrong(findings, "smtp_server", word, "a port from 1 to 65535", "25 is used");
                SMTP_PORT
            }
        },
    };
    Some((host, port))
}
