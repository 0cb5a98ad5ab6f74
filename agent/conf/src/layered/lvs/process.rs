//! `[lvs]`: what concerns all virtual servers.

use super::super::command;
use super::super::table::Table;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::lvs::{ClientCertificate, FlushOnStop, Lvs, SyncDaemon};
use crate::model::{Config, Fifo};
use crate::notation::is_interface_name;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const LVS_KEYS: [&str; 13] = [
    "flush",
    "flush_on_stop",
    "timeout_tcp",
    "timeout_tcp_fin",
    "timeout_udp",
    "sync",
    "fifo",
    "fifo_script",
    "certificate",
    "key",
    "authorities",
    "fewer_mails",
    "tell_at_start",
];
const SYNC_KEYS: [&str; 7] = ["interface", "router", "id", "max_len", "port", "ttl", "group"];
/// Longest connection timeout, in seconds: the kernel counts its ticks in 31 bits.
const TIMEOUT_MAX_SECS: u64 = i32::MAX as u64 / 1000;

/// Overwrites what is written; relative files are looked for in `folder`.
pub(super) fn read(mut table: Table<'_>, lvs: &mut Lvs, config: &Config, folder: &Path) {
    table.set_bool("flush", &mut lvs.flush);
    table.set_bool("fewer_mails", &mut lvs.fewer_mails);
    table.set_bool("tell_at_start", &mut lvs.tell_at_start);
    let ways = [("ours", FlushOnStop::Ours), ("all", FlushOnStop::All), ("services", FlushOnStop::Services)];
    lvs.flush_on_stop = table.choice("flush_on_stop", &ways).unwrap_or(lvs.flush_on_stop);
    for (key, timeout) in [
        ("timeout_tcp", &mut lvs.timeouts.tcp),
        ("timeout_tcp_fin", &mut lvs.timeouts.tcp_fin),
        ("timeout_udp", &mut lvs.timeouts.udp),
    ] {
        // 0 leaves it to the kernel again.
        if let Some(span) = table.seconds(key, TIMEOUT_MAX_SECS) {
            *timeout = Some(span).filter(|span| !span.is_zero());
        }
    }
    if let Some(path) = table.text("fifo") {
        lvs.fifo.get_or_insert(Fifo { path: PathBuf::new(), owner: None, script: None }).path = path.into();
    }
    if let Some(fifo) = &mut lvs.fifo {
        command::set(&mut table, "fifo_script", &mut fifo.script);
    }
    if let Some(file) = table.text("authorities") {
        lvs.authorities = Some(folder.join(file));
    }
    match (table.text("certificate"), table.text("key")) {
        (Some(certificate), Some(key)) => {
            lvs.client =
                Some(ClientCertificate { certificate: folder.join(certificate), key: folder.join(key) })
        }
        (None, None) => {}
        (certificate, _) => {
            let missing = if certificate.is_some() { "key" } else { "certificate" };
            let message = "`certificate` and `key` belong together".to_owned();
            table.report(Severity::Error, "missing-key", "", message, &format!("write {missing}, too"));
        }
    }
    if let Some(table) = table.table("sync") {
        lvs.sync = sync(table, config);
    }
    table.finish(&LVS_KEYS);
}

fn sync(mut table: Table<'_>, config: &Config) -> Option<SyncDaemon> {
    let interface = table.parsed("interface", "the name of an interface", |text| {
        is_interface_name(text).then(|| text.to_owned())
    });
    let name = table.text("router");
    let router = name
        .as_ref()
        .and_then(|name| config.routers.iter().find(|router| router.name.eq_ignore_ascii_case(name)));
    if let (Some(name), None) = (&name, router) {
        let message = format!("no virtual router `{}` runs that the sync daemon could follow", show(name));
        table.report(Severity::Error, "unknown-router", "router", message, "");
    }
    let mut number = |key, most| table.integer(key, 1..=most);
    let (max_len, port, ttl) = (number("max_len", 65_507), number("port", 65_535), number("ttl", 255));
    let id = table.integer("id", 0..=255).and_then(|id| u8::try_from(id).ok());
    let group =
        table.parsed("group", "a multicast address", |text| text.parse().ok().filter(IpAddr::is_multicast));
    let short = |number: Option<u32>| number.and_then(|number| u16::try_from(number).ok());
    if let Some(message) = short(max_len).and_then(|len| SyncDaemon::raised("max_len", len)) {
        table.report(Severity::Hint, "out-of-range", "max_len", message, "");
    }
    table.finish(&SYNC_KEYS);
    Some(SyncDaemon {
        interface: interface?,
        router: router.map(|router| router.name.clone()),
        id: id.or(router.map(|router| router.vrid.get())).unwrap_or(0),
        max_len: short(max_len),
        port: short(port),
        ttl: ttl.and_then(|ttl| u8::try_from(ttl).ok()),
        group,
    })
}
