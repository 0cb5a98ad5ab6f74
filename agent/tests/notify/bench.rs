//! A notifying thread with a configuration of its own, fed by hand.

use clap::Parser;
use hacluster_agent::args::Args;
use hacluster_agent::event::{Event, EventSender, Identity, What};
use hacluster_agent::fact::Fact;
use hacluster_agent::in_force::{self, InForce};
use hacluster_agent::mailbox::{Receiver, mailbox};
use hacluster_agent::notify::{Feed, Notify};
use hacluster_conf::model::Config;
use hacluster_core::machine::{Reason, StateKind, Transition};
use hacluster_core::priority::Priority;
use hacluster_core::vrid::Vrid;
use hacluster_net::poll::Wake;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than anything here takes on any machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) notify: Notify,
    pub(crate) feed: Feed,
    events: Receiver<Event>,
    told: RefCell<Vec<(String, bool)>>,
    _sender: EventSender,
}

/// Waits until `holds`.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The file that `DIR` in a configuration stands for.
pub(crate) fn load(dir: &Path, text: &str) -> InForce {
    let file = dir.join("keepalived.conf");
    fs::write(&file, text.replace("DIR", dir.to_str().unwrap())).unwrap();
    in_force::load(&Args::parse_from(["hacluster-agent", "--config", file.to_str().unwrap()]))
}

/// A virtual router with more lines.
pub(crate) fn instance(name: &str, vrid: u8, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n priority 100\n \
         virtual_ipaddress {{ 192.0.2.{vrid}/24 }}\n{more}\n}}\n"
    )
}

/// `name`'s identity as [`instance`] makes it.
pub(crate) fn identity(name: &str, vrid: u8) -> Arc<Identity> {
    Arc::new(Identity { name: name.into(), vrid: Vrid::new(vrid).unwrap(), interface: "eth0".into() })
}

impl Bench {
    /// With the file `text` and these programs, by name and text.
    pub(crate) fn new(text: &str, programs: &[(&str, &str)]) -> Self {
        Self::with(text, programs, |_| {})
    }

    pub(crate) fn with(text: &str, programs: &[(&str, &str)], adjust: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in programs {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}\n", dir.path().display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = if text.contains("script_user") {
            text.to_owned()
        } else {
            let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap();
            format!("global_defs {{\n script_user {}\n}}\n{text}", user.name)
        };
        let in_force = load(dir.path(), &text);
        let mut config = in_force.loaded.config.clone();
        adjust(&mut config);
        let (sender, events) = mailbox(16_384, &Wake::new().unwrap());
        let program = Path::new(env!("CARGO_BIN_EXE_hacluster-agent"));
        let notify = Notify::spawn(&config, sender.clone(), Wake::new().unwrap(), program).unwrap();
        let feed = notify.feed();
        Self { dir, notify, feed, events, told: RefCell::default(), _sender: sender }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Router `name` (see [`identity`]) enters `to`.
    pub(crate) fn enters(&self, name: &str, vrid: u8, to: StateKind, reason: Reason) {
        let transition = Transition { from: StateKind::Initialize, to, reason };
        let priority = Priority::DEFAULT;
        let what = What::Transition { transition, priority, detail: None, began: None, waited: None };
        self.feed.tell(&Event::now(Some(identity(name, vrid)), what));
    }

    pub(crate) fn master(&self, name: &str, vrid: u8) {
        self.enters(name, vrid, StateKind::Master, Reason::Started);
    }

    pub(crate) fn backup(&self, name: &str, vrid: u8) {
        self.enters(name, vrid, StateKind::Backup, Reason::Started);
    }

    pub(crate) fn fault(&self, name: &str, vrid: u8) {
        let reason = Reason::Fault(hacluster_core::machine::Fault::Link);
        self.enters(name, vrid, StateKind::Fault, reason);
    }

    pub(crate) fn fact(&self, router: Option<Arc<Identity>>, fact: Fact) {
        self.feed.tell(&Event::now(router, fact));
    }

    /// What was said so far, and whether as a warning.
    pub(crate) fn told(&self) -> Vec<(String, bool)> {
        while let Some(event) = self.events.pop() {
            if let What::Notified { warning, text } = event.what {
                self.told.borrow_mut().push((text, warning));
            }
        }
        self.told.borrow().clone()
    }

    /// Waits until something with all these words was said; returns it.
    pub(crate) fn hears(&self, words: &[&str]) -> String {
        let mut found = None;
        eventually(&format!("{words:?} is said"), || {
            let told = self.told();
            let all = |text: &&(String, bool)| words.iter().all(|word| text.0.contains(word));
            found = told.iter().find(all).map(|(text, _)| text.clone());
            found.is_some()
        });
        found.unwrap()
    }

    /// Lines of the file `name`.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the file `name` has as many lines as `expected`, and compares.
    pub(crate) fn expect_lines(&self, name: &str, expected: &[&str]) {
        eventually(&format!("{name} has {expected:?}, not {:?}", self.lines(name)), || {
            self.lines(name).len() >= expected.len()
        });
        assert_eq!(self.lines(name), expected);
    }
}
