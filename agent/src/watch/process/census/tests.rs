use super::super::news::Station;
use super::*;
use hacluster_core::time::Duration as Span;
use std::process::{Child, Command};
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

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

fn probe(name: &str, arguments: Option<&str>) -> ProcessProbe {
    ProcessProbe {
        name: name.to_owned(),
        arguments: arguments.map(|one| (ArgumentMatch::Exact, vec![one.to_owned()])),
        full_command: false,
        quorum: 2,
        quorum_max: None,
        rise_delay: Span::ZERO,
        fall_delay: Span::ZERO,
    }
}

/// A time to sleep that no other test has.
fn time(number: u32) -> String {
    format!("{}", number * 1_000_000 + std::process::id())
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
    let time = time(1);
    let (mut census, ends) = (Census::new(probe("sleep", Some(&time))), Ends::new());
    let mut children = [sleeper(&time), sleeper(&time)];
    while census.count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await; // not yet another program
        census.list(ends.as_ref());
    }
    end(&mut children[0]);
    timeout(LIMIT, Ends::one(ends.as_ref())).await.unwrap();
    census.list(ends.as_ref());
    assert_eq!(census.count(), 1);
    end(&mut children[1]);
    census.list(ends.as_ref());
    assert_eq!(census.count(), 0);
}

#[tokio::test]
async fn what_the_kernel_tells_is_counted_without_listing() {
    let station = Station::open();
    let mut news = station.subscribe();
    // Once the kernel answers, or refuses, that is known.
    let flows = timeout(Duration::from_secs(10), async {
        while !news.flows() {
            news.next().await;
        }
    });
    if flows.await.is_err() {
        return eprintln!(
            "what_the_kernel_tells_is_counted_without_listing: skipped, the kernel tells this namespace \
             nothing of processes"
        );
    }
    let time = time(2);
    let mut census = Census::new(probe("sleep", Some(&time)));
    let mut child = sleeper(&time);
    let mut hear_until = async |census: &mut Census, count| {
        let heard = timeout(LIMIT, async {
            while census.count() != count {
                let _ = census.learn(news.next().await);
            }
        });
        heard.await.unwrap();
    };
    hear_until(&mut census, 1).await;
    end(&mut child);
    hear_until(&mut census, 0).await;
}

#[test]
fn a_child_counts_once_it_has_had_time_to_become_another_program() {
    let ourselves = std::process::id();
    let mut census = Census::new(probe("x", None));
    census.wanted.name = String::from_utf8_lossy(&comm(ourselves).unwrap()).trim_end_matches('\0').to_owned();
    let named = |number| News::Changed { number, name: comm(ourselves) };
    assert!(census.learn(named(ourselves)) && census.count() == 1);
    // Of an unknown parent: nothing to us.
    assert!(census.learn(News::Forked { parent: 1, child: 2 }) && !census.has_newborn());
    let gone = u32::MAX; // nobody has this number
    assert!(census.learn(News::Forked { parent: ourselves, child: gone }));
    assert!(census.has_newborn() && census.count() == 1);
    census.look_at_newborn();
    assert_eq!(census.count(), 1, "it is gone");
    assert!(census.learn(News::Ended(ourselves)) && census.count() == 0);
    assert!(!census.learn(News::Lost));
}

#[test]
fn more_children_than_are_remembered_are_listed() {
    let ourselves = std::process::id();
    let mut census = Census::new(probe("x", None));
    census.matching.insert(ourselves, None);
    let fork = |child| News::Forked { parent: ourselves, child };
    let first = (0..10_000).find(|number| !census.learn(fork(u32::MAX - number)));
    assert_eq!(first, Some(CHILDREN_MAX as u32));
    census.list(None);
    assert!(!census.has_newborn());
}

#[test]
fn a_name_of_300_bytes_matches_nothing_and_says_so_in_one_line() {
    let wanted = probe(&"x\n".repeat(150), None);
    assert!(!super::super::words(&wanted, 0).contains('\n'));
    let mut census = Census::new(wanted);
    census.list(None);
    assert_eq!(census.count(), 0);
    assert_eq!(padded(&[b'x'; 300]), *b"xxxxxxxxxxxxxxx\0");
}
