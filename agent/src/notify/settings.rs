//! What of a configuration concerns notifications.

use super::subject::Subject;
use hacluster_conf::model::lvs::VirtualServer;
use hacluster_conf::model::{self, Command, Config, Fifo, Mail, Scripts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Who is told what, how.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// Name of this node in mails.
    pub(super) node: String,
    pub(super) subjects: BTreeMap<Subject, Arc<model::Notify>>,
    /// Members of each group, by name.
    pub(super) groups: BTreeMap<String, Vec<String>>,
    /// How long after a rival was heard it must have yielded.
    pub(super) patience: BTreeMap<String, Duration>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) fifos: Vec<Pipe>,
    /// All states are told to the fifos again after a reload.
    pub(super) states_on_reload: bool,
    pub(super) mail: Option<Mail>,
    /// Virtual or real servers have programs that tell of them.
    balance: bool,
    /// Nothing is configured.
    plain: Arc<model::Notify>,
}

/// A fifo, and what is told to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipe {
    pub(super) fifo: Fifo,
    /// Virtual routers and groups.
    pub(super) routers: bool,
    /// Virtual and real servers.
    pub(super) balance: bool,
}

/// Every fifo once, whoever names it.
fn pipes(config: &Config) -> Vec<Pipe> {
    let all = config.fifos.all.iter().map(|fifo| (fifo, true, true));
    let vrrp = config.fifos.vrrp.iter().map(|fifo| (fifo, true, false));
    let lvs = config.lvs.fifo.iter().map(|fifo| (fifo, false, true));
    let mut pipes: Vec<Pipe> = Vec::new();
    for (fifo, routers, balance) in all.chain(vrrp).chain(lvs) {
        match pipes.iter_mut().find(|known| known.fifo == *fifo) {
            Some(known) => {
                (known.routers, known.balance) = (known.routers | routers, known.balance | balance)
            }
            None => pipes.push(Pipe { fifo: fifo.clone(), routers, balance }),
        }
    }
    pipes
}

/// Advert intervals after which a rival that heard our answer is silent.
const YIELDED_AFTER: u32 = 3;

impl Settings {
    /// Of a configuration.
    pub(super) fn of(config: &Config) -> Self {
        let mut settings = Self {
            node: config.global.router_id.clone().unwrap_or_else(host_name),
            scripts: Arc::new(config.scripts.clone()),
            fifos: pipes(config),
            states_on_reload: config.fifos.states_on_reload,
            mail: config.mail.clone(),
            balance: config.lvs.services.iter().any(tells),
            ..Self::default()
        };
        for router in &config.routers {
            let subject = Subject::Instance(router.name.clone());
            settings.subjects.insert(subject, Arc::new(router.notify.clone()));
            let interval = Duration::from_micros(router.advert_interval.duration().as_micros());
            settings.patience.insert(router.name.clone(), interval * YIELDED_AFTER);
        }
        for group in &config.groups {
            let subject = Subject::Group(group.name.clone());
            settings.subjects.insert(subject, Arc::new(group.notify.clone()));
            settings.groups.insert(group.name.clone(), group.members.clone());
        }
        settings
    }

    /// Whether any program may have to be run.
    pub(super) fn runs_programs(&self) -> bool {
        let hooks = self.subjects.values().any(|notify| commands(notify).next().is_some());
        let readers = self.fifos.iter().any(|pipe| pipe.fifo.script.is_some());
        hooks || readers || self.balance || self.scripts.startup.is_some() || self.scripts.shutdown.is_some()
    }

    /// What holds for `subject`; nothing for one that is not configured.
    pub(super) fn notify(&self, subject: &Subject) -> Option<&Arc<model::Notify>> {
        match subject {
            Subject::Balanced(_) => Some(&self.plain), // what is told brings its own program
            Subject::Instance(_) | Subject::Group(_) => self.subjects.get(subject),
        }
    }

    /// Whether there is a virtual router of that name.
    pub(super) fn knows(&self, router: &str) -> bool {
        self.patience.contains_key(router)
    }
}

fn tells(of: &VirtualServer) -> bool {
    let servers = of.servers.iter().flat_map(|server| [&server.notify_up, &server.notify_down]);
    servers.chain([&of.quorum_up, &of.quorum_down]).any(Option::is_some)
}

fn commands(notify: &model::Notify) -> impl Iterator<Item = &Command> {
    let model::Notify { master, backup, fault, stop, deleted, any, master_rx_lower_pri, .. } = notify;
    [master, backup, fault, stop, deleted, any, master_rx_lower_pri].into_iter().flatten()
}

fn host_name() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |names| names.nodename().to_string_lossy().into_owned())
}
