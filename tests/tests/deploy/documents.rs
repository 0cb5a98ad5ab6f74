//! The documents do what they say; see [`hacluster_tests::docs`] for how.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Ctl};
use hacluster_tests::docs::{PLAYS, Placed, Step, name, pages, read, unplayed};
use hacluster_tests::harness::Suite;
use std::{fs, path::Path, process::Command};

pub(crate) fn trials(suite: &mut Suite) {
    for play in PLAYS.iter().filter(|play| !play.ipvs) {
        suite.trial(play.name, || play.run(|_| Ok(())));
    }
    suite.trial("no_page_with_commands_is_left_out", complete);
    suite.trial("commands_that_documents_mention_exist", mentioned);
    suite.trial("messages_that_troubleshooting_quotes_are_said_by_a_program", quoted);
}

fn complete() -> Result<()> {
    let left_out = unplayed()?;
    ensure!(left_out.is_empty(), "nobody plays {left_out:?}: name it in `PLAYS`");
    // The other way round, and that nothing became empty unnoticed.
    let mut commands = 0;
    for play in PLAYS {
        let steps = play.steps().with_context(|| play.name)?;
        commands += steps.iter().filter(|Placed { step, .. }| matches!(step, Step::Command { .. })).count();
    }
    ensure!(commands > 100, "only {commands} commands were found");
    Ok(())
}

/// `haclusterctl ...` and `hacluster-agent ...` in running text and tables.
fn mentioned() -> Result<()> {
    let (agent, ctl) = (Agent::find()?.binary, Ctl::find()?.binary);
    let mut count = 0;
    for document in pages()? {
        drop(read(&name(&document))?); // every block is one that somebody looks at
        let text = fs::read_to_string(&document)?;
        let commands = text.split(['`', '\n', '|']).map(str::trim);
        for command in
            commands.filter_map(|line| line.split_once("$ ").map_or(Some(line), |(_, line)| Some(line)))
        {
            let Some((program, rest)) = command.split_once(' ') else { continue };
            let program = match program {
                "haclusterctl" => &ctl,
                "hacluster-agent" => &agent,
                _ => continue,
            };
            exists(program, rest).with_context(|| format!("{}: `{command}`", document.display()))?;
            count += 1;
        }
    }
    ensure!(count > 30, "only {count} commands were found");
    Ok(())
}

/// Whether the subcommands and flags of `rest` are known.
fn exists(program: &Path, rest: &str) -> Result<()> {
    let rest = rest.split(['#', ';', '(', ')']).next().unwrap_or_default();
    let words: Vec<_> = rest.split_whitespace().map(|word| word.trim_matches(['[', ']', ','])).collect();
    let help = |path: &[&str]| -> Result<Option<String>> {
        let said = Command::new(program).args(path).arg("--help").output()?;
        Ok(said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned()))
    };
    let mut path = Vec::new();
    let mut known = help(&path)?.context("no help")?;
    for word in words.iter().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase())) {
        if *word == "help" || !known.contains("Commands:") {
            break;
        }
        path.push(*word);
        known = help(&path)?.with_context(|| format!("no command {path:?}"))?;
    }
    for flag in words.iter().filter(|word| word.starts_with('-')) {
        let flag = flag.split('=').next().unwrap_or(flag);
        ensure!(known.contains(flag), "{path:?} has no {flag}");
    }
    Ok(())
}

/// Each quotation of the page on troubleshooting stands in a program; `...` is what differs. Commands are
/// looked at by [`mentioned`], and the programs of others are not ours to search.
fn quoted() -> Result<()> {
    const COMMANDS: [&str; 5] =
        ["haclusterctl ", "hacluster-agent ", "systemctl ", "tcpdump ", "journalctl "];
    let said = said_by_programs(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))?;
    let pages = pages()?;
    let page = pages.iter().find(|page| name(page) == "troubleshooting.md").context("no such page")?;
    let text = fs::read_to_string(page)?;
    // Outside of blocks: those are played.
    let running: String = text.split("```").step_by(2).collect();
    let mut count = 0;
    for quotation in running.split('`').skip(1).step_by(2).filter(|quoted| *quoted != "...") {
        if COMMANDS.iter().any(|command| quotation.starts_with(command)) {
            continue;
        }
        // A flag is a field where it is taken.
        let flag = quotation.strip_prefix("--").map(|flag| flag.replace('-', "_"));
        let words = flag.as_deref().unwrap_or(quotation);
        let lacking: Vec<_> = words.split("...").map(str::trim).filter(|part| !said.contains(part)).collect();
        ensure!(lacking.is_empty(), "no program says `{quotation}`: {lacking:?} is nowhere in the sources");
        count += 1;
    }
    ensure!(count > 25, "only {count} quotations were found");
    Ok(())
}

/// The sources of the programs without comments and tests, lines that go on put together.
fn said_by_programs(tree: &Path) -> Result<String> {
    let mut folders: Vec<_> = ["agent", "ctl/src", "proto/src"].map(|folder| tree.join(folder)).into();
    let mut said = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.extend((!path.ends_with("tests")).then_some(path));
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                let source = fs::read_to_string(&path)?;
                let program = source.split("#[cfg(test)]").next().unwrap_or_default();
                let lines = program.lines().map(str::trim).filter(|line| !line.starts_with("//"));
                for line in lines {
                    match line.strip_suffix('\\') {
                        Some(begun) => said.push_str(begun),
                        None => said.extend([line, "\n"]),
                    }
                }
            }
        }
    }
    Ok(said)
}
