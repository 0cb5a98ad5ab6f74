//! Checks that run: what is told, when, and what goes on over changes.

use crate::world::{LIMIT, PATIENT, check, http, nobody, program, request, server, url};
use hacluster_agent::check::{Checks, Report, Settings, TrackedFile, Wanted};
use hacluster_conf::model::lvs::{Check, CheckKind};
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration as Span;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) fn on_a_runtime(work: impl AsyncFnOnce(Checks, mpsc::Receiver<Report>)) {
    on_a_runtime_with(Settings::default(), work);
}

pub(crate) fn on_a_runtime_with(settings: Settings, work: impl AsyncFnOnce(Checks, mpsc::Receiver<Report>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reports, heard) = mpsc::channel(1_024);
        work(Checks::new(settings, program(), reports), heard).await;
    });
    runtime.shutdown_background();
}

pub(crate) fn wanted(check: &Arc<Check>, resting: bool) -> Wanted {
    Wanted { check: check.clone(), before: None, known: Verdict::Unknown, resting }
}

/// Waits for a report that `is` it.
pub(crate) async fn hear(reports: &mut mpsc::Receiver<Report>, is: impl Fn(&Report) -> bool) -> Report {
    let found = async {
        loop {
            let report = reports.recv().await.unwrap();
            if is(&report) {
                return report;
            }
        }
    };
    timeout(LIMIT, found).await.unwrap()
}

pub(crate) async fn verdict(reports: &mut mpsc::Receiver<Report>, wanted: Verdict) -> Report {
    hear(reports, |report| report.verdict == wanted).await
}

/// A web server whose status can be changed, and which counts.
fn moody() -> (SocketAddr, Arc<AtomicU16>, Arc<AtomicU64>) {
    let (status, count) = (Arc::new(AtomicU16::new(200)), Arc::<AtomicU64>::default());
    let (says, counts) = (status.clone(), count.clone());
    let to = server(move |mut stream| {
        request(&stream);
        counts.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(format!("HTTP/1.0 {} X\r\n\r\n", says.load(Ordering::Relaxed)).as_bytes());
    });
    (to, status, count)
}

#[test]
fn a_refusal_is_seen_within_a_round_and_the_first_good_try_brings_it_back() {
    on_a_runtime(async |mut checks, mut reports| {
        let to = nobody();
        let listener = TcpListener::bind(to).unwrap();
        let ask = Arc::new(check(CheckKind::Tcp, to, PATIENT));
        checks.set(vec![wanted(&ask, false)]);
        let up = verdict(&mut reports, Verdict::Good).await;
        assert_eq!(&*up.outcome.why, "takes connections");
        drop(listener);
        let down = verdict(&mut reports, Verdict::Bad).await;
        assert_eq!((&*down.outcome.why, down.retries_left), ("connection refused", None));
        let tries = checks.tally().tries;
        let _listener = TcpListener::bind(to).unwrap();
        verdict(&mut reports, Verdict::Good).await;
        assert!(checks.tally().tries > tries);
    });
}

#[test]
fn failures_count_when_no_retry_is_left() {
    on_a_runtime(async |mut checks, mut reports| {
        let mut ask = check(CheckKind::Tcp, nobody(), PATIENT);
        ask.pace.retry = 2;
        checks.set(vec![wanted(&Arc::new(ask), false)]);
        for (left, wanted) in [(Some(1), Verdict::Unknown), (Some(0), Verdict::Unknown), (None, Verdict::Bad)]
        {
            let report = hear(&mut reports, |_| true).await;
            assert_eq!((report.retries_left, report.verdict, report.outcome.good), (left, wanted, false));
        }
    });
}

#[test]
fn what_this_node_cannot_try_changes_no_verdict() {
    on_a_runtime(async |mut checks, mut reports| {
        let mut ask = check(CheckKind::Tcp, nobody(), PATIENT);
        ask.route.interface = Some("nosuch0".into());
        let known = Verdict::Good;
        checks.set(vec![Wanted { check: Arc::new(ask), before: None, known, resting: false }]);
        for _ in 0..3 {
            let report = hear(&mut reports, |_| true).await;
            assert!(report.verdict == Verdict::Good && report.outcome.ours, "{report:?}");
        }
    });
}

#[test]
fn who_rests_is_not_asked_and_goes_on_with_what_is_known() {
    on_a_runtime(async |mut checks, mut reports| {
        let (to, status, count) = moody();
        let ask = Arc::new(check(CheckKind::Http(http(url())), to, PATIENT));
        checks.set(vec![wanted(&ask, true)]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
        checks.set(vec![wanted(&ask, false)]);
        verdict(&mut reports, Verdict::Good).await;
        checks.set(vec![wanted(&ask, true)]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let asked = count.load(Ordering::Relaxed);
        status.store(503, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count.load(Ordering::Relaxed), asked);
        checks.set(vec![wanted(&ask, false)]);
        let down = verdict(&mut reports, Verdict::Bad).await;
        assert_eq!(&*down.outcome.why, "HTTP 503 (wants 200-299)");
        checks.set(Vec::new());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let asked = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count.load(Ordering::Relaxed), asked, "nobody wants it any more");
    });
}

#[test]
fn equal_checks_are_tried_once_and_a_change_of_settings_disturbs_nobody() {
    on_a_runtime(async |mut checks, mut reports| {
        let (to, _, count) = moody();
        let mut ask = check(CheckKind::Http(http(url())), to, PATIENT);
        ask.pace.delay_loop = Span::from_secs(1_000);
        let ask = Arc::new(ask);
        checks.set(vec![wanted(&ask, false), wanted(&Arc::new(Check::clone(&ask)), false)]);
        verdict(&mut reports, Verdict::Good).await;
        checks.change(Settings::default());
        checks.set(vec![wanted(&ask, false)]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_file_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weight");
    let file = TrackedFile { path: path.clone(), init: Some((0, false)) };
    let settings = Settings { files: [("maintenance".to_owned(), file)].into(), ..Settings::default() };
    on_a_runtime_with(settings, async |mut checks, mut reports| {
        let kind = |weight| CheckKind::File { tracker: "maintenance".into(), weight, reverse: false };
        let ask = |weight| {
            let mut check = check(kind(weight), "0.0.0.0:0".parse().unwrap(), PATIENT);
            check.pace.delay_loop = Span::from_secs(1_000);
            Arc::new(check)
        };
        checks.set(vec![wanted(&ask(0), false), wanted(&ask(-10), false)]);
        let mut first = [None, None]; // in either order
        while first != [Some(None), Some(Some(0))] {
            let report = hear(&mut reports, |report| report.outcome.good).await;
            first[usize::from(report.outcome.weight.is_some())] = Some(report.outcome.weight);
        }
        std::fs::write(&path, "3\n").unwrap();
        let mut both = [None, None];
        while both != [Some(None), Some(Some(-30))] {
            let report = hear(&mut reports, |_| true).await;
            both[usize::from(report.outcome.good)] = Some(report.outcome.weight);
        }
    });
}

#[test]
fn first_tries_come_evenly_within_the_warmup() {
    on_a_runtime(async |mut checks, mut reports| {
        let (to, _, _) = moody();
        let checks_wanted = (0..100).map(|number| {
            let mut ask = check(CheckKind::Http(http(url())), to, PATIENT);
            ask.pace.warmup = Span::from_secs(1);
            ask.pace.delay_loop = Span::from_secs(1_000 + number);
            wanted(&Arc::new(ask), false)
        });
        let start = Instant::now();
        checks.set(checks_wanted.collect());
        for _ in 0..100 {
            verdict(&mut reports, Verdict::Good).await;
        }
        assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
        assert_eq!(checks.tally().tries, 100);
    });
}
