//! Words in lines.

/// Columns that everything fits in unless the terminal has more.
pub(crate) const COLUMNS: usize = 80;

/// `text` in lines of at most `columns`; the first begins with `first`, the others with `rest`. A
/// word that is longer stands on a line of its own.
pub(crate) fn wrap(text: &str, first: &str, rest: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split(' ') {
        let needed = line.chars().count() + usize::from(!empty) + word.chars().count();
        if needed > columns && !empty {
            out.push_str(&format!("{}\n", line.trim_end()));
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    format!("{out}{}\n", line.trim_end())
}

/// `text` in at most `columns`, cut with an ellipsis.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}\u{2026}")
}

/// A name as one word of a shell.
pub(crate) fn word(name: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-.:@/".contains(char);
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", "! ", "  ", 9), "! one two\n  three\n");
        assert_eq!(wrap("extraordinarily long", "", "", 5), "extraordinarily\nlong\n");
        assert_eq!(wrap("", "! ", "  ", 5), "!\n");
    }

    #[test]
    fn names_are_cut_and_quoted() {
        assert_eq!([clip("abcdef", 4), clip("abcd", 4)], ["abc\u{2026}", "abcd"]);
        assert_eq!([word("VI_1"), word("a b; c"), word("it's")], ["VI_1", "'a b; c'", "'it'\\''s'"]);
    }
}
