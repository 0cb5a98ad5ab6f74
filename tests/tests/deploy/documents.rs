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
