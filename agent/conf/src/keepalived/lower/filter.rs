//! `nftables*` and `vrrp_iptables` of `global_defs`.

use super::super::parser::Statement;
use super::values::wrong;
use crate::diag::{Diagnostic, Severity};
use crate::findings::Findings;
use crate::model::PacketFilter;

/// Takes a line about the packet filter; `false` if it is none.
pub(super) fn read(filter: &mut PacketFilter, statement: &Statement, findings: &Findings) -> bool {
    let first = statement.params().first();
    match (statement.keyword(), first) {
        ("nftables", Some(word)) if PacketFilter::is_table_name(&word.text) => {
            filter.table = Some(word.text.clone());
        }
        ("nftables", Some(word)) => {
            let expected = format!(
                "a letter, then letters, digits, `_`, `-` and `.`, {} at most",
                PacketFilter::NAME_MAX
            );
            wrong(findings, "nftables", word, &expected, "the table gets a name of its own");
        }
        ("nftables_priority", Some(word)) => match word.text.parse() {
            Ok(priority) => filter.priority = priority,
            Err(_) => wrong(findings, "nftables_priority", word, "a whole number", "the line is ignored"),
        },
        ("nftables_counters", _) => filter.counters = true,
        ("vrrp_iptables", _) => {
            let message = "`vrrp_iptables` is done with nftables, in a table of the agent's own";
            let mut found = Diagnostic::new(Severity::Hint, "nftables-instead", message);
            if let Some(at) = statement.words.first().map(|word| &word.span) {
                found = found.at(at);
            }
            findings.push(found.note(
                "it concerns virtual routers that do not accept packets; rules of iptables are neither \
                 added nor removed, and nothing else is opened or closed",
            ));
        }
        ("nftables" | "nftables_priority", None) => {}
        _ => return false,
    }
    true
}
