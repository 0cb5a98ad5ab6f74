//! One mail: its subject after keepalived's custom, so that filters go on to work, and a body that says why.

use super::subject::{Change, Subject, Word};
use crate::story::{Delivery, Mailed, Trail};
use anyhow::Context;
use hacluster_conf::model::Mail;
use hacluster_core::time::Instant as Moment;
use hacluster_net::clock;
use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use std::time::SystemTime;
use tokio::time::Instant;

/// A mail that waits.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// When what it tells happened.
    pub(super) at: SystemTime,
    /// When it began to wait.
    pub(super) since: Instant,
    pub(super) subject: String,
    pub(super) body: String,
    /// The same by the clock of events.
    pub(super) begun: Moment,
    /// The story it belongs to.
    pub(super) trail: Option<Trail>,
    /// The only recipients; all that are configured when absent.
    pub(super) only: Option<Vec<String>>,
}

impl Letter {
    /// Tells `change`; none for what nobody gets mail about.
    pub(super) fn of(node: &str, subject: &Subject, change: &Change) -> Option<Self> {
        if !matches!(change.word, Word::Master | Word::Backup | Word::Fault | Word::Up | Word::Down) {
            return None;
        }
        let who = match subject {
            Subject::Instance(name) => format!("Instance {name}"),
            Subject::Group(name) => format!("Group {name}"),
            Subject::Balanced(of) => return Some(Self::balanced(node, of, change)),
        };
        let mut body = format!("VRRP {who} is {} on node {node}.\n\nWhy: {}\n", change.word, change.why);
        if let Some(router) = &change.router {
            body.push_str(&format!("Priority: {}\nVirtual router: {router}\n", change.priority));
        }
        Some(Self {
            at: SystemTime::now(),
            since: Instant::now(),
            begun: clock::now(),
            trail: change.trail,
            subject: one_line(&format!("[{node}] VRRP {who} - Entering {} state", change.word)),
            body,
            only: None,
        })
    }

    /// Tells of a virtual server, or of a real server of one.
    fn balanced(node: &str, of: &crate::lvs::Subject, change: &Change) -> Self {
        let who = match &of.server {
            Some(server) => format!("Realserver {server} of virtual server {}", of.service),
            None => format!("Virtualserver {}", of.service),
        };
        Self {
            at: SystemTime::now(),
            since: Instant::now(),
            begun: clock::now(),
            trail: change.trail,
            subject: one_line(&format!("[{node}] {who} - {}", change.word)),
            body: format!("{who} is {} on node {node}.\n\nWhy: {}\n", change.word, change.why),
            only: None,
        }
    }

    /// Tells of a `check` of a real server that turned, while the server stays what it is.
    pub(super) fn of_check(node: &str, told: &crate::lvs::Told, check: &str, trail: Option<Trail>) -> Self {
        let word = if told.up { Word::Up } else { Word::Down };
        let change = Change { router: None, word, priority: 0, why: told.why.clone(), hook: None, trail };
        let letter = Self::balanced(node, &told.subject, &change);
        Self {
            subject: one_line(&format!("{} ({check})", letter.subject)),
            body: format!("{check}; {}", letter.body),
            ..letter
        }
    }

    /// Who gets it.
    pub(super) fn recipients<'a>(&'a self, mail: &'a Mail) -> &'a [String] {
        self.only.as_deref().unwrap_or(&mail.to)
    }

    /// What came of it.
    pub(super) fn came_to(&self, delivery: Delivery, recipients: usize, why: &str) -> Mailed {
        let (subject, text) = (self.subject.clone(), why.to_owned());
        Mailed { delivery, count: 1, subject, recipients, begun: self.begun, text }
    }

    /// As it goes out.
    ///
    /// # Errors
    /// Which address is none.
    pub(super) fn message(&self, mail: &Mail) -> anyhow::Result<Message> {
        let mut message = Message::builder()
            .from(mailbox(&mail.from)?)
            .subject(&self.subject)
            .date(self.at)
            .message_id(None)
            .header(ContentType::TEXT_PLAIN)
            // Nobody's absence note need answer this [RFC 3834].
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for recipient in self.recipients(mail) {
            message = message.to(mailbox(recipient)?);
        }
        message.body(self.body.clone()).context("it cannot be put together")
    }
}

fn mailbox(text: &str) -> anyhow::Result<Mailbox> {
    text.parse().with_context(|| format!("`{text}` is no mail address"))
}

fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Identity;
    use hacluster_core::vrid::Vrid;
    use std::sync::Arc;

    pub(in crate::notify) fn settings() -> Mail {
        Mail {
            to: vec!["one@example.org".into(), "two@example.org".into()],
            from: "ha@node.example.org".into(),
            server: "127.0.0.1".into(),
            port: 25,
            helo: None,
            timeout: hacluster_core::time::Duration::from_secs(5),
            starttls: false,
            login: None,
            ca_file: None,
            faults: true,
        }
    }

    #[test]
    fn the_subject_is_the_one_that_filters_know() {
        let identity =
            Identity { name: "VI_1".into(), vrid: Vrid::new(7).unwrap(), interface: "eth0".into() };
        let change = Change {
            router: Some(Arc::new(identity)),
            word: Word::Master,
            priority: 100,
            why: "master 192.0.2.2 fell silent".into(),
            hook: None,
            trail: None,
        };
        let letter = Letter::of("R1", &Subject::Instance("VI_1".into()), &change).unwrap();
        let text = String::from_utf8(letter.message(&settings()).unwrap().formatted()).unwrap();
        for part in [
            "Subject: [R1] VRRP Instance VI_1 - Entering MASTER state\r\n",
            "To: one@example.org, two@example.org\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Why: master 192.0.2.2 fell silent",
            "VI_1 (vrid 7, eth0)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let stop = Change { word: Word::Stop, ..change };
        assert!(Letter::of("R1", &Subject::Group("G".into()), &stop).is_none(), "keepalived sends none");
    }

    #[test]
    fn virtual_and_real_servers_have_the_subjects_that_filters_know() {
        let change = Change {
            router: None,
            word: Word::Down,
            priority: 0,
            why: "refused".into(),
            hook: None,
            trail: None,
        };
        let subject = |server: Option<&str>| {
            let server = server.map(str::to_owned);
            let of = crate::lvs::Subject { service: "[10.0.0.1]:tcp:80".into(), server };
            Letter::of("R1", &Subject::Balanced(of), &change).unwrap().subject
        };
        assert_eq!(
            subject(Some("[10.0.0.2]:tcp:80")),
            "[R1] Realserver [10.0.0.2]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN"
        );
        assert_eq!(subject(None), "[R1] Virtualserver [10.0.0.1]:tcp:80 - DOWN");
    }

    #[test]
    fn a_check_that_turned_stands_behind_the_state_of_its_server() {
        let subject = crate::lvs::Subject {
            service: "[10.0.0.1]:tcp:80".into(),
            server: Some("[10.0.0.2]:tcp:80".into()),
        };
        let check = "HTTP check of 10.0.0.2:80 fails";
        let told = crate::lvs::Told {
            subject,
            called: crate::lvs::Called { service: "10.0.0.1 80".into(), server: None },
            up: false,
            check: Some(check.into()),
            why: "HTTP 503".into(),
            cause: None,
            hook: None,
            mail: true,
        };
        let letter = Letter::of_check("R1", &told, check, None);
        assert_eq!(
            letter.subject,
            "[R1] Realserver [10.0.0.2]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN (HTTP check of 10.0.0.2:80 fails)"
        );
        assert!(letter.body.starts_with(check) && letter.body.contains("HTTP 503"), "{}", letter.body);
    }

    #[test]
    fn a_name_cannot_add_a_header() {
        let change =
            Change { router: None, word: Word::Fault, priority: 0, why: "x".into(), hook: None, trail: None };
        let letter = Letter::of("R\r\nBcc: x@y.z", &Subject::Group("G".into()), &change).unwrap();
        let text = String::from_utf8(letter.message(&settings()).unwrap().formatted()).unwrap();
        let headers = text.split("\r\n\r\n").next().unwrap();
        assert!(!headers.contains("\nBcc:"), "{headers}");
    }

    #[test]
    fn what_is_no_address_is_named() {
        let change =
            Change { router: None, word: Word::Fault, priority: 0, why: "x".into(), hook: None, trail: None };
        let letter = Letter::of("R1", &Subject::Group("G".into()), &change).unwrap();
        let mail = Mail { to: vec!["nobody".into()], ..settings() };
        assert!(letter.message(&mail).unwrap_err().to_string().contains("`nobody` is no mail address"));
    }
}
