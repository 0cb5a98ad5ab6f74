//! Trackers, notifications, groups and mail: what is read, and with which defaults.

use crate::{codes, load_text, summary};
use hacluster_conf::model::track::{Pace, Probe, TrackerKind};
use hacluster_core::time::Duration;
use hacluster_core::track::Weight;

const ROUTERS: &str = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n\
    track_script {\nchk weight -5\n}\nnotify_master \"/bin/up -v\" root wheel\nsmtp_alert\n}\n\
    vrrp_instance b {\ninterface eth1\nvirtual_router_id 2\nvirtual_ipaddress {\n10.1.0.1\n}\n}\n";

#[test]
fn a_script_with_all_its_words() {
    let loaded = load_text(format!(
        "vrrp_script chk {{\nscript \"/bin/sh -c 'a b'\"\ninterval 2.5\nrise 3\nfall 2\nweight -20 reverse\n\
         user nobody :nogroup\ninit_fail\n}}\n{ROUTERS}"
    ));
    assert_eq!(codes(&loaded), [""; 0], "{}", summary(&loaded));
    let tracker = &loaded.config.trackers[0];
    let Probe::Script { command, pace } = &tracker.probe else { panic!("{tracker:?}") };
    assert_eq!(command.argv, ["/bin/sh", "-c", "a b"]);
    let user = command.user.as_ref().unwrap();
    assert_eq!((user.user.as_str(), user.group.as_deref()), ("nobody", Some("nogroup")));
    let interval = Duration::from_millis(2_500);
    assert_eq!(*pace, Pace { interval, timeout: interval, rise: 3, fall: 2, starts_bad: true });
    assert_eq!(tracker.weight, Weight { points: -20, reverse: true });
}

#[test]
fn a_routers_own_weight_and_notifications() {
    let loaded = load_text(format!("vrrp_script chk {{\nscript /bin/true\n}}\n{ROUTERS}"));
    let [a, b] = &loaded.config.routers[..] else { panic!("{}", summary(&loaded)) };
    assert_eq!(
        (a.tracked[0].tracker.kind, a.tracked[0].weight),
        (TrackerKind::Script, Some(Weight::new(-5)))
    );
    let master = a.notify.master.as_ref().unwrap();
    assert_eq!(master.argv, ["/bin/up", "-v"]);
    assert_eq!(master.user.as_ref().unwrap().group.as_deref(), Some("wheel"));
    assert!(a.notify.mail && !b.notify.mail);
}

#[test]
fn groups_need_members_that_run() {
    let script = "vrrp_script chk {\nscript /bin/true\n}\n";
    let text = format!(
        "{script}{ROUTERS}vrrp_sync_group G {{\ngroup {{\na b\nghost\n}}\nnotify /bin/all\n}}\n\
         vrrp_sync_group H {{\ngroup {{\nb\n}}\n}}\n"
    );
    let loaded = load_text(text);
    assert_eq!(loaded.config.groups.len(), 1, "{}", summary(&loaded));
    assert_eq!(loaded.config.groups[0].members, ["a", "b"]);
    assert_eq!(loaded.config.groups[0].notify.any.as_ref().unwrap().argv, ["/bin/all"]);
    assert_eq!(codes(&loaded), ["undefined-reference", "duplicate-name", "empty-list"]);
}

#[test]
fn mail_goes_to_somebody_or_nowhere() {
    let text = |mail: &str| format!("global_defs {{\n{mail}\n}}\n{}", ROUTERS.replace("chk weight -5", ""));
    let loaded = load_text(text(
        "notification_email {\na@example.org b@example.org\n<c@example.org>\n}\nsmtp_server 192.0.2.25 2525\nsmtp_alert on",
    ));
    let mail = loaded.config.mail.as_ref().unwrap();
    assert_eq!(mail.to, ["a@example.org", "b@example.org", "c@example.org"]);
    assert_eq!(
        (mail.server.as_str(), mail.port, mail.timeout),
        ("192.0.2.25", 2525, Duration::from_secs(30))
    );
    assert!(loaded.config.routers.iter().all(|router| router.notify.mail));
    assert!(load_text(text("smtp_server 192.0.2.25")).config.mail.is_none());
    assert!(mail.faults);
    let loaded = load_text(text("notification_email {\na@example.org\n}\nno_email_faults"));
    assert!(codes(&loaded).is_empty() && !loaded.config.mail.unwrap().faults);
}

#[test]
fn a_fifo_has_an_owner_where_one_is_written() {
    let text = |lines: &str| format!("global_defs {{\n{lines}\n}}\n{}", ROUTERS.replace("chk weight -5", ""));
    let loaded = load_text(text(
        "notify_fifo /run/all.fifo nobody :nogroup\nvrrp_notify_fifo /run/vrrp.fifo\nvrrp_notify_fifo_script \"/bin/r -v\" root",
    ));
    assert!(codes(&loaded).is_empty(), "{}", summary(&loaded));
    let fifos = &loaded.config.fifos;
    let (all, vrrp) = (fifos.all.as_ref().unwrap(), fifos.vrrp.as_ref().unwrap());
    assert_eq!(all.path, std::path::Path::new("/run/all.fifo"));
    let owner = all.owner.as_ref().unwrap();
    assert_eq!((owner.user.as_str(), owner.group.as_deref()), ("nobody", Some("nogroup")));
    assert!(all.script.is_none() && vrrp.owner.is_none());
    assert_eq!(vrrp.script.as_ref().unwrap().argv, ["/bin/r", "-v"]);
}

#[test]
fn processes_and_files() {
    let loaded = load_text(format!(
        "track_file f {{\nfile /etc/down\nweight -2\ninit_file 5 overwrite\n}}\n\
         vrrp_track_process p {{\nprocess nginx -g\nparam_match initial\nquorum_max 0\nterminate_delay 0.5\n}}\n\
         vrrp_script chk {{\nscript /bin/true\n}}\n{ROUTERS}"
    ));
    assert_eq!(codes(&loaded), [""; 0], "{}", summary(&loaded));
    let [file, process, _] = &loaded.config.trackers[..] else { panic!() };
    assert!(matches!(&file.probe, Probe::File { init: Some((5, true)), .. }) && file.weight.points == -2);
    let Probe::Process(process) = &process.probe else { panic!() };
    assert_eq!((process.quorum, process.quorum_max), (0, Some(0)));
    assert_eq!(process.fall_delay, Duration::from_millis(500));
}
