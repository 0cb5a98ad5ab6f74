//! The verbs that change something as their users meet them, with scripted agents.
#![allow(clippy::unwrap_used)]

mod common;

use common::fake::{self, Fake, Script, always, by};
use common::samples::{a_move, failover, hold, step, willing};
use common::{command, told};
use hacluster_proto::v1::{self, MoveOutcome, ReloadOutcome, State, StepKind};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tonic::Status;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn at(agent: &Fake, arguments: &[&str]) -> Command {
    command(&[&["--run-dir", agent.run_dir().to_str().unwrap()], arguments].concat())
}

fn run(agent: &Fake, arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&at(agent, arguments).output().unwrap())
}

#[test]
fn a_failover_is_tried_shown_done_and_measured() {
    let agent = Fake::start(willing());
    let (status, out, err) =
        run(&agent, &["failover", "vi_1", "--yes", "--reason", "disk", "--hold-for", "2h"]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    insta::assert_snapshot!("failover", out);
    let seen = agent.seen();
    assert_eq!(seen.len(), 3, "a snapshot, a dry run, a move: {seen:?}");
    for (request, dry_run) in [(&seen[1], "dry_run: true"), (&seen[2], "dry_run: false")] {
        for part in [dry_run, "router: \"VI_1\"", "to_node: \"\"", "reason: \"disk\"", "seconds: 7200"] {
            assert!(request.contains(part), "{part} in {request}");
        }
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let agent = Fake::start(willing());
    let (status, out, _) = run(&agent, &["failover", "VI_1", "--dry-run"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.ends_with("VI_1 would go to node2, the best of 2 nodes.\n"), "{out}");
    assert!(out.contains("node3  does not fit  priority 90   it is drained"), "{out}");
    assert!(agent.seen()[1..].iter().all(|request| request.contains("dry_run: true")), "{:?}", agent.seen());
    assert!(agent.seen()[1].contains("with haclusterctl"), "a reason is always given: {:?}", agent.seen());
}

#[test]
fn without_a_terminal_nothing_moves_unless_told_so() {
    let agent = Fake::start(willing());
    for verb in [&["failover", "vi_1"][..], &["failback", "vi_1"], &["drain", "node1"]] {
        let (status, _, err) = run(&agent, verb);
        assert_eq!(status, Some(3), "{verb:?}");
        assert!(err.contains("there is no terminal to ask at: --yes"), "{err}");
    }
    assert!(agent.seen().is_empty(), "nobody was asked anything");
}

#[test]
fn a_reader_that_went_away_stops_no_move() {
    let agent = Fake::start(willing());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = at(&agent, &["failover", "vi_1", "--yes"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(agent.seen().pop().unwrap().contains("dry_run: false"), "{:?}", agent.seen());
}

#[test]
fn programs_get_one_document() {
    let agent = Fake::start(willing());
    let (status, out, err) = run(&agent, &["failover", "vi_1", "--yes", "-o", "json"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["outcome"], "moved");
    assert_eq!(answer["asked_node"], "node1");
    assert_eq!(answer["overlap_ms"], 0.7);
    assert_eq!(answer["steps"][1]["kind"], "announced");
    assert_eq!(answer["hold"]["to_node"], "node2");
    assert_eq!(answer["candidates"][1]["objections"][0]["kind"], "drained");
    let (status, out, _) = run(&agent, &["failover", "vi_1", "--dry-run", "-o", "yaml"]);
    assert_eq!(status, Some(0));
    assert!(out.contains("\"outcome\": \"would_move\""), "{out}");
}

#[test]
fn what_is_refused_says_why_and_ends_with_1() {
    let cases = [
        (
            MoveOutcome::Refused,
            "no node fits: end the drain of node3 with haclusterctl undrain node3",
            "refused",
        ),
        (MoveOutcome::Busy, "alice moves it to node3 since 14:02:11", "busy"),
    ];
    for (outcome, text, word) in cases {
        let script = Script { failover: always(failover(outcome, text)), ..willing() };
        let agent = Fake::start(script);
        let (status, out, err) = run(&agent, &["failover", "vi_1", "--yes"]);
        assert_eq!(status, Some(1), "{out}");
        assert_eq!(err, format!("error: VI_1 was not moved ({word}): {text}\n"));
        assert!(out.contains("node3  does not fit"), "{out}");
        assert!(agent.seen().last().unwrap().contains("dry_run: true"), "a refused dry run is not followed");
        let (status, out, _) = run(&agent, &["failover", "vi_1", "--yes", "-o", "json"]);
        assert_eq!((status, out.contains(&format!("\"outcome\": \"{word}\""))), (Some(1), true), "{out}");
    }
}

#[test]
fn what_was_taken_back_shows_how_far_it_went() {
    let mut failed = a_move(MoveOutcome::Failed, "node2 was not heard within 500 ms; node1 rules on");
    failed.steps =
        vec![step(StepKind::Asked, "asked node2", 400), step(StepKind::TakenBack, "took it back", 501_000)];
    let trial = failover(MoveOutcome::WouldMove, "");
    let done = v1::FailoverResponse { r#move: Some(failed) };
    let script =
        Script { failover: by(|request: &v1::FailoverRequest| request.dry_run, trial, done), ..willing() };
    let (status, out, err) = run(&Fake::start(script), &["failover", "vi_1", "--yes"]);
    assert_eq!(status, Some(1));
    assert!(out.contains("took it back") && out.contains("501 ms"), "{out}");
    assert!(err.contains("was not moved (failed): node2 was not heard"), "{err}");
}

#[test]
fn what_is_there_already_is_no_error() {
    let script = Script {
        failover: always(failover(MoveOutcome::AlreadyThere, "node2 rules VI_1 already")),
        ..willing()
    };
    let (status, out, err) = run(&Fake::start(script), &["failover", "vi_1", "--yes"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.ends_with("node2 rules VI_1 already.\n"), "{out}");
}

#[test]
fn nobody_there_is_2_and_no_such_name_is_3() {
    let agent = Fake::start(willing());
    let (status, _, err) = run(&agent, &["failover", "VI_7", "--yes"]);
    assert_eq!(status, Some(3));
    assert!(err.contains("did you mean `VI_1`?"), "{err}");
    let (status, _, err) = run(&agent, &["failover", "vi_1", "--to", "nod2", "--yes"]);
    assert_eq!(status, Some(3));
    assert!(err.contains("no node is called `nod2`; there are: node1"), "{err}");
    let (status, _, err) = run(&agent, &["drain", "node2", "--yes"]);
    assert_eq!(status, Some(3));
    assert!(err.contains("only this one, node1, is known here"), "{err}");
    let dir = tempfile::tempdir().unwrap();
    for verb in [&["failover", "vi_1", "--yes"][..], &["drain", "node1", "--yes"], &["pause"], &["reload"]] {
        let output =
            command(&[&["--run-dir", dir.path().to_str().unwrap()], verb].concat()).output().unwrap();
        let (status, _, err) = told(&output);
        assert_eq!(status, Some(2), "{verb:?}");
        assert!(err.contains("Is hacluster-agent running?"), "{err}");
    }
}

#[test]
fn an_older_agent_and_a_forbidden_call_are_refusals() {
    let script = Script { failover: None, ..willing() };
    let (status, _, err) = run(&Fake::start(script), &["failover", "vi_1", "--yes"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("node1: this agent does not know the request"), "{err}");
    let denied = |_| Err(Status::permission_denied("viewer may not fail over: it takes the role operator"));
    let script = Script { failover: Some(Arc::new(denied)), ..willing() };
    let (status, _, err) = run(&Fake::start(script), &["failover", "vi_1", "--yes"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("it takes the role operator"), "{err}");
}

#[test]
fn an_agent_that_goes_away_in_between_leaves_a_doubt_that_is_said() {
    let answer = |request: v1::FailoverRequest| match request.dry_run {
        true => Ok(failover(MoveOutcome::WouldMove, "")),
        false => Err(Status::unavailable("the agent stops")),
    };
    let script = Script { failover: Some(Arc::new(answer)), ..willing() };
    let (status, _, err) = run(&Fake::start(script), &["failover", "vi_1", "--yes"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("it may have moved all the same, see haclusterctl status VI_1"), "{err}");
}

/// Waits for what a child does not tell.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn ctrl_c_leaves_the_move_to_the_agent_and_says_so() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let answer = move |request: v1::FailoverRequest| {
        if !request.dry_run {
            let _ = gate.lock().unwrap().recv_timeout(PATIENCE);
        }
        Ok(failover(MoveOutcome::WouldMove, ""))
    };
    let agent = Fake::start(Script { failover: Some(Arc::new(answer)), ..willing() });
    let child =
        at(&agent, &["failover", "vi_1", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    wait_until("the move began", || agent.seen().iter().any(|request| request.contains("dry_run: false")));
    interrupt(&child);
    let (status, _, err) = told(&child.wait_with_output().unwrap());
    drop(go);
    assert_eq!(status, Some(1), "{err}");
    assert_eq!(err, "interrupted: node1 goes on with the move. How it ended: haclusterctl status VI_1\n");
}

#[test]
fn a_failback_asks_the_node_that_holds_back() {
    let mut router = fake::router("VI_1", 51, State::Backup, 201);
    router.hold = Some(hold());
    let mut back = a_move(MoveOutcome::WouldMove, "VI_1 would come back to node1");
    (back.from_node, back.to_node) = ("node2".into(), "node1".into());
    let mut done = a_move(MoveOutcome::Moved, "node1 rules VI_1");
    (done.from_node, done.to_node, done.hold) = ("node2".into(), "node1".into(), None);
    let answer = |of| v1::FailbackResponse { r#move: Some(of) };
    let script = Script {
        snapshot: fake::snapshot("node1", vec![router]),
        failback: by(|request: &v1::FailbackRequest| request.dry_run, answer(back), answer(done)),
        ..Default::default()
    };
    let (status, out, err) = run(&Fake::start(script), &["failback", "vi_1", "--yes"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.contains("node1 rules VI_1.") && !out.contains("The way back"), "{out}");
}

fn drainable(second: MoveOutcome) -> Script {
    let answer = |first: MoveOutcome, second: MoveOutcome, hold: Option<v1::Hold>| {
        let mut other = a_move(second, "no node fits");
        other.router = "VI_2".to_owned();
        let moves = vec![a_move(first, "the best of 2 nodes"), other];
        v1::DrainResponse { moves, hold, text: "node1 advertises priority 1".to_owned() }
    };
    let drain = v1::Hold { kind: v1::HoldKind::Drain.into(), ..hold() };
    let trial = answer(MoveOutcome::WouldMove, MoveOutcome::Refused, None);
    let done = answer(MoveOutcome::Moved, second, Some(drain));
    let routers =
        vec![fake::router("VI_1", 51, State::Master, 201), fake::router("VI_2", 52, State::Master, 201)];
    Script {
        snapshot: fake::snapshot("node1", routers),
        drain: by(|request: &v1::DrainRequest| request.dry_run, trial, done),
        ..Default::default()
    }
}

#[test]
fn a_drain_is_one_table_and_partial_success_is_1() {
    let agent = Fake::start(drainable(MoveOutcome::Refused));
    let (status, out, err) = run(&agent, &["drain", "NODE1", "--yes", "--hold-for", "1d"]);
    assert_eq!((status, err.as_str()), (Some(1), ""), "{out}");
    insta::assert_snapshot!("drain", out);
    let agent = Fake::start(drainable(MoveOutcome::Resigned));
    let (status, out, _) = run(&agent, &["drain", "node1", "--yes", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &answer["moves"][1]["outcome"]), (Some(0), &"resigned".into()));
}

#[test]
fn an_undrain_of_what_is_not_drained_is_well() {
    let answer = v1::UndrainResponse { hold: None, text: "node1 was not drained".to_owned() };
    let script = Script { undrain: always(answer), ..drainable(MoveOutcome::Moved) };
    let (status, out, _) = run(&Fake::start(script), &["undrain", "node1"]);
    assert_eq!((status, out.as_str()), (Some(0), "node1  node1 was not drained\n"));
}

#[test]
fn pause_and_resume_answer_by_node() {
    let paused =
        v1::PauseResponse { hold: Some(hold()), text: "takes nothing from a living master".to_owned() };
    let script = Script { pause: always(paused), resume: always(v1::ResumeResponse::default()), ..willing() };
    let agent = Fake::start(script);
    let (status, out, _) = run(&agent, &["pause", "--hold-for", "30m"]);
    assert_eq!((status, out.as_str()), (Some(0), "node1  takes nothing from a living master\n"));
    assert!(agent.seen().last().unwrap().contains("seconds: 1800"), "{:?}", agent.seen());
    let (status, out, _) = run(&agent, &["resume", "Node1", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &answer["nodes"][0]["node"]), (Some(0), &"node1".into()));
    for limit in ["0s", "2 weeks", "367d"] {
        let (status, _, err) = run(&agent, &["pause", "--hold-for", limit]);
        assert_eq!(status, Some(3), "{err}");
    }
}

fn reload(outcome: ReloadOutcome, effect: v1::ReloadEffect) -> v1::ReloadResponse {
    let change = v1::ReloadChange { text: "VI_1: priority 100 -> 90".to_owned(), effect: effect.into() };
    v1::ReloadResponse {
        outcome: outcome.into(),
        text: "/etc/keepalived/keepalived.conf differs".to_owned(),
        changes: vec![change],
        diagnostics_json: String::new(),
    }
}

#[test]
fn a_reload_that_interrupts_wants_consent() {
    let script = |effect| {
        let (trial, done) = (reload(ReloadOutcome::WouldLoad, effect), reload(ReloadOutcome::Loaded, effect));
        Script { reload: by(|request: &v1::ReloadRequest| request.dry_run, trial, done), ..willing() }
    };
    let agent = Fake::start(script(v1::ReloadEffect::InPlace));
    let (status, out, err) = run(&agent, &["reload"]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("  VI_1: priority 100 -> 90  (in place)"), "{out}");
    let agent = Fake::start(script(v1::ReloadEffect::Restart));
    let (status, _, err) = run(&agent, &["reload"]);
    assert_eq!(status, Some(3));
    assert!(err.contains("virtual routers of node1 would stop or restart"), "{err}");
    assert!(agent.seen().iter().all(|request| !request.contains("dry_run: false")), "{:?}", agent.seen());
    let (status, out, _) = run(&agent, &["reload", "--yes"]);
    assert_eq!(status, Some(0), "{out}");
}

#[test]
fn a_refused_reload_says_what_is_wrong_with_the_files() {
    let findings = serde_json::json!({"diagnostics": [{
        "severity": "error", "code": "unknown-auth-type", "message": "unknown authentication type `pass`",
        "file": "keepalived.conf", "line": 12, "column": 15, "text": "pass", "label": "did you mean `PASS`?",
        "notes": ["its neighbours must agree"],
    }]});
    let mut answer = reload(ReloadOutcome::Refused, v1::ReloadEffect::InPlace);
    (answer.changes, answer.diagnostics_json) = (vec![], findings.to_string());
    let script = Script { reload: always(answer), ..willing() };
    let (status, out, _) = run(&Fake::start(script), &["reload", "--dry-run"]);
    assert_eq!(status, Some(1));
    insta::assert_snapshot!("reload_refused", out);
}

#[test]
fn help_fits_a_screen_and_shows_examples() {
    for verb in ["failover", "failback", "drain", "undrain", "pause", "resume", "reload"] {
        let (status, help, _) = told(&command(&[verb, "--help"]).output().unwrap());
        assert_eq!(status, Some(0));
        assert!(help.contains("Examples:") && help.contains("Exit status:"), "{help}");
        assert!(help.lines().count() <= 40, "{} lines:\n{help}", help.lines().count());
    }
}

/// util-linux's `script` runs a command at a terminal of its own.
#[test]
fn at_a_terminal_it_asks_and_no_is_no() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: needs `script` of util-linux");
        return;
    }
    let agent = Fake::start(willing());
    let asked = |answer: &str| {
        let line = format!(
            "{} --run-dir {} failover vi_1; echo status $?",
            env!("CARGO_BIN_EXE_haclusterctl"),
            agent.run_dir().display()
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.env("HOME", "/nonexistent").spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let shown = asked("n\n");
    assert!(
        shown.contains("Move VI_1 to node2 now? [y/N]") && shown.contains("nothing was moved"),
        "{shown}"
    );
    assert!(shown.contains("status 1"), "{shown}");
    assert!(agent.seen().iter().all(|request| !request.contains("dry_run: false")), "{:?}", agent.seen());
    let shown = asked("y\n");
    assert!(shown.contains("was never unserved") && shown.contains("status 0"), "{shown}");
    assert!(agent.seen().pop().unwrap().contains("to_node: \"node2\""), "what was agreed to is asked for");
}
