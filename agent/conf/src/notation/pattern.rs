//! What PCRE's patterns have and ours have not: keepalived matches by PCRE, we by an engine whose time is
//! linear in the text.

/// How a construct begins, what it is called, and what does the same here.
const ONLY_PCRE: [(&str, &str, &str); 25] = [
    ("(?=", "a look-ahead", "write what follows as a part of the pattern"),
    ("(?!", "a negative look-ahead", NEGATIVE),
    ("(?<=", "a look-behind", "write what comes before as a part of the pattern"),
    ("(?<!", "a negative look-behind", NEGATIVE),
    ("(?>", "an atomic group", "write `(?:`: matching never takes long here"),
    ("(?|", "a branch reset", "write `(?:`"),
    ("(?(", "a condition", "write the alternatives with `|`"),
    ("(?#", "a comment", "take it out"),
    ("(?'", "a name in quotes", "write `(?<name>`"),
    ("(?R", "recursion", PROGRAM),
    ("(?&", "a subroutine", PROGRAM),
    ("(?P>", "a subroutine", PROGRAM),
    ("(?P=", "a backreference", REPEAT),
    ("(*", "a verb", "take it out"),
    (r"\Q", "quoting", r"write `\` before each sign that means something"),
    (r"\K", r"`\K`", "take it out: only whether it matches counts"),
    (r"\G", r"`\G`", "write `^`"),
    (r"\Z", r"`\Z`", r"write `\n?\z`"),
    (r"\R", r"`\R`", r"write `\r?\n`"),
    (r"\h", r"`\h`", r"write `[ \t]`"),
    (r"\H", r"`\H`", r"write `[^ \t]`"),
    (r"\N", r"`\N`", r"write `[^\n]`"),
    (r"\e", r"`\e`", r"write `\x1b`"),
    (r"\g", "a backreference", REPEAT),
    (r"\k", "a backreference", REPEAT),
];
const NEGATIVE: &str = "write a second `url` whose pattern must not match";
const REPEAT: &str = "write out what is repeated";
const PROGRAM: &str = "let a program look at the page";

/// What only PCRE has in `regex`, which does not compile, and the mend; `None` when it is wrong otherwise.
pub(crate) fn only_pcre(regex: &str) -> Option<(&'static str, &'static str)> {
    let mut rest = regex;
    while let Some(first) = rest.chars().next() {
        if let Some((_, what, mend)) = ONLY_PCRE.iter().find(|(start, ..)| rest.starts_with(start)) {
            return Some((what, mend));
        }
        let escaped = rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
        if escaped.is_some_and(|char| ('1'..='9').contains(&char)) {
            return Some(("a backreference", REPEAT));
        }
        rest = &rest[first.len_utf8() + escaped.map_or(0, char::len_utf8)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lvs::Pattern;

    fn compiles(regex: &str) -> bool {
        let (regex, forbidden, within) = (regex.to_owned(), false, (0, None));
        let pattern = Pattern { regex, forbidden, within, caseless: false, multiline: false, dot_all: false };
        pattern.compile().is_ok()
    }

    #[test]
    fn what_is_said_to_be_missing_is_missing_and_told() {
        for (start, what, mend) in ONLY_PCRE {
            let regex = format!("a{start}b)c");
            assert!(!compiles(&regex), "{regex} compiles");
            assert_eq!(only_pcre(&regex), Some((what, mend)), "{regex}");
        }
        assert_eq!(only_pcre(r"(a)\1").map(|(what, _)| what), Some("a backreference"));
    }

    #[test]
    fn what_is_escaped_or_merely_wrong_is_not_blamed_on_pcre() {
        for regex in ["(", "[a", r"\\Z(", "a{2,1}", r"\", "\u{e4}\\\u{e4}(", ""] {
            assert_eq!(only_pcre(regex), None, "{regex}");
        }
    }

    #[test]
    fn common_patterns_mean_the_same_without_pcre() {
        for regex in [r"^HTTP/\d\.\d 200", r"(?i)ok|ready", r"[[:alpha:]]+\b", r"(?<n>a)b", "a++", r"\x41\z"]
        {
            assert!(compiles(regex), "{regex}");
        }
    }
}
