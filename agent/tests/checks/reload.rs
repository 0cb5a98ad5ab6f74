//! Checks that run while settings, files and times change around them.

use crate::kinds::script;
use crate::loops::{hear, on_a_runtime, on_a_runtime_with, verdict, wanted};
use crate::tls::{World, over_tls, serve};
use crate::world::{LIMIT, PATIENT, check, nobody, server};
use hacluster_agent::check::{Settings, TrackedFile, Wanted};
use hacluster_conf::model::lvs::{Check, CheckKind};
use hacluster_core::health::Verdict;
use hacluster_core::time::Duration as Span;
use std::sync::Arc;
use std::time::Duration;

/// A check of each kind that settings matter to, and one that they do not; all fail.
fn failing() -> [Check; 3] {
    let rude = server(drop);
    let mut checks = [
        check(CheckKind::Http(over_tls(None)), rude, PATIENT),
        script("exit 1", false, PATIENT),
        check(CheckKind::Tcp, nobody(), PATIENT),
    ];
    checks.iter_mut().for_each(|check| check.pace.retry = 2);
    checks
}

#[test]
fn a_reload_that_changes_nothing_forgets_no_failure() {
    for check in failing() {
        on_a_runtime(async |mut checks, mut reports| {
            let check = Arc::new(check.clone());
            checks.set(vec![wanted(&check, false)]);
            for left in [Some(1), Some(0), None] {
                assert_eq!(hear(&mut reports, |_| true).await.retries_left, left, "{check:?}");
                checks.change(Settings::default());
                checks.set(vec![wanted(&check, false)]);
            }
        });
    }
}

#[test]
fn a_reload_that_changes_times_forgets_no_failure_either() {
    for check in failing() {
        on_a_runtime(async |mut checks, mut reports| {
            let before = Arc::new(check.clone());
            checks.set(vec![wanted(&before, false)]);
            assert_eq!(hear(&mut reports, |_| true).await.retries_left, Some(1));
            let mut slower = check.clone();
            (slower.pace.delay_loop, slower.pace.warmup) = (Span::from_secs(1_000), Span::from_secs(1_000));
            let slower = Arc::new(slower);
            checks.set(vec![Wanted { before: Some(before), ..wanted(&slower, false) }]);
            for left in [Some(0), None] {
                let report = hear(&mut reports, |_| true).await;
                assert_eq!((report.retries_left, &report.check), (left, &slower));
            }
        });
    }
}

#[test]
fn a_program_that_runs_while_there_is_a_reload_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    on_a_runtime(async |mut checks, mut reports| {
        let mut check = script(&format!("echo begun >> {}; sleep 0.5", log.display()), false, PATIENT);
        check.pace.delay_loop = Span::from_secs(1_000);
        let check = Arc::new(check);
        checks.set(vec![wanted(&check, false)]);
        let begun = async {
            while !log.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LIMIT, begun).await.unwrap();
        checks.change(Settings::default());
        checks.set(vec![wanted(&check, false)]);
        verdict(&mut reports, Verdict::Good).await;
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "begun\n");
    });
}

#[test]
fn another_authority_in_the_same_file_counts_from_the_next_try_on() {
    let world = World::new();
    let (to, _names) = serve(world.config("www.example.org", false, false));
    on_a_runtime_with(world.strict(), async |mut checks, mut reports| {
        let mut check = check(CheckKind::Http(over_tls(None)), to, PATIENT);
        check.pace.retry = 1;
        let check = Arc::new(check);
        checks.set(vec![wanted(&check, false)]);
        verdict(&mut reports, Verdict::Good).await;
        std::fs::copy(World::new().path("ca.pem"), world.path("ca.pem")).unwrap();
        checks.change(world.strict());
        checks.set(vec![wanted(&check, false)]);
        let report = hear(&mut reports, |report| !report.outcome.good).await;
        assert_eq!((report.verdict, report.retries_left), (Verdict::Good, Some(0)), "what is known stays");
        let report = verdict(&mut reports, Verdict::Bad).await;
        assert_eq!(&*report.outcome.why, "certificate of an unknown authority");
    });
}

#[test]
fn a_tracked_file_is_not_written_anew_and_its_number_is_told_of_the_check_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weight");
    let file = TrackedFile { path: path.clone(), init: Some((0, true)) };
    let settings = Settings { files: [("maintenance".to_owned(), file)].into(), ..Settings::default() };
    on_a_runtime_with(settings.clone(), async |mut checks, mut reports| {
        let kind = CheckKind::File { tracker: "maintenance".into(), weight: 0, reverse: false };
        let check = Arc::new(check(kind, "0.0.0.0:0".parse().unwrap(), PATIENT));
        checks.set(vec![wanted(&check, false)]);
        verdict(&mut reports, Verdict::Good).await;
        std::fs::write(&path, "3\n").unwrap();
        verdict(&mut reports, Verdict::Bad).await;
        let mut slower = Check::clone(&check);
        slower.pace.delay_loop = Span::from_secs(1_000);
        let slower = Arc::new(slower);
        checks.change(settings);
        checks.set(vec![Wanted { before: Some(check), ..wanted(&slower, false) }]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3\n", "an operator's number");
        std::fs::write(&path, "0\n").unwrap();
        assert_eq!(verdict(&mut reports, Verdict::Good).await.check, slower);
    });
}
