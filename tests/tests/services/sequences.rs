//! The sequences people know from their captures: a priority falls, the peer takes over, and back.

use super::stage::{VRID, back, config, fails_while, left_over_right, lowered, said, script, vrrp_script};
use anyhow::{Result, ensure};
use hacluster_lab::{Absent, LIMIT, Lab, Process, wait_for};
use hacluster_tests::harness::{Instance, Suite, Wire, pair};
use std::{fs, path::Path, process::Command, time::Instant};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("nginx_stops_100_100_97_and_the_peer_takes_over", nginx);
    suite.trial("a_down_file_seen_by_a_script_100_80_100", by_script);
    suite.trial("a_number_in_a_tracked_file_100_80_100", by_file);
    suite.trial("a_tracked_interface_with_a_weight_100_70_100", by_interface);
    suite.trial("the_lowered_priority_is_said_before_the_interval_is_over", at_once);
}

fn by_script() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let down = left.directory().join("down");
        let block = vrrp_script(&fails_while(left, &down)?, "weight -20");
        let instance = Instance::new(100).master().with("track_script {\n        chk\n    }");
        let (master, backup) = left_over_right((left, config(&block, &instance)), right)?;
        let start = Instant::now();
        fs::write(&down, "")?;
        lowered(&wire, left, right, start, 80)?;
        master.logged(&["script chk failed", "exit 1", "is there"])?;
        master.logged(&["Master -> Backup", "priority 80"])?;
        let removed = Instant::now();
        fs::remove_file(&down)?;
        back(&wire, left, right, removed)?;
        master.logged(&["script chk is good"])?;
        ensure!(said(&wire, "left") == [100, 80, 100], "{:?}", said(&wire, "left"));
        ensure!(
            said(&wire, "right").iter().all(|priority| [99, 0].contains(priority)),
            "{}",
            wire.capture.summary()
        );
        backup.stop()?;
        master.stop()
    })
}

fn by_file() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let down = left.directory().join("down");
        let block =
            format!("track_file down {{\n    file {}\n    weight 2\n    init_file 0\n}}", down.display());
        let instance = Instance::new(100).master().with("track_file {\n        down\n    }");
        let (master, _backup) = left_over_right((left, config(&block, &instance)), right)?;
        let start = Instant::now();
        fs::write(&down, "-10\n")?;
        lowered(&wire, left, right, start, 80)?;
        master.logged(&["file down: ", "says -10"])?;
        let removed = Instant::now();
        fs::remove_file(&down)?;
        back(&wire, left, right, removed)?;
        master.logged(&["file down: ", "does not exist: 0"])?;
        ensure!(said(&wire, "left") == [100, 80, 100], "{:?}", said(&wire, "left"));
        master.stop()
    })
}

fn by_interface() -> Result<()> {
    let two_nets = hacluster_lab::Topology::new("two-nets")
        .network("lan")
        .network("wan")
        .node("left", &[("eth0", "lan", "10.9.0.1/24"), ("eth1", "wan", "10.8.0.1/24")])
        .node("right", &[("eth0", "lan", "10.9.0.2/24"), ("eth1", "wan", "10.8.0.2/24")]);
    Lab::run(two_nets, |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let instance = Instance::new(100).master().with("track_interface {\n        eth1 weight -30\n    }");
        let (_master, _backup) = left_over_right((left, config("", &instance)), right)?;
        let cut = Instant::now();
        left.cut_from("wan")?;
        lowered(&wire, left, right, cut, 70)?;
        let mended = Instant::now();
        left.restore()?;
        back(&wire, left, right, mended)?;
        ensure!(said(&wire, "left") == [100, 70, 100], "{:?}", said(&wire, "left"));
        Ok(())
    })
}

/// With an interval of a minute nothing else than the verdict itself can have been the reason.
fn at_once() -> Result<()> {
    Lab::run(pair(), |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let down = left.directory().join("down");
        let block = format!("track_file down {{\n    file {}\n}}", down.display());
        // The first election must not take three minutes.
        let tracked = "track_file {\n        down\n    }";
        let instance = Instance::new(100).master().with(tracked);
        let (master, backup) = left_over_right((left, config(&block, &instance)), right)?;
        master.reload(config(&block, &instance.clone().interval(60)))?;
        backup.reload(Instance::new(99).interval(60))?;
        wire.advert("left", VRID, Instant::now() - LIMIT, |advert| advert.interval == 60)?;
        backup.logged(&["VI_1: ", "advert_interval"])?;
        let start = Instant::now();
        fs::write(&down, "-20")?;
        lowered(&wire, left, right, start, 80)
    })
}

/// nginx in the foreground, with a page on port 8080.
fn start_nginx(host: &hacluster_lab::Host, program: &Path) -> Result<Process> {
    let folder = host.directory().join("nginx");
    fs::create_dir_all(&folder)?;
    let conf = folder.join("nginx.conf");
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\n\
         http {{\n access_log off;\n client_body_temp_path {0}/body;\n proxy_temp_path {0}/proxy;\n \
         fastcgi_temp_path {0}/fastcgi;\n uwsgi_temp_path {0}/uwsgi;\n scgi_temp_path {0}/scgi;\n \
         server {{\n  listen 8080;\n  return 200 up;\n }}\n}}\n",
        folder.display()
    );
    fs::write(&conf, text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(&conf);
    host.spawn("nginx", command)
}

fn nginx() -> Result<()> {
    let program = Path::new("/usr/sbin/nginx");
    if !program.is_file() {
        return Err(Absent("nginx is not installed: apt-get install nginx-light".to_owned()).into());
    }
    Lab::run(pair(), move |lab| {
        let wire = Wire::tap(lab, "lan")?;
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let nginx = start_nginx(left, program)?;
        // `pidof nginx` as people write it; here other labs may run one, too.
        let pid = left.directory().join("nginx/pid");
        wait_for("nginx", LIMIT, || pid.exists())?;
        let check = script(left, "check.sh", &format!("kill -0 \"$(cat {})\"", pid.display()))?;
        let block = vrrp_script(&check, "weight -3\n    fall 2\n    rise 1");
        let instance = Instance::new(100).master().with("track_script {\n        chk\n    }");
        let (master, _backup) = left_over_right((left, config(&block, &instance)), right)?;
        let stopped = Instant::now();
        nginx.stop()?;
        lowered(&wire, left, right, stopped, 97)?;
        let lost = wire.advert("left", VRID, stopped, |advert| advert.priority == 97)?.at;
        let before = wire.adverts_since("left", VRID, stopped).into_iter().filter(|seen| seen.at < lost);
        ensure!(
            before.clone().count() >= 1,
            "one failure of two must not count:\n{}",
            wire.capture.summary()
        );
        ensure!(before.clone().all(|seen| seen.packet.priority == 100), "{}", wire.capture.summary());
        let started = Instant::now();
        let _nginx = start_nginx(left, program)?;
        back(&wire, left, right, started)?;
        ensure!(said(&wire, "left") == [100, 97, 100], "{:?}", said(&wire, "left"));
        master.stop()
    })
}
