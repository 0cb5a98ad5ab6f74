//! The lab tried on itself: hosts hear each other, cables break and heal, nothing is left behind.
//!
//! Needs the right to make network namespaces; without it, and without the peers where one is
//! needed, tests are reported as ignored, with the reason.

use anyhow::{Context, Result, bail, ensure};
use hacluster_lab::{
    Host, LIMIT, Lab, Probe, Topology, enter,
    peer::{Frr, FrrRouter, Keepalived},
    topology::Cidr,
    wait_for, wait_until,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::unix::process::ExitStatusExt,
    process::Command,
    time::{Duration, Instant},
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

fn main() {
    let lab = enter().map(drop).map_err(|why| why.to_string());
    let keepalived =
        lab.clone().and_then(|()| Keepalived::find().map(drop).map_err(|absent| absent.to_string()));
    let frr = lab.clone().and_then(|()| Frr::find().map(drop).map_err(|absent| absent.to_string()));
    let trials = vec![
        trial("two_hosts_ping_each_other", &lab, two_hosts_ping_each_other),
        trial("cut_takes_the_carrier_and_restore_brings_it", &lab, cut_takes_the_carrier),
        trial("isolate_keeps_the_carrier", &lab, isolate_keeps_the_carrier),
        trial("labs_with_equal_names_do_not_meet", &lab, labs_with_equal_names_do_not_meet),
        trial("programs_live_inside_and_are_reaped", &lab, programs_live_inside_and_are_reaped),
        trial("a_killed_program_takes_its_children_along", &lab, children_go_along),
        trial("a_failed_body_tells_what_it_looked_like", &lab, a_failed_body_tells),
        trial("capture_sees_injected_adverts", &lab, capture_sees_injected_adverts),
        trial("keepalived_pair_elects_and_fails_over", &keepalived, keepalived_pair),
        trial("frr_pair_elects_and_fails_over", &frr, frr_pair),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test, or an ignored one that says why.
fn trial(name: &str, ready: &Result<(), String>, body: fn() -> Result<()>) -> Trial {
    let ready = ready.clone();
    Trial::ignorable_test(name, move || match ready {
        Ok(()) => body().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

fn pair() -> Topology {
    Topology::new("pair")
        .network("lan")
        .node("left", &[("eth0", "lan", "10.9.0.1/24")])
        .node("right", &[("eth0", "lan", "10.9.0.2/24")])
        .node("client", &[("eth0", "lan", "10.9.0.9/24")])
}

fn two_hosts_ping_each_other() -> Result<()> {
    Lab::run(pair(), |lab| {
        let probe = Probe::start(lab.host("left")?, Ipv4Addr::new(10, 9, 0, 2), Duration::from_millis(5))?;
        let start = Instant::now();
        wait_for("an answer from right", LIMIT, || probe.answered_since(start))?;
        let nobody = Probe::start(lab.host("left")?, Ipv4Addr::new(10, 9, 0, 3), Duration::from_millis(5))?;
        wait_for("a few pings into the void", LIMIT, || nobody.report().pings.len() > 20)?;
        let report = nobody.stop();
        ensure!(report.missed() == report.pings.len(), "somebody answered for an address nobody has");
        Ok(())
    })
}

fn cut_takes_the_carrier() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let probe = Probe::start(left, Ipv4Addr::new(10, 9, 0, 2), Duration::from_millis(5))?;
        let answered = |since| wait_for("an answer", LIMIT, || probe.answered_since(since));
        answered(Instant::now())?;
        right.cut()?;
        wait_until("carrier lost", LIMIT, || Ok((!right.is_running("eth0")?).then_some(())))?;
        ensure!(left.is_running("eth0")?, "left lost its carrier, too");
        let cut = Instant::now();
        wait_for("twenty pings into the void", LIMIT, || {
            probe.report().pings.iter().filter(|ping| ping.sent > cut).count() > 20
        })?;
        ensure!(!probe.answered_since(cut), "a cut cable carries answers");
        right.restore()?;
        wait_until("carrier back", LIMIT, || Ok(right.is_running("eth0")?.then_some(())))?;
        answered(Instant::now())?;
        let gap = probe.stop().longest_gap().context("no gap")?;
        ensure!(gap.length >= Duration::from_millis(100), "the gap was only {:?}", gap.length);
        Ok(())
    })
}

fn isolate_keeps_the_carrier() -> Result<()> {
    Lab::run(pair(), |lab| {
        let right = lab.host("right")?;
        let probe = Probe::start(lab.host("left")?, Ipv4Addr::new(10, 9, 0, 2), Duration::from_millis(5))?;
        let start = Instant::now();
        wait_for("an answer", LIMIT, || probe.answered_since(start))?;
        right.isolate()?;
        let cut = Instant::now();
        wait_for("pings into the void", LIMIT, || {
            probe.report().pings.iter().filter(|ping| ping.sent > cut).count() > 20
        })?;
        ensure!(!probe.answered_since(cut), "an isolated host answered");
        ensure!(right.is_running("eth0")?, "it must not notice");
        right.restore()?;
        let restored = Instant::now();
        wait_for("an answer again", LIMIT, || probe.answered_since(restored))
    })
}

fn labs_with_equal_names_do_not_meet() -> Result<()> {
    Lab::run(pair(), |first| {
        Lab::run(pair(), |second| {
            let extra = second.host("right")?;
            extra.add_address("eth0", "10.9.0.77/24")?;
            let target = Ipv4Addr::new(10, 9, 0, 77);
            let here = Probe::start(second.host("left")?, target, Duration::from_millis(5))?;
            let there = Probe::start(first.host("left")?, target, Duration::from_millis(5))?;
            let start = Instant::now();
            wait_for("an answer in the second lab", LIMIT, || here.answered_since(start))?;
            wait_for("pings in the first", LIMIT, || there.report().pings.len() > 20)?;
            ensure!(!there.answered_since(start), "the first lab hears the second");
            Ok(())
        })
    })
}

fn shell(host: &Host, script: &str) -> Result<hacluster_lab::Process> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    host.spawn("sh", command)
}

fn programs_live_inside_and_are_reaped() -> Result<()> {
    let lab = Lab::new(pair())?;
    let left = lab.host("left")?;
    let process = shell(left, "cat /proc/net/dev; echo to standard error >&2; exit 7")?;
    let status = process.wait(LIMIT)?;
    ensure!(status.code() == Some(7), "{status}");
    wait_for("its last line", LIMIT, || process.logged("to standard error"))?;
    ensure!(process.logged("eth0:"), "it does not see the host's interface: {:?}", process.lines());
    let polite = shell(left, "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")?;
    wait_for("ready", LIMIT, || polite.logged("ready"))?;
    ensure!(polite.stop()?.code() == Some(3), "SIGTERM did not arrive");
    let stubborn = shell(left, "exec sleep 1000")?;
    ensure!(stubborn.is_running(), "it should run");
    let directory = lab.directory().to_owned();
    let errors = lab.teardown();
    ensure!(errors.is_empty(), "{errors:?}");
    ensure!(stubborn.status()?.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32));
    ensure!(!directory.exists(), "{} is left behind", directory.display());
    Ok(())
}

fn children_go_along() -> Result<()> {
    Lab::run(pair(), |lab| {
        let process = shell(lab.host("left")?, "sleep 1000 & echo child $!; wait")?;
        wait_for("the child", LIMIT, || process.logged("child "))?;
        let lines = process.lines();
        let child = lines.iter().find_map(|line| line.text.strip_prefix("child ")).context("no pid")?;
        let entry = std::path::Path::new("/proc").join(child);
        ensure!(entry.exists(), "the child should run");
        process.kill()?;
        ensure!(!entry.exists(), "the child is left behind");
        Ok(())
    })
}

fn a_failed_body_tells() -> Result<()> {
    let outcome = Lab::run(pair(), |lab| {
        let process = shell(lab.host("right")?, "echo my last words")?;
        process.wait(LIMIT)?;
        wait_for("words", LIMIT, || process.logged("my last words"))?;
        bail!("the body failed")
    });
    let told = outcome.err().context("it must fail")?.to_string();
    for part in ["the body failed", "--- right", "10.9.0.2/24 on eth0", "my last words"] {
        ensure!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    let outcome = Lab::run(pair(), |_| std::panic::resume_unwind(Box::new("a panic")));
    let told = outcome.err().context("it must fail")?.to_string();
    ensure!(told.contains("a panic") && told.contains("--- left"), "{told}");
    Ok(())
}

fn capture_sees_injected_adverts() -> Result<()> {
    Lab::run(pair(), |lab| {
        let capture = lab.capture("lan")?;
        let socket = lab.host("left")?.namespace().run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
            socket.bind_device(Some(b"eth0"))?;
            socket.set_multicast_ttl_v4(255)?;
            socket.set_multicast_if_v4(&Ipv4Addr::new(10, 9, 0, 1))?;
            Ok(socket)
        })?;
        let mut advert = vec![0x21, 51, 100, 1, 1, 1, 0, 0, 10, 9, 0, 100];
        advert.extend(b"1111\0\0\0\0");
        let group = SocketAddr::V4(SocketAddrV4::new(GROUP, 0)).into();
        for priority in [100, 0] {
            advert[2] = priority;
            socket.send_to(&advert, &group)?;
        }
        wait_for("two adverts", LIMIT, || capture.adverts().len() >= 2)?;
        let adverts = capture.adverts();
        ensure!(adverts.len() == 2, "each must count once:\n{}", capture.summary());
        let first = &adverts[0].packet;
        ensure!((first.vrid, first.priority, first.ttl) == (51, 100, 255), "{first:?}");
        ensure!((first.auth_type, first.interval) == (Some(1), 1) && first.addresses == [VIP], "{first:?}");
        ensure!(first.source == Ipv4Addr::new(10, 9, 0, 1) && first.destination == GROUP, "{first:?}");
        ensure!(adverts[1].packet.priority == 0 && adverts[1].at >= adverts[0].at);
        ensure!(adverts[0].host == "left", "{}", capture.summary());
        let file = lab.directory().join("adverts.pcap");
        capture.write_pcap(&file)?;
        let expected = 24 + capture.frames().iter().map(|frame| 16 + frame.bytes.len()).sum::<usize>();
        ensure!(std::fs::metadata(&file)?.len() == expected as u64);
        Ok(())
    })
}

fn keepalived_config(state: &str, priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{\n state {state}\n interface eth0\n virtual_router_id 51\n priority {priority}\n \
         advert_int 1\n authentication {{\n auth_type PASS\n auth_pass 1111\n }}\n \
         virtual_ipaddress {{\n 10.9.0.100/24\n }}\n}}\n"
    )
}

fn holder(lab: &Lab, name: &str) -> Result<()> {
    let host = lab.host(name)?;
    wait_until(&format!("{VIP} on {name}"), LIMIT, || Ok(host.holds(VIP)?.then_some(())))
}

fn keepalived_pair() -> Result<()> {
    let keepalived = Keepalived::find()?;
    Lab::run(pair(), |lab| {
        let capture = lab.capture("lan")?;
        let left = keepalived.start(lab.host("left")?, &keepalived_config("MASTER", 150))?;
        keepalived.start(lab.host("right")?, &keepalived_config("BACKUP", 100))?;
        holder(lab, "left")?;
        let probe = Probe::start(lab.host("client")?, VIP, Duration::from_millis(5))?;
        let start = Instant::now();
        wait_for("an answer", LIMIT, || probe.answered_since(start))?;
        ensure!(left.stop()?.success(), "keepalived did not end well");
        holder(lab, "right")?;
        let stopped = Instant::now();
        wait_for("an answer of right", LIMIT, || probe.answered_since(stopped))?;
        let adverts = capture.adverts();
        ensure!(
            adverts.iter().any(|advert| advert.packet.priority == 0),
            "nobody left:\n{}",
            capture.summary()
        );
        ensure!(capture.arps().iter().any(|arp| arp.packet.is_gratuitous() && arp.packet.sender_ip == VIP));
        ensure!(probe.stop().missed() > 0, "an election without a gap?");
        Ok(())
    })
}

/// FRR keeps the address on both hosts, on an interface it switches: what counts is who answers.
fn frr_pair() -> Result<()> {
    let frr = Frr::find()?;
    let router = |priority| FrrRouter {
        interface: "eth0".to_owned(),
        vrid: 51,
        version: 3,
        priority,
        interval_ms: 200,
        addresses: vec![Cidr { ip: VIP, prefix_len: 24 }],
    };
    Lab::run(pair(), |lab| {
        let capture = lab.capture("lan")?;
        let from = |ip: [u8; 4]| {
            let ip = Ipv4Addr::from(ip);
            let what = format!("an advert of {ip}");
            wait_for(&what, LIMIT, || capture.adverts().iter().any(|advert| advert.packet.source == ip))
        };
        let left = frr.start(lab.host("left")?, &router(150))?;
        from([10, 9, 0, 1])?;
        frr.start(lab.host("right")?, &router(100))?;
        let probe = Probe::start(lab.host("client")?, VIP, Duration::from_millis(5))?;
        let start = Instant::now();
        wait_for("an answer of left", LIMIT, || probe.answered_since(start))?;
        left.stop()?;
        from([10, 9, 0, 2])?;
        let taken = Instant::now();
        wait_for("an answer of right", LIMIT, || probe.answered_since(taken))
    })
}
