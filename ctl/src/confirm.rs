//! Before and after something is changed, in words, and the question between.
//!
//! Contract: the texts are pure functions of what the agents answered; the question is asked at a
//! terminal only, and anything but `y` or `yes` means no.

use crate::Usage;
use crate::moves::{Candidate, Drained, Move, Reloaded, Row, Step};
use crate::output::grid::{Cell, Grid};
use crate::output::safe;
use crate::output::status::lines;
use crate::plan::{Cast, no_answer};
use crate::times::{clock, span};
use hacluster_proto::v1::{MoveOutcome, ReloadOutcome};
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

/// Whether there is anybody to ask. Found out first: a script that forgot `--yes` fails at once.
///
/// # Errors
/// [`Usage`], with the mend.
pub(crate) fn possible(yes: bool, dry_run: bool) -> Result<(), Usage> {
    if yes || dry_run || io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Usage(
        "there is no terminal to ask at: --yes does it without asking, --dry-run only says what would happen"
            .to_owned(),
    ))
}

/// Asks at the terminal.
pub(crate) fn ask(question: &str) -> anyhow::Result<bool> {
    ask_at(question, &mut io::stdin().lock(), &mut io::stderr().lock())
}

fn ask_at(question: &str, from: &mut impl BufRead, to: &mut impl Write) -> anyhow::Result<bool> {
    write!(to, "{question} [y/N] ")?;
    to.flush()?;
    let mut answer = String::new();
    if from.read_line(&mut answer)? == 0 {
        writeln!(to)?; // end of input: the prompt's line ends here
    }
    let answer = answer.trim();
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

/// What a move would do, by the agent's dry run: from where to where, who was considered, the agent's words.
pub(crate) fn before(of: &Move, cast: &Cast<'_>) -> String {
    let vrid = cast.parts.first().map_or(0, |part| part.router.vrid);
    let of_priority = |node: &str| {
        let candidate = || of.candidates.iter().find(|of| of.node == node)?.priority;
        let known = cast.part(node).map(|part| part.router.priority_effective).or_else(candidate);
        let priority = known.map_or(String::new(), |priority| format!(" (priority {priority})"));
        format!("{}{priority}", safe(node))
    };
    let mut out = format!("{} (VRID {vrid})  master {}", safe(&of.router), of_priority(of.former_master()));
    if of.is_due() {
        out.push_str(&format!(" -> {}", of_priority(of.new_master())));
    }
    out.push('\n');
    out.push_str(&candidates(of));
    if !cast.silent.is_empty() {
        out.push_str(&format!("! {}\n", safe(&no_answer(&cast.silent))));
    }
    if of.is_due() {
        out.push_str(&format!("{}.\n", safe(&of.text)));
    }
    out
}

/// Who was considered: `  node3  does not fit  priority 90  it is drained`.
fn candidates(of: &Move) -> String {
    let width = of.candidates.iter().map(|of| safe(&of.node).chars().count()).max().unwrap_or(0);
    let line = |of: &Candidate| {
        let priority = of.priority.map_or("-".to_owned(), |priority| priority.to_string());
        let verdict = if of.fit { "fits        " } else { "does not fit" };
        let why: Vec<_> = of.objections.iter().map(|objection| safe(&objection.text)).collect();
        let line =
            format!("  {:width$}  {verdict}  priority {priority:3}  {}", safe(&of.node), why.join("; "));
        format!("{}\n", line.trim_end())
    };
    of.candidates.iter().map(line).collect()
}

/// What a move did: its steps, the agent's words, how the addresses were served, and the way back.
pub(crate) fn after(of: &Move, cast: &Cast<'_>) -> String {
    let mut out = steps(of);
    out.push_str(&format!("{}.{}\n", safe(&of.text), served(of, cast)));
    if let Some(hold) = &of.hold {
        let until =
            hold.until.map_or(String::new(), |until| format!(", by itself at {}", clock(Some(until))));
        out.push_str(&format!("The way back: haclusterctl failback {}{until}\n", safe(&of.router)));
    }
    out
}

/// What was done and when: `  node2 announced   1.9 ms`.
pub(crate) fn steps(of: &Move) -> String {
    let width = of.steps.iter().map(|step| safe(&step.text).chars().count()).max().unwrap_or(0).max(20);
    let line = |step: &Step| {
        let after = span(Duration::try_from_secs_f64(step.after_ms.max(0.0) / 1e3).unwrap_or_default());
        format!("  {:width$}  {after:>8}\n", safe(&step.text))
    };
    of.steps.iter().map(line).collect()
}

/// By the times of the steps alone: nothing is said that was not measured.
fn served(of: &Move, cast: &Cast<'_>) -> String {
    let Some(overlap_ms) = of.overlap_ms else { return String::new() };
    let (addresses, several) = cast.addresses();
    let (was, it) = if several { ("were", "them") } else { ("was", "it") };
    let time = span(Duration::try_from_secs_f64(overlap_ms.abs() / 1e3).unwrap_or_default());
    let addresses = addresses.replacen("all", "All", 1); // begins a sentence
    let (addresses, to, from) = (safe(&addresses), safe(of.new_master()), safe(of.former_master()));
    if overlap_ms >= 0.0 {
        let time = if overlap_ms == 0.0 { String::new() } else { format!("at least {time} ") };
        format!(" {addresses} {was} never unserved: {to} announced {it} {time}before {from} released {it}.")
    } else {
        format!(
            " {addresses} {was} unserved for at most {time}: {from} released {it} before {to} announced {it}."
        )
    }
}

/// What a drain would do: one line per router that rules there.
pub(crate) fn before_drain(of: &Drained, hold_for: Option<Duration>) -> String {
    let mut out = moves_table(&of.moves);
    if !of.text.is_empty() {
        out.push_str(&format!("{}\n", safe(&of.text)));
    }
    let limit = hold_for.map_or(String::new(), |limit| format!(", {} at most", held(limit)));
    out.push_str(&format!(
        "{} then rules only where nobody else does, until `haclusterctl undrain {}`{limit}.\n",
        safe(&of.node),
        safe(&of.node)
    ));
    out
}

/// What a drain did.
pub(crate) fn after_drain(of: &Drained) -> String {
    let mut out = moves_table(&of.moves);
    out.push_str(&format!("{}\n", safe(&of.text)));
    if let Some(hold) = &of.hold {
        let until =
            hold.until.map_or(String::new(), |until| format!(", by itself at {}", clock(Some(until))));
        out.push_str(&format!("The end of it: haclusterctl undrain {}{until}\n", safe(&of.node)));
    }
    if let Some(trace_id) = &of.trace_id {
        out.push_str(&format!("Trace {trace_id}\n"));
    }
    out
}

fn moves_table(moves: &[Move]) -> String {
    if moves.is_empty() {
        return "No virtual router rules there.\n".to_owned();
    }
    let mut grid = Grid::new(&["VIRTUAL ROUTER", "TO", "OUTCOME", "WHY"]);
    for of in moves {
        let outcome = match (of.kind, of.overlap_ms) {
            (MoveOutcome::WouldMove, _) => "moves, no gap expected".to_owned(),
            (MoveOutcome::WouldResign, _) => "resigns, gap of up to 1 s".to_owned(),
            (MoveOutcome::Moved, Some(overlap)) if overlap >= 0.0 => "moved, never unserved".to_owned(),
            _ => of.outcome.replace('_', " "),
        };
        let to = of.to_node.as_deref().filter(|_| of.is_well()).map_or("-".to_owned(), safe);
        grid.rows.push([safe(&of.router), to, outcome, safe(&of.text)].map(Cell::from).into());
    }
    lines(&grid, false).concat()
}

/// One node a line; an answer of several lines is indented under its node.
pub(crate) fn rows<A: serde::Serialize>(rows: &[Row<A>], text: impl Fn(&A) -> String) -> String {
    let width = rows.iter().map(|row| safe(&row.node).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let said = match (&row.answer, &row.error) {
            (Some(answer), _) => text(answer),
            (None, error) => format!("! {}", safe(error.as_deref().unwrap_or("no answer"))),
        };
        for (number, line) in said.lines().enumerate() {
            let node = if number == 0 { safe(&row.node) } else { String::new() };
            let line = format!("{node:width$}  {line}");
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// What a reload does or did on one node: its words, the changes, and what is wrong with the files.
pub(crate) fn reloaded(of: &Reloaded) -> String {
    let mut out = format!("{}\n", safe(&of.text));
    for change in &of.changes {
        let effect = change.effect.replace('_', " ");
        out.push_str(&format!("  {}  ({})\n", safe(&change.text), safe(&effect)));
    }
    let findings = of.findings["diagnostics"].as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings.iter().filter(|_| of.kind == ReloadOutcome::Refused) {
        out.push_str(&finding_text(finding));
    }
    out
}

/// As `hacluster-agent --check` says it, without the excerpt: the file is on another machine.
fn finding_text(of: &serde_json::Value) -> String {
    let text = |name: &str| of[name].as_str().map(safe);
    let mut out = format!(
        "  {}[{}]: {}\n",
        text("severity").unwrap_or_default(),
        text("code").unwrap_or_default(),
        text("message").unwrap_or_default()
    );
    if let Some(file) = text("file") {
        out.push_str(&format!("    --> {file}:{}:{}", of["line"], of["column"]));
        let marked = text("text").map_or(String::new(), |marked| format!("  `{marked}`"));
        out.push_str(&format!("{marked}\n"));
    }
    let notes = of["notes"].as_array().map_or(&[][..], Vec::as_slice);
    for note in text("label").into_iter().chain(notes.iter().filter_map(|note| note.as_str().map(safe))) {
        out.push_str(&format!("    = {note}\n"));
    }
    out
}

/// `2 h`: in the largest unit that is whole.
pub(crate) fn held(limit: Duration) -> String {
    let secs = limit.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| secs >= *unit && secs.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{secs} s"), |(unit, name)| format!("{} {name}", secs / unit))
}

#[cfg(test)]
#[path = "confirm/tests.rs"]
mod tests;
