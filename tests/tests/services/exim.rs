//! A real mail server: Debian's exim, with mailboxes in the host's directory.
//!
//! ```text
//!   agent ----> 127.0.0.1:25 (exim, root gone) ----> queue ----> box/NAME (mbox, in order)
//!   mail(1) --> exim, as /usr/sbin/sendmail ----'
//! ```

use anyhow::{Context, Result};
use hacluster_lab::{Absent, Host, LIMIT, Process, wait_until};
use nix::unistd::{User, chown};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "/usr/sbin/exim4";
/// Whom Debian's exim becomes, and who keeps the mailboxes.
const USERS: [&str; 2] = ["Debian-exim", "mail"];
/// The login that it knows.
pub(crate) const LOGIN: [&str; 2] = ["ha", "correct-horse"];

/// What it asks of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demands {
    /// Certificate and key (PEM) for STARTTLS.
    pub(crate) identity: Option<(String, String)>,
    /// Takes mail from those alone who logged in with [`LOGIN`].
    pub(crate) login: bool,
}

/// A server that runs.
pub(crate) struct Exim<'a> {
    host: &'a Host,
    folder: PathBuf,
    process: Process,
}

/// A mail in a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Mail(String);

impl Mail {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        let head = self.0.split("\n\n").next().unwrap_or_default();
        let value =
            |line: &'_ str| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).is_some();
        head.lines().find(|line| value(line)).map_or("", |line| line[name.len() + 2..].trim())
    }

    /// Everything after the headers.
    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\n\n").map_or("", |(_, body)| body)
    }
}

/// Says why there can be no exim here. Call it outside of `Lab::run`.
pub(crate) fn needed() -> Result<()> {
    if !Path::new(PROGRAM).is_file() {
        return Err(Absent("exim is not installed: apt-get install exim4-daemon-light".to_owned()).into());
    }
    let outside = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !outside.split_whitespace().eq(["0", "0", "4294967295"]) {
        return Err(Absent("exim changes its user, which needs root".to_owned()).into());
    }
    Ok(())
}

impl<'a> Exim<'a> {
    /// Starts it on `host`, at 127.0.0.1:25.
    pub(crate) fn start(host: &'a Host, demands: &Demands) -> Result<Self> {
        let folder = host.directory().join("exim");
        open_way(&folder, USERS[0])?;
        open_way(&folder.join("box"), USERS[1])?;
        if let Some((certificate, key)) = &demands.identity {
            fs::write(folder.join("cert.pem"), certificate)?;
            fs::write(folder.join("key.pem"), key)?;
        }
        fs::write(folder.join("names"), "one: one\ntwo: two\nroot: root\n")?;
        fs::write(folder.join("exim.conf"), configuration(&folder, demands))?;
        let mut command = Command::new(PROGRAM);
        command.arg("-C").arg(folder.join("exim.conf")).args(["-bdf", "-oX", "127.0.0.1.25"]);
        let process = host.spawn("exim", command)?;
        let exim = Self { host, folder, process };
        wait_until("exim", LIMIT, || {
            anyhow::ensure!(exim.process.is_running(), "exim ended: {:?}", exim.process.lines());
            Ok(host.namespace().run(|| Ok(TcpStream::connect("127.0.0.1:25")?)).ok())
        })?;
        Ok(exim)
    }

    /// A file for mail(1), `MAILRC`, that has it hand its mail to this server.
    pub(crate) fn mailrc(&self) -> Result<PathBuf> {
        let sendmail = self.folder.join("sendmail");
        let conf = self.folder.join("exim.conf");
        fs::write(&sendmail, format!("#!/bin/sh\nexec {PROGRAM} -C {} \"$@\"\n", conf.display()))?;
        fs::set_permissions(&sendmail, Permissions::from_mode(0o755))?;
        let file = self.folder.join("mailrc");
        fs::write(&file, format!("set sendmail={}\n", sendmail.display()))?;
        Ok(file)
    }

    /// What is in the mailbox of `user`, the oldest first.
    pub(crate) fn mails(&self, user: &str) -> Result<Vec<Mail>> {
        // One run of the queue, in the order of arrival: nothing overtakes.
        let mut command = Command::new(PROGRAM);
        command.arg("-C").arg(self.folder.join("exim.conf")).arg("-q");
        self.host.run(command)?;
        let text = fs::read(self.folder.join("box").join(user)).unwrap_or_default();
        let text = format!("\n{}", String::from_utf8_lossy(&text));
        Ok(text.split("\nFrom ").skip(1).map(|mail| Mail(mail.to_owned())).collect())
    }

    /// Waits until so many mails are there.
    pub(crate) fn arrived(&self, user: &str, count: usize) -> Result<Vec<Mail>> {
        wait_until(&format!("{count} mail(s) for {user}"), LIMIT, || {
            let mails = self.mails(user)?;
            Ok((mails.len() >= count).then_some(mails))
        })
    }

    /// What it wrote down of whom it took mail from.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("mainlog")).unwrap_or_default()
    }

    /// Ends it.
    pub(crate) fn stop(&self) -> Result<()> {
        self.process.kill().map(drop)
    }
}

/// Makes `folder` for `user`, and every folder on the way one that may be passed.
fn open_way(folder: &Path, user: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let user = User::from_name(user)?.with_context(|| format!("exim's user {user} does not exist"))?;
    chown(folder, Some(user.uid), Some(user.gid))?;
    for part in folder.ancestors().take_while(|part| *part != std::env::temp_dir() && part.parent().is_some())
    {
        fs::set_permissions(part, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn configuration(folder: &Path, demands: &Demands) -> String {
    let folder = folder.display();
    let mut text = format!(
        "primary_hostname = mail.example.org\nspool_directory = {folder}\nlog_file_path = {folder}/%slog\n\
         pid_file_path = {folder}/exim.pid\ndomainlist local_domains = example.org : localhost\n\
         acl_smtp_rcpt = recipients\nhost_lookup =\nrfc1413_hosts =\nkeep_environment =\n\
         queue_only = true\nqueue_run_in_order = true\nsmtp_accept_queue_per_connection = 0\n"
    );
    match &demands.identity {
        None => text += "tls_advertise_hosts =\n",
        Some(_) => {
            let _ = writeln!(text, "tls_certificate = {folder}/cert.pem\ntls_privatekey = {folder}/key.pem");
        }
    }
    let who = if demands.login { "  deny !authenticated = *\n       message = log in first\n" } else { "" };
    let [login, password] = LOGIN;
    let _ = write!(
        text,
        "begin acl\nrecipients:\n{who}  accept domains = +local_domains\n  deny message = relay not permitted\n\
         begin routers\nall:\n  driver = accept\n  domains = +local_domains\n  transport = box\n\
         begin transports\nbox:\n  driver = appendfile\n  \
         file = {folder}/box/${{lookup{{$local_part}}lsearch{{{folder}/names}}{{$value}}{{other}}}}\n  \
         user = mail\n  group = mail\n  envelope_to_add\n  return_path_add\n\
         begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  \
         server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n  \
         server_set_id = $auth2\n  server_advertise_condition = ${{if def:tls_in_cipher}}\n"
    );
    text
}
