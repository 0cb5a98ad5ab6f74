//! A kernel that does not balance yet.

use crate::{
    scene::{Daemon, LIMIT, Scene, VIP, flat, router, stage},
    stage::ctl,
};
use anyhow::{Result, ensure};
use hacluster_lab::{vm, wait_until};
use hacluster_net::netlink::ipvs::Ipvs;
use hacluster_tests::harness::{Running, Skip, Suite};
use std::{env, fs, path::Path};

const NAME: &str = "agent::ip_vs_is_missing_and_comes_later";

/// Plays at once, as the module can be kept away only as long as nobody has used it; the trial tells what
/// came of it.
pub(crate) fn play(suite: &mut Suite) {
    let filters: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let asked = filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()));
    let played = match (vm::inside(), asked) {
        (true, true) => stage(Daemon::Agent, flat, &["modprobe"], later),
        (true, false) => Ok(()),
        (false, _) => {
            Err(Skip("keeps a module from the kernel: only in a virtual machine of ours".into()).into())
        }
    };
    suite.trial(NAME, move || played);
}

fn later(scene: &Scene<'_>) -> Result<()> {
    let folder = Path::new("/run/modprobe.d");
    let refusal = folder.join("hacluster-trial.conf");
    fs::create_dir_all(folder)?;
    fs::write(&refusal, "install ip_vs /bin/false\n")?;
    ensure!(Ipvs::open().is_err(), "somebody has loaded ip_vs already");
    let service = "virtual_server 10.0.0.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.21 \
                   80 {\n }\n}\n";
    let director = scene.host("director1")?;
    let agent = Running::start(director, router("director1", 100, "10.0.0.100/32") + service)?;
    scene.holds("director1", VIP)?;
    agent.logged(&["no ip_vs", "modprobe ip_vs", "virtual routers go on"])?;
    let (text, status) = ctl(director, &["status"])?;
    ensure!(text.contains("balances nothing") && text.contains("modprobe ip_vs"), "{text}");
    ensure!(status == Some(1), "{status:?}: {text}");
    fs::remove_file(&refusal)?;
    scene
        .table("director1", &["-A -t 10.0.0.100:80 -s rr", "-a -t 10.0.0.100:80 -r 10.0.0.21:80 -g -w 1"])?;
    agent.logged(&["the kernel balances now"])?;
    let lines = agent.lines(&["no ip_vs"]);
    ensure!(lines.len() == 1, "{lines:#?}");
    wait_until("a status without a fault", LIMIT, || {
        let (text, status) = ctl(director, &["status"])?;
        Ok((status == Some(0) && text.contains("Load balancing: 1 of 1 virtual server")).then_some(()))
    })
}
