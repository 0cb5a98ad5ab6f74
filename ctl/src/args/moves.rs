//! The verbs that change something.

use super::Format;
use clap::Args as Arguments;
use clap::builder::NonEmptyStringValueParser;
use std::time::Duration;

/// Longest time limit of anything held.
const HELD_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// What every verb that changes something takes.
#[derive(Clone, Debug, Arguments)]
pub(crate) struct Manner {
    /// Why; goes to the log, the audit log and `status` (left out: by USER@HOST with haclusterctl)
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) reason: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to answer: table, wide, json or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)] // each with its words would not fit a screen
    pub(crate) output: Format,
}

/// What verbs that ask before they act take.
#[derive(Clone, Copy, Debug, Arguments)]
pub(crate) struct Consent {
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What verbs take whose order may end by itself.
#[derive(Clone, Copy, Debug, Arguments)]
pub(crate) struct Limit {
    /// It holds at most this long: 90s, 30m, 2h, 1d [default: until it is taken back]
    #[arg(long = "for", visible_alias = "hold-for", value_name = "TIME", value_parser = parse_held)]
    pub(crate) hold_for: Option<Duration>,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl failover vi_1\n  \
    haclusterctl failover vi_1 --to node2 --for 2h --reason 'disk of node1' --yes\n\n\
    Exit status: 0 moved, 1 not moved, 2 a node that is needed cannot be reached, 3 wrong usage.")]
pub(crate) struct FailoverArgs {
    /// Virtual router, regardless of case
    #[arg(value_name = "ROUTER")]
    pub(crate) router: String,
    /// Node that shall rule, or address of one without an agent [default: the best]
    #[arg(long, value_name = "NODE|ADDRESS")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl failback vi_1\n  \
    haclusterctl failback vi_1 --dry-run\n\n\
    Exit status: 0 it is back, 1 it is not, 2 a node that is needed cannot be reached, 3 wrong usage.")]
pub(crate) struct FailbackArgs {
    /// Virtual router, regardless of case
    #[arg(value_name = "ROUTER")]
    pub(crate) router: String,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl drain node1\n  \
    haclusterctl drain node1 --for 2h --reason 'new kernel' --yes\n\n\
    Exit status: 0 drained, 1 something could not be moved, 2 the node cannot be reached, 3 wrong usage.")]
pub(crate) struct DrainArgs {
    /// Node that shall have no duties
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl undrain node1\n  \
    haclusterctl undrain node1 --dry-run\n\n\
    Exit status: 0 done, or it was not drained; 1 refused, 2 the node cannot be reached, 3 wrong usage.")]
pub(crate) struct UndrainArgs {
    /// Node that was drained
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl pause\n  \
    haclusterctl pause node1 node2 --for 30m --reason 'switch update'\n\n\
    Exit status: 0 every node did it, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct PauseArgs {
    /// Nodes [default: all]
    #[arg(value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl resume\n  \
    haclusterctl resume node1\n\n\
    Exit status: 0 every node did it, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct ResumeArgs {
    /// Nodes [default: all]
    #[arg(value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl reload --dry-run\n  \
    haclusterctl reload node1\n\n\
    It asks only where a virtual router would stop or restart.\n\
    Exit status: 0 in force everywhere, 1 a node refused, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct ReloadArgs {
    /// Nodes [default: all]
    #[arg(value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// `90s`, `30m`, `2h`, `1d`, `1d12h`: whole numbers with their units, up to a year.
pub(crate) fn parse_held(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write it as 90s, 30m, 2h or 1d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_secs = match tail.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(wrong()),
        };
        let part = Duration::from_secs(number.saturating_mul(unit_secs));
        total = total.saturating_add(part);
        rest = &tail[1..];
    }
    match total {
        Duration::ZERO if text.is_empty() => Err(wrong()),
        Duration::ZERO => Err(format!("`{text}` is no time at all; leave the option out for no limit")),
        long if long > HELD_MAX => {
            Err(format!("`{text}` is longer than 366 days; leave the option out for no limit"))
        }
        span => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let cases = [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("1d12h", 129_600)];
        for (text, secs) in cases {
            assert_eq!(parse_held(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(parse_held("366d"), Ok(HELD_MAX));
    }

    #[test]
    fn what_is_no_duration() {
        for text in
            ["", "2", "h", "-2h", "2 h", "2w", "1.5h", "2hh", "99999999999999999999s", "2h\u{e9}", "1é"]
        {
            assert!(parse_held(text).unwrap_err().contains("write it as"), "{text}");
        }
        assert!(parse_held("0h").unwrap_err().contains("no time at all"));
        for text in ["367d", "8785h", "18446744073709551615d", "366d1s"] {
            assert!(parse_held(text).unwrap_err().contains("longer than 366 days"), "{text}");
        }
    }
}
