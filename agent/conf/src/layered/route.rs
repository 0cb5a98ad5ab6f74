//! Routes and rules: lists of texts in the words of `ip route` and `ip rule`.

use super::router::addresses;
use super::table::Table;
use crate::diag::Severity;
use crate::findings::show;
use crate::model::{Statics, VirtualRouter};
use config::ValueKind;
use std::str::FromStr;

/// Reads `routes` and `rules` of a virtual router.
pub(super) fn router(table: &mut Table<'_>, router: &mut VirtualRouter) {
    if let Some(routes) = list(table, "routes") {
        router.routes = routes;
    }
    if let Some(rules) = list(table, "rules") {
        router.rules = rules;
    }
}

/// Reads the `static_*` lists of `[global]`.
pub(super) fn statics(table: &mut Table<'_>, statics: &mut Statics) {
    if let Some(mut list) = addresses(table, "static_addresses") {
        list.retain(|address| {
            if address.dev.is_none() {
                let message = format!("the static address {address} names no interface: it is not set");
                let label = "write { ip = \"192.0.2.1/24\", dev = \"eth0\" }";
                table.report(Severity::Error, "no-interface", "static_addresses", message, label);
            }
            address.dev.is_some()
        });
        statics.addresses = list;
    }
    if let Some(routes) = list(table, "static_routes") {
        statics.routes = routes;
    }
    if let Some(rules) = list(table, "static_rules") {
        statics.rules = rules;
    }
}

fn list<T: FromStr<Err = String>>(table: &mut Table<'_>, key: &str) -> Option<Vec<T>> {
    let elements = table.list(key)?;
    let read = |(key, element): (String, ValueKind)| {
        let text = match &element {
            ValueKind::String(text) => text.as_str(),
            _ => "",
        };
        text.parse().map_err(|why| {
            let message = format!("`{}` cannot be set: {why}", show(text));
            table.report(Severity::Error, "bad-value", &key, message, "");
        })
    };
    Some(elements.into_iter().filter_map(|element| read(element).ok()).collect())
}
