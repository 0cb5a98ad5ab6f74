//! What runs beside the protocol: `[scripts]`, `[mail]`, `[fifos]` and `[[sync_group]]`.

use super::command;
use super::read::{Layers, List};
use super::table::Table;
use super::track;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::{Command, Config, Fifo, Mail, Notify, ScriptUser, Scripts, SyncGroup};
use crate::suggest::nearest;
use hacluster_core::time::Duration;
use std::path::PathBuf;

/// Keys of `[scripts]`.
pub(super) const SCRIPT_KEYS: [&str; 8] = [
    "user",
    "group",
    "security",
    "symlink_paths",
    "startup",
    "startup_timeout",
    "shutdown",
    "shutdown_timeout",
];
/// Keys of `[mail]`.
pub(super) const MAIL_KEYS: [&str; 12] = [
    "to",
    "from",
    "server",
    "port",
    "helo",
    "timeout",
    "starttls",
    "login",
    "password_file",
    "ca_file",
    "alert",
    "faults",
];
const FIFO_KEYS: [&str; 7] =
    ["all", "all_script", "all_user", "vrrp", "vrrp_script", "vrrp_user", "states_on_reload"];
const GROUP_KEYS: [&str; 5] = ["name", "members", "track", "tracking_weight", "notify"];
const SMTP_PORT: u16 = 25;
/// With `starttls` or `login`: submission.
const SUBMISSION_PORT: u16 = 587;
const SMTP_TIMEOUT_SECS: u64 = 30;
const LIMIT_SECS: u64 = 10;
const LIMIT_MAX_SECS: u64 = 1_000;
const TIMEOUT_MAX_SECS: u64 = 3_600;

/// Reads scripts, fifos and mail; returns whether virtual routers mail unless they say otherwise.
pub(super) fn lower(config: &mut Config, root: &mut Table<'_>, host_name: &str) -> bool {
    if let Some(table) = root.table("scripts") {
        scripts(table, &mut config.scripts);
    }
    if let Some(table) = root.table("fifos") {
        fifos(table, config);
    }
    root.table("mail").is_some_and(|table| mail(table, &mut config.mail, host_name))
}

fn scripts(mut table: Table<'_>, scripts: &mut Scripts) {
    scripts.user = command::user(&mut table).or(scripts.user.take());
    table.set_bool("security", &mut scripts.security);
    table.set_bool("symlink_paths", &mut scripts.symlink_paths);
    timed(&mut table, ["startup", "startup_timeout"], &mut scripts.startup);
    timed(&mut table, ["shutdown", "shutdown_timeout"], &mut scripts.shutdown);
    table.finish(&SCRIPT_KEYS);
}

fn timed(table: &mut Table<'_>, [key, limit]: [&str; 2], setting: &mut Option<(Command, Duration)>) {
    let (mut program, before) = setting.take().unzip();
    command::set(table, key, &mut program);
    let limit = table.seconds(limit, LIMIT_MAX_SECS).or(before).unwrap_or(Duration::from_secs(LIMIT_SECS));
    *setting = program.map(|program| (program, limit));
}

fn fifos(mut table: Table<'_>, config: &mut Config) {
    let fifos = &mut config.fifos;
    for (path, [script, user], fifo) in [
        ("all", ["all_script", "all_user"], &mut fifos.all),
        ("vrrp", ["vrrp_script", "vrrp_user"], &mut fifos.vrrp),
    ] {
        if let Some(path) = table.text(path) {
            fifo.get_or_insert(Fifo { path: PathBuf::new(), owner: None, script: None }).path = path.into();
        }
        let Some(fifo) = fifo else {
            for key in [script, user] {
                if table.take(key).is_some() {
                    let message = format!("`{key}` without `{path}`: nothing would be written to it");
                    table.report(Severity::Error, "missing-key", key, message, "write the path of the pipe");
                }
            }
            continue;
        };
        if let Some(user) = table.text(user) {
            fifo.owner = Some(ScriptUser { user, group: None });
        }
        command::set(&mut table, script, &mut fifo.script);
    }
    table.set_bool("states_on_reload", &mut fifos.states_on_reload);
    table.finish(&FIFO_KEYS);
}

fn mail(mut table: Table<'_>, setting: &mut Option<Mail>, host_name: &str) -> bool {
    let base = setting.take();
    let mut mail = base.unwrap_or_else(|| Mail {
        to: Vec::new(),
        from: format!("hacluster@{host_name}"),
        server: "127.0.0.1".to_owned(),
        port: 0,
        helo: None,
        timeout: Duration::from_secs(SMTP_TIMEOUT_SECS),
        starttls: false,
        login: None,
        ca_file: None,
        faults: true,
    });
    if let Some(to) = table.texts("to") {
        mail.to = to;
    }
    let expected = "a mail address";
    let address = |text: &str| is_mail_address(text).then(|| text.to_owned());
    mail.from = table.parsed("from", expected, address).unwrap_or(mail.from);
    mail.server = table.text("server").unwrap_or(mail.server);
    mail.helo = table.text("helo").or(mail.helo);
    mail.timeout =
        table.seconds("timeout", TIMEOUT_MAX_SECS).filter(|limit| !limit.is_zero()).unwrap_or(mail.timeout);
    table.set_bool("starttls", &mut mail.starttls);
    table.set_bool("faults", &mut mail.faults);
    mail.ca_file = table.text("ca_file").map(PathBuf::from).or(mail.ca_file);
    login(&mut table, &mut mail);
    let port = table.integer("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    let usual = if mail.starttls { SUBMISSION_PORT } else { SMTP_PORT };
    mail.port = port.unwrap_or(if mail.port == 0 { usual } else { mail.port });
    let alert = table.boolean("alert").unwrap_or(false);
    let wrong = mail.to.iter().find(|to| !is_mail_address(to)).cloned();
    if let Some(wrong) = wrong {
        let message = format!("`{}` is no mail address: it is left out", show(&wrong));
        table.left_out("bad-value", "to", message, "");
        mail.to.retain(|to| is_mail_address(to));
    } else if mail.to.is_empty() {
        let message = "[mail] names no recipient: nothing is sent".to_owned();
        table.report(Severity::Error, "missing-key", "", message, "write to = [\"root@localhost\"]");
    }
    table.finish(&MAIL_KEYS);
    *setting = Some(mail).filter(|mail| !mail.to.is_empty());
    alert
}

/// `login` and `password_file`: the password itself never stands in the configuration.
fn login(table: &mut Table<'_>, mail: &mut Mail) {
    match (table.text("login"), table.text("password_file")) {
        (Some(name), Some(file)) => mail.login = Some((name, file.into())),
        (None, None) => {}
        (name, _) => {
            let (there, other) =
                if name.is_some() { ("login", "password_file") } else { ("password_file", "login") };
            let message = format!("`{there}` without `{other}`");
            table.report(Severity::Error, "missing-key", there, message, &format!("write {other}, too"));
        }
    }
    if mail.login.is_some() && !mail.starttls {
        let message = "a login without starttls shows the password to everybody on the way".to_owned();
        table.report(Severity::Warning, "login-in-clear", "login", message, "write starttls = true");
    }
}

fn is_mail_address(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| !char.is_whitespace() && !char.is_control())
}

/// Reads every group over the one of the same name, once all virtual routers are known.
pub(super) fn groups(config: &mut Config, root: &mut Table<'_>, layers: &Layers, mails: bool) {
    let Some(mut tables) = root.table("sync_group") else { return };
    for key in layers.keys(List::Groups) {
        let Some(table) = tables.table(key) else { continue };
        let Some(fresh) = group(table, config, mails) else { continue };
        match config.groups.iter_mut().find(|known| known.name == fresh.name) {
            Some(known) => *known = fresh,
            None => config.groups.push(fresh),
        }
    }
}

fn group(mut table: Table<'_>, config: &Config, mails: bool) -> Option<SyncGroup> {
    let name = table.any_text("name").unwrap_or_else(|| table.name().to_owned());
    let base = config.groups.iter().find(|known| known.name.eq_ignore_ascii_case(&name)).cloned();
    let notify = Notify { mail: mails, ..Notify::default() };
    let mut group = base.unwrap_or(SyncGroup { name, notify, ..SyncGroup::default() });
    if let Some(written) = table.texts("members") {
        group.members = members(&table, &group.name, written, config);
    }
    if let Some(tracked) = track::list(&mut table, &config.trackers) {
        group.tracked = tracked;
    }
    table.set_bool("tracking_weight", &mut group.tracking_weight);
    command::notify(&mut table, &mut group.notify);
    if group.members.is_empty() && !table.has_errors() {
        let message = format!("group `{}` has no member that runs: it is ignored", show(&group.name));
        table.left_out("empty-list", "members", message, "write members = [\"VI_1\", \"VI_2\"]");
        return None;
    }
    table.finish(&GROUP_KEYS);
    (!table.has_errors()).then_some(group)
}

/// Those that run and are in no other group, by the names their virtual routers have.
fn members(table: &Table<'_>, group: &str, written: Vec<String>, config: &Config) -> Vec<String> {
    let mut members: Vec<String> = Vec::new();
    for name in written {
        let Some(router) = config.routers.iter().find(|router| router.name.eq_ignore_ascii_case(&name))
        else {
            let near = nearest(&name, config.routers.iter().map(|router| router.name.as_str()));
            let near = near.map_or(String::new(), |near| format!("did you mean `{near}`?"));
            let message = format!("no virtual router `{}` runs: it is left out of the group", show(&name));
            table.left_out("unknown-member", "members", message, &near);
            continue;
        };
        let mut others = config.groups.iter().filter(|other| other.name != group);
        if let Some(other) = others.find(|other| other.members.contains(&router.name)) {
            let message = format!("`{}` is in group `{}` already", show(&name), show(&other.name));
            table.left_out("duplicate-name", "members", message, "a virtual router moves with one group");
        } else if !members.contains(&router.name) {
            members.push(router.name.clone());
        }
    }
    members
}
