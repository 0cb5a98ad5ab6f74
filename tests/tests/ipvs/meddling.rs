//! What another hand does to our services is said and mended, and what is somebody else's is left alone;
//! so is what was lost on the way from the kernel.

use crate::{
    scene::{LIMIT, Scene, flat, ours},
    stage::{ctl, ipvsadm},
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::{Running, Suite};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::fs;

pub(crate) fn trials(suite: &mut Suite) {
    ours(suite, "what_another_hand_did_is_said_once_and_mended", flat, &[], strangers);
    ours(suite, "lost_answers_are_said_once_and_the_table_is_read_back", flat, &[], overrun);
}

/// Virtual and real servers, without checks: nobody but us and strangers touches them.
fn config(servers: &[(u8, u32)]) -> String {
    let server =
        |(last, weight): &(u8, u32)| format!(" real_server 10.0.0.{last} 80 {{\n  weight {weight}\n }}\n");
    let servers: String = servers.iter().map(server).collect();
    format!("virtual_server 10.0.0.100 80 {{\n lb_algo wrr\n lb_kind DR\n protocol TCP\n{servers}}}\n")
}

fn table(servers: &[(u8, u32)]) -> Vec<String> {
    let server =
        |(last, weight): &(u8, u32)| format!("-a -t 10.0.0.100:80 -r 10.0.0.{last}:80 -g -w {weight}");
    ["-A -t 10.0.0.100:80 -s wrr".to_owned()].into_iter().chain(servers.iter().map(server)).collect()
}

fn strangers(scene: &Scene<'_>) -> Result<()> {
    const FOREIGN: [&str; 2] = ["-A -t 10.9.9.9:80 -s rr", "-a -t 10.9.9.9:80 -r 10.9.9.8:80 -g -w 7"];
    const DEEDS: [(&str, &str); 6] = [
        (
            "-d -t 10.0.0.100:80 -r 10.0.0.21:80",
            "real server 10.0.0.21:80 was removed from TCP 10.0.0.100:80",
        ),
        (
            "-e -t 10.0.0.100:80 -r 10.0.0.22:80 -g -w 9",
            "10.0.0.22:80 of TCP 10.0.0.100:80 was changed, weight 1 -> 9",
        ),
        (
            "-a -t 10.0.0.100:80 -r 10.0.0.23:80 -g -w 1",
            "real server 10.0.0.23:80 was added to TCP 10.0.0.100:80",
        ),
        ("-E -t 10.0.0.100:80 -s rr", "virtual server TCP 10.0.0.100:80 was changed"),
        ("-D -t 10.0.0.100:80", "virtual server TCP 10.0.0.100:80 was removed"),
        ("-C", "virtual server TCP 10.0.0.100:80 was removed"),
    ];
    let director = scene.host("director1")?;
    let by_hand = |line: &str| ipvsadm(director, &line.split(' ').collect::<Vec<_>>());
    let agent = Running::start(director, config(&[(21, 2), (22, 1)]))?;
    let own = table(&[(21, 2), (22, 1)]);
    scene.table("director1", &own)?;
    for line in FOREIGN {
        by_hand(line)?;
    }
    let both = [own, FOREIGN.map(str::to_owned).to_vec()].concat();
    for (number, (deed, words)) in DEEDS.into_iter().enumerate() {
        by_hand(deed)?;
        if deed == "-C" {
            for line in FOREIGN {
                by_hand(line)?;
            }
        }
        if number > 0 {
            ctl(director, &["lvs"])?; // whoever looks need not wait for the next look of its own accord
        }
        scene.table("director1", &both)?;
        let time = format!("time {}.", number + 1);
        let told = agent.logged(&["another program", "changed our services", words, &time]);
        told.with_context(|| deed.to_owned())?;
    }
    let said = agent.lines(&["changed our services"]).len();
    ensure!(said == DEEDS.len(), "{said} lines");
    let (text, _) = ctl(director, &["lvs"])?;
    let counted = "another program changed virtual servers";
    ensure!(text.contains(counted) && text.contains("6 times"), "{text}");
    ensure!(text.contains("10.0.0.100:80") && !text.contains("10.9.9.9"), "{text}");
    agent.stop()?;
    scene.table("director1", &FOREIGN)
}

/// Answers find no room: what came of a change is unknown then.
fn overrun(scene: &Scene<'_>) -> Result<()> {
    let servers = |weight| (21..81).map(|last| (last, weight)).collect::<Vec<(u8, u32)>>();
    let director = scene.host("director1")?;
    let agent = Running::start(director, config(&servers(1)))?;
    scene.table("director1", &table(&servers(1)))?;
    shrink(agent.process.pid().as_raw())?;
    const LOST: &[&str] = &["answers of the kernel were lost", "its table is read back"];
    let mut weight = 1;
    wait_until("an overrun", LIMIT, || {
        // Every change of a server that is not there is refused, unless the agent looks in between.
        weight += 1;
        ipvsadm(director, &["-C"])?;
        agent.reload(config(&servers(weight)))?;
        scene.table("director1", &table(&servers(weight)))?;
        Ok((!agent.lines(LOST).is_empty()).then_some(()))
    })?;
    let lines = agent.lines(LOST);
    ensure!(lines.len() == 1, "{lines:#?}");
    agent.stop()?;
    scene.table::<&str>("director1", &[])
}

/// Takes the room for answers from the sockets with which a process asks IPVS.
fn shrink(process: i32) -> Result<()> {
    const GENERIC: &str = "16";
    let sockets = fs::read_to_string(format!("/proc/{process}/net/netlink"))?;
    let rows = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let links: Vec<String> = rows
        .filter(|row| row.get(1) == Some(&GENERIC))
        .filter_map(|row| Some(format!("socket:[{}]", row.last()?)))
        .collect();
    let pid = pidfd_open(Pid::from_raw(process).context("no pid")?, PidfdFlags::empty())?;
    let mut found = 0;
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        let path = entry?.path();
        let is_one =
            fs::read_link(&path).is_ok_and(|to| links.iter().any(|link| to.as_os_str() == link.as_str()));
        if is_one {
            let number = path.file_name().and_then(|name| name.to_str()).context("no number")?.parse()?;
            let socket = pidfd_getfd(&pid, number, PidfdGetfdFlags::empty())?;
            setsockopt(&socket, sockopt::RcvBuf, &1)?;
            found += 1;
        }
    }
    ensure!(found > 0, "no socket of IPVS among {links:?}");
    Ok(())
}
