//! The table: what was measured, what was aimed at, and whether it was reached.

use std::fmt;

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// Shown for what it is.
    None,
    /// At most this much, in the row's unit.
    AtMost(f64),
    /// At most this part of keepalived's.
    OfKeepalived(f64),
}

/// One figure of both daemons.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Such as `ms`.
    pub unit: &'static str,
    /// `None` where it could not be measured.
    pub agent: Option<f64>,
    /// `None` where it could not be measured.
    pub keepalived: Option<f64>,
    /// What the agent is to reach.
    pub aim: Aim,
}

impl Row {
    fn met(&self) -> &'static str {
        let verdict = match (self.aim, self.agent, self.keepalived) {
            (Aim::AtMost(most), Some(agent), _) => agent <= most,
            (Aim::OfKeepalived(part), Some(agent), Some(keepalived)) => agent <= part * keepalived,
            _ => return "",
        };
        if verdict { "yes" } else { "**no**" }
    }

    fn aim(&self) -> String {
        match self.aim {
            Aim::None => String::new(),
            Aim::AtMost(most) => format!("<= {} {}", figure(most), self.unit),
            Aim::OfKeepalived(part) => format!("<= {part:.2} of keepalived"),
        }
    }
}

/// Rows in the order they were measured; shown as a Markdown table.
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<Row>,
    text: String,
    keepalived_installed: bool,
}

impl Report {
    pub(super) fn new(keepalived_installed: bool) -> Self {
        Self { rows: Vec::new(), text: String::new(), keepalived_installed }
    }

    /// Adds a text of its own below the table, which is left out without rows.
    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a row; figures are those of the agent and of keepalived.
    pub fn row(&mut self, name: impl Into<String>, unit: &'static str, figures: [Option<f64>; 2], aim: Aim) {
        let [agent, keepalived] = figures;
        self.rows.push(Row { name: name.into(), unit, agent, keepalived, aim });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 6]| {
            let [name, agent, keepalived, ratio, aim, met] = cells;
            writeln!(f, "| {name:<52} | {agent:>12} | {keepalived:>12} | {ratio:>6} | {aim:<22} | {met:<6} |")
        };
        if self.rows.is_empty() {
            return f.write_str(&self.text);
        }
        line(f, ["measured", "agent", "keepalived", "ratio", "aim", "met?"])?;
        line(f, ["---", "---:", "---:", "---:", "---", "---"])?;
        for row in &self.rows {
            let show = |value: Option<f64>, absent: &str| {
                value.map_or_else(|| absent.to_owned(), |value| format!("{} {}", figure(value), row.unit))
            };
            let absent = if self.keepalived_installed { "-" } else { "not installed" };
            let ratio = match (row.agent, row.keepalived) {
                (Some(agent), Some(keepalived)) if keepalived > 0.0 => figure(agent / keepalived),
                _ => String::new(),
            };
            let (agent, keepalived) = (show(row.agent, "-"), show(row.keepalived, absent));
            line(f, [&row.name, agent.trim(), keepalived.trim(), &ratio, &row.aim(), row.met()])?;
        }
        f.write_str(&self.text)
    }
}

/// Three digits that count.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(agent: f64, keepalived: Option<f64>, aim: Aim) -> &'static str {
        Row { name: String::new(), unit: "ms", agent: Some(agent), keepalived, aim }.met()
    }

    #[test]
    fn an_aim_is_met_or_not_and_unknown_without_a_figure() {
        assert_eq!(verdict(2.0, None, Aim::AtMost(2.0)), "yes");
        assert_eq!(verdict(2.1, None, Aim::AtMost(2.0)), "**no**");
        assert_eq!(verdict(1.0, Some(2.9), Aim::OfKeepalived(1.0 / 3.0)), "**no**");
        assert_eq!(verdict(1.0, Some(3.1), Aim::OfKeepalived(1.0 / 3.0)), "yes");
        assert_eq!(verdict(1.0, None, Aim::OfKeepalived(0.1)), "");
    }

    #[test]
    fn figures_keep_three_digits() {
        assert_eq!([1234.5, 12.345, 1.2345, 0.012].map(figure), ["1234", "12.3", "1.23", "0.012"]);
    }
}
