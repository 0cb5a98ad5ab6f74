//! Configurations that differ: what each side makes of it, and that the agent says what is wrong.

use crate::{
    Trial,
    router::{Router, router, vips},
    stage::{Kind, Node, play, until},
};
use anyhow::{Result, ensure};
use hacluster_lab::peer::Keepalived;
use hacluster_tests::harness::Skip;
use std::{process::Command, time::Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::new("wrong_password::agent_better", || {
            two_masters(
                agent(150, |router| router.auth = Some(("PASS", "right"))),
                keepalived(100, |router| router.auth = Some(("PASS", "wrong"))),
                "the password is not ours",
            )
        }),
        Trial::new("wrong_password::keepalived_better", || {
            two_masters(
                agent(100, |router| router.auth = Some(("PASS", "right"))),
                keepalived(150, |router| router.auth = Some(("PASS", "wrong"))),
                "the password is not ours",
            )
        }),
        Trial::new("password_on_the_agent_only", || {
            two_masters(
                agent(100, |router| router.auth = Some(("PASS", "right"))),
                keepalived(150, |_| ()),
                "authentication type 0, ours is 1",
            )
        }),
        Trial::new("password_on_keepalived_only", || {
            two_masters(
                agent(100, |_| ()),
                keepalived(150, |router| router.auth = Some(("PASS", "right"))),
                "authentication type 1, ours is 0",
            )
        }),
        Trial::new("lower_case_auth_type::agent_better", || lower_case(Kind::Agent, Kind::Keepalived)),
        Trial::new("lower_case_auth_type::keepalived_better", || lower_case(Kind::Keepalived, Kind::Agent)),
        Trial::new("other_addresses::keepalived_better_is_followed", other_addresses_are_accepted),
        Trial::new("other_addresses::keepalived_2_2_drops_the_agent", || {
            needs_2_2()?;
            other_addresses_are_dropped()
        }),
    ]
}

fn agent(priority: u8, change: fn(&mut Router)) -> (Kind, Router) {
    (Kind::Agent, router(priority).with(change))
}

fn keepalived(priority: u8, change: fn(&mut Router)) -> (Kind, Router) {
    (Kind::Keepalived, router(priority).with(change))
}

/// Neither believes the other: both serve clients, and the agent's log says `why`. Packets it does not
/// believe must not keep it from speaking, as they do keepalived.
fn two_masters(agent: (Kind, Router), keepalived: (Kind, Router), why: &str) -> Result<()> {
    play(|stage| {
        let agent = stage.start(agent.0, "one", &agent.1)?;
        let keepalived = stage.start(keepalived.0, "two", &keepalived.1)?;
        both_rule(&agent, &keepalived)?;
        agent.says(why)?;
        agent.says(&format!("the latest from {}", keepalived.address))?;
        let since = Instant::now();
        until("five adverts of the agent", || Ok(agent.adverts(since).len() >= 5))?;
        both_rule(&agent, &keepalived)
    })
}

fn both_rule(one: &Node<'_>, two: &Node<'_>) -> Result<()> {
    until(&format!("{one} and {two} as masters"), || Ok(one.rules()? && two.rules()?))
}

/// keepalived reads `pass` as no authentication, with a warning; so must we, to stay together.
fn lower_case(better: Kind, worse: Kind) -> Result<()> {
    play(|stage| {
        let router = |priority| router(priority).with(|router| router.auth = Some(("pass", "1111")));
        let begun = Instant::now();
        let better = stage.start(better, "one", &router(150))?;
        let worse = stage.start(worse, "two", &router(100))?;
        worse.listens()?;
        better.is_master()?;
        better.rules_alone_over(&[&worse])?;
        better.stop()?;
        worse.is_master()?;
        for node in [&better, &worse] {
            for seen in node.adverts(begun) {
                let bare = seen.packet.auth_type == Some(0) && seen.packet.auth_data == Some([0; 8]);
                ensure!(bare, "{node} authenticates: {:?}", seen.packet);
            }
        }
        Ok(())
    })
}

/// The agent follows a better master whose list differs, and says that it does.
fn other_addresses_are_accepted() -> Result<()> {
    play(|stage| {
        let keepalived = stage.start(Kind::Keepalived, "one", &router(150))?;
        keepalived.is_master()?;
        let agent = stage.start(Kind::Agent, "two", &router(100).with(|router| router.vips = vips(2)))?;
        agent.listens()?;
        agent.says(&format!("{} advertises other addresses", keepalived.address))?;
        let since = Instant::now();
        until("five adverts", || Ok(keepalived.adverts(since).len() >= 5))?;
        ensure!(agent.adverts(since).is_empty(), "the agent speaks, too");
        agent.is_backup()
    })
}

fn needs_2_2() -> Result<()> {
    let output = Command::new(Keepalived::find()?.binary).arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    let known = version.contains(" v2.2.");
    known.then_some(()).ok_or_else(|| Skip(format!("this is {version}, which may accept them")).into())
}

/// keepalived 2.2.7 drops what the agent says and rules as well; the agent's log names the cause.
fn other_addresses_are_dropped() -> Result<()> {
    play(|stage| {
        let agent = stage.start(Kind::Agent, "one", &router(150).with(|router| router.vips = vips(2)))?;
        agent.is_master()?;
        let keepalived = stage.start(Kind::Keepalived, "two", &router(100))?;
        keepalived.listens()?;
        both_rule(&agent, &keepalived)?;
        keepalived.says("received an unexpected ip number count 2, expected 1")?;
        agent.says("also rules, with priority 100")?;
        agent.says(&format!("{} advertises other addresses", keepalived.address))
    })
}
