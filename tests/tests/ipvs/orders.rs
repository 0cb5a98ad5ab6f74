//! What an operator orders by `haclusterctl lvs` stands in the kernel's table at once, without a reload, and is
//! shown with what the kernel counts.

use crate::{
    scene::{LIMIT, SERVERS, Scene, VIP, flat, ours, router},
    stage::ctl,
    web::{Server, Talk, ask},
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, wait_until};
use hacluster_tests::harness::{Running, Suite};
use serde_json::Value;

pub(crate) fn trials(suite: &mut Suite) {
    ours(suite, "orders_change_the_table_and_outlive_the_agent", flat, &[], orders);
}

fn config() -> String {
    let server = |last: u8, weight: u32| {
        format!(
            " real_server 10.0.0.{last} 80 {{\n  weight {weight}\n  TCP_CHECK {{\n   connect_timeout 30\n   retry 0\n  \
             }}\n }}\n"
        )
    };
    format!(
        "{}virtual_server 10.0.0.100 80 {{\n delay_loop 1\n lb_algo wrr\n lb_kind DR\n protocol TCP\n{}{}}}\nvirtual_server \
         10.0.0.100 7 {{\n lb_algo wrr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.21 7 {{\n }}\n real_server \
         10.0.0.22 7 {{\n }}\n}}\n",
        router("director1", 100, "10.0.0.100/32"),
        server(21, 2),
        server(22, 1)
    )
}

/// Of the web servers, then of the echoing ones.
fn table(scene: &Scene<'_>, web: [u32; 2], echo: [u32; 2]) -> Result<()> {
    let lines = [(80, web), (7, echo)].into_iter().flat_map(|(port, [one, two])| {
        let server = |last, weight| format!("-a -t {VIP}:{port} -r 10.0.0.{last}:{port} -g -w {weight}");
        [format!("-A -t {VIP}:{port} -s wrr"), server(21, one), server(22, two)]
    });
    scene.table("director1", &lines.collect::<Vec<_>>())
}

/// `haclusterctl lvs WORDS` is carried out.
fn order(director: &Host, words: &[&str]) -> Result<()> {
    let (text, status) = ctl(director, &[&["lvs"], words].concat())?;
    ensure!(status == Some(0), "{words:?} ended with {status:?}: {text}");
    Ok(())
}

/// The real server `address` of the virtual server at `port`, as `lvs -o json` shows it.
fn shown(director: &Host, port: u16, address: &str) -> Result<Value> {
    let (text, _) = ctl(director, &["lvs", "-o", "json"])?;
    let seen: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let services = seen["nodes"][0]["services"].as_array().context("no services")?;
    let name = format!("{VIP} {port}");
    let service = services.iter().find(|service| service["name"] == *name).context("no such service")?;
    let mut servers = service["servers"].as_array().context("no servers")?.iter();
    servers.find(|server| server["address"] == *address).cloned().context("no such server")
}

fn orders(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    SERVERS.into_iter().try_for_each(|name| scene.serve(name))?;
    let _echos: Vec<Server> =
        SERVERS.into_iter().map(|name| Server::echo(scene.host(name)?, 7)).collect::<Result<_>>()?;
    let (director, client) = (scene.host("director1")?, scene.host("client")?);
    let agent = Running::start(director, config())?;
    table(scene, [2, 1], [1, 1])?;
    scene.holds("director1", VIP)?;
    scene.answered(VIP)?;
    let mut talk = wait_until("a connection", LIMIT, || Ok(Talk::open(client, VIP, 7).ok()))?;
    let who = talk.say("begin")?;
    let (last, other) = if who == "one" { (21, "two") } else { (22, "one") };
    let (talking, drained) = (format!("10.0.0.{last}:7"), format!("10.0.0.{last}"));
    // What the kernel counts is shown.
    wait_until("a connection and its rate", LIMIT, || {
        talk.say("count me")?;
        let _ = ask(client, VIP, 80);
        let server = shown(director, 7, &talking)?;
        let traffic = &server["traffic"];
        let counted = ["connections", "packets_in", "bytes_in", "packets_in_per_second"];
        let all = counted.iter().all(|name| traffic[name].as_u64() > Some(0));
        Ok((all && server["connections_active"] == 1).then_some(()))
    })?;
    // Who drains takes nothing new and keeps what it has; in both services, at once.
    order(director, &["drain", &drained, "--reason", "new disk", "--yes"])?;
    let [web, echo] = if last == 21 { [[0, 1], [0, 1]] } else { [[2, 0], [1, 0]] };
    table(scene, web, echo)?;
    scene.shares(VIP, &[(other, 3)])?;
    ensure!(talk.say("still there?")? == who, "a drained server lost its connection");
    let server = shown(director, 7, &talking)?;
    ensure!(server["state"] == "drained" && server["order"]["reason"] == "new disk", "{server:#}");
    // An order outlives the agent.
    agent.kill()?;
    let agent = Running::start(director, config())?;
    wait_until("a successor's answer", LIMIT, || Ok(shown(director, 7, &talking).ok()))?;
    table(scene, web, echo)?;
    order(director, &["enable", &drained, "--reason", "it is in"])?;
    table(scene, [2, 1], [1, 1])?;
    // Of one service, for some time.
    let for_a_while = ["--service", "10.0.0.100 80", "--for", "30s", "--reason", "bigger for a moment"];
    order(director, &[&["weight", "10.0.0.22:80", "4"], &for_a_while[..]].concat())?;
    table(scene, [2, 4], [1, 1])?;
    table(scene, [2, 1], [1, 1])?;
    // The reason of the last failure stands there while the server is down.
    scene.close("one");
    wait_until("the reason of a failure", LIMIT, || {
        let server = shown(director, 80, "10.0.0.21:80")?;
        let told = server["text"].as_str().is_some_and(|text| text.contains("refused"));
        Ok((server["state"] == "down" && told && server["since"].is_string()).then_some(()))
    })?;
    agent.stop()
}
