//! Running processes, counted by reading `/proc`: no program is started for it.
//!
//! The end of a process that counts is told by the kernel at once (pidfd), in every namespace and
//! without a privilege. A new one is found by listing, within [`LOOK`]; the kernel's events of new
//! processes would reach the first network namespace alone. A listing looks only at what is new.

use super::desk::{Observation, Reporter};
use super::paced::duration;
use super::{Readable, readable};
use hacluster_conf::model::track::{ArgumentMatch, ProcessProbe};
use hacluster_core::track::Reading;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// How often processes are listed.
const LOOK: Duration = Duration::from_millis(500);
/// Looks at a process that is young: it may yet become another program.
const YOUNG: u32 = 4;
/// Looks between which an old process may change its name unseen.
const SELDOM: u32 = 8;
/// Processes whose end is waited for, per tracker; more are seen with the next listing.
const ENDS_MAX: usize = 256;
/// The kernel keeps so many bytes of a name.
const COMM_MAX: usize = 15;

/// Counts what `wanted` describes and tells whether the number is right.
pub(super) async fn watch(wanted: ProcessProbe, to: Reporter) {
    let mut census = Census::default();
    let ends = Ends::new();
    let mut known = Reading::Unknown;
    // A change that has to last: what it would become, and when it counts.
    let mut pending: Option<(Reading, Instant)> = None;
    loop {
        let count = census.count(&wanted, ends.as_ref());
        let reading = judge(&wanted, count);
        let now = Instant::now();
        if reading == known {
            pending = None;
        } else {
            let delay = if reading == Reading::Good { wanted.rise_delay } else { wanted.fall_delay };
            let delay = if known == Reading::Unknown { Duration::ZERO } else { duration(delay) };
            let due = match pending {
                Some((same, due)) if same == reading => due,
                _ => now + delay,
            };
            pending = (due > now).then_some((reading, due));
            if due <= now {
                known = reading;
                if !to.tell(Observation::new(reading, words(&wanted, count))).await {
                    return;
                }
            }
        }
        let next = pending.map_or(now + LOOK, |(_, due)| due.min(now + LOOK));
        tokio::select! {
            () = sleep_until(next) => {}
            () = Ends::one(ends.as_ref()) => {}
        }
    }
}

fn judge(wanted: &ProcessProbe, count: usize) -> Reading {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let right = count >= wanted.quorum && wanted.quorum_max.is_none_or(|most| count <= most);
    if right { Reading::Good } else { Reading::Bad }
}

/// `2 nginx run, 3 wanted`.
fn words(wanted: &ProcessProbe, count: usize) -> String {
    let name = wanted.name.escape_debug();
    let least = wanted.quorum;
    match wanted.quorum_max {
        Some(most) => format!("{count} {name} run, {least} to {most} wanted"),
        None => format!("{count} {name} run, at least {least} wanted"),
    }
}

/// What is known of every process.
#[derive(Default)]
struct Census {
    round: u32,
    known: HashMap<u32, Known>,
}

struct Known {
    looks: u32,
    matches: bool,
    /// Its end is awaited as long as this lives.
    _end: Option<OwnedFd>,
}

impl Census {
    /// How many processes match; their ends are awaited in `ends`.
    fn count(&mut self, wanted: &ProcessProbe, ends: Option<&Ends>) -> usize {
        let Ok(entries) = fs::read_dir("/proc") else { return 0 };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        self.round = self.round.wrapping_add(1);
        let mut before = std::mem::take(&mut self.known);
        let (mut count, mut awaited) = (0, 0);
        for number in numbers {
            let former = before.remove(&number);
            let looks = former.as_ref().map_or(0, |known| known.looks.saturating_add(1));
            let known = former.filter(|known| !known.matches && looks > YOUNG && !self.is_turn_of(number));
            let matches = known.is_none() && matches(wanted, number).unwrap_or(false);
            let end = ends.filter(|_| matches && awaited < ENDS_MAX).and_then(|ends| ends.add(number));
            (count, awaited) = (count + usize::from(matches), awaited + usize::from(end.is_some()));
            self.known.insert(number, Known { looks, matches, _end: end });
        }
        count
    }

    fn is_turn_of(&self, number: u32) -> bool {
        number.wrapping_add(self.round).is_multiple_of(SELDOM)
    }
}

/// Becomes readable when one of many processes ends.
struct Ends(AsyncFd<Readable<Set>>);

struct Set(Epoll);

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Ends {
    fn new() -> Option<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
        readable(Set(set)).ok().map(Self)
    }

    /// Adds a process as long as the answer lives.
    fn add(&self, number: u32) -> Option<OwnedFd> {
        let end = hacluster_net::process::watch_end(number).ok()?;
        let Set(set) = &self.0.get_ref().0;
        set.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, number.into())).ok()?;
        Some(end)
    }

    /// Waits for an end; for ever without a set.
    async fn one(ends: Option<&Self>) {
        match ends {
            Some(Self(set)) => {
                let ready: io::Result<_> = set.readable().await;
                if let Ok(mut ready) = ready {
                    ready.clear_ready();
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Whether process `number` is wanted; `None` when it is gone meanwhile.
fn matches(wanted: &ProcessProbe, number: u32) -> Option<bool> {
    if !wanted.full_command {
        let comm = fs::read(format!("/proc/{number}/comm")).ok()?;
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        let name = wanted.name.as_bytes();
        if comm != &name[..name.len().min(COMM_MAX)] || is_zombie(number)? {
            return Some(false);
        }
        if wanted.arguments.is_none() {
            return Some(true);
        }
    }
    let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next()?;
    let mut words: Vec<String> = words.collect();
    words.pop(); // after the last zero
    if wanted.full_command && program != wanted.name {
        return Some(false);
    }
    Some(wanted.arguments.as_ref().is_none_or(|(how, wanted)| arguments(*how, wanted, &words)))
}

fn is_zombie(number: u32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.trim_start().starts_with('Z'))
}

fn arguments(how: ArgumentMatch, wanted: &[String], there: &[String]) -> bool {
    match how {
        ArgumentMatch::Exact => wanted == there,
        ArgumentMatch::Initial => there.starts_with(wanted),
        ArgumentMatch::Partial => match wanted.split_last() {
            None => true,
            Some((last, before)) => {
                there.starts_with(before)
                    && there.get(before.len()).is_some_and(|word| word.starts_with(last))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_core::time::Duration as Span;
    use std::process::{Child, Command};

    #[test]
    fn arguments_are_compared_in_three_ways() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        use ArgumentMatch::{Exact, Initial, Partial};
        for (how, wanted, there, expected) in [
            (Exact, "-g x", "-g x", true),
            (Exact, "-g", "-g x", false),
            (Initial, "-g", "-g x", true),
            (Initial, "-g y", "-g x", false),
            (Partial, "-g da", "-g daemon", true),
            (Partial, "-g da", "-g", false),
            (Partial, "", "", true),
        ] {
            assert_eq!(arguments(how, &words(wanted), &words(there)), expected, "{how:?} {wanted} {there}");
        }
    }

    fn probe(name: &str, arguments: &str) -> ProcessProbe {
        ProcessProbe {
            name: name.to_owned(),
            arguments: Some((ArgumentMatch::Exact, vec![arguments.to_owned()])),
            full_command: false,
            quorum: 2,
            quorum_max: None,
            rise_delay: Span::ZERO,
            fall_delay: Span::ZERO,
        }
    }

    fn sleeper(time: &str) -> Child {
        Command::new("sleep").arg(time).spawn().unwrap()
    }

    fn end(child: &mut Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_one_is_noticed_without_listing() {
        let time = format!("{}", 100_000 + std::process::id());
        let (wanted, mut census, ends) = (probe("sleep", &time), Census::default(), Ends::new());
        let mut children = [sleeper(&time), sleeper(&time)];
        while census.count(&wanted, ends.as_ref()) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await; // not yet another program
        }
        assert_eq!(judge(&wanted, 2), Reading::Good);
        end(&mut children[0]);
        tokio::time::timeout(Duration::from_secs(60), Ends::one(ends.as_ref())).await.unwrap();
        assert_eq!(census.count(&wanted, ends.as_ref()), 1);
        assert_eq!(judge(&wanted, 1), Reading::Bad);
        end(&mut children[1]);
        assert_eq!(census.count(&wanted, ends.as_ref()), 0);
    }

    #[test]
    fn a_name_of_300_bytes_matches_nothing_and_says_so_in_one_line() {
        let wanted = probe(&"x\n".repeat(150), "");
        assert_eq!(Census::default().count(&wanted, None), 0);
        assert!(!words(&wanted, 0).contains('\n'));
    }
}
