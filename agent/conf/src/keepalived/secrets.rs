//! Masks passwords in the texts that diagnostics quote.
//!
//! A mask has as many bytes as what it hides, so every span stays right. Everything after the keyword
//! is hidden up to the end of its line, comment included: `auth_pass ab#cd` has half of it there. Lines
//! that never became a statement (comments, skipped blocks) are masked by their text alone.

use super::findings::Findings;
use super::parser::Statement;
use super::substitute::{self, Definitions};
use super::suggest::distance;
use crate::diag::{Diagnostic, FileId, Severity, Span};
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
        let found = text.match_indices(PASSWORD);
        places.extend(found.map(|(at, word)| Span { file: FileId(file as u32), range: at..at + word.len() }));
    }
    let mut more = Vec::new();
    for place in &mut places {
        let Some((_, text)) = files.get(place.file.0 as usize) else { continue };
        let start = place.range.end.min(text.len());
        let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        for (_, name) in substitute::uses(&text[place.range.start.min(start)..end]) {
            named(&name, definitions, &mut more, 0);
        }
        place.range = start..end;
    }
    places.extend(more);
    let mut bytes: Vec<Option<Vec<u8>>> = vec![None; files.len()];
    for place in places {
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

/// Where the value of `name`, and of the names in it, is written.
fn named(name: &str, definitions: &Definitions, places: &mut Vec<Span>, depth: usize) {
    if depth > 4 || places.len() > 1000 {
        return;
    }
    for (place, value) in definitions.places(name) {
        for (_, inner) in substitute::uses(&value) {
            named(&inner, definitions, places, depth + 1);
        }
        places.push(place);
    }
}

/// Reports passwords that a comment cuts: `auth_pass ab#cd` means `ab`, and nothing else tells so.
/// Must see the texts before they are masked.
pub(super) fn report_cut(tree: &[Statement], files: &[(PathBuf, Rc<str>)], findings: &mut Findings) {
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
