//! What is known stays known, whoever looked: before a reload, or before another agent.

use super::*;

const WEB: &str = "TCP 10.0.0.1:80 wrr:";

fn slower(mut of: VirtualServer) -> VirtualServer {
    for check in of.servers.iter_mut().flat_map(|server| &mut server.checks) {
        (check.pace.delay_loop, check.pace.alpha) = (Span::from_secs(60), true);
    }
    of
}

fn with_sorry() -> VirtualServer {
    VirtualServer { sorry: Some(sorry("10.0.0.9:80")), ..web() }
}

#[test]
fn a_reload_that_edits_times_alone_brings_nobody_back() {
    let stage = Stage::open();
    stage.configure(vec![with_sorry()]);
    stage.table(&format!("{WEB} 10.0.0.2:80=1 10.0.0.3:80=1"));
    stage.report(A, false, "refused");
    stage.report(B, false, "refused");
    stage.table(&format!("{WEB} 10.0.0.9:80=1"));
    stage.configure(vec![slower(with_sorry())]);
    let check = slower(with_sorry()).servers[0].checks[0].clone();
    stage.wants(&check);
    for wanted in stage.looks.0.lock().unwrap().iter() {
        assert_eq!((wanted.known, wanted.check.pace), (Verdict::Bad, check.pace));
        assert!(wanted.before.as_ref().is_some_and(|before| before.is_like(&wanted.check)));
    }
    let seen = stage.view.load()[0].load().servers[0].checks[0].seen.clone().unwrap();
    assert_eq!(&*seen.outcome.why, "refused");
    stage.report_of(check, true, "connected");
    stage.table(&format!("{WEB} 10.0.0.2:80=1"));
    stage.stop();
}

#[test]
fn a_reload_that_has_servers_looked_at_in_another_way_moves_nobody() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    stage.table(&format!("{WEB} 10.0.0.2:80=1 10.0.0.3:80=1"));
    stage.report(A, false, "refused");
    stage.table(&format!("{WEB} 10.0.0.3:80=1"));
    let mut other = slower(web());
    other.servers.iter_mut().for_each(|server| server.checks[0].route.to.set_port(8080));
    stage.configure(vec![other.clone()]);
    stage.wants(&other.servers[0].checks[0]);
    stage.ask(B, Some(5), false).unwrap();
    stage.table(&format!("{WEB} 10.0.0.3:80=5"));
    stage.report_of(other.servers[0].checks[0].clone(), true, "connected");
    stage.table(&format!("{WEB} 10.0.0.2:80=1 10.0.0.3:80=5"));
    stage.stop();
}

#[test]
fn what_a_reload_changes_is_told_like_any_other_change() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    stage.report(A, false, "refused");
    stage.hears("10.0.0.2:80 is down");
    let mut both = web();
    both.servers[1].checks.push(tcp_check(A.parse().unwrap()));
    stage.configure(vec![both]);
    let line = stage.hears("real server 10.0.0.3:80 is down");
    assert!(line.contains("TCP check of 10.0.0.2:80: refused"), "{line}");
    assert!(line.ends_with("| RS [10.0.0.3]:tcp:80 [10.0.0.1]:tcp:80 DOWN"), "{line}");
    assert!(stage.hears("lost its quorum").ends_with("| VS [10.0.0.1]:tcp:80 DOWN"));
    stage.table(WEB);
    let mut heavier = web();
    heavier.servers[1].weight = 7;
    stage.configure(vec![heavier]);
    assert!(stage.hears("10.0.0.3:80 is up").ends_with("| RS [10.0.0.3]:tcp:80 [10.0.0.1]:tcp:80 UP"));
    stage.hears("real server 10.0.0.3:80 weight 1 -> 7: as configured");
    stage.table(&format!("{WEB} 10.0.0.3:80=7"));
    stage.report(B, false, "silence");
    stage.hears("10.0.0.3:80 is down: TCP check of 10.0.0.3:80: silence");
    let said = stage.said.lock().unwrap();
    let told = said.iter().filter(|line| line.contains("| RS [10.0.0.2]")).count();
    assert_eq!(told, 1, "who was down before is not told again: {said:#?}");
    drop(said);
    stage.stop();
}

#[test]
fn a_successor_judges_a_check_by_all_who_use_it() {
    let stage = Stage::open();
    let other = |servers: &[&str]| virtual_server("10.0.0.1 8080", "10.0.0.1:8080", servers);
    stage.configure(vec![other(&[A, B])]);
    stage.report(B, false, "refused");
    stage.table("TCP 10.0.0.1:8080 wrr: 10.0.0.2:8080=1");
    let (kernel, dir) = stage.kill();
    // The first that uses the checks was in no table: it says nothing of them.
    let stage = Stage::successor(kernel, dir);
    stage.configure(vec![web(), other(&[A, B])]);
    stage.table(&format!("{WEB} 10.0.0.2:80=1\nTCP 10.0.0.1:8080 wrr: 10.0.0.2:8080=1"));
    let (kernel, dir) = stage.kill();
    // One row without it, one with it: its other check had it out of the first.
    kernel.add(&format!("{WEB} 10.0.0.3:80=1"));
    let stage = Stage::successor(kernel, dir);
    let mut strict = web();
    let mut second = tcp_check(A.parse().unwrap());
    second.route.to.set_port(81);
    strict.servers[0].checks.push(second);
    stage.configure(vec![strict, other(&[A])]);
    stage.table(&format!("{WEB} 10.0.0.3:80=1\nTCP 10.0.0.1:8080 wrr: 10.0.0.2:8080=1"));
    stage.stop();
}

#[test]
fn a_reload_touches_what_changed_and_keeps_what_is_known() {
    let stage = Stage::open();
    stage.configure(vec![web()]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1");
    stage.report(A, false, "refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1");
    let mut heavier = web();
    heavier.servers[1].weight = 7;
    stage.kernel.forget_commands();
    stage.configure(vec![heavier]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=7");
    assert_eq!(stage.kernel.commands(), 1, "only the difference is sent");
    let known: Vec<_> = stage.looks.0.lock().unwrap().iter().map(|wanted| wanted.known).collect();
    assert!(known.contains(&Verdict::Bad), "what is known stays: {known:?}");
    stage.configure(vec![]);
    stage.table("");
    stage.stop();
}

#[test]
fn a_successor_adopts_what_is_there_and_removes_what_nobody_wants_any_more() {
    let stage = Stage::open();
    let old = virtual_server("10.0.0.1 8080", "10.0.0.1:8080", &[A]);
    stage.configure(vec![web(), old]);
    stage.report(A, false, "refused");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1\nTCP 10.0.0.1:8080 wrr:");
    let (kernel, dir) = stage.kill();
    kernel.add("TCP 10.0.0.77:80 rr: 10.0.0.78:80=5"); // somebody else's
    kernel.forget_commands();
    let stage = Stage::successor(kernel, dir);
    stage.configure(vec![web()]);
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.3:80=1\nTCP 10.0.0.77:80 rr: 10.0.0.78:80=5");
    assert_eq!(stage.kernel.commands(), 1, "what is equal is adopted, not set");
    stage.report(A, true, "connected");
    stage.table("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=1\nTCP 10.0.0.77:80 rr: 10.0.0.78:80=5");
    stage.stop().0.is("TCP 10.0.0.77:80 rr: 10.0.0.78:80=5");
}

#[test]
fn a_quorum_at_the_beginning_is_told_once_and_again_by_no_reload() {
    let stage = Stage::open();
    let alpha = |mut of: VirtualServer| {
        of.servers.iter_mut().for_each(|server| server.checks[0].pace.alpha = true);
        of
    };
    stage.configure(vec![web(), alpha(virtual_server("10.0.0.7 80", "10.0.0.7:80", &["10.0.0.8:80"]))]);
    let line = stage.hears("VS [10.0.0.1]:tcp:80 UP");
    assert!(line.contains("weight 2 up of 1 needed, as it is set up"), "{line}");
    let mut heavier = web();
    heavier.servers[0].weight = 9;
    stage.configure(vec![heavier, virtual_server("10.0.0.9 80", "10.0.0.9:80", &["10.0.0.2:80"])]);
    stage.hears("VS [10.0.0.9]:tcp:80 UP");
    let said = stage.said.lock().unwrap();
    let told: Vec<_> = said.iter().filter(|line| line.contains("| VS")).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    drop(said);
    stage.stop();
}
