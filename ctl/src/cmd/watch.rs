//! `haclusterctl watch`: the live view of a terminal.
//!
//! Whatever ends it, signals among it, the terminal is left as it was: [`Picture`] restores it when it is
//! dropped, and before a panic is told.

use super::events::{Memory, Past};
use crate::args::{Place, WatchArgs};
use crate::fanout::Cluster;
use crate::live::{Live, Nodes, Told};
use crate::output;
use crate::output::screen::{Screen, corner};
use crate::view::history::NodeEvent;
use crate::view::{Event, Observed, Status};
use crate::{Outcome, Usage};
use anyhow::Context;
use jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io::{self, IsTerminal};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Times grow older without anything happening.
const TICK: Duration = Duration::from_secs(1);

pub(super) async fn run(place: &Place, args: &WatchArgs) -> anyhow::Result<Outcome> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let text = "watch draws on a terminal, and this is none; for scripts: haclusterctl status --watch";
        return Err(Usage(text.to_owned()).into());
    }
    let cluster = Cluster::of(place)?;
    let past = Past::of(&cluster, place, Memory::Events).await?;
    let mut nodes = Nodes { answers: past.observed.answers.clone() };
    let look = |nodes: &Nodes| {
        let (answers, now) = (nodes.answers.clone(), Timestamp::now());
        Status::of(Observed { answers, now, ..past.observed.clone() }, &args.routers)
    };
    let mut screen = Screen {
        status: look(&nodes)?,
        events: Vec::new(),
        scrolled: 0,
        color: output::color(),
        clock: corner(Timestamp::now()),
    };
    let wanted = |screen: &Screen, event: &NodeEvent| {
        let shown = |name: &String| screen.status.routers.iter().any(|group| group.name == *name);
        args.routers.is_empty() || event.cluster_router.as_ref().is_none_or(shown)
    };
    let known = past.events.iter().filter(|event| wanted(&screen, event)).cloned().collect();
    screen.add(known);
    let mut live = Live::start(&cluster, place.timeout, past.marks.clone());
    let mut ends = Ends::listen()?;
    let mut picture = Picture::open()?;
    let mut keys = keys();
    let mut tick = tokio::time::interval(TICK);
    loop {
        picture.draw(&screen)?;
        tokio::select! {
            told = live.next() => {
                let (number, told) = told.context("nothing is followed any more")?;
                nodes.take(number, &told);
                // A router that is gone is no reason to leave: the last picture stays.
                if let Ok(status) = look(&nodes) {
                    screen.status = status;
                }
                if let Told::Events(events, _) = told {
                    let of = |event| NodeEvent::of(Event::from(event), &screen.status, number);
                    let events: Vec<_> = events.into_iter().map(of).collect();
                    let events = events.into_iter().filter(|event| wanted(&screen, event)).collect();
                    screen.add(events);
                }
            }
            key = keys.recv() => match key.context("the terminal is gone")?? {
                Key::Leave => return Ok(Outcome::Well),
                Key::Scroll(rows) => screen.scroll(rows),
                Key::Redraw => {}
            },
            () = ends.wait() => return Ok(Outcome::Well),
            _ = tick.tick() => {
                screen.clock = corner(Timestamp::now());
                if let Ok(status) = look(&nodes) {
                    screen.status = status;
                }
            }
        }
    }
}

/// The signals that end it: asked to, interrupted, or the terminal is closed.
struct Ends([Signal; 3]);

impl Ends {
    fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?]))
    }

    async fn wait(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The terminal while it is ours.
struct Picture(DefaultTerminal);

impl Picture {
    fn open() -> anyhow::Result<Self> {
        Ok(Self(ratatui::try_init().context("cannot draw on this terminal")?))
    }

    fn draw(&mut self, screen: &Screen) -> anyhow::Result<()> {
        self.0.draw(|frame| screen.draw(frame)).context("cannot draw on this terminal")?;
        Ok(())
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Leave,
    Scroll(isize),
    Redraw,
}

impl Key {
    fn of(event: &event::Event) -> Option<Self> {
        let event::Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else {
            return matches!(event, event::Event::Resize(..)).then_some(Self::Redraw);
        };
        if *kind == KeyEventKind::Release {
            return None;
        }
        match code {
            KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Leave),
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Self::Leave),
            KeyCode::Char('l') if modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Redraw),
            KeyCode::Up | KeyCode::Char('k') => Some(Self::Scroll(-1)),
            KeyCode::Down | KeyCode::Char('j') => Some(Self::Scroll(1)),
            KeyCode::PageUp => Some(Self::Scroll(-10)),
            KeyCode::PageDown => Some(Self::Scroll(10)),
            _ => None,
        }
    }
}

/// Keys, read by a thread of their own: reading blocks. It ends with the program.
fn keys() -> mpsc::UnboundedReceiver<io::Result<Key>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let key = match event::read() {
                Ok(event) => Key::of(&event).map(Ok),
                Err(error) => Some(Err(error)),
            };
            let failed = matches!(key, Some(Err(_)));
            if key.is_some_and(|key| sender.send(key).is_err()) || failed {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_the_help_says() {
        let key = |code, modifiers| Key::of(&event::Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Leave));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Down, KeyModifiers::NONE), Some(Key::Scroll(1)));
        assert_eq!(Key::of(&event::Event::Resize(80, 24)), Some(Key::Redraw));
    }
}
