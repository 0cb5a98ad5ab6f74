//! Mails in real mailboxes: by hooks that call mail(1), by `smtp_alert`, encrypted, and held up.

use super::exim::{self, Demands, Exim, LOGIN, Mail};
use anyhow::{Result, ensure};
use hacluster_lab::{Absent, Host, Lab};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, free, hold, pair};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::PermissionsExt};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("hooks_that_call_mail_tell_every_transition_once_and_in_order", by_hooks);
    suite.trial("smtp_alert_of_instance_group_and_all_reaches_every_recipient", by_alert);
    suite.trial("mail_is_encrypted_and_logged_in_where_asked_for", encrypted);
    suite.trial("a_mail_server_out_of_reach_costs_one_line_and_delays_nothing", out_of_reach);
}

/// The subjects of `mails`.
fn subjects(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.header("Subject")).collect()
}

/// The file and the script of people who let their hooks write the mail.
fn hooked(host: &Host, exim: &Exim<'_>, state: &str, priority: u8) -> Result<String> {
    let script = host.directory().join("notify.sh");
    let text = format!(
        "#!/bin/bash\nexport MAILRC={}\ncontact='root@localhost'\n\nnotify() {{\n    \
         mailsubject=\"vrrp: {} to be $1\"\n    mailbody=\"{} to be $1, vrrp transition, $(date).\"\n    \
         echo \"$mailbody\" | mail -s \"$mailsubject\" $contact\n}}\n\ncase $1 in\nmaster)\n    notify master ;;\n\
         backup)\n    notify backup ;;\nfault)\n    notify fault ;;\n*)\n    \
         echo \"Usage: $(basename $0) master|backup|fault\"\n    exit 1\n    ;;\nesac\n",
        exim.mailrc()?.display(),
        host.name(),
        host.name(),
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let script = script.display();
    Ok(format!(
        "global_defs {{\n   notification_email {{\n        root@localhost\n   }}\n   \
         notification_email_from keepalived@localhost\n   smtp_server 127.0.0.1\n   smtp_connect_timeout 30\n   \
         router_id {}\n   vrrp_mcast_group4  224.0.100.50\n   script_user root\n}}\n\n\
         vrrp_instance myroute {{\n    state {state}\n    interface eth0\n    virtual_router_id 50\n    \
         priority {priority}\n    advert_int 1\n    authentication {{\n        auth_type PASS\n        \
         auth_pass 123456\n    }}\n    virtual_ipaddress {{\n        {VIP}/24 dev eth0\n    }}\n        \
         notify_master \"{script} master\"\n        notify_backup \"{script} backup\"\n        \
         notify_fault \"{script} fault\"\n}}\n",
        host.name()
    ))
}

fn by_hooks() -> Result<()> {
    exim::needed()?;
    if !Path::new("/usr/bin/mail").exists() {
        return Err(Absent("mail(1) is not installed: apt-get install bsd-mailx".to_owned()).into());
    }
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        let [of_left, of_right] = [left, right].map(|host| Exim::start(host, &Demands::default()));
        let (of_left, of_right) = (of_left?, of_right?);
        let expect = |exim: &Exim<'_>, host: &Host, states: &[&str]| -> Result<()> {
            let mails = exim.arrived("root", states.len())?;
            let expected: Vec<_> =
                states.iter().map(|state| format!("vrrp: {} to be {state}", host.name())).collect();
            ensure!(subjects(&mails) == expected, "{:?}, not {expected:?}", subjects(&mails));
            ensure!(mails.iter().all(|mail| mail.body().contains("vrrp transition")));
            Ok(())
        };
        let second = Running::start(right, hooked(right, &of_right, "BACKUP", 98)?)?;
        hold(right, VIP)?;
        expect(&of_right, right, &["backup", "master"])?;
        let first = Running::start(left, hooked(left, &of_left, "MASTER", 100)?)?;
        hold(left, VIP)?;
        free(right, VIP)?;
        expect(&of_left, left, &["backup", "master"])?;
        expect(&of_right, right, &["backup", "master", "backup"])?;
        left.cut()?;
        hold(right, VIP)?;
        expect(&of_left, left, &["backup", "master", "fault"])?;
        expect(&of_right, right, &["backup", "master", "backup", "master"])?;
        left.restore()?;
        hold(left, VIP)?;
        expect(&of_left, left, &["backup", "master", "fault", "backup", "master"])?;
        expect(&of_right, right, &["backup", "master", "backup", "master", "backup"])?;
        first.stop()?;
        second.stop()?;
        // And nothing more comes.
        of_left.stop()?;
        of_right.stop()
    })
}

fn alert(more: &str) -> String {
    format!(
        "global_defs {{\n    notification_email {{\n        one@example.org\n        two@example.org\n    }}\n    \
         notification_email_from ha@example.org\n    smtp_server 127.0.0.1 25\n    \
         smtp_helo_name node1.example.org\n    smtp_connect_timeout 30\n    router_id node1\n{more}\n}}\n"
    )
}

fn by_alert() -> Result<()> {
    exim::needed()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let exim = Exim::start(left, &Demands::default())?;
        let plain = Instance::new(150).master();
        let group =
            |line: &str| format!("vrrp_sync_group G {{\n    group {{\n        VI_1\n    }}\n{line}\n}}\n");
        let mut seen = 0;
        let mut expect = |who: &[&str], states: &[&str]| -> Result<()> {
            let count = seen + who.len() * states.len();
            let mut found = Vec::new();
            for user in ["one", "two"] {
                let mails = exim.arrived(user, count)?;
                found = mails[seen..].iter().map(|mail| mail.header("Subject").to_owned()).collect();
                // A group is told right after its last member.
                let expected: Vec<_> = states
                    .iter()
                    .flat_map(|state| {
                        who.iter().map(move |who| format!("[node1] VRRP {who} - Entering {state} state"))
                    })
                    .collect();
                ensure!(found == expected, "{user} has {found:?}, not {expected:?}");
                ensure!(mails.iter().all(|mail| mail.header("From") == "ha@example.org"));
            }
            seen += found.len();
            Ok(())
        };
        // On the instance alone; then on the group alone; then for all, except who says no.
        let agent = Running::start(left, alert("") + &plain.clone().with("smtp_alert").to_string())?;
        hold(left, VIP)?;
        expect(&["Instance VI_1"], &["BACKUP", "MASTER"])?;
        agent.reload(alert("") + &group("    smtp_alert") + &plain.to_string())?;
        agent.logged(&["reload", "VI_1: notify changed"])?;
        left.cut()?;
        expect(&["Group G"], &["FAULT"])?;
        left.restore()?;
        hold(left, VIP)?;
        expect(&["Group G"], &["BACKUP", "MASTER"])?;
        agent.reload(alert("    smtp_alert\n    no_email_faults") + &group("") + &plain.to_string())?;
        agent.logged(&["reload", "mail changed"])?;
        left.cut()?;
        agent.logged(&["Master -> Fault"])?;
        free(left, VIP)?;
        left.restore()?;
        hold(left, VIP)?;
        expect(&["Instance VI_1", "Group G"], &["BACKUP", "MASTER"])?;
        let log = exim.log();
        ensure!(log.contains("node1.example.org"), "the name is told: {log}");
        agent.stop()
    })
}

/// An authority's certificate, and certificate and key of 127.0.0.1 signed by it; all PEM.
fn certificates() -> Result<(String, (String, String))> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let believed = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&own, &issuer)?;
    Ok((believed, (certificate.pem(), own.serialize_pem())))
}

fn encrypted() -> Result<()> {
    exim::needed()?;
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let (believed, identity) = certificates()?;
        let exim = Exim::start(left, &Demands { identity: Some(identity), login: true })?;
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = left.directory().join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        let stranger = certificates()?.0;
        let authority = file("authority.pem", &stranger)?;
        let password = file("password", "wrong-guess\n")?;
        let toml = format!(
            "[mail]\nto = [\"one@example.org\"]\nserver = \"127.0.0.1\"\nport = 25\nstarttls = true\n\
             login = \"{}\"\npassword_file = \"{}\"\nca_file = \"{}\"\nalert = true\n",
            LOGIN[0],
            password.display(),
            authority.display()
        );
        let path = file("agent.toml", &toml)?.display().to_string();
        let alerted = Instance::new(150).master().with("smtp_alert");
        let agent = Running::start_with(left, &alerted, &["--agent-config", &path])?;
        // Whoever is not believed never hears the password.
        agent.logged(&["WARN", "mail server 127.0.0.1:25", "certificate"])?;
        ensure!(!exim.log().contains(LOGIN[0]), "{}", exim.log());
        file("authority.pem", &believed)?;
        file("password", &format!("{}\n", LOGIN[1]))?;
        let mails = exim.arrived("one", 2)?;
        ensure!(subjects(&mails)[1].contains("VRRP Instance VI_1 - Entering MASTER state"));
        let taken = exim.log();
        ensure!(taken.contains("A=plain:ha") && taken.contains("X=TLS1.3"), "{taken}");
        // A password that is refused is said, and not what it is; nothing is lost by it.
        file("password", "wrong-guess\n")?;
        // Other settings: the session that lingers is not used any more.
        file("agent.toml", &format!("{toml}helo = \"node1.example.org\"\n"))?;
        agent.reload(&alerted)?;
        agent.logged(&["reload"])?;
        left.cut()?;
        agent.logged(&["WARN", "login as ha: it answered 535"])?;
        agent.never_logged(&["wrong-guess"])?;
        agent.never_logged(&[LOGIN[1]])?;
        file("password", LOGIN[1])?;
        let mails = exim.arrived("one", 3)?;
        ensure!(subjects(&mails)[2].contains("Entering FAULT state"));
        agent.stop()
    })
}

/// As in files that people copied with somebody else's mail server in them.
fn out_of_reach() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, right) = (lab.host("left")?, lab.host("right")?);
        // A network in which nobody answers, so that connecting takes its time.
        left.add_address("eth0", "192.168.200.7/24")?;
        let config = |priority: u8| {
            alert("    smtp_alert").replace("127.0.0.1 25", "192.168.200.1")
                + &Instance::new(priority).to_string()
        };
        let master = Running::start(left, config(150))?;
        hold(left, VIP)?;
        let backup = Running::start(right, config(100))?;
        backup.logged(&["-> Backup"])?;
        master.logged(&["WARN", "mail server 192.168.200.1:25", "wait"])?;
        backup.logged(&["WARN", "mail server 192.168.200.1:25", "unreachable"])?;
        for _ in 0..3 {
            left.cut()?;
            hold(right, VIP)?;
            left.restore()?;
            hold(left, VIP)?;
        }
        for agent in [&master, &backup] {
            let lines = agent.lines(&["mail server 192.168.200.1"]);
            let told = lines.windows(2).all(|pair| pair[1].at - pair[0].at > Duration::from_secs(55));
            ensure!(told, "more than one line in a minute: {lines:?}");
        }
        let begin = Instant::now();
        master.stop()?;
        backup.stop()?;
        // Both would take their timeout of 30 s if anybody waited for it.
        ensure!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        master.logged(&["mail(s) given up: the agent stops"])?;
        Ok(())
    })
}
