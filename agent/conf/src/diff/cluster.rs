//! Changes of `[api]`, `[telemetry]` and `[[peer]]`: all in place, no virtual router notices.

use super::{Effect, FieldChange, Fields, or};
use crate::model::{Api, Config, Peer, Telemetry, Tls};

pub(super) fn fields(old: &Config, new: &Config) -> Vec<FieldChange> {
    let mut fields = Fields::default();
    match (&old.api, &new.api) {
        (Some(old), Some(new)) => api(&mut fields, old, new),
        (None, Some(new)) => fields.push("api", Effect::Live, format!("opens at {}", new.listen)),
        (Some(old), None) => fields.push("api", Effect::Live, format!("closes at {}", old.listen)),
        (None, None) => {}
    }
    peers(&mut fields, &old.peers, &new.peers);
    telemetry(&mut fields, &old.telemetry, &new.telemetry);
    fields.0
}

fn api(fields: &mut Fields, old: &Api, new: &Api) {
    let Api { listen, tls: Tls { certificate, key, authority, revoked } } = old;
    fields.live("api.listen", listen, &new.listen);
    let files = [
        ("api.certificate", Some(certificate), Some(&new.tls.certificate)),
        ("api.key", Some(key), Some(&new.tls.key)),
        ("api.authority", Some(authority), Some(&new.tls.authority)),
        ("api.revoked", revoked.as_ref(), new.tls.revoked.as_ref()),
    ];
    for (field, old, new) in files {
        fields.compare(field, Effect::Live, (&old, &new), |path| {
            or(path.map(|path| path.display()).as_ref(), "none")
        });
    }
}

fn telemetry(fields: &mut Fields, old: &Telemetry, new: &Telemetry) {
    let words = |of: &Telemetry| match (&of.otlp, of.prometheus) {
        (None, None) => "off".to_owned(),
        (otlp, page) => format!("OTLP {}, Prometheus {}", or(otlp.as_ref(), "off"), or(page.as_ref(), "off")),
    };
    match (words(old), words(new)) {
        _ if old == new => {}
        (before, after) if before == after => {
            fields.push("telemetry", Effect::Live, "other settings".to_owned())
        }
        (before, after) => fields.push("telemetry", Effect::Live, format!("{before} -> {after}")),
    }
}

fn peers(fields: &mut Fields, old: &[Peer], new: &[Peer]) {
    let of = |list: &[Peer], name: &str| list.iter().position(|peer| peer.name.eq_ignore_ascii_case(name));
    let mut words = Vec::new();
    for peer in new {
        match of(old, &peer.name) {
            None => words.push(format!("+{} ({})", peer.name, peer.address)),
            Some(at) if old[at] != *peer => words.push(format!("~{} ({})", peer.name, peer.address)),
            Some(_) => {}
        }
    }
    words.extend(
        old.iter().filter(|peer| of(new, &peer.name).is_none()).map(|peer| format!("-{}", peer.name)),
    );
    if !words.is_empty() {
        fields.push("peers", Effect::Live, words.join(" "));
    }
}
