//! The nearest known word to a misspelt one, and the names of look-alike characters.

/// The candidate within a third of `word`'s length, at most three changes away; the nearest wins.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`; case counts nothing.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let lower = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (a, b) = (lower(a), lower(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// A character that looks like syntax but is not.
pub(crate) struct LookAlike {
    pub(crate) character: char,
    pub(crate) name: &'static str,
    /// What to write instead.
    pub(crate) mend: &'static str,
}

impl LookAlike {
    /// "`“` (left double quotation mark, U+201C)".
    pub(crate) fn title(&self) -> String {
        let shown =
            if self.name.contains("space") || self.name.contains("mark,") || self.character == '\u{fffd}' {
                String::new()
            } else {
                format!("`{}` ", self.character)
            };
        format!("{shown}({}, U+{:04X})", self.name, u32::from(self.character))
    }
}

/// The first such character of `text`.
pub(crate) fn look_alike(text: &str) -> Option<LookAlike> {
    if text.is_ascii() {
        return None;
    }
    if text.contains("â€") {
        // What a typographic quote becomes when its UTF-8 bytes are taken for Windows-1252.
        return Some(LookAlike {
            character: 'â',
            name: "typographic quote, decoded wrongly",
            mend: "write an ASCII `\"`",
        });
    }
    text.chars().find_map(|character| {
        let (name, mend) = named(character)?;
        Some(LookAlike { character, name, mend })
    })
}

fn named(character: char) -> Option<(&'static str, &'static str)> {
    Some(match character {
        '\u{201c}' => ("left double quotation mark", "write an ASCII `\"`"),
        '\u{201d}' => ("right double quotation mark", "write an ASCII `\"`"),
        '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}' => ("typographic double quote", "write an ASCII `\"`"),
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => {
            ("typographic single quote", "write an ASCII `'`")
        }
        '\u{ff02}' => ("full-width quotation mark", "write an ASCII `\"`"),
        '\u{ff03}' => ("full-width number sign", "write an ASCII `#`: only that begins a comment"),
        '\u{ff01}' => ("full-width exclamation mark", "write an ASCII `!`: only that begins a comment"),
        '\u{ff1a}' => ("full-width colon", "remove it, or write an ASCII `:`"),
        '\u{ff0c}' | '\u{3001}' => ("ideographic comma", "remove it: words are separated by blanks"),
        '\u{ff1b}' => ("full-width semicolon", "remove it: lines need no end mark"),
        '\u{ff5b}' => ("full-width left brace", "write an ASCII `{`"),
        '\u{ff5d}' => ("full-width right brace", "write an ASCII `}`"),
        '\u{ff0f}' => ("full-width solidus", "write an ASCII `/`"),
        '\u{ff0e}' | '\u{3002}' => ("full-width full stop", "write an ASCII `.`"),
        '\u{ff10}'..='\u{ff19}' => ("full-width digit", "write an ASCII digit"),
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => ("full-width letter", "write an ASCII letter"),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ("dash", "write an ASCII `-`"),
        '\u{a0}' | '\u{202f}' | '\u{2007}' => {
            ("no-break space", "write an ordinary blank: this one separates nothing")
        }
        '\u{3000}' => ("ideographic space", "write an ordinary blank: this one separates nothing"),
        '\u{2000}'..='\u{2006}' | '\u{2008}'..='\u{200a}' => {
            ("typographic space", "write an ordinary blank: this one separates nothing")
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}' => ("zero-width space", "remove it: it cannot be seen"),
        '\u{feff}' => ("byte order mark, zero-width space", "remove it: it cannot be seen"),
        '\u{fffd}' => ("bytes that are not UTF-8", "save the file as UTF-8"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_of_real_files() {
        let known =
            ["smtp_connect_timeout", "preempt_delay", "auth_pass", "auth_type", "preempt", "priority"];
        let cases = [
            ("stmp_connect_timeout", Some("smtp_connect_timeout")),
            ("preemtp_delay", Some("preempt_delay")),
            ("autp_pass", Some("auth_pass")),
            ("Priority", Some("priority")),
            ("xyz", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
    }

    #[test]
    fn swaps_count_once() {
        assert_eq!(distance("stmp", "smtp"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn characters_are_named() {
        assert_eq!(
            look_alike("“/usr/bin/true”").unwrap().title(),
            "`“` (left double quotation mark, U+201C)"
        );
        assert_eq!(look_alike("eth0\u{a0}x").unwrap().title(), "(no-break space, U+00A0)");
        assert!(look_alike("größe").is_none());
    }
}
