//! Sync daemons follow their virtual router, and what they tell keeps connections open when another
//! director takes over.

use crate::{
    scene::{LIMIT, SERVERS, Scene, VIP, both, flat, router},
    stage::ipvsadm,
    web::{Server, Talk},
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::wait_until;
use hacluster_tests::harness::Suite;

pub(crate) fn trials(suite: &mut Suite) {
    both(suite, "sync_daemons_follow_their_router", flat, &[], follow);
}

const SERVICE: &str = "virtual_server 10.0.0.100 7 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server \
                       10.0.0.21 7 {\n }\n real_server 10.0.0.22 7 {\n }\n}\n";

/// One in today's words, one in those of old, which know no id: it is 0 then, and takes what bears any.
fn configs() -> [String; 2] {
    let [first, second] = [("director1", 100), ("director2", 90)]
        .map(|(name, priority)| router(name, priority, "10.0.0.100/32") + SERVICE);
    [
        first.replace("global_defs {\n", "global_defs {\n lvs_sync_daemon eth0 VI id 51\n"),
        second.replace(" interface eth0\n", " interface eth0\n lvs_sync_daemon_interface eth0\n"),
    ]
}

/// Waits until exactly these roles run on `name`.
fn roles(scene: &Scene<'_>, name: &str, roles: &[&str]) -> Result<()> {
    let id = if name == "director1" { 51 } else { 0 };
    let host = scene.host(name)?;
    let wanted: Vec<String> =
        roles.iter().map(|role| format!("{role} sync daemon (mcast=eth0, syncid={id},")).collect();
    let mut last = Vec::new();
    let waited = wait_until(&format!("sync daemons {roles:?} on {name}"), LIMIT, || {
        last = ipvsadm(host, &["-ln", "--daemon"])?;
        last.retain(|line| line.contains("sync daemon"));
        let agrees =
            last.len() == wanted.len() && last.iter().zip(&wanted).all(|(line, want)| line.starts_with(want));
        Ok(agrees.then_some(()))
    });
    waited.with_context(|| format!("last seen {last:?}"))
}

fn follow(scene: &Scene<'_>) -> Result<()> {
    scene.take(VIP)?;
    let _servers: Vec<Server> =
        SERVERS.into_iter().map(|name| Server::echo(scene.host(name)?, 7)).collect::<Result<_>>()?;
    let [first, second] = configs();
    let [one, _two] = [scene.start("director1", &first)?, scene.start("director2", &second)?];
    scene.holds("director1", VIP)?;
    roles(scene, "director1", &["master"])?;
    roles(scene, "director2", &["backup"])?;
    let (client, other) = (scene.host("client")?, scene.host("director2")?);
    let mut talk = wait_until("a connection", LIMIT, || Ok(Talk::open(client, VIP, 7).ok()))?;
    let who = talk.say("begin")?;
    wait_until("the connection on director2", LIMIT, || {
        talk.say("tell of me")?; // some packets into a connection it is told of
        let known = ipvsadm(other, &["-lnc"])?;
        Ok(known.iter().any(|line| line.contains("10.0.0.100:7")).then_some(()))
    })?;
    one.stop()?;
    roles(scene, "director1", &[])?;
    scene.holds("director2", VIP)?;
    roles(scene, "director2", &["master"])?;
    ensure!(talk.say("another directs")? == who, "somebody else answers");
    scene.start("director1", &first)?;
    scene.holds("director1", VIP)?;
    roles(scene, "director1", &["master"])?;
    roles(scene, "director2", &["backup"])
}
