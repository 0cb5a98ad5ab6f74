//! The package under systemd itself: what its units and scripts do on a machine that has booted.
//!
//! ```text
//!   Machine (overlay, systemd) -- dpkg -i -- systemctl start ... -- the lab's network: a Vigil watches the address
//! ```
//!
//! Needs root, systemd and cgroup2; skipped by name without. What of it can be seen elsewhere:
//! [`super::manager`] plays systemd's side of the notifications, [`super::units`] reads the units by its tools,
//! [`super::package`] installs where there is no service manager.

use crate::machine::Machine;
use crate::package::Package;
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Instance, Skip, Suite, VIP, Vigil, entries, free, hold, pair};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn trials(suite: &mut Suite, package: &Arc<Package>) {
    let trials: [(&str, Body); 10] = [
        ("systemd_ends_an_agent_that_hangs_starts_one_that_died_and_the_address_stays", dies),
        ("systemctl_restart_an_upgrade_and_status_75_never_leave_the_address", successors),
        ("systemd_runs_the_agent_as_its_user_with_two_capabilities", starts),
        ("systemctl_reload_waits_for_its_end_and_fails_for_a_file_that_is_refused", reloads),
        ("systemctl_stop_and_the_removal_of_the_package_leave_nothing", ends),
        ("scripts_run_under_systemd_as_the_unit_and_its_drop_ins_say", scripts),
        ("what_a_file_can_ask_for_works_below_the_hardening_of_the_unit", confined),
        ("an_agent_that_systemd_gives_up_on_leaves_no_address", given_up),
        ("systemd_tries_a_file_that_cannot_run_once_and_shows_why", cannot_run),
        ("an_instance_of_the_unit_runs_beside_the_first", instance),
    ];
    for (name, trial) in trials {
        let package = package.clone();
        suite.trial(name, move || booted(&package, trial));
    }
    let package = package.clone();
    suite.trial("keepalived_and_the_agent_take_turns_under_systemd", move || {
        if !Path::new("/usr/sbin/keepalived").is_file() {
            return Err(Skip("needs keepalived: apt-get install keepalived".to_owned()).into());
        }
        booted(&package, turns)
    });
}

const UNIT: &str = "hacluster-agent.service";
const WEB: &str = "hacluster-agent@web.service";
const WEB_CONFIG: &str = "etc/hacluster/web.conf";
const CONFIG: &str = "etc/keepalived/keepalived.conf";
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 102);
const DEFAULTS: &str = "etc/default/hacluster-agent";
const DROP_INS: &str = "etc/systemd/system/hacluster-agent.service.d";
const EXAMPLES: &str = "/usr/share/doc/hacluster/examples/systemd";
/// CAP_NET_ADMIN and CAP_NET_RAW, as /proc/PID/status has them.
const TWO: &str = "0000000000003000";

/// What is tried on a machine, and the host of the lab it is on.
type Body = fn(&Machine<'_>, &Host) -> Result<()>;

/// Boots a machine with the package on it.
fn booted(package: &Package, trial: Body) -> Result<()> {
    Machine::possible()?;
    let package = package.file()?;
    Lab::run(pair(), |lab| {
        let host = lab.host("left")?;
        let machine = Machine::boot(host)?;
        fs::copy(&package, machine.path("tmp/hacluster.deb"))?;
        machine.well(&["dpkg", "-i", "/tmp/hacluster.deb"])?;
        machine.write(CONFIG, Instance::new(150).master())?;
        let done = trial(&machine, host);
        done.with_context(|| machine.journal())
    })
}

/// A virtual router beside the first one.
fn other(address: Ipv4Addr) -> Instance {
    Instance::new(150).master().vrid(52).addresses([format!("{address}/24")])
}

/// Starts the agent and waits until it rules.
fn start(machine: &Machine<'_>, host: &Host) -> Result<()> {
    machine.well(&["systemctl", "start", UNIT])?;
    hold(host, VIP)?;
    rules(machine, &[])
}

/// Waits until the agent of this run directory says that it is master.
fn rules(machine: &Machine<'_>, place: &[&str]) -> Result<()> {
    let mut last = None;
    let ruled = wait_until("a master", LIMIT, || {
        let said = machine.run(&[&["haclusterctl"], place, &["status", "-o", "json"]].concat())?;
        let master = said.code == 0 && said.out.contains("\"master\"");
        last = Some(said);
        Ok(master.then_some(()))
    });
    ruled.with_context(|| format!("{last:#?}"))
}

/// The main process after it was another one than `former`.
fn successor(machine: &Machine<'_>, unit: &str, former: &str) -> Result<String> {
    let pid = machine.becomes(unit, "MainPID", |pid| pid != "0" && pid != former)?;
    machine.becomes(unit, "ActiveState", |state| state == "active")?;
    Ok(pid)
}

fn stayed(vigil: &Vigil, what: &str) -> Result<()> {
    let holders = vigil.holders()?;
    ensure!(holders.releases == 0, "{what}: the address was gone for a moment: {holders:?}");
    Ok(())
}

fn is(machine: &Machine<'_>, unit: &str, name: &str, expected: &str) -> Result<()> {
    let value = machine.property(unit, name)?;
    ensure!(value == expected, "{name} of {unit} is {value}, not {expected}");
    Ok(())
}

/// A line of /proc/PID/status of a process inside.
fn status_line(machine: &Machine<'_>, pid: &str, name: &str) -> Result<String> {
    let status = fs::read_to_string(machine.path("proc").join(pid).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {name}"))?.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn starts(machine: &Machine<'_>, host: &Host) -> Result<()> {
    is(machine, UNIT, "UnitFileState", "disabled")?;
    is(machine, UNIT, "ActiveState", "inactive")?;
    // As the package says after its installation, of a file that others may not read.
    machine.well(&["chgrp", "_hacluster", "/etc/keepalived/keepalived.conf"])?;
    machine.well(&["chmod", "640", "/etc/keepalived/keepalived.conf"])?;
    machine.well(&["systemctl", "disable", "keepalived"])?;
    machine.well(&["systemctl", "enable", "--now", "hacluster-agent"])?;
    is(machine, UNIT, "UnitFileState", "enabled")?;
    is(machine, UNIT, "SubState", "running")?;
    is(machine, UNIT, "WatchdogUSec", "10s")?;
    is(machine, UNIT, "StatusText", "1 virtual router(s)")?;
    let pid = machine.property(UNIT, "MainPID")?;
    let user = machine.well(&["id", "-u", "_hacluster"])?.trim().to_owned();
    let exactly = [
        ("Uid", [user.as_str(); 4].join(" ")),
        ("CapEff", TWO.to_owned()),
        ("CapPrm", TWO.to_owned()),
        ("CapBnd", TWO.to_owned()),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
    ];
    for (name, expected) in exactly {
        let value = status_line(machine, &pid, name)?;
        ensure!(value == expected, "{name} is {value}, not {expected}");
    }
    hold(host, VIP)?;
    rules(machine, &[])?;
    let lines = machine.well(&["journalctl", "-o", "json", "-u", UNIT, "HACLUSTER_TO=master"])?;
    let line: Value = serde_json::from_str(lines.lines().next().context("no field in the journal")?)?;
    ensure!(line["HACLUSTER_ROUTER"] == "VI_1" && line["_PID"] == pid.as_str(), "{line:#}");
    let all = machine.well(&["journalctl", "-p", "warning", "-u", UNIT, "--no-pager", "-q"])?;
    ensure!(all.is_empty(), "it has something to complain about:\n{all}");
    Ok(())
}

fn reloads(machine: &Machine<'_>, host: &Host) -> Result<()> {
    start(machine, host)?;
    let vigil = Vigil::start(&[host], VIP)?;
    let pid = machine.property(UNIT, "MainPID")?;
    let more = Instance::new(150).master().addresses([format!("{VIP}/24"), format!("{SECOND}/24")]);
    machine.write(CONFIG, &more)?;
    machine.well(&["systemctl", "reload", UNIT])?;
    let shown = machine.well(&["haclusterctl", "config", "show"])?;
    ensure!(shown.contains(&SECOND.to_string()), "reloaded, and not in force:\n{shown}");
    hold(host, SECOND)?;

    machine.write(CONFIG, "vrrp_instance VI_1 {\n    interface\n")?;
    // By a signal nobody can be told but so.
    machine.well(&["systemctl", "kill", "--kill-who=main", "--signal=HUP", UNIT])?;
    let refused = |status: &str| status.starts_with("1 virtual router(s); reload refused: ");
    machine.becomes(UNIT, "StatusText", refused)?;
    let said = machine.run(&["systemctl", "reload", UNIT])?;
    ensure!(said.code != 0, "a file that is refused, and {said:?}");
    is(machine, UNIT, "ActiveState", "active")?;
    ensure!(refused(&machine.property(UNIT, "StatusText")?), "the refusal is forgotten");
    ensure!(host.holds(SECOND)?, "refused, and what is in force is gone");

    machine.write(CONFIG, &more)?;
    machine.well(&["systemctl", "reload", UNIT])?;
    let asked = machine.well(&["journalctl", "--no-pager", "--quiet", "-u", UNIT, "_COMM=haclusterctl"])?;
    ensure!(asked.contains("1 change(s) came into force") && !asked.contains("warning: "), "{asked}");
    is(machine, UNIT, "StatusText", "1 virtual router(s)")?;
    is(machine, UNIT, "MainPID", &pid)?;
    stayed(&vigil, "reloads")
}

fn cannot_run(machine: &Machine<'_>, host: &Host) -> Result<()> {
    let refused = |whys: &[&str]| -> Result<()> {
        let said = machine.run(&["systemctl", "start", UNIT])?;
        ensure!(said.code != 0, "{said:?}");
        is(machine, UNIT, "ActiveState", "failed")?;
        is(machine, UNIT, "NRestarts", "0")?;
        let shown = machine.run(&["systemctl", "status", "--no-pager", "--full", UNIT])?.out;
        whys.iter().try_for_each(|why| {
            ensure!(shown.contains(why), "`{why}` is missing in:\n{shown}");
            Ok(())
        })
    };
    // As many keep it, for the password in it.
    machine.well(&["chmod", "600", &format!("/{CONFIG}")])?;
    refused(&["nothing can run: ", "chgrp _hacluster"])?;
    machine.well(&["chmod", "644", &format!("/{CONFIG}")])?;
    machine.write(CONFIG, "vrrp_instance VI_1 {\n    interface\n")?;
    refused(&["nothing can run: ", "none of the virtual routers written here can run"])?;
    machine.write(CONFIG, Instance::new(150).master())?;
    machine.write(DEFAULTS, "HACLUSTER_OPTIONS=--agent-confg\n")?;
    refused(&["'--agent-confg'", "'--agent-config'"])?;
    machine.write(DEFAULTS, "")?;
    start(machine, host)
}

fn successors(machine: &Machine<'_>, host: &Host) -> Result<()> {
    start(machine, host)?;
    let vigil = Vigil::start(&[host], VIP)?;
    let next = |what: &str, command: &[&str], former: String| -> Result<String> {
        machine.well(command)?;
        let pid = successor(machine, UNIT, &former).context(what.to_owned())?;
        rules(machine, &[])?;
        stayed(&vigil, what)?;
        Ok(pid)
    };
    let first = machine.property(UNIT, "MainPID")?;
    let second = next("a restart", &["systemctl", "restart", UNIT], first)?;
    // Nobody asked systemd for a restart: the exit status does.
    let quit = ["systemctl", "kill", "--kill-who=main", "--signal=QUIT", UNIT];
    let third = next("status 75", &quit, second)?;
    is(machine, UNIT, "NRestarts", "1")?;
    let newer = newer(machine)?;
    let fourth = next("an upgrade", &["dpkg", "-i", &newer], third)?;
    // systemd's own upgrade.
    machine.well(&["systemctl", "daemon-reexec"])?;
    is(machine, UNIT, "MainPID", &fourth)?;
    is(machine, UNIT, "ActiveState", "active")?;
    let failed = machine.well(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"])?;
    let journal = machine.well(&["journalctl", "--no-pager", "-u", UNIT])?;
    ensure!(failed.is_empty() && !journal.contains("Failed with result"), "{failed}\n{journal}");
    Ok(())
}

/// The same package with a higher version, inside.
fn newer(machine: &Machine<'_>) -> Result<String> {
    machine.well(&["dpkg-deb", "-R", "/tmp/hacluster.deb", "/tmp/newer"])?;
    machine.well(&["sed", "-i", "s/^Version: .*/&+newer/", "/tmp/newer/DEBIAN/control"])?;
    machine.well(&["dpkg-deb", "-Znone", "-b", "/tmp/newer", "/tmp/newer.deb"])?;
    Ok("/tmp/newer.deb".to_owned())
}

fn ends(machine: &Machine<'_>, host: &Host) -> Result<()> {
    start(machine, host)?;
    machine.well(&["systemctl", "stop", UNIT])?;
    ensure!(!host.holds(VIP)?, "stopped, and the address stayed");
    is(machine, UNIT, "ActiveState", "inactive")?;
    is(machine, UNIT, "Result", "success")?;
    ensure!(machine.path("run/hacluster/agent.lock").exists(), "the run directory did not stay");
    let left = machine.path("run/hacluster/addresses.json");
    ensure!(!left.exists(), "ended in order, and something is recorded as left");

    machine.write(WEB_CONFIG, other(SECOND))?;
    machine.well(&["systemctl", "enable", "--now", UNIT, WEB])?;
    hold(host, VIP)?;
    hold(host, SECOND)?;
    machine.well(&["dpkg", "-r", "hacluster"])?;
    ensure!(!host.holds(VIP)? && !host.holds(SECOND)?, "removed, and an address stayed");
    let list = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "hacluster*.service"];
    let units = machine.well(&list)?;
    ensure!(units.is_empty(), "systemd still knows {units}");
    for unit in ["hacluster-agent", "hacluster-agent@web"] {
        let link = machine.path(&format!("etc/systemd/system/multi-user.target.wants/{unit}.service"));
        ensure!(link.symlink_metadata().is_err(), "a link to nowhere stays: {}", link.display());
    }
    fs::remove_file(machine.path(WEB_CONFIG))?; // not the package's
    machine.well(&["dpkg", "-P", "hacluster"])?;
    let own = ["run/hacluster", "run/hacluster-web", "var/lib/hacluster", "var/lib/hacluster-web"];
    for left in own.into_iter().chain(["etc/default/hacluster-agent", "etc/hacluster"]) {
        ensure!(!machine.path(left).exists(), "purged, and {left} is still there");
    }
    Ok(())
}

fn dies(machine: &Machine<'_>, host: &Host) -> Result<()> {
    machine.write(&format!("{DROP_INS}/soon.conf"), "[Service]\nWatchdogSec=2\n")?;
    machine.well(&["systemctl", "daemon-reload"])?;
    start(machine, host)?;
    let vigil = Vigil::start(&[host], VIP)?;
    let first = machine.property(UNIT, "MainPID")?;
    machine.well(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT])?;
    let second = successor(machine, UNIT, &first)?;
    rules(machine, &[])?;
    stayed(&vigil, "killed")?;
    machine.well(&["systemctl", "kill", "--kill-who=main", "--signal=STOP", UNIT])?;
    successor(machine, UNIT, &second)?;
    rules(machine, &[])?;
    is(machine, UNIT, "NRestarts", "2")?;
    stayed(&vigil, "hung")?;
    let journal = machine.well(&["journalctl", "--no-pager", "-u", UNIT])?;
    ensure!(journal.contains("Watchdog timeout"), "it was not the watchdog:\n{journal}");
    ensure!(journal.matches("1 address(es) of a predecessor found in place").count() == 2, "{journal}");
    Ok(())
}

fn given_up(machine: &Machine<'_>, host: &Host) -> Result<()> {
    machine.write(WEB_CONFIG, other(SECOND))?;
    // Whoever runs the agent owns its run directory.
    let drop_in = format!("/etc/systemd/system/{WEB}.d/as-root.conf");
    machine.well(&["install", "-D", &format!("{EXAMPLES}/as-root.conf"), &drop_in])?;
    for (unit, address) in [(UNIT, VIP), (WEB, SECOND)] {
        // Twice is too often, so that nobody has to die twenty times.
        machine.write(&format!("etc/systemd/system/{unit}.d/few.conf"), "[Unit]\nStartLimitBurst=2\n")?;
        machine.well(&["systemctl", "daemon-reload"])?;
        machine.well(&["systemctl", "start", unit])?;
        hold(host, address)?;
        let kill = ["systemctl", "kill", "--kill-who=main", "--signal=KILL", unit];
        let first = machine.property(unit, "MainPID")?;
        machine.well(&kill)?;
        successor(machine, unit, &first)?;
        ensure!(host.holds(address)?, "the successor is there, and the address is gone");
        machine.well(&kill)?;
        machine.becomes(unit, "ActiveState", |state| state == "failed")?;
        free(host, address).with_context(|| machine.journal())?;
    }
    let failed = machine.well(&["systemctl", "list-units", "--failed", "--plain", "--no-legend"])?;
    ensure!(!failed.contains("release"), "{failed}");
    machine.well(&["systemctl", "reset-failed", UNIT])?;
    start(machine, host)
}

/// Tells who runs it, with what, and where it may write.
const SCRIPT: &str = "#!/bin/sh
exec >/var/tmp/told.new
id -un
sed -n 's/^CapEff:.//p' /proc/self/status
touch /usr/open/touched 2>/dev/null && echo writes /usr || echo keeps off /usr
mv /var/tmp/told.new /var/tmp/told
";

fn scripts(machine: &Machine<'_>, host: &Host) -> Result<()> {
    machine.write("opt/tell.sh", SCRIPT)?;
    machine.well(&["chmod", "755", "/opt/tell.sh"])?;
    machine.well(&["install", "-d", "-m", "1777", "/usr/open"])?;
    let none = "0000000000000000";
    let told = |user: &str, drop_in: Option<&str>| -> Result<Vec<String>> {
        let _ = fs::remove_file(machine.path("var/tmp/told"));
        let _ = fs::remove_dir_all(machine.path(DROP_INS));
        let security = format!("global_defs {{\n    enable_script_security\n    {user}\n}}\n");
        let instance = Instance::new(150).master().with("notify_master /opt/tell.sh");
        machine.write(CONFIG, format!("{security}{instance}"))?;
        if let Some(name) = drop_in {
            let (from, to) = (format!("{EXAMPLES}/{name}"), format!("/{DROP_INS}/{name}"));
            machine.well(&["install", "-D", &from, &to])?;
        }
        machine.well(&["systemctl", "daemon-reload"])?;
        machine.well(&["systemctl", "restart", UNIT])?;
        hold(host, VIP)?;
        let told = machine.path("var/tmp/told");
        let text = wait_until("what the script says", LIMIT, || Ok(fs::read_to_string(&told).ok()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let own = told("", None)?;
    ensure!(own == ["_hacluster", none, "keeps off /usr"], "{own:?}");
    let other = told("script_user games", Some("scripts-as-others.conf"))?;
    ensure!(other == ["games", none, "keeps off /usr"], "{other:?}");
    let root = told("script_user root", Some("as-root.conf"))?;
    ensure!(root[0] == "root" && root[1] != none && root[2] == "writes /usr", "{root:?}");
    // And back: what root's agent wrote must not keep it from starting.
    let again = told("", None)?;
    ensure!(again == own, "{again:?}");
    let journal = machine.well(&["journalctl", "--no-pager", "-q", "-p", "warning", "-u", UNIT])?;
    ensure!(!journal.contains("Permission denied"), "{journal}");
    Ok(())
}

/// Programs, files, processes, a fifo, routes, rules, settings of the kernel, and a page of metrics.
const MUCH: &str = r#"
global_defs {
    enable_script_security
    script_user _hacluster
    vrrp_notify_fifo /run/hacluster/fifo
}
static_routes {
    198.51.100.0/24 via 10.9.0.7 dev eth0
}
vrrp_script chk {
    script "/usr/bin/test -d /tmp"
    interval 1
}
vrrp_track_process journal {
    process systemd-journal
    weight 1
}
track_file number {
    file /var/tmp/number
}
"#;

fn confined(machine: &Machine<'_>, host: &Host) -> Result<()> {
    let tracks = "track_script { chk }\n track_process { journal }\n track_file { number }";
    let routes = "virtual_routes { 203.0.113.0/24 via 10.9.0.9 dev eth0 }";
    let rules = "virtual_rules { from 203.0.113.0/24 table 100 }";
    let instance = Instance::new(150).master().with(tracks).with(routes).with(rules);
    let instance = instance.with("promote_secondaries").with("notify /opt/notify.sh");
    machine.write(CONFIG, format!("{MUCH}{instance}"))?;
    machine.write("var/tmp/number", "5")?;
    machine.write("opt/notify.sh", "#!/bin/sh\nexit 0\n")?;
    machine.well(&["chmod", "755", "/opt/notify.sh"])?;
    machine.write("etc/hacluster/agent.toml", "[telemetry]\nprometheus = \"127.0.0.1:9650\"\n")?;
    let options = "HACLUSTER_OPTIONS=\"--agent-config /etc/hacluster/agent.toml\"";
    machine.write(DEFAULTS, options)?;
    start(machine, host)?;
    // 150 and what is tracked; every notification and route is in place, or status would not end well.
    let page = "exec 3<>/dev/tcp/127.0.0.1/9650; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    wait_until("the priority on the page", LIMIT, || {
        let page = machine.well(&["bash", "-c", page])?;
        let told = |line: &str| line.starts_with("hacluster_vrrp_priority{") && line.ends_with(" 156");
        Ok(page.lines().any(told).then_some(()))
    })?;
    for (command, expected) in [
        ("ip route show 198.51.100.0/24", "via 10.9.0.7"),
        ("ip route show 203.0.113.0/24", "via 10.9.0.9"),
        ("ip rule show", "from 203.0.113.0/24 lookup 100"),
        ("cat /proc/sys/net/ipv4/conf/eth0/promote_secondaries", "1"),
        ("stat -c %U%A /var/lib/hacluster/history.jsonl /run/hacluster/fifo", "_hacluster"),
    ] {
        let said = machine.well(&command.split(' ').collect::<Vec<_>>())?;
        ensure!(said.contains(expected), "{command}: {said}");
    }
    let complaints = machine.well(&["journalctl", "--no-pager", "-q", "-p", "warning", "-u", UNIT])?;
    ensure!(complaints.is_empty(), "it has something to complain about:\n{complaints}");
    nothing_stays(machine, host)
}

/// Stops it, after which nothing of the routes and settings is left.
fn nothing_stays(machine: &Machine<'_>, host: &Host) -> Result<()> {
    machine.well(&["systemctl", "stop", UNIT])?;
    let left = machine.well(&["bash", "-c", "ip route show; ip rule show"])?;
    ensure!(!left.contains("203.0.113.") && !left.contains("198.51.100."), "{left}");
    free(host, VIP)
}

fn turns(machine: &Machine<'_>, host: &Host) -> Result<()> {
    const OTHER: &str = "keepalived.service";
    let alone = |ours: &str, theirs: &str| -> Result<()> {
        hold(host, VIP)?;
        is(machine, ours, "ActiveState", "active")?;
        is(machine, theirs, "ActiveState", "inactive")?;
        is(machine, theirs, "Result", "success")?;
        let held = entries(host, VIP)?;
        ensure!(held.len() == 1, "{held:?}");
        Ok(())
    };
    machine.well(&["systemctl", "start", OTHER])?;
    hold(host, VIP)?;
    // As the package says after its installation.
    machine.well(&["systemctl", "disable", "keepalived"])?;
    machine.well(&["systemctl", "enable", "--now", "hacluster-agent"])?;
    rules(machine, &[])?;
    alone(UNIT, OTHER)?;
    machine.well(&["systemctl", "start", OTHER])?;
    alone(OTHER, UNIT)?;
    machine.well(&["systemctl", "stop", OTHER])?;
    free(host, VIP)
}

fn instance(machine: &Machine<'_>, host: &Host) -> Result<()> {
    const PLACE: [&str; 2] = ["--run-dir", "/run/hacluster-web"];
    start(machine, host)?;
    machine.write(WEB_CONFIG, other(SECOND))?;
    machine.well(&["systemctl", "start", WEB])?;
    hold(host, SECOND)?;
    rules(machine, &PLACE)?;
    let former = machine.property(UNIT, "MainPID")?;
    let vigil = Vigil::start(&[host], SECOND)?;
    let pid = machine.property(WEB, "MainPID")?;
    ensure!(status_line(machine, &pid, "CapEff")? == TWO, "other capabilities");
    machine.write(WEB_CONFIG, other(SECOND).with("garp_master_refresh 60"))?;
    machine.well(&["systemctl", "reload", WEB])?;
    machine.well(&["systemctl", "restart", WEB])?;
    successor(machine, WEB, &pid)?;
    rules(machine, &PLACE)?;
    stayed(&vigil, "a restart")?;
    machine.well(&["systemctl", "stop", WEB])?;
    ensure!(!host.holds(SECOND)? && host.holds(VIP)?, "one is stopped, the other goes on");
    is(machine, UNIT, "MainPID", &former)
}
