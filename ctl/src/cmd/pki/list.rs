//! `haclusterctl pki list`: who holds what until when, what ends soon last.

use super::{day, option};
use crate::args::Format;
use crate::output::{self, safe};
use crate::pki::index::{Record, days_left};
use crate::pki::{Store, WARN_DAYS};
use crate::{Outcome, Usage};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;

/// What `pki list` answers programs.
#[derive(Serialize)]
struct Listed<'a> {
    authority: Authority<'a>,
    certificates: Vec<Certificate<'a>>,
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Authority<'a> {
    name: &'a str,
    directory: String,
    expires: Timestamp,
    days_left: i64,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a str,
    role: &'a str,
    addresses: &'a [String],
    serial: &'a str,
    issued: Timestamp,
    expires: Timestamp,
    days_left: i64,
    revoked: Option<Timestamp>,
}

#[derive(Serialize)]
struct Warning {
    text: String,
    mend: String,
}

pub(super) fn run(
    store: &Store,
    names: &[String],
    format: Format,
    now: Timestamp,
) -> anyhow::Result<Outcome> {
    let listed = listed(store, names, now)?;
    let text = match output::structured(&listed, format)? {
        Some(text) => text,
        None => table(&listed, format == Format::Wide),
    };
    output::print(&text)?;
    Ok(if listed.warnings.is_empty() { Outcome::Well } else { Outcome::Degraded })
}

fn listed<'a>(store: &'a Store, names: &[String], now: Timestamp) -> anyhow::Result<Listed<'a>> {
    let mut records = store.index.current();
    if !names.is_empty() {
        let unknown = names.iter().find(|name| store.index.latest(name).is_none());
        if let Some(name) = unknown {
            return Err(Usage(format!("nobody is called {name}; there are: {}", store.index.known())).into());
        }
        records.retain(|record| names.iter().any(|name| name.eq_ignore_ascii_case(&record.name)));
    }
    let option = option(&store.dir);
    let authority = Authority {
        name: &store.name,
        directory: store.dir.display().to_string(),
        expires: store.expires,
        days_left: days_left(store.expires, now),
    };
    let mut warnings = Vec::new();
    if authority.days_left < WARN_DAYS {
        warnings.push(Warning {
            text: format!("the authority {}, and with it every certificate", ends(store.expires, now)),
            mend: "haclusterctl pki init --dir OTHER, and certificates of it for all".to_owned(),
        });
    }
    let soon = |record: &&&Record| record.revoked.is_none() && record.days_left(now) < WARN_DAYS;
    warnings.extend(records.iter().filter(soon).map(|record| Warning {
        text: format!("the certificate of {} {}", record.name, ends(record.expires, now)),
        mend: format!(
            "haclusterctl pki{option} renew {0}; if it is not needed any more: haclusterctl pki{option} revoke {0}",
            record.name
        ),
    }));
    Ok(Listed {
        authority,
        certificates: records.iter().map(|record| certificate(record, now)).collect(),
        warnings,
    })
}

fn certificate(record: &Record, now: Timestamp) -> Certificate<'_> {
    Certificate {
        name: &record.name,
        role: &record.role,
        addresses: &record.addresses,
        serial: &record.serial,
        issued: record.issued,
        expires: record.expires,
        days_left: record.days_left(now),
        revoked: record.revoked,
    }
}

fn ends(expires: Timestamp, now: Timestamp) -> String {
    match days_left(expires, now) {
        ..=-1 => format!("ENDED on {}", day(expires)),
        0 => "ends in less than a day".to_owned(),
        1 => "ends in 1 day".to_owned(),
        days => format!("ends in {days} days"),
    }
}

fn table(listed: &Listed<'_>, wide: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut head = vec!["NAME", "ROLE", "EXPIRES", "DAYS", "STATE", "ADDRESSES"];
    if wide {
        head.push("SERIAL");
    }
    table.set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let authority = &listed.authority;
    table.add_row(row("ca", "authority", (authority.expires, authority.days_left), None));
    for certificate in &listed.certificates {
        let Certificate { expires, days_left, .. } = *certificate;
        let mut row = row(certificate.name, certificate.role, (expires, days_left), certificate.revoked);
        row.push(Cell::new(safe(&certificate.addresses.join(" "))));
        if wide {
            row.push(Cell::new(safe(certificate.serial)));
        }
        table.add_row(row);
    }
    let mut text = format!("AUTHORITY {}   {}\n\n", safe(authority.name), safe(&authority.directory));
    text.extend(table.lines().map(|line| format!("{}\n", line.trim_end())));
    for Warning { text: what, mend } in &listed.warnings {
        text.push_str(&format!("\n! {}\n  mend: {}\n", safe(what), safe(mend)));
    }
    text
}

fn row(name: &str, role: &str, (expires, days): (Timestamp, i64), revoked: Option<Timestamp>) -> Vec<Cell> {
    let state = match revoked {
        Some(since) => format!("revoked {}", day(since)),
        None if days < 0 => "EXPIRED".to_owned(),
        None if days < WARN_DAYS => "expires soon".to_owned(),
        None => "valid".to_owned(),
    };
    let role = if role == "peer" { "node" } else { role };
    let right = |days: i64| Cell::new(days).set_alignment(CellAlignment::Right);
    vec![Cell::new(safe(name)), Cell::new(safe(role)), Cell::new(day(expires)), right(days), Cell::new(state)]
}
