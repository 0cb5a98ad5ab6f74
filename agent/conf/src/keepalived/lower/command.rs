//! Lines that name a program: `script`, `notify_*`, `*_fifo_script`.
//!
//! keepalived's ways: a quoted text is split into words (single quotes and backslashes keep words
//! together); no shell is asked, so `&&`, pipes and redirections are plain arguments.

use super::super::parser::{Statement, Word};
use super::values::undefined;
use crate::diag::{Diagnostic, Severity};
use crate::findings::{Findings, show};
use crate::model::{Command, ScriptUser};
use crate::suggest::look_alike;

/// Words that mean something to a shell and nothing without one.
const SHELL: [&str; 11] = ["&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1", "2>/dev/null", "2>"];

/// All words of the line are the program and its arguments.
pub(super) fn whole_line(line: &Statement, findings: &Findings) -> Option<Command> {
    let words = line.params();
    let argv = match words {
        [] => return None,
        [only] => split(&only.text),
        _ => words.iter().map(|word| word.text.clone()).collect(),
    };
    command(argv, None, &words[0], findings)
}

/// The first word is the program with its arguments; then may come who runs it.
pub(super) fn with_user(line: &Statement, findings: &Findings) -> Option<Command> {
    let first = line.params().first()?;
    let user = user(&line.params()[1..], findings);
    command(split(&first.text), user, first, findings)
}

/// `user [[:]group]`.
pub(super) fn user(words: &[Word], findings: &Findings) -> Option<ScriptUser> {
    let name = &words.first()?.text;
    if name.is_empty() || name.starts_with(':') {
        let found = Diagnostic::new(Severity::Error, "bad-value", "a user is missing before the group");
        findings.push(found.at(&words[0].span).label("write USER GROUP, by name or number"));
        return None;
    }
    let group = words.get(1).map(|word| word.text.trim_start_matches(':').to_owned());
    if let Some(extra) = words.get(2) {
        let found = Diagnostic::new(Severity::Warning, "extra-words", "words after the group are ignored");
        findings.push(found.at(&extra.span).label("quote a program together with its arguments"));
    }
    Some(ScriptUser { user: name.clone(), group: group.filter(|group| !group.is_empty()) })
}

fn command(argv: Vec<String>, user: Option<ScriptUser>, at: &Word, findings: &Findings) -> Option<Command> {
    let program = argv.first().filter(|program| !program.is_empty());
    let Some(program) = program else {
        let found = Diagnostic::new(Severity::Error, "no-program", "no program is named: nothing is run");
        findings.push(found.at(&at.span));
        return None;
    };
    if let Some(strange) = look_alike(&at.text) {
        let message = format!("{} is part of the program's name or arguments", strange.title());
        findings.push(
            Diagnostic::new(Severity::Warning, "look-alike-character", message)
                .at(&at.span)
                .label(strange.mend),
        );
    } else if let Some(mend) = undefined(&at.text) {
        let message = "a name that nobody defined is passed on as it stands";
        findings.push(Diagnostic::new(Severity::Warning, "undefined-name", message).at(&at.span).label(mend));
    }
    let shell = |argument: &&String| SHELL.contains(&argument.as_str()) || argument.starts_with('`');
    let is_shell = ["sh", "bash", "dash"].contains(&program.rsplit('/').next().unwrap_or_default());
    if let Some(word) = argv.iter().skip(1).find(shell).filter(|_| !is_shell) {
        let message = format!(
            "no shell runs this: `{}` and what follows are arguments of `{}`",
            show(word),
            show(program)
        );
        findings.push(
            Diagnostic::new(Severity::Warning, "shell-syntax", message)
                .at(&at.span)
                .label("write the first command alone, or \"/bin/sh -c '...'\"")
                .note("keepalived does the same: such a check often succeeds or fails for another reason"),
        );
    }
    Some(Command { argv, user })
}

/// Splits as keepalived does: blanks separate, single or double quotes and backslashes keep together.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (char, Some(open)) if char == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (char, None) if char.is_ascii_whitespace() => words.extend(word.take()),
            (char, _) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_into_words() {
        let cases: [(&str, &[&str]); 6] = [
            ("/bin/check", &["/bin/check"]),
            ("  /bin/check  -a  b ", &["/bin/check", "-a", "b"]),
            ("/bin/sh -c 'pidof nginx && exit 0'", &["/bin/sh", "-c", "pidof nginx && exit 0"]),
            (r"a\ b '' \'", &["a b", "", "'"]),
            ("'open end", &["open end"]),
            ("", &[]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text), words, "{text}");
        }
    }
}
