//! The ends of an agent's life: `startup_script`, STOP, `shutdown_script`.

use crate::bench::{Bench, LIMIT, eventually, instance};
use hacluster_core::machine::{Reason, StateKind};
use std::fs;
use std::time::{Duration, Instant};

const LOG: (&str, &str) = ("log", "echo \"$@\" >> out");

#[test]
fn stop_is_told_and_waited_for_and_the_shutdown_script_comes_last() {
    let text = "global_defs {\n shutdown_script \"DIR/log down\"\n}\n".to_owned()
        + "vrrp_sync_group G {\n group { VI_1 }\n notify_stop \"DIR/log group\"\n}\n"
        + &instance("VI_1", 7, " notify_stop \"DIR/later own\"\n notify DIR/later");
    let bench = Bench::new(&text, &[LOG, ("later", "sleep 0.3; echo \"$@\" >> out")]);
    bench.backup("VI_1", 7);
    bench.hears(&["BACKUP): exit 0"]);
    bench.notify.announce_stop();
    bench.enters("VI_1", 7, StateKind::Initialize, Reason::Stopped);
    let Bench { notify, dir, .. } = bench;
    notify.stop(|_| ());
    let out = fs::read_to_string(dir.path().join("out")).unwrap();
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        ["INSTANCE VI_1 BACKUP 100", "group", "own", "INSTANCE VI_1 STOP 100", "down"]
    );
}

#[test]
fn a_hook_that_hangs_holds_up_the_end_for_five_seconds_and_is_ended() {
    let bench =
        Bench::new(&instance("VI_1", 7, " notify DIR/hang"), &[("hang", "echo $$ > pid; exec sleep 1000")]);
    bench.backup("VI_1", 7);
    eventually("it hangs", || !bench.lines("pid").is_empty());
    let number = bench.lines("pid").remove(0);
    let Bench { notify, dir, .. } = bench;
    let start = Instant::now();
    notify.stop(|_| ());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(4_900) && took < LIMIT, "{took:?}");
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    eventually("nothing is left behind", || !lives());
    drop(dir);
}

#[test]
fn routers_wait_for_the_startup_script_but_not_for_ever() {
    let text = |limit: &str| {
        format!("global_defs {{\n startup_script \"DIR/up x\"\n startup_script_timeout {limit}\n}}\n")
            + &instance("VI_1", 7, "")
    };
    let up = ("up", "while [ ! -e go ]; do sleep 0.02; done; exit 4");
    let bench = Bench::new(&text("60"), &[up]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!bench.notify.is_ready());
    fs::write(bench.path("go"), "").unwrap();
    eventually("the script has ended", || bench.notify.is_ready());
    bench.hears(&["startup_script", "exit 4"]);
    let bench = Bench::new(&text("1"), &[up]);
    eventually("its time is over", || bench.notify.is_ready());
    bench.hears(&["startup_script", "not done within"]);
    assert!(Bench::new(&instance("VI_1", 7, ""), &[]).notify.is_ready());
}
