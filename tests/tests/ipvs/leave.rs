//! How services leave, whose, and what is run then.

use crate::{
    scene::{Daemon, LIMIT, Scene, both, flat, ours},
    stage::ipvsadm,
    told::Hook,
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::Suite;
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "ours_leave_and_omega_is_told", flat, &[], omega);
    both(suite, "lvs_flush_at_start_and_at_stop", flat, &[], flush);
    ours(suite, "a_hook_that_hangs_does_not_outlive_the_agent", flat, &[], hangs);
}

const FOREIGN: [&str; 2] = ["-A -t 10.9.9.9:80 -s rr", "-a -t 10.9.9.9:80 -r 10.9.9.8:80 -g -w 7"];
const OURS: [&str; 3] = [
    "-A -t 10.0.0.100:80 -s rr",
    "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1",
    "-a -t 10.0.0.100:80 -r 10.0.0.22:80 -g -w 1",
];

fn config(options: &str, hook: &Path) -> String {
    let hook = hook.display();
    let server = |ip: &str, name: &str| {
        format!(" real_server {ip} 80 {{\n  notify_down \"{hook} {name} down\"\n }}\n")
    };
    format!(
        "global_defs {{\n script_user root\n{options}\n}}\nvirtual_server 10.0.0.100 80 {{\n lb_algo rr\n lb_kind \
         DR\n protocol TCP\n omega\n quorum_down \"{hook} quorum down\"\n{}{}}}\n",
        server("10.0.0.21", "one"),
        server("10.0.0.22", "two")
    )
}

fn add_foreign(scene: &Scene<'_>) -> Result<()> {
    let director = scene.host("director1")?;
    let add = |line: &str| ipvsadm(director, &line.split(' ').collect::<Vec<_>>()).map(drop);
    FOREIGN.into_iter().try_for_each(add)
}

fn everything() -> Vec<&'static str> {
    OURS.into_iter().chain(FOREIGN).collect()
}

/// Hooks have five seconds at the end, and with keepalived none; a machine with much to do does not always
/// start three shells in that time.
fn omega(scene: &Scene<'_>) -> Result<()> {
    add_foreign(scene)?;
    let mut tries = 0;
    wait_until("all hooks of an end", LIMIT * 2, || {
        tries += 1;
        let hook = Hook::new(scene.host("director1")?, tries)?;
        let daemon = scene.start("director1", &config("", &hook.program))?;
        scene.table("director1", &everything())?;
        hook.ran(&[])?;
        daemon.stop()?;
        scene.table("director1", &FOREIGN)?;
        let late = scene.daemon == Daemon::Keepalived || daemon.logged("are not done after 5 s");
        let limit = if late { Duration::from_secs(10) } else { LIMIT };
        match hook.ran_within(limit, &["one down", "two down", "quorum down"]) {
            Err(_) if late => Ok(None),
            ran => ran.map(Some),
        }
    })
}

fn flush(scene: &Scene<'_>) -> Result<()> {
    let nothing = Path::new("/bin/true");
    add_foreign(scene)?;
    let daemon = scene.start("director1", &config(" lvs_flush\n lvs_flush_on_stop", nothing))?;
    scene.table("director1", &OURS)?;
    add_foreign(scene)?;
    daemon.stop()?;
    scene.table::<&str>("director1", &[])?;
    add_foreign(scene)?;
    let daemon = scene.start("director1", &config(" lvs_flush_on_stop VS", nothing))?;
    scene.table("director1", &everything())?;
    daemon.stop()?;
    scene.table("director1", &FOREIGN)
}

fn hangs(scene: &Scene<'_>) -> Result<()> {
    let folder = scene.host("director1")?.directory();
    let (hook, number) = (folder.join("hangs.sh"), folder.join("number"));
    fs::write(&hook, format!("#!/bin/sh\necho $$ >> {}\nexec sleep 100000\n", number.display()))?;
    fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
    let daemon = scene.start("director1", &config("", &hook))?;
    scene.table("director1", &OURS)?;
    let status = daemon.stop()?;
    ensure!(status.code() == Some(0), "{status}");
    scene.table::<&str>("director1", &[])?;
    let text = fs::read_to_string(&number).context("no hook was run")?;
    ensure!(daemon.logged("are not done after"), "nobody says that hooks were ended");
    let lives = |number: &str| Path::new("/proc").join(number).exists();
    wait_until("the end of hooks", LIMIT, || Ok((!text.lines().any(lives)).then_some(())))
}
