//! Mail to servers that work, hang, refuse or hang up.

use crate::bench::{Bench, LIMIT, eventually, instance};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// What a server does with one connection.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Works,
    Hangs,
    Refuses,
    ClosesMidMail,
    Floods,
}

/// A mail server in a thread: its connections follow `moods`, the last mood stays.
struct Server {
    port: u16,
    said: Log,
    mails: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    fn start(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, mails) = (Log::default(), Log::default());
        let (heard, kept, moods) = (said.clone(), mails.clone(), moods.to_vec());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mood = moods[number.min(moods.len() - 1)];
                let (heard, kept) = (heard.clone(), kept.clone());
                std::thread::spawn(move || drop(serve(stream.unwrap(), mood, &heard, &kept)));
            }
        });
        Self { port, said, mails }
    }

    fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    mood: Mood,
    said: &Mutex<Vec<String>>,
    mails: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    match mood {
        Mood::Hangs => return stream.take(1).read_to_end(&mut Vec::new()).map(drop),
        Mood::Refuses => return out.write_all(b"554 no mail \x1b[31m here\r\n"),
        Mood::Floods => loop {
            out.write_all(&[b'x'; 65_536])?;
        },
        Mood::Works | Mood::ClosesMidMail => out.write_all(b"220 ready\r\n")?,
    }
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        said.lock().unwrap().push(line.clone());
        let verb = line.to_ascii_uppercase();
        if verb.starts_with("DATA") {
            out.write_all(b"354 go on\r\n")?;
            if mood == Mood::ClosesMidMail {
                return Ok(());
            }
            let mail: Vec<_> = lines.by_ref().map_while(Result::ok).take_while(|line| line != ".").collect();
            mails.lock().unwrap().push(mail.join("\n"));
            out.write_all(b"250 taken\r\n")?;
        } else if verb.contains("REFUSED@") {
            out.write_all(b"550 nobody of that name\r\n")?;
        } else if verb.starts_with("QUIT") {
            return out.write_all(b"221 bye\r\n");
        } else {
            out.write_all(b"250 ok\r\n")?;
        }
    }
    Ok(())
}

fn config(port: u16, to: &str) -> String {
    format!(
        "global_defs {{\n router_id R1\n notification_email {{ {to} }}\n notification_email_from ha@example.org\n \
         smtp_server 127.0.0.1 {port}\n smtp_connect_timeout 1\n smtp_helo_name ha.example.org\n}}\n"
    ) + &instance("VI_1", 7, " smtp_alert")
        + &instance("VI_2", 8, "")
}

fn subjects(mails: &[String]) -> Vec<String> {
    let subject =
        |mail: &String| mail.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
    mails.iter().filter_map(subject).collect()
}

#[test]
fn mails_arrive_in_order_with_every_recipient_and_the_name_told() {
    let server = Server::start(&[Mood::Works]);
    let bench = Bench::new(&config(server.port, "one@example.org two@example.org"), &[]);
    bench.backup("VI_2", 8); // has no smtp_alert
    bench.backup("VI_1", 7);
    bench.master("VI_1", 7);
    bench.fault("VI_1", 7);
    eventually("three mails arrive", || server.mails().len() == 3);
    let states = ["BACKUP", "MASTER", "FAULT"];
    let expected = states.map(|state| format!("[R1] VRRP Instance VI_1 - Entering {state} state"));
    assert_eq!(subjects(&server.mails()), expected);
    let said = server.said.lock().unwrap().clone();
    for line in [
        "EHLO ha.example.org",
        "MAIL FROM:<ha@example.org>",
        "RCPT TO:<one@example.org>",
        "RCPT TO:<two@example.org>",
    ] {
        assert!(said.iter().any(|said| said.trim() == line), "{line} in {said:?}");
    }
    bench.hears(&["mail to one@example.org, two@example.org: [R1] VRRP Instance VI_1 - Entering FAULT"]);
}

#[test]
fn a_server_that_hangs_refuses_floods_or_hangs_up_loses_no_mail_and_costs_one_line() {
    for bad in [Mood::Hangs, Mood::Refuses, Mood::Floods, Mood::ClosesMidMail] {
        let server = Server::start(&[bad, bad, Mood::Works]);
        let bench = Bench::new(&config(server.port, "one@example.org"), &[]);
        bench.backup("VI_1", 7);
        bench.master("VI_1", 7);
        eventually("both mails arrive", || server.mails().len() == 2);
        assert_eq!(subjects(&server.mails()).len(), 2);
        bench.hears(&["is back after 2 attempt(s)"]);
        let warnings: Vec<_> = bench.told().into_iter().filter(|(_, warning)| *warning).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let text = &warnings[0].0;
        assert!(text.contains(&format!("127.0.0.1:{}: ", server.port)) && text.contains("wait"), "{text}");
        if bad == Mood::Refuses {
            assert!(text.contains("it answered 554 no mail [31m here;"), "{text}");
        }
    }
}

#[test]
fn one_recipient_who_does_not_exist_takes_nothing_from_the_others() {
    let server = Server::start(&[Mood::Works]);
    let bench = Bench::new(&config(server.port, "refused@example.org good@example.org"), &[]);
    bench.backup("VI_1", 7);
    bench.hears(&["1 mail(s) given up", "refused@example.org", "550 nobody of that name"]);
    eventually("the other one gets it", || server.mails().len() == 1);
    assert!(server.mails()[0].contains("To: good@example.org"));
}

#[test]
fn nothing_waits_for_a_server_that_is_not_there() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = Bench::new(&config(unused, "one@example.org"), &[]);
    for _ in 0..20 {
        bench.backup("VI_1", 7);
        bench.master("VI_1", 7);
    }
    bench.hears(&["Connection refused", "mail(s) wait"]);
    let start = std::time::Instant::now();
    let Bench { notify, .. } = bench;
    notify.stop(|_| ());
    assert!(start.elapsed() < LIMIT / 2, "the end does not wait for it");
}

#[test]
fn more_mails_than_may_wait_are_counted_and_the_latest_are_kept() {
    let server = Server::start(&[Mood::Hangs, Mood::Works]);
    let bench = Bench::new(&config(server.port, "one@example.org"), &[]);
    for _ in 0..2_200 {
        bench.backup("VI_1", 7);
        bench.master("VI_1", 7);
    }
    bench.fault("VI_1", 7);
    bench.hears(&["mail(s) lost: more than wait already came"]);
    eventually("one was sent again", || !server.mails().is_empty());
    let lost = bench.told().iter().filter(|(text, _)| text.contains("mail(s) lost")).count();
    assert_eq!(lost, 1, "one line a minute: {:?}", bench.told());
}

#[test]
fn no_mail_of_faults_where_that_is_asked_for() {
    let server = Server::start(&[Mood::Works]);
    let text = config(server.port, "one@example.org");
    let bench = Bench::new(&text.replacen('{', "{\n no_email_faults\n", 1), &[]);
    bench.backup("VI_1", 7);
    bench.fault("VI_1", 7);
    bench.master("VI_1", 7);
    eventually("two mails arrive", || server.mails().len() >= 2);
    let expected =
        ["BACKUP", "MASTER"].map(|state| format!("[R1] VRRP Instance VI_1 - Entering {state} state"));
    assert_eq!(subjects(&server.mails()), expected);
}

/// The real server: aiosmtpd, writing a mailbox.
#[test]
fn a_real_server_files_the_mails_in_order() {
    let known = Command::new("python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: needs aiosmtpd (python3 -m pip install aiosmtpd)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mailbox = dir.path().join("mailbox");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("python3")
        .args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Mailbox"])
        .arg(&mailbox)
        .spawn()
        .unwrap();
    eventually("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let bench = Bench::new(&config(port, "one@example.org two@example.org"), &[]);
    bench.backup("VI_1", 7);
    bench.master("VI_1", 7);
    let arrived = || mails_in(&mailbox.join("new"));
    eventually("both mails are filed", || arrived().len() == 2);
    let _ = server.kill();
    let _ = server.wait();
    let expected =
        ["BACKUP", "MASTER"].map(|state| format!("[R1] VRRP Instance VI_1 - Entering {state} state"));
    assert_eq!(subjects(&arrived()), expected);
}

/// Texts of the mails there, oldest first.
fn mails_in(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}
