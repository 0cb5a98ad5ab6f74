//! Changes of routes, rules and what is static: all in place.

use super::{Effect, FieldChange, Fields};
use crate::model::{Statics, VirtualRouter};
use std::fmt::Display;

pub(super) fn statics(old: &Statics, new: &Statics) -> Vec<FieldChange> {
    let Statics { addresses, routes, rules } = old;
    let mut fields = Fields::default();
    fields.addresses("static_addresses", addresses, &new.addresses);
    list(&mut fields, "static_routes", routes, &new.routes);
    list(&mut fields, "static_rules", rules, &new.rules);
    fields.0
}

pub(super) fn router(fields: &mut Fields, old: &VirtualRouter, new: &VirtualRouter) {
    list(fields, "routes", &old.routes, &new.routes);
    list(fields, "rules", &old.rules, &new.rules);
}

/// What came and what went; a line that changed is both.
fn list<T: PartialEq + Display>(fields: &mut Fields, field: &'static str, old: &[T], new: &[T]) {
    let added = new.iter().filter(|item| !old.contains(item)).map(|item| format!("+({item})"));
    let removed = old.iter().filter(|item| !new.contains(item)).map(|item| format!("-({item})"));
    let words: Vec<String> = added.chain(removed).collect();
    if !words.is_empty() {
        fields.push(field, Effect::Live, words.join(" "));
    } else if old != new {
        fields.push(field, Effect::Live, "reordered".into());
    }
}
