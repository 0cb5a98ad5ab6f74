//! Slips of the finger in the name of a command.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// `error` with the command that was meant, where clap finds none alike: it gives up on short words.
pub(super) fn named(mut error: clap::Error, root: Command, line: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand || error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let mut at = &root;
    for word in line.iter().skip(1) {
        at = at.find_subcommand(word).unwrap_or(at);
    }
    let near = at.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
    let near: Vec<String> = near.filter(|name| slips(typed, name)).map(str::to_owned).collect();
    if !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
    error
}

/// Whether `typed` is `word` with one letter changed, missing or too many, or two neighbours swapped.
pub(super) fn slips(typed: &str, word: &str) -> bool {
    let (typed, word): (Vec<char>, Vec<char>) =
        (typed.to_lowercase().chars().collect(), word.chars().collect());
    let ahead = typed.iter().zip(&word).take_while(|(a, b)| a == b).count();
    let (mut a, mut b) = (&typed[ahead..], &word[ahead..]);
    while let ([a_left @ .., a_last], [b_left @ .., b_last]) = (a, b)
        && a_last == b_last
    {
        (a, b) = (a_left, b_left);
    }
    match (a, b) {
        ([], []) => false, // the verb itself is none
        ([a, c], [b, d]) => a == d && b == c,
        (a, b) => a.len() <= 1 && b.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::CommandFactory;

    /// Every way to a subcommand that is shown.
    fn ways(of: &Command, way: &[String], found: &mut Vec<Vec<String>>) {
        for verb in of.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let way = [way, &[verb.get_name().to_owned()]].concat();
            found.push(way.clone());
            ways(verb, &way, found);
        }
    }

    /// The word with each pair of neighbours swapped, where that makes another word.
    fn swapped(word: &str) -> Vec<String> {
        let chars: Vec<char> = word.chars().collect();
        let swap = |at: usize| {
            let mut chars = chars.clone();
            chars.swap(at, at + 1);
            chars.into_iter().collect::<String>()
        };
        (0..chars.len() - 1).map(swap).filter(|other| other != word).collect()
    }

    #[test]
    fn every_misspelt_command_is_told_its_name() {
        let mut all = Vec::new();
        ways(&Args::command(), &[], &mut all);
        assert!(all.len() > 30 && all.contains(&vec!["lvs".into(), "drain".into()]), "{all:?}");
        for way in &all {
            let (word, ahead) = way.split_last().unwrap();
            for typed in swapped(word) {
                let line = ["haclusterctl"].into_iter().chain(ahead.iter().map(String::as_str));
                let error =
                    Args::read(line.chain([typed.as_str(), "x"]).map(Into::into)).unwrap_err().to_string();
                let named = [format!("'{word}'"), format!("`{word}`")];
                assert!(named.iter().any(|named| error.contains(named)), "{way:?} as {typed}: {error}");
            }
        }
    }
}
