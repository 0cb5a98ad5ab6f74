//! IPVS in `global_defs`, `lvs_sync_daemon_interface` of virtual routers, and `SSL`.

use super::super::super::parser::{Statement, Word};
use super::super::notify::fifo_script;
use super::super::service::Pipe;
use super::super::values::{switch, wrong};
use super::{error, lines};
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::model::Config;
use crate::model::lvs::{ClientCertificate, FlushOnStop, Lvs, SyncDaemon, Timeouts};
use crate::notation::is_interface_name;
use hacluster_core::time::Duration;
use std::net::IpAddr;
use std::path::PathBuf;

/// Longest connection timeout, in seconds: the kernel counts its ticks in 31 bits.
const TIMEOUT_MAX: u32 = i32::MAX as u32 / 1000;
/// Largest packet of the sync daemon, in bytes: a datagram less its headers.
const SYNC_LEN_MAX: u16 = 65_535 - 20 - 8;

/// What the process as a whole is told.
#[derive(Default)]
pub(super) struct Process {
    pub(super) lvs: Lvs,
    pub(super) log_all_failures: bool,
    pub(super) alert: Option<bool>,
    fifo: Pipe,
}

/// Reads all of it; `config` holds the virtual routers.
pub(super) fn read(top: &[Statement], config: &Config, findings: &Findings) -> Process {
    let mut process = Process::default();
    for block in top.iter().filter(|statement| statement.keyword() == "global_defs") {
        lines(block).for_each(|line| process.line(line, config, findings));
    }
    for block in top.iter().filter(|statement| statement.keyword() == "vrrp_instance") {
        let old = lines(block).filter(|line| line.keyword() == "lvs_sync_daemon_interface");
        old.for_each(|line| process.old_sync(block, line, config, findings));
    }
    for block in top.iter().filter(|statement| statement.keyword() == "SSL") {
        process.lvs.client = client(block, findings).or(process.lvs.client);
    }
    process.lvs.fifo = std::mem::take(&mut process.fifo).complete();
    process
}

impl Process {
    fn line(&mut self, line: &Statement, config: &Config, findings: &Findings) {
        match line.keyword() {
            "lvs_sync_daemon" => self.lvs.sync = sync(line, config, findings).or(self.lvs.sync.take()),
            "lvs_timeouts" => timeouts(line, &mut self.lvs.timeouts, findings),
            "lvs_flush" => self.lvs.flush = true,
            "lvs_flush_on_stop" | "lvs_flush_onstop" => match line.params().first() {
                None => self.lvs.flush_on_stop = FlushOnStop::All,
                Some(word) if word.text == "VS" => self.lvs.flush_on_stop = FlushOnStop::Services,
                Some(word) => wrong(findings, line.keyword(), word, "`VS` or nothing", "the line is ignored"),
            },
            "lvs_notify_fifo" => self.fifo.place(line, findings),
            "lvs_notify_fifo_script" => self.fifo.script = fifo_script(line, findings),
            "checker_log_all_failures" => {
                self.log_all_failures = switch(findings, line).unwrap_or(self.log_all_failures)
            }
            "smtp_alert_checker" => self.alert = switch(findings, line).or(self.alert),
            "no_checker_emails" => self.lvs.fewer_mails = true,
            "rs_init_notifies" => self.lvs.tell_at_start = true,
            _ => {}
        }
    }

    /// The form of old files; as with keepalived the first one counts, and `lvs_sync_daemon` before it.
    fn old_sync(&mut self, block: &Statement, line: &Statement, config: &Config, findings: &Findings) {
        let (Some(name), Some(word)) = (block.params().first(), line.params().first()) else { return };
        if let Some(other) = &self.lvs.sync {
            let of = other.router.as_deref().unwrap_or("lvs_sync_daemon");
            let message =
                format!("the kernel has one sync daemon, and `{}` has asked for it already", show(of));
            let found = Diagnostic::new(Severity::Warning, "second-sync-daemon", message).at(&word.span);
            return findings.push(found.not_in_force().label("this line is ignored, as with keepalived"));
        }
        if !is_interface_name(&word.text) {
            return wrong(
                findings,
                line.keyword(),
                word,
                "the name of an interface",
                "nothing is synchronised",
            );
        }
        let Some(router) = config.routers.iter().find(|router| router.name == name.text) else { return };
        self.lvs.sync = Some(SyncDaemon {
            interface: word.text.clone(),
            router: Some(router.name.clone()),
            id: 0, // as keepalived has it: a receiver with 0 takes what bears any
            max_len: None,
            port: None,
            ttl: None,
            group: None,
        });
    }
}

/// `INTERFACE [INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]`.
fn sync(line: &Statement, config: &Config, findings: &Findings) -> Option<SyncDaemon> {
    let [interface, rest @ ..] = line.params() else { return None };
    if !is_interface_name(&interface.text) {
        wrong(findings, line.keyword(), interface, "the name of an interface", "nothing is synchronised");
        return None;
    }
    let mut daemon = SyncDaemon {
        interface: interface.text.clone(),
        router: None,
        id: 0,
        max_len: None,
        port: None,
        ttl: None,
        group: None,
    };
    let mut words = rest.iter().peekable();
    let keys = ["id", "maxlen", "port", "ttl", "group"];
    if let Some(name) =
        words.next_if(|word| !keys.contains(&word.text.as_str()) && word.text.parse::<u8>().is_err())
    {
        let router = config.routers.iter().find(|router| router.name == name.text);
        let Some(router) = router else {
            let message =
                format!("no virtual router `{}` runs that the sync daemon could follow", show(&name.text));
            let names: Vec<&str> =
                config.routers.iter().map(|router| router.name.as_str()).take(200).collect();
            let near = findings.suggest(&name.text, &names);
            let near =
                near.map_or("nothing is synchronised".to_owned(), |near| format!("did you mean `{near}`?"));
            error(findings, "undefined-reference", &message, name, &near);
            return None;
        };
        daemon.router = Some(router.name.clone());
        daemon.id = router.vrid.get();
    }
    while let Some(word) = words.next() {
        // A number alone is the id of old files.
        let (key, value) = match keys.contains(&word.text.as_str()) {
            true => (word.text.as_str(), words.next()),
            false => ("id", Some(word)),
        };
        option(&mut daemon, key, value.unwrap_or(word), findings);
    }
    Some(daemon)
}

fn option(daemon: &mut SyncDaemon, key: &str, value: &Word, findings: &Findings) {
    let number = |range: std::ops::RangeInclusive<u16>| {
        let found = value.text.parse::<u16>().ok().filter(|number| range.contains(number));
        if found.is_none() {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            wrong(findings, &format!("lvs_sync_daemon {key}"), value, &expected, "it is ignored");
        }
        found
    };
    match key {
        "id" => daemon.id = number(0..=255).map_or(daemon.id, |id| id as u8),
        "maxlen" => {
            daemon.max_len = number(1..=SYNC_LEN_MAX);
            if let Some(message) = daemon.max_len.and_then(|len| SyncDaemon::raised("maxlen", len)) {
                findings.push(Diagnostic::new(Severity::Hint, "out-of-range", message).at(&value.span));
            }
        }
        "port" => daemon.port = number(1..=65_535),
        "ttl" => daemon.ttl = number(1..=255).map(|ttl| ttl as u8),
        _ => match value.text.parse::<IpAddr>().ok().filter(IpAddr::is_multicast) {
            Some(group) => daemon.group = Some(group),
            None => wrong(findings, "lvs_sync_daemon group", value, "a multicast address", "it is ignored"),
        },
    }
}

/// `[tcp N] [tcpfin N] [udp N]`.
fn timeouts(line: &Statement, timeouts: &mut Timeouts, findings: &Findings) {
    for pair in line.params().chunks(2) {
        let key = &pair[0];
        let place = match key.text.as_str() {
            "tcp" => &mut timeouts.tcp,
            "tcpfin" => &mut timeouts.tcp_fin,
            "udp" => &mut timeouts.udp,
            _ => {
                return wrong(
                    findings,
                    "lvs_timeouts",
                    key,
                    "`tcp`, `tcpfin` or `udp`",
                    "the rest is ignored",
                );
            }
        };
        let value = pair.get(1).unwrap_or(key);
        match value.text.parse::<u32>() {
            Ok(secs) if (1..=TIMEOUT_MAX).contains(&secs) => *place = Some(Duration::from_secs(secs.into())),
            _ => {
                let expected = format!("seconds from 1 to {TIMEOUT_MAX}");
                wrong(findings, "lvs_timeouts", value, &expected, "the kernel's value stays");
            }
        }
    }
}

/// Certificate and key belong together.
fn client(block: &Statement, findings: &Findings) -> Option<ClientCertificate> {
    let (mut certificate, mut key) = (None, None);
    for line in lines(block) {
        let path = || line.params().first().map(|word| PathBuf::from(&word.text));
        match line.keyword() {
            "certificate" => certificate = path(),
            "key" => key = path(),
            "password" => {
                let message = "an encrypted key cannot be read: `password` is not in force";
                let label = "write the key without one (openssl pkey), readable by root alone";
                error(findings, "encrypted-key", message, &line.words[0], label);
            }
            _ => {}
        }
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (None, None) => None,
        (certificate, _) => {
            let missing = if certificate.is_some() { "key" } else { "certificate" };
            let message = format!("`SSL` has no `{missing}`: checks show no certificate");
            error(findings, "missing-parameter", &message, &block.words[0], "");
            None
        }
    }
}
