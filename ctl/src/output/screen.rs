//! The picture of `watch`.
//!
//! ```text
//!   CLUSTER web   3 nodes, 3 virtual routers   as it should be     14:01:37
//!   virtual routers                                                as much as there are
//!   ! what is not as it should be, with its mend                   up to a third
//!   latest events, newest last                                     the rest
//!   q leave   up/down scroll
//! ```

use super::grid::{self, Cell, GAP, Grid, Tone};
use super::safe;
use super::status::{finding, headline};
use super::text::clip;
use crate::times::clock_ms;
use crate::view::Status;
use crate::view::history::NodeEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// The keys there are.
const HELP: &str = "q leave   up/down scroll the table";
/// Most events that are kept.
pub(crate) const EVENTS_MAX: usize = 1_000;

/// What is drawn.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) status: Status,
    /// In the order of time.
    pub(crate) events: Vec<NodeEvent>,
    /// Routers above the picture.
    pub(crate) scrolled: usize,
    pub(crate) color: bool,
    /// The time shown.
    pub(crate) clock: String,
}

impl Screen {
    /// Adds what happened, keeping the latest.
    pub(crate) fn add(&mut self, events: Vec<NodeEvent>) {
        self.events.extend(events);
        self.events.sort_by_key(|event| event.at_here);
        let surplus = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..surplus);
    }

    /// Moves the table by `rows`.
    pub(crate) fn scroll(&mut self, rows: isize) {
        let last = self.status.routers.len().saturating_sub(1);
        self.scrolled = self.scrolled.saturating_add_signed(rows).min(last);
    }

    /// Draws everything.
    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let columns = usize::from(area.width);
        let table = self.table(columns);
        let findings = self.findings(columns);
        let height = |lines: usize, most: u16| u16::try_from(lines).unwrap_or(u16::MAX).min(most);
        let of_table = height(table.len(), (area.height / 2).max(2));
        let of_findings = height(findings.len(), area.height / 3);
        let [head, _, routers, wrong, _, events, help] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(of_table),
            Constraint::Length(of_findings),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(self.head(columns)), head);
        frame.render_widget(Paragraph::new(self.scrolled_to(table, routers)), routers);
        frame.render_widget(Paragraph::new(findings), wrong);
        frame.render_widget(Paragraph::new(self.latest(events)), events);
        frame.render_widget(Paragraph::new(Line::styled(HELP, self.style(Tone::Odd))), help);
    }

    fn head(&self, columns: usize) -> Line<'static> {
        let tone = match self.status.health {
            "ok" => Tone::Good,
            _ => Tone::Bad,
        };
        let room = columns.saturating_sub(self.clock.chars().count() + GAP);
        let head = clip(&headline(&self.status), room);
        let blanks = " ".repeat(columns.saturating_sub(head.chars().count() + self.clock.chars().count()));
        Line::from(vec![Span::styled(head, self.style(tone)), Span::raw(format!("{blanks}{}", self.clock))])
    }

    /// Head and one line for each router.
    fn table(&self, columns: usize) -> Vec<Line<'static>> {
        let status = &self.status;
        let grid = match status.is_local() {
            true => grid::local(status, false, columns),
            false => grid::that_fits(status, columns).unwrap_or_else(|| grid::by_rows(status, false)),
        };
        self.lines(&grid)
    }

    fn lines(&self, grid: &Grid) -> Vec<Line<'static>> {
        let widths = grid.widths();
        let head: Vec<Cell> = grid.head.iter().map(|text| Cell::from(text.as_str())).collect();
        let line = |row: &Vec<Cell>| {
            let mut spans = Vec::new();
            for (cell, width) in row.iter().zip(&widths) {
                let blanks = width.saturating_sub(cell.text.chars().count()) + GAP;
                spans.push(Span::styled(cell.text.clone(), self.style(cell.tone)));
                spans.push(Span::raw(" ".repeat(blanks)));
            }
            Line::from(spans)
        };
        std::iter::once(&head).chain(&grid.rows).map(line).collect()
    }

    /// The head stays; when not all fits, the last line says how many are below.
    fn scrolled_to(&self, mut table: Vec<Line<'static>>, area: Rect) -> Vec<Line<'static>> {
        let height = usize::from(area.height);
        if table.len() <= height || height < 3 {
            return table;
        }
        let rows = height - 2;
        let first = self.scrolled.min(table.len() - 1 - rows);
        let below = table.len() - 1 - rows - first;
        table.drain(1..=first);
        table.truncate(rows + 1);
        table.push(Line::raw(format!("({first} above, {below} below)")));
        table
    }

    fn findings(&self, columns: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for (found, mark, tone) in
            [(&self.status.warnings, "! ", Tone::Bad), (&self.status.notes, "- ", Tone::Odd)]
        {
            for one in found {
                let text = finding(one, mark, columns);
                lines.extend(text.lines().map(|line| Line::styled(line.to_owned(), self.style(tone))));
            }
        }
        lines
    }

    fn latest(&self, area: Rect) -> Vec<Line<'static>> {
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let nodes = self.status.nodes.iter().map(|node| node.name.chars().count()).max();
        let nodes = nodes.filter(|_| !self.status.is_local());
        let shown = &self.events[self.events.len().saturating_sub(height)..];
        let line = |of: &NodeEvent| {
            let text = super::events::event(of, nodes);
            let tone = if of.event.warning { Tone::Bad } else { Tone::Plain };
            Line::styled(clip(text.trim_end(), width), self.style(tone))
        };
        shown.iter().map(line).collect()
    }

    fn style(&self, tone: Tone) -> Style {
        let style = Style::default();
        match tone {
            Tone::Bad if self.color => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Good if self.color => style.fg(Color::Green),
            Tone::Odd if self.color => style.fg(Color::Yellow),
            Tone::Bad => style.add_modifier(Modifier::BOLD),
            Tone::Plain | Tone::Good | Tone::Odd => style,
        }
    }
}

/// The clock for the picture's corner.
pub(crate) fn corner(now: jiff::Timestamp) -> String {
    safe(clock_ms(Some(now)).get(11..19).unwrap_or_default())
}
