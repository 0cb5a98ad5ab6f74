//! What is wrong, on this machine and now, with the programs and fifos that a configuration names.
//!
//! Files know nothing of it: so this is found by `--check` and `haclusterctl config check`, as an agent
//! that runs as root will find it and as the one of the installed unit will, and by the agent at each run
//! of a program.

use crate::fifo;
use crate::resolve::{Agent, Trap, resolve_for};
use crate::text::never_fails;
use crate::unit::{self, Unit};
use hacluster_conf::Loaded;
use hacluster_conf::diag::{Diagnostic, FileId, Severity, SourceMap, Span};
use hacluster_conf::model::lvs::{Check, CheckKind};
use hacluster_conf::model::track::Probe;
use hacluster_conf::model::{Command, Config, Notify, ScriptUser};
use nix::unistd::{Gid, Uid};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

/// Users of a program that are named.
const NAMED_MAX: usize = 3;

/// Adds every trap to what `loaded` says, in the order of its text.
pub fn add(loaded: &mut Loaded) {
    let found = find(loaded);
    loaded.diagnostics.extend(found);
    let place =
        |of: &Diagnostic| of.span.as_ref().map_or((u32::MAX, 0), |span| (span.file.0, span.range.start));
    loaded.diagnostics.sort_by_key(place);
}

/// Every trap of every fifo and every program, each program once, marked where it is first written.
pub fn find(loaded: &Loaded) -> Vec<Diagnostic> {
    find_for(loaded, Unit::installed(Path::new("/")).as_ref())
}

fn find_for(loaded: &Loaded, unit: Option<&Unit>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let confined = unit.and_then(|unit| Some((unit, unit.agent()?)));
    let mut without_root = Vec::new();
    for Program { command, users, is_check } in &programs(&loaded.config) {
        let place = place(command.program(), &loaded.sources);
        let say = |severity, code, trap: &Trap, note: &str| {
            let diagnostic = Diagnostic::new(severity, code, trap.what.clone()).label(&trap.mend);
            let diagnostic = diagnostic.note(format!("{note} {}", name_some(users)));
            match &place {
                Some(place) => diagnostic.at(place),
                // Without a place nobody sees a label.
                None => diagnostic.note(&trap.mend),
            }
        };
        if is_hidden(Path::new(command.program())) {
            let what = format!("{} cannot be looked at as this user", command.program());
            let trap = Trap { what, mend: "check it as root".to_owned() };
            found.push(say(Severity::Hint, "not-looked-at", &trap, "run by"));
            continue;
        }
        match resolve_for(AGENT, command, &loaded.config.scripts) {
            Err(trap) => found.push(say(Severity::Error, "cannot-run", &trap, "not run:")),
            Ok(resolved) => {
                let never = (*is_check).then(|| never_fails(&resolved.path)).flatten();
                let remarks = resolved.remarks.iter().chain(&never);
                found.extend(remarks.map(|trap| say(Severity::Warning, "script-trap", trap, "run by")));
                let Some((_, agent)) = confined else { continue };
                match resolve_for(agent, command, &loaded.config.scripts) {
                    Err(Trap { what, mend }) => {
                        let trap = Trap { what: format!("started by {}, {what}", unit::NAME), mend };
                        found.push(say(Severity::Warning, "unit-user", &trap, "not run:").not_in_force());
                    }
                    Ok(unit) => without_root.extend((unit.user.is_none()).then_some(command.program())),
                }
            }
        }
    }
    if let (Some((unit, _)), [first, ..]) = (confined, &without_root[..]) {
        found.push(without_rights(&unit.user, first, without_root.len(), loaded));
    }
    found.extend(fifos(loaded));
    found
}

/// Scripts that keepalived, being root, ran with more rights.
fn without_rights(user: &str, first: &str, count: usize, loaded: &Loaded) -> Diagnostic {
    let what = format!(
        "{count} program(s) run as {user} when {} starts the agent, without root's rights",
        unit::NAME
    );
    let mend = "if they need more: its drop-ins scripts-as-others.conf and as-root.conf, below \
                /usr/share/doc/hacluster/examples/systemd";
    let found = Diagnostic::new(Severity::Hint, "unit-user", what).label("the first").note(mend);
    match place(first, &loaded.sources) {
        Some(place) => found.at(&place),
        None => found,
    }
}

/// What keeps fifos from getting their lines.
fn fifos(loaded: &Loaded) -> impl Iterator<Item = Diagnostic> {
    let Config { fifos, scripts, .. } = &loaded.config;
    fifos.all.iter().chain(&fifos.vrrp).filter_map(|fifo| {
        let trap = fifo::trap_for(AGENT, fifo, scripts)?;
        let found = Diagnostic::new(Severity::Error, "no-fifo", trap.what).label(&trap.mend);
        Some(match place(&fifo.path.to_string_lossy(), &loaded.sources) {
            Some(place) => found.at(&place),
            None => found.note(&trap.mend),
        })
    })
}

/// A program, and what runs it.
struct Program<'a> {
    command: &'a Command,
    users: Vec<String>,
    /// A tracker runs it: its exit status matters.
    is_check: bool,
}

/// An agent that may everything.
const AGENT: Agent = Agent { own: (Uid::from_raw(0), Gid::from_raw(0)), may_become_others: || true };

/// Whether only somebody else may look at it.
fn is_hidden(program: &Path) -> bool {
    let found = std::fs::metadata(program);
    !Uid::effective().is_root() && found.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn programs(config: &Config) -> Vec<Program<'_>> {
    let mut all: Vec<(&Command, String)> = Vec::new();
    for tracker in &config.trackers {
        if let Probe::Script { command, .. } = &tracker.probe {
            all.push((command, tracker.id.to_string()));
        }
    }
    let servers = || config.lvs.services.iter().flat_map(|service| &service.servers);
    for server in servers() {
        let of = |check: &'_ Check| format!("{} of {}", check.kind.keyword(), server.to);
        all.extend(server.checks.iter().filter_map(|check| match &check.kind {
            CheckKind::Misc { command, .. } => Some((command, of(check))),
            _ => None,
        }));
    }
    let checks = all.len();
    let routers = config.routers.iter().map(|router| (&router.name, &router.notify));
    let groups = config.groups.iter().map(|group| (&group.name, &group.notify));
    for (name, notify) in routers.chain(groups) {
        all.extend(notifications(notify).map(|(word, command)| (command, format!("{word} of {name}"))));
    }
    for server in servers() {
        let told = [("notify_up", &server.notify_up), ("notify_down", &server.notify_down)];
        all.extend(
            told.into_iter()
                .filter_map(|(word, set)| Some((set.as_ref()?, format!("{word} of {}", server.to)))),
        );
    }
    for service in &config.lvs.services {
        let told = [("quorum_up", &service.quorum_up), ("quorum_down", &service.quorum_down)];
        let name = &service.name;
        all.extend(
            told.into_iter().filter_map(|(word, set)| Some((set.as_ref()?, format!("{word} of {name}")))),
        );
    }
    let scripts = &config.scripts;
    let once = [("startup_script", &scripts.startup), ("shutdown_script", &scripts.shutdown)];
    all.extend(once.into_iter().filter_map(|(word, set)| Some((&set.as_ref()?.0, word.to_owned()))));
    let fifos = [
        ("notify_fifo_script", &config.fifos.all),
        ("vrrp_notify_fifo_script", &config.fifos.vrrp),
        ("lvs_notify_fifo_script", &config.lvs.fifo),
    ];
    let readers = fifos.into_iter().filter_map(|(word, fifo)| Some((fifo.as_ref()?.script.as_ref()?, word)));
    all.extend(readers.map(|(command, word)| (command, word.to_owned())));
    let mut programs: Vec<Program<'_>> = Vec::new();
    let mut known: HashMap<(&str, Option<&ScriptUser>), usize> = HashMap::new();
    for (at, (command, user)) in all.into_iter().enumerate() {
        let place = *known.entry((command.program(), command.user.as_ref())).or_insert(programs.len());
        match programs.get_mut(place) {
            Some(known) => known.users.push(user),
            None => programs.push(Program { command, users: vec![user], is_check: at < checks }),
        }
    }
    programs
}

fn notifications(notify: &Notify) -> impl Iterator<Item = (&'static str, &Command)> {
    [
        ("notify_master", &notify.master),
        ("notify_backup", &notify.backup),
        ("notify_fault", &notify.fault),
        ("notify_stop", &notify.stop),
        ("notify_deleted", &notify.deleted),
        ("notify", &notify.any),
        ("notify_master_rx_lower_pri", &notify.master_rx_lower_pri),
    ]
    .into_iter()
    .filter_map(|(word, command)| Some((word, command.as_ref()?)))
}

fn name_some(users: &[String]) -> String {
    let mut named: Vec<String> = users.iter().take(NAMED_MAX).cloned().collect();
    if users.len() > NAMED_MAX {
        named.push(format!("{} more", users.len() - NAMED_MAX));
    }
    named.join(", ")
}

/// Where `program` first stands as a word outside of comments.
fn place(program: &str, sources: &SourceMap) -> Option<Span> {
    (0u32..)
        .zip(sources.texts())
        .find_map(|(file, (_, text))| Some(Span { file: FileId(file), range: word(program, text)? }))
}

fn word(wanted: &str, text: &str) -> Option<Range<usize>> {
    let is_edge = |char: Option<char>| {
        char.is_none_or(|char| char.is_whitespace() || ['"', '\'', '[', ']', ',', '='].contains(&char))
    };
    let mut found = text.match_indices(wanted).map(|(start, _)| start..start + wanted.len());
    found.find(|range| {
        let (before, after) = (&text[..range.start], &text[range.end..]);
        let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
        is_edge(before.chars().next_back()) && is_edge(after.chars().next()) && !line.starts_with(['#', '!'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_conf::source::Memory;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn load(text: &str) -> Loaded {
        let path = Path::new("/etc/keepalived/keepalived.conf");
        hacluster_conf::load(path, &Memory::new(path, text))
    }

    const ROUTER: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n \
                          virtual_ipaddress {\n 192.0.2.1/24\n }\n";

    #[test]
    fn what_cannot_run_is_marked_once_where_it_is_written() {
        let text = format!(
            "# /no/such/notify.sh\n{ROUTER} notify_master \"/no/such/notify.sh master\"\n \
             notify_backup \"/no/such/notify.sh backup\"\n}}\n"
        );
        let loaded = load(&text);
        let [found] = &find(&loaded)[..] else { panic!() };
        assert_eq!((found.severity, found.code, found.not_in_force), (Severity::Error, "cannot-run", true));
        assert!(found.message.starts_with("/no/such/notify.sh cannot be found"), "{}", found.message);
        assert_eq!(found.notes, ["not run: notify_master of VI_1, notify_backup of VI_1"]);
        let (line, column) = loaded.sources.line_column(found.span.as_ref().unwrap());
        assert_eq!((line, column), (8, 17));
    }

    #[test]
    fn what_runs_in_another_way_than_it_looks_is_a_warning() {
        let text = format!(
            "vrrp_script chk {{\n script \"true && exit 0 || exit 1\"\n}}\n{ROUTER} track_script {{\n chk\n }}\n}}\n"
        );
        let loaded = load(&text);
        let codes: Vec<_> = loaded.diagnostics.iter().map(|found| found.code).collect();
        assert!(codes.contains(&"shell-syntax"), "{codes:?}");
        let [found] = &find(&loaded)[..] else { panic!() };
        assert_eq!((found.severity, found.not_in_force), (Severity::Warning, false));
        assert!(found.message.contains("looked for by its name alone"), "{}", found.message);
    }

    #[test]
    fn a_fifo_that_cannot_be_written_is_marked_where_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("states");
        std::fs::write(&file, "").unwrap();
        let of = |line: &str| find(&load(&format!("global_defs {{\n {line}\n}}\n{ROUTER}}}\n")));
        let [found] = &of(&format!("notify_fifo {}", file.display()))[..] else { panic!() };
        assert_eq!((found.severity, found.code, found.not_in_force), (Severity::Error, "no-fifo", true));
        assert!(
            found
                .message
                .ends_with("a regular file has that name, not a named pipe: no line is written to it")
        );
        assert!(found.span.is_some());
        std::fs::remove_file(&file).unwrap();
        assert!(of(&format!("notify_fifo {}", file.display())).is_empty());
        let [found] = &of(&format!("vrrp_notify_fifo {} nobody-of-that-name", file.display()))[..] else {
            panic!()
        };
        assert!(found.message.contains("user nobody-of-that-name does not exist"), "{}", found.message);
        let [found] = &of("notify_fifo /no/such/folder/fifo")[..] else { panic!() };
        assert!(found.message.contains("folder /no/such/folder does not exist"), "{}", found.message);
    }

    #[test]
    fn what_the_units_user_may_not_do_is_said_to_whoever_checks() {
        let unit = |others| Unit { user: "nobody".to_owned(), others };
        let of = |script: &str, unit: Option<Unit>| {
            let script = format!("vrrp_script chk {{\n script {script}\n}}\n");
            let text = format!("{script}{ROUTER} track_script {{\n chk\n }}\n}}\n");
            find_for(&load(&text), unit.as_ref())
        };
        let as_root = "\"/usr/bin/test -e /x\"\n user root";
        assert_eq!(of(as_root, None), []);
        assert_eq!(of(as_root, Some(unit(true))), []);
        let [found] = &of(as_root, Some(unit(false)))[..] else { panic!() };
        assert_eq!((found.severity, found.code, found.not_in_force), (Severity::Warning, "unit-user", true));
        assert!(found.message.contains("cannot run programs as root"), "{}", found.message);
        // Runs, but not as root any more.
        let [found] = &of("\"/usr/bin/test -e /x\"", Some(unit(false)))[..] else { panic!() };
        assert_eq!((found.severity, found.code, found.not_in_force), (Severity::Hint, "unit-user", false));
        assert!(found.message.starts_with("1 program(s) run as nobody"), "{}", found.message);
        // What root may enter and the unit's user may not.
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(folder.path(), 0o700);
        let script = folder.path().join("check");
        std::fs::write(&script, "#!/bin/sh\nexit 1\n").unwrap();
        mode(&script, 0o755);
        let found = of(&script.display().to_string(), Some(unit(false)));
        assert!(found.iter().any(|one| one.message.contains("may not enter")), "{found:?}");
    }

    #[test]
    fn words_are_found_whole_and_outside_of_comments() {
        assert_eq!(word("/a", "# /a\nx \"/a b\" /a\n"), Some(8..10));
        assert_eq!(word("/a", "/ab x/a /a/b"), None);
        assert_eq!(word("/a", "command = [\"/a\", \"b\"]"), Some(12..14));
    }
}
