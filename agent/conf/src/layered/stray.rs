//! Variables of the environment that look like overrides and override nothing: misspelt, most likely.
//!
//! Only names are told, never values: one of them may be a password.

use crate::diag::{Diagnostic, Severity, SourceMap, Span};
use crate::findings::Findings;
use crate::source::Source;
use crate::suggest::nearest;

/// Begins every variable that can override something.
pub(super) const PREFIX: &str = "HACLUSTER_";
/// Most variables that are told; the rest is alike.
const TOLD_MAX: usize = 8;
/// Longest name that is told, in bytes; no key there is comes near it.
const NAME_MAX_BYTES: usize = 256;
/// Most names one variable is compared with.
const COMPARED_MAX: usize = 4096;
/// Names whose lengths differ by more are not alike.
const LENGTHS_APART_MAX: usize = 3;

/// Tells of variables that are not `known`, with the nearest that is. Without `__` in it a variable may be
/// anybody's (`HACLUSTER_SOCKET` is haclusterctl's): it is told only where it is nearly a known one.
pub(super) fn tell(known: &[String], source: &dyn Source, sources: &mut SourceMap, findings: &Findings) {
    let strays = source.env_names(PREFIX).into_iter().filter(|name| !known.contains(name));
    for name in strays.filter(|name| name.len() <= NAME_MAX_BYTES).take(TOLD_MAX) {
        let near = suggestion(&name, known);
        if near.is_none() && !name.contains("__") {
            continue;
        }
        let message = format!("the environment variable `{name}` overrides nothing");
        let stray = stray(&name, message, sources);
        findings.push(match near {
            Some(near) => stray.label(format!("did you mean `{PREFIX}{near}`?")),
            None => stray.note(
                "variables override keys of [agent], [global], [api], [packet_filter], [scripts] and [mail], and of \
                 virtual routers, trackers and peers that a file names",
            ),
        });
    }
}

/// Tells of variables that would override something if there were an agent.toml.
pub(super) fn tell_unread(source: &dyn Source, sources: &mut SourceMap) -> Vec<Diagnostic> {
    let names = source.env_names(PREFIX).into_iter();
    let names = names.filter(|name| name.contains("__") && name.len() <= NAME_MAX_BYTES).take(TOLD_MAX);
    let told = names.map(|name| {
        let message = format!("the environment variable `{name}` counts only beside an agent.toml");
        stray(&name, message, sources).note("--agent-config FILE; the file may be empty")
    });
    told.collect()
}

fn stray(name: &str, message: String, sources: &mut SourceMap) -> Diagnostic {
    let span = Span { file: sources.add("environment", format!("{name}\n")), range: 0..name.len() };
    Diagnostic::new(Severity::Warning, "unknown-variable", message).at(&span).not_in_force()
}

/// What `name` was meant to be, without the prefix that all have.
fn suggestion<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let rest = name.strip_prefix(PREFIX)?;
    let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    nearest(
        rest,
        known.filter(|known| known.len().abs_diff(rest.len()) <= LENGTHS_APART_MAX).take(COMPARED_MAX),
    )
}
