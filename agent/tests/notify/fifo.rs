//! Real fifos, with readers that are fast, slow, absent or dying.

use crate::bench::{Bench, eventually, identity, instance};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn config(more: &str) -> String {
    format!("global_defs {{\n notify_fifo DIR/fifo\n{more}\n}}\n") + &instance("VI_1", 7, "")
}

fn made(bench: &Bench) {
    let path = bench.path("fifo");
    eventually("the fifo is made", || fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo()));
}

fn reader(bench: &Bench) -> impl Iterator<Item = String> + use<> {
    made(bench);
    BufReader::new(fs::File::open(bench.path("fifo")).unwrap()).lines().map(Result::unwrap)
}

/// Tells change number `number` of a router that flaps.
fn flap(bench: &Bench, number: usize) {
    if number.is_multiple_of(2) { bench.backup("VI_1", 7) } else { bench.master("VI_1", 7) }
}

#[test]
fn lines_are_keepalived_s_and_the_fifo_is_for_its_owner_alone() {
    let group = "vrrp_sync_group G {\n group { VI_1 }\n}\n";
    let bench = Bench::new(&(config("") + group), &[]);
    bench.backup("VI_1", 7);
    bench.fault("VI_1", 7);
    let lines: Vec<_> = reader(&bench).take(4).collect();
    let expected = [
        "INSTANCE \"VI_1\" BACKUP 100",
        "GROUP \"G\" BACKUP 0",
        "INSTANCE \"VI_1\" FAULT 100",
        "GROUP \"G\" FAULT 0",
    ];
    assert_eq!(lines, expected);
    assert_eq!(fs::metadata(bench.path("fifo")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn twenty_thousand_lines_arrive_in_order_when_somebody_reads() {
    let bench = Bench::new(&config(""), &[]);
    let lines = reader(&bench);
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let lines = lines.take(20_000).inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let reading = std::thread::spawn(move || lines.collect::<Vec<_>>());
    for number in 0..20_000 {
        // The feed is bounded, too.
        eventually("it is read", || number - read.load(Ordering::Relaxed).min(number) < 8_192);
        flap(&bench, number);
    }
    for (number, line) in reading.join().unwrap().into_iter().enumerate() {
        let state = if number % 2 == 0 { "BACKUP" } else { "MASTER" };
        assert_eq!(line, format!("INSTANCE \"VI_1\" {state} 100"));
    }
    assert!(bench.told().is_empty(), "{:?}", bench.told());
}

#[test]
fn without_a_reader_nothing_waits_and_the_oldest_lines_are_lost_and_counted_once_a_minute() {
    let bench = Bench::new(&config(""), &[]);
    made(&bench);
    let mut number = 0;
    eventually("lines are lost", || {
        (0..4_096).for_each(|more| flap(&bench, number + more));
        number += 4_096;
        bench.told().iter().any(|(text, _)| text.contains("line(s) lost"))
    });
    let said = bench.hears(&["line(s) lost", "/fifo"]);
    assert!(said.contains("the oldest of 65536"), "{said}");
    let (lines, found) = (reader(&bench), Arc::new(AtomicUsize::new(0)));
    let seen = found.clone();
    let reading = std::thread::spawn(move || {
        let mut lines = lines;
        let last = lines.find(|line| line.contains("FAULT"));
        seen.store(1, Ordering::Relaxed);
        last
    });
    eventually("the latest state is there", || {
        bench.fault("VI_1", 7); // told once, however often it gets through
        found.load(Ordering::Relaxed) == 1
    });
    assert_eq!(reading.join().unwrap().unwrap(), "INSTANCE \"VI_1\" FAULT 100");
    let losses = bench.told().iter().filter(|(text, _)| text.contains("line(s) lost")).count();
    assert_eq!(losses, 1);
}

#[test]
fn the_reader_gets_the_path_last_and_is_started_again() {
    let read = ("read", "echo \"$1 $(basename $2)\" >> started; head -n 1 \"$2\" >> out");
    let bench = Bench::new(&config(" notify_fifo_script \"DIR/read x\""), &[read]);
    bench.backup("VI_1", 7);
    eventually("the first reader reads", || bench.lines("out").len() == 1);
    bench.hears(&["its reader", "/read ended: exit 0", "started again in 1 s"]);
    eventually("the second one starts", || bench.lines("started").len() == 2);
    bench.master("VI_1", 7);
    bench.expect_lines("out", &["INSTANCE \"VI_1\" BACKUP 100", "INSTANCE \"VI_1\" MASTER 100"]);
    assert_eq!(bench.lines("started"), ["x fifo", "x fifo"]);
}

#[test]
fn the_reader_sees_the_last_line_and_ends_with_the_agent() {
    let read = ("read", "cat $1 >> out; echo end >> out");
    let bench = Bench::new(&config(" notify_fifo_script DIR/read"), &[read]);
    bench.backup("VI_1", 7);
    eventually("it reads", || bench.lines("out").len() == 1);
    let Bench { notify, dir, .. } = bench;
    notify.stop(|_| ());
    let out = || fs::read_to_string(dir.path().join("out")).unwrap();
    eventually("the last line is there", || out().contains("INSTANCE \"VI_1\" STOP 100\n"));
}

#[test]
fn what_is_no_fifo_is_left_alone_and_said() {
    let bench = Bench::new(
        &config(" vrrp_notify_fifo DIR/none/fifo").replace("DIR/fifo", "DIR/keepalived.conf"),
        &[],
    );
    bench.hears(&[
        "keepalived.conf: a regular file has that name, not a named pipe",
        "remove it, or name another",
    ]);
    bench.hears(&["none/fifo: it cannot be made; does its folder exist?"]);
    assert!(fs::metadata(bench.path("keepalived.conf")).unwrap().is_file());
}

#[test]
fn a_reader_that_dies_and_returns_misses_nothing_meanwhile() {
    let bench = Bench::new(&config(""), &[]);
    bench.backup("VI_1", 7);
    assert_eq!(reader(&bench).next().unwrap(), "INSTANCE \"VI_1\" BACKUP 100");
    bench.master("VI_1", 7);
    bench.fault("VI_1", 7);
    let lines: Vec<_> = reader(&bench).take(2).collect();
    assert_eq!(lines, ["INSTANCE \"VI_1\" MASTER 100", "INSTANCE \"VI_1\" FAULT 100"]);
    assert!(bench.told().is_empty(), "{:?}", bench.told());
}

#[test]
fn a_fifo_belongs_to_whom_the_line_names_and_to_nobody_who_does_not_exist() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let owned = |line: &str| Bench::new(&config("").replace("notify_fifo DIR/fifo", line), &[]);
    let bench = owned("notify_fifo DIR/fifo 65534 65533");
    let found = || fs::metadata(bench.path("fifo")).map(|found| (found.uid(), found.gid()));
    eventually("it is given away", || found().is_ok_and(|found| found == (65_534, 65_533)));
    let bench = owned("notify_fifo DIR/fifo nobody-of-that-name");
    bench.hears(&["/fifo: user nobody-of-that-name does not exist", "tried again"]);
    bench.hears(&["does not exist", "tried again in 2 s"]); // and is not taken for made the second time
    assert!(!bench.path("fifo").exists());
}

#[test]
fn changes_of_priority_are_told_where_they_are_wanted() {
    use hacluster_agent::fact::{Fact, Standing};
    use hacluster_core::machine::{Faults, StateKind};
    use hacluster_core::priority::Priority;
    let bench = Bench::new(&config(" vrrp_notify_priority_changes on"), &[]);
    bench.master("VI_1", 7);
    for (priority, state) in [(100, StateKind::Master), (80, StateKind::Master), (80, StateKind::Backup)] {
        let standing = Standing {
            state,
            entered: hacluster_core::time::Instant::ZERO,
            last: None,
            priority: Priority::from_wire(priority),
            source: std::net::Ipv4Addr::UNSPECIFIED,
            faults: Faults::default(),
            master: None,
            orders: Default::default(),
        };
        bench.fact(Some(identity("VI_1", 7)), Fact::Standing(standing));
    }
    let lines: Vec<_> = reader(&bench).take(3).collect();
    let expected = [
        "INSTANCE \"VI_1\" MASTER 100",
        "INSTANCE \"VI_1\" MASTER_PRIORITY 80",
        "INSTANCE \"VI_1\" BACKUP 80", // the change itself was lost: told all the same
    ];
    assert_eq!(lines, expected);
}
