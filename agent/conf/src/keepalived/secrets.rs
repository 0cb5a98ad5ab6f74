//! Masks passwords in the texts that diagnostics quote.
//!
//! A mask has as many bytes as what it hides, so every span stays right. Everything after the keyword
//! is hidden up to the end of its line, comment included: `auth_pass ab#cd` has half of it there. Lines
//! that never became a statement (comments, skipped blocks) are masked by their text alone.

use super::parser::Statement;
use super::substitute::{self, Definitions};
use crate::diag::{Diagnostic, FileId, Severity, Span};
use crate::findings::Findings;
use crate::suggest::distance;
use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;

const PASSWORD: &str = "auth_pass";

/// Masks every password of `tree` in `files`.
pub(super) fn mask(tree: &[Statement], definitions: &Definitions, files: &mut [(PathBuf, Rc<str>)]) {
    let mut places = Vec::new();
    for statement in tree {
        collect(statement, "", &mut places);
    }
    for (file, (_, text)) in files.iter().enumerate() {
        let mut at = 0;
        while let Some(start) = text[at..].find(PASSWORD).map(|offset| at + offset) {
            places.push(Span { file: FileId(file as u32), range: start..start + PASSWORD.len() });
            at = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        }
    }
    // In order, one mask covers all later words of its line: no text is walked twice.
    places.sort_by_key(|place| (place.file.0, place.range.start));
    let mut names = Vec::new();
    let mut masks: Vec<Span> = Vec::new();
    for place in places {
        let Some((_, text)) = files.get(place.file.0 as usize) else { continue };
        if masks.last().is_some_and(|last| last.file == place.file && place.range.start < last.range.end) {
            continue;
        }
        let start = place.range.end.min(text.len());
        let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        names.extend(
            substitute::uses(&text[place.range.start.min(start)..end]).into_iter().map(|(_, name)| name),
        );
        masks.push(Span { file: place.file, range: start..end });
    }
    masks.extend(values(names, definitions));
    let mut bytes: Vec<Option<Vec<u8>>> = vec![None; files.len()];
    for place in masks {
        let file = place.file.0 as usize;
        let Some((_, text)) = files.get(file) else { continue };
        let bytes = bytes[file].get_or_insert_with(|| text.as_bytes().to_vec());
        for byte in bytes.iter_mut().take(place.range.end).skip(place.range.start) {
            if !byte.is_ascii_whitespace() && !matches!(*byte, b'{' | b'}') {
                *byte = b'*';
            }
        }
    }
    for (file, bytes) in files.iter_mut().zip(bytes) {
        if let Some(bytes) = bytes {
            let text = String::from_utf8(bytes).unwrap_or_else(|wrong| "*".repeat(wrong.as_bytes().len()));
            file.1 = text.into();
        }
    }
}

/// The spans of words before a password.
fn collect(statement: &Statement, block: &str, places: &mut Vec<Span>) {
    for (index, word) in statement.words.iter().enumerate() {
        let secret = is_password(&word.text)
            || index == 0
                && matches!((block, word.text.as_str()), ("SSL", "password" | "key") | ("auth_hmac", "key"))
            || index == 0 && block == "authentication" && word.text != "auth_type";
        if secret {
            places.push(word.span.clone());
            break;
        }
    }
    for inner in statement.block.iter().flatten() {
        collect(inner, statement.keyword(), places);
    }
}

/// `auth_pass`, also misspelt.
fn is_password(word: &str) -> bool {
    (7..=11).contains(&word.len()) && distance(word, PASSWORD) <= 2
}

/// Where the values of `names`, and of the names in those, are written.
fn values(mut names: Vec<String>, definitions: &Definitions) -> Vec<Span> {
    let mut seen = HashSet::new();
    let mut places = Vec::new();
    while let Some(name) = names.pop() {
        if seen.contains(&name) {
            continue;
        }
        for (place, value) in definitions.places(&name) {
            places.push(place.clone());
            names.extend(substitute::uses(value).into_iter().map(|(_, name)| name));
        }
        seen.insert(name);
    }
    places
}

/// Reports passwords that a comment cuts: `auth_pass ab#cd` means `ab`, and nothing else tells so.
/// Must see the texts before they are masked.
pub(super) fn report_cut(tree: &[Statement], files: &[(PathBuf, Rc<str>)], findings: &Findings) {
    for statement in tree {
        report_cut(statement.block.as_deref().unwrap_or_default(), files, findings);
        let [keyword, password] = &statement.words[..] else { continue };
        let at = password.span.range.end;
        let Some((_, text)) = files.get(password.span.file.0 as usize) else { continue };
        let mut rest = text.get(at..).unwrap_or_default().chars();
        let mark = rest.next().filter(|mark| matches!(mark, '#' | '!'));
        // `1111### remark` is a remark; `ab#cd` was meant to be one word.
        let meant = rest.next().is_some_and(|next| next.is_ascii_graphic() && !matches!(next, '#' | '!'));
        if let (Some(mark), true, PASSWORD) = (mark, meant, keyword.text.as_str()) {
            findings.push(
                Diagnostic::new(
                    Severity::Warning,
                    "cut-password",
                    format!("the password ends before `{mark}`: a comment begins there"),
                )
                .at(&Span { file: password.span.file, range: at..at + 1 })
                .label("quote the whole password if this belongs to it")
                .note("keepalived cuts it too, without a word"),
            );
        }
    }
}
