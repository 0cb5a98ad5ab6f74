//! Names as people type them.

use crate::Usage;

/// The one of `names` that `typed` means: itself, else the only one that differs in case alone.
pub(crate) fn find<'a>(what: &str, typed: &str, names: &'a [String]) -> Result<&'a str, Usage> {
    if let Some(name) = names.iter().find(|name| *name == typed) {
        return Ok(name);
    }
    let alike: Vec<_> = names.iter().filter(|name| name.eq_ignore_ascii_case(typed)).collect();
    match alike[..] {
        [one] => Ok(one),
        [] => Err(unknown(what, typed, names)),
        _ => Err(ambiguous(typed, &alike.into_iter().cloned().collect::<Vec<_>>())),
    }
}

/// Nothing is called `typed`: the nearest name, or all of them.
pub(crate) fn unknown(what: &str, typed: &str, names: &[String]) -> Usage {
    let nearest = names.iter().min_by_key(|name| distance(typed, name));
    let near = nearest.filter(|name| distance(typed, name) <= typed.chars().count().div_ceil(2));
    let hint = match near {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there is none".to_owned(),
        None => format!("there are: {}", names.join(", ")),
    };
    Usage(format!("no {what} is called `{typed}`; {hint}"))
}

/// `typed` could mean any of `alike`.
pub(crate) fn ambiguous(typed: &str, alike: &[String]) -> Usage {
    Usage(format!("`{typed}` could be any of: {}; write it as it stands there", alike.join(", ")))
}

/// Most letters of a name that are compared.
const LETTERS_MAX: usize = 128;

/// Letters to insert, remove or replace, case aside.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().take(LETTERS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, char) in one.to_lowercase().chars().take(LETTERS_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(other[column] != char);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_found_regardless_of_case() {
        let find = |typed, names| find("virtual router", typed, names);
        let there = names(&["VI_1", "vi_1", "WEB"]);
        assert_eq!(find("vi_1", &there).unwrap(), "vi_1");
        assert_eq!(find("web", &there).unwrap(), "WEB");
        let ambiguous = find("Vi_1", &there).unwrap_err().0;
        assert!(ambiguous.contains("VI_1, vi_1"), "{ambiguous}");
        assert!(find("VI_2", &there).unwrap_err().0.contains("did you mean `VI_1`?"));
        assert!(find("mail", &there).unwrap_err().0.contains("there are: VI_1, vi_1, WEB"));
        assert!(find("x", &[]).unwrap_err().0.contains("there is none"));
    }

    #[test]
    fn distances() {
        assert_eq!([distance("", "abc"), distance("VI_1", "vi_2"), distance("abc", "acb")], [3, 1, 2]);
    }
}
