//! Masks passwords in the texts that diagnostics quote.
//!
//! A mask has as many bytes as what it hides, so every span stays right. Everything after the keyword
//! is hidden up to the end of its line, comment included: `auth_pass ab#cd` has half of it there.

use super::parser::Statement;
use super::substitute::{self, Definitions};
use super::suggest::distance;
use crate::diag::Span;
use std::path::PathBuf;
use std::rc::Rc;

/// Masks every password of `tree` in `files`.
pub(super) fn mask(tree: &[Statement], definitions: &Definitions, files: &mut [(PathBuf, Rc<str>)]) {
    let mut places = Vec::new();
    for statement in tree {
        collect(statement, "", &mut places);
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
        if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
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
    (7..=11).contains(&word.len()) && distance(word, "auth_pass") <= 2
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
