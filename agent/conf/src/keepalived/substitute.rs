//! `$NAME` definitions and their use; the value lists of `~SEQ` and `~LST`.
//!
//! Undefined names stay as they are. Every expansion is bounded in depth, number and length.

use super::lexer::Text;
use super::source::Source;
use crate::diag::Span;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// A value may name others this deep.
const MAX_DEPTH: usize = 16;
/// Longest line after substitution, in bytes.
pub(super) const MAX_LINE_BYTES: usize = 64 << 10;
/// Most substitutions in one configuration.
pub(super) const MAX_EXPANSIONS: usize = 100_000;
/// Most bytes of all values that are substituted.
const MAX_EXPANDED_BYTES: usize = 64 << 20;
/// Longest text between `${` and `}`, in bytes.
const MAX_NAME_BYTES: usize = 300;
/// Most repetitions one `~SEQ` or `~LST` may ask for.
const MAX_REPEAT: usize = 10_000;

/// What was defined so far.
#[derive(Default)]
pub(super) struct Definitions {
    map: HashMap<String, String>,
    /// Every value in the text, also those replaced since: a secret among them must be masked.
    written: HashMap<String, Vec<(Span, String)>>,
    expansions: usize,
    bytes: usize,
}

/// What `${_...}` names are taken from.
pub(super) struct Surroundings<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) dir: &'a Path,
    pub(super) id: &'a str,
}

/// A limit was reached; the text is cut there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch(pub(super) &'static str);

impl Definitions {
    /// Defines `name` and gives what it was before.
    pub(super) fn set(&mut self, name: &str, value: String, span: Option<Span>) -> Option<String> {
        if let Some(span) = span {
            self.written.entry(name.to_owned()).or_default().push((span, value.clone()));
        }
        self.map.insert(name.to_owned(), value)
    }

    /// Puts back what [`set`](Self::set) gave.
    pub(super) fn restore(&mut self, name: &str, old: Option<String>) {
        match old {
            Some(old) => self.map.insert(name.to_owned(), old),
            None => self.map.remove(name),
        };
    }

    /// The values of `name`, now and before, and where they are written.
    pub(super) fn places(&self, name: &str) -> &[(Span, String)] {
        self.written.get(name).map_or(&[], Vec::as_slice)
    }

    /// Replaces every defined name in `line`.
    pub(super) fn expand(&mut self, line: &Text, around: &Surroundings<'_>) -> Result<Text, TooMuch> {
        let mut new = Text::empty(line.file());
        let mut rest = 0;
        for (range, name) in uses(&line.text) {
            let Some(value) = self.value(&name, around, 0)? else { continue };
            new.push_slice(line, rest..range.start);
            rest = range.end;
            new.push(&value, line.span(range).range);
            if new.text.len() > MAX_LINE_BYTES {
                return Err(TooMuch("a line of more than 64 KiB"));
            }
        }
        new.push_slice(line, rest..line.text.len());
        Ok(new)
    }

    fn value(
        &mut self,
        name: &str,
        around: &Surroundings<'_>,
        depth: usize,
    ) -> Result<Option<String>, TooMuch> {
        let Some(value) = self.map.get(name).cloned() else { return Ok(predefined(name, around)) };
        self.expansions += 1;
        self.bytes += value.len();
        if self.expansions > MAX_EXPANSIONS || self.bytes > MAX_EXPANDED_BYTES {
            return Err(TooMuch("more than 100000 substitutions, or 64 MiB of them"));
        }
        if depth >= MAX_DEPTH {
            return Err(TooMuch("definitions that name each other more than 16 deep"));
        }
        let mut new = String::new();
        let mut rest = 0;
        for (range, inner) in uses(&value) {
            let Some(inner) = self.value(&inner, around, depth + 1)? else { continue };
            new.push_str(&value[rest..range.start]);
            new.push_str(&inner);
            rest = range.end;
            if new.len() > MAX_LINE_BYTES {
                return Err(TooMuch("a line of more than 64 KiB"));
            }
        }
        new.push_str(&value[rest..]);
        Ok(Some(new))
    }
}

/// The uses of names in `text`: `$NAME` and `${NAME}`.
pub(super) fn uses(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$').map(|offset| at + offset) {
        at = dollar + 1;
        let rest = &text[at..];
        if let Some(inner) = rest.strip_prefix('{') {
            if let Some(close) =
                inner.bytes().take(MAX_NAME_BYTES).position(|byte| byte == b'}').filter(|close| *close > 0)
            {
                let name = inner[..close].trim();
                if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b' ' || b == b'-') {
                    at = dollar + 2 + close + 1;
                    found.push((dollar..at, name.to_owned()));
                }
            }
        } else {
            let length = name_length(rest);
            if length > 0 {
                at += length;
                found.push((dollar..at, rest[..length].to_owned()));
            }
        }
    }
    found
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

fn predefined(name: &str, around: &Surroundings<'_>) -> Option<String> {
    let mut words = name.split_ascii_whitespace();
    match words.next()? {
        "_PWD" => Some(around.dir.display().to_string()),
        "_INSTANCE" => Some(around.id.to_owned()),
        "_HASH" => Some("#".to_owned()),
        "_BANG" => Some("!".to_owned()),
        "_ENV" => around.source.env(words.next()?),
        "_RANDOM" => {
            let low = words.next().map_or(Some(0), |word| word.parse().ok())?;
            let high = words.next().map_or(Some(32_767), |word| word.parse::<u32>().ok())?;
            // A hasher with fresh keys is random enough for spreading times; no more is promised.
            let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
            (low <= high).then(|| (low as u64 + random % (high as u64 - low as u64 + 1)).to_string())
        }
        _ => None,
    }
}

/// `$NAME=value`: the name and where the value begins.
pub(super) fn definition(line: &str) -> Option<(&str, usize)> {
    let rest = line.strip_prefix('$')?;
    let length = name_length(rest);
    (length > 0 && rest[length..].starts_with('=')).then(|| (&rest[..length], 1 + length + 1))
}

/// What a `~SEQ(..)` or `~LST(..)` at the beginning of a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    /// For each repetition the value of each name.
    pub(super) rounds: Vec<Vec<(String, String)>>,
    /// Where the repeated text begins.
    pub(super) rest: usize,
}

/// Reads `~SEQ` and `~LST`; `None` if the line does not begin with one, an error in words if it is wrong.
pub(super) fn repeat(line: &str) -> Option<Result<Repeat, String>> {
    let (kind, after) =
        ["~SEQx(", "~SEQ(", "~LST("].into_iter().find_map(|mark| Some((mark, line.strip_prefix(mark)?)))?;
    let start = line.len() - after.len();
    let Some(close) = closing(after) else { return Some(Err("the `)` is missing".to_owned())) };
    let arguments = split(&after[..close]);
    let rounds = match kind {
        "~LST(" => list(&arguments),
        _ => sequence(&arguments, kind == "~SEQx("),
    };
    Some(rounds.map(|rounds| Repeat { rounds, rest: start + close + 1 }))
}

fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b')' && !quoted
    })
}

/// Splits at commas outside braces and quotes.
fn split(text: &str) -> Vec<String> {
    let (mut depth, mut quoted) = (0_usize, false);
    let mut parts = vec![String::new()];
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn list(arguments: &[String]) -> Result<Vec<Vec<(String, String)>>, String> {
    let inner = |text: &str| text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).map(split);
    let (names, values) = arguments.split_first().ok_or("no name")?;
    let names = inner(names).unwrap_or_else(|| vec![names.clone()]);
    if names.iter().any(|name| name_length(name) == 0 || name_length(name) != name.len()) {
        return Err("the first argument must be a name".to_owned());
    }
    if values.len() > MAX_REPEAT {
        return Err("more than 10000 values".to_owned());
    }
    let unquote =
        |value: &str| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value).to_owned();
    values
        .iter()
        .map(|value| {
            let values = if names.len() > 1 { inner(value).unwrap_or_default() } else { vec![value.clone()] };
            if values.len() != names.len() {
                return Err(format!(
                    "`{}` does not hold {} values",
                    crate::findings::show(value),
                    names.len()
                ));
            }
            Ok(names.iter().cloned().zip(values.iter().map(|value| unquote(value))).collect())
        })
        .collect()
}

fn sequence(arguments: &[String], hexadecimal: bool) -> Result<Vec<Vec<(String, String)>>, String> {
    let number = |text: &String| -> Result<i64, String> {
        let parsed = match text.strip_prefix("0x").or_else(|| hexadecimal.then_some(text.as_str())) {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed
            .ok()
            .filter(|n| n.unsigned_abs() <= u64::from(u32::MAX))
            .ok_or_else(|| format!("`{}` is not a number", crate::findings::show(text)))
    };
    let (name, numbers) = arguments.split_first().ok_or("no name")?;
    let (start, step, end) = match numbers {
        [end] => (1, None, number(end)?),
        [start, end] => (number(start)?, None, number(end)?),
        [start, step, end] => (number(start)?, Some(number(step)?), number(end)?),
        _ => return Err("write (name, start, step, end)".to_owned()),
    };
    let step = step.unwrap_or(if start <= end { 1 } else { -1 });
    if name_length(name) == 0 || name_length(name) != name.len() {
        return Err("the first argument must be a name".to_owned());
    }
    if step == 0 || (step > 0) != (start <= end) && start != end {
        return Err("the step never reaches the end".to_owned());
    }
    let count = (end - start) / step + 1;
    if count > MAX_REPEAT as i64 {
        return Err("more than 10000 repetitions".to_owned());
    }
    let write = |n: i64| if hexadecimal { format!("{n:x}") } else { n.to_string() };
    Ok((0..count).map(|round| vec![(name.clone(), write(start + round * step))]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::keepalived::source::Memory;

    fn expand(definitions: &[(&str, &str)], line: &str) -> Result<String, TooMuch> {
        let mut all = Definitions::default();
        for (name, value) in definitions {
            all.set(name, (*value).to_owned(), None);
        }
        let memory = Memory::default().with_env("SECRET", "s3");
        let around = Surroundings { source: &memory, dir: Path::new("/etc/k"), id: "node1" };
        all.expand(&Text::copied(FileId(0), line, 0), &around).map(|text| text.text)
    }

    #[test]
    fn names_are_replaced_and_unknown_ones_stay() {
        let cases = [
            (vec![("VIP", "10.0.0.1")], "${VIP}/24 $VIP", "10.0.0.1/24 10.0.0.1"),
            (vec![], "src $SRC to ${DST}", "src $SRC to ${DST}"),
            (vec![("A", "$B-$B"), ("B", "x")], "$A", "x-x"),
            (vec![], "${_PWD} ${_INSTANCE} ${_HASH}${_BANG} ${_ENV SECRET}", "/etc/k node1 #! s3"),
            (vec![], "${_ENV NONE} $ $1 ${} ${", "${_ENV NONE} $ $1 ${} ${"),
        ];
        for (definitions, line, expected) in cases {
            assert_eq!(expand(&definitions, line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn loops_and_bombs_end() {
        assert!(expand(&[("A", "$B"), ("B", "$A")], "$A").is_err());
        let bomb: Vec<(String, String)> =
            (0..16).map(|n| (format!("A{n}"), format!("$A{} ", n + 1).repeat(10))).collect();
        let bomb: Vec<(&str, &str)> =
            bomb.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([("A16", "x")]).collect();
        assert!(expand(&bomb, "$A0").is_err());
    }

    #[test]
    fn random_stays_in_its_range() {
        for _ in 0..50 {
            let number: u32 = expand(&[], "${_RANDOM 3 5}").unwrap().parse().unwrap();
            assert!((3..=5).contains(&number));
        }
    }

    #[test]
    fn sequences_and_lists() {
        let values = |line: &str| {
            let rounds = repeat(line).unwrap()?.rounds;
            Ok::<_, String>(
                rounds
                    .iter()
                    .map(|r| r.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>().join("+"))
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        assert_eq!(values("~SEQ(n,1,2,7) x").unwrap(), "1 3 5 7");
        assert_eq!(values("~SEQ(n, 3) x").unwrap(), "1 2 3");
        assert_eq!(values("~SEQ(n,3,1) x").unwrap(), "3 2 1");
        assert_eq!(values("~SEQx(n,9,1,b) x").unwrap(), "9 a b");
        assert_eq!(values("~LST(n,a,\"b,c\") x").unwrap(), "a b,c");
        assert_eq!(values("~LST({a,b},{1,2},{3,4}) x").unwrap(), "1+2 3+4");
        for wrong in [
            "~SEQ(n,1,0,5)",
            "~SEQ(n,1,-1,5)",
            "~SEQ(n,0,1,99999999)",
            "~SEQ(n)",
            "~SEQ(1,2)",
            "~LST({a,b},1)",
            "~SEQ(n,1",
        ] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
        assert_eq!(repeat("~OTHER(n,1)"), None);
    }
}
