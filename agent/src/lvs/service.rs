//! One virtual server: its configuration, who takes connections, since when and why.
//!
//! ```text
//!   looks, orders, rest --> core::balance --> rows of the kernel's table, notices, view
//! ```

use super::notice::{Called, Notice, Subject, Told, Why};
use super::orders::Order;
use super::table::{self, Row};
use super::view::{CheckView, ServerView, ServiceView};
use hacluster_conf::model::lvs::VirtualServer;
use hacluster_core::balance::{Change, Look, Rules, Server, ServerRules, Service, Sorry};
use hacluster_net::netlink::ipvs::ServiceKey;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What one real server is beside what the core knows of it.
#[derive(Clone, Debug)]
struct Past {
    since: SystemTime,
    why: Arc<str>,
    order: Option<Order>,
}

/// A check that turned.
#[derive(Clone, Debug)]
pub(super) struct Turned {
    /// Which, for people.
    pub check: String,
    /// It is good now.
    pub good: bool,
    /// Why.
    pub why: Arc<str>,
}

/// A virtual server that runs.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// As configured.
    pub config: Arc<VirtualServer>,
    /// Who takes connections.
    pub state: Service,
    servers: Vec<Past>,
    since: SystemTime,
    why: Arc<str>,
    /// When it rests: none of these is held here. Empty for one that never does.
    pub addresses: Vec<IpAddr>,
}

impl Live {
    /// One that begins, or goes on with what `before` was. `looks` are those of each server's checks;
    /// `orders` what was ordered of each.
    pub(super) fn new(
        config: Arc<VirtualServer>,
        before: Option<&Self>,
        looks: Vec<Vec<Look>>,
        orders: Vec<Option<Order>>,
    ) -> Self {
        let now = SystemTime::now();
        let (mut servers, mut states) = (Vec::new(), Vec::new());
        for ((server, looks), order) in config.servers.iter().zip(looks).zip(orders) {
            let rules = ServerRules { weight: server.weight, inhibit: server.inhibit_on_failure };
            let state = Server::new(rules, looks, order.as_ref().map(|order| order.weight));
            // What is different from before is told when it is settled.
            let (state, since, why) = match before.and_then(|before| before.past(server.to)) {
                Some((was, past)) => (state.settled(was.is_up(), was.weight()), past.since, past.why.clone()),
                None => {
                    let why = first(state.is_up());
                    (state, now, why)
                }
            };
            servers.push(Past { since, why, order });
            states.push(state);
        }
        let sorry = config.sorry.map(|sorry| if sorry.inhibit { Sorry::Inhibited } else { Sorry::Absent });
        let rules = Rules { quorum: config.quorum, hysteresis: config.hysteresis, sorry };
        let state = Service::new(rules, states, before.map(|before| before.state.has_quorum()));
        let (since, why) = before.map_or_else(|| (now, "".into()), |of| (of.since, of.why.clone()));
        let addresses = if config.ha_suspend { table::addresses(&config) } else { Vec::new() };
        Self { config, state, servers, since, why, addresses }
    }

    fn past(&self, server: std::net::SocketAddr) -> Option<(&Server, &Past)> {
        let number = self.config.servers.iter().position(|known| known.to == server)?;
        Some((self.state.servers().get(number)?, self.servers.get(number)?))
    }

    /// Writes down what an operator ordered of a server.
    pub(super) fn order(&mut self, server: usize, order: Option<Order>) {
        self.state.order(server, order.as_ref().map(|order| order.weight));
        if let Some(past) = self.servers.get_mut(server) {
            past.order = order;
        }
    }

    /// Decides, and says what changed. `why_down` says why a server fails its checks, `why_up` why it
    /// does no more.
    pub(super) fn settle(&mut self, why: impl Fn(usize, bool) -> Why) -> Vec<Notice> {
        let changes = self.state.settle();
        let mut notices = Vec::new();
        for change in changes {
            match change {
                Change::Server { server, up } => notices.extend(self.server_changed(server, up, &why)),
                Change::Weight { server, from, to } => notices.extend(self.weight_changed(server, from, to)),
                Change::Quorum { up } => notices.push(self.quorum_changed(up)),
            }
        }
        notices
    }

    fn server_changed(
        &mut self,
        number: usize,
        up: bool,
        why: &impl Fn(usize, bool) -> Why,
    ) -> Option<Notice> {
        let Why { text: why, cause } = why(number, up);
        let (config, past) = (self.config.servers.get(number)?, self.servers.get_mut(number)?);
        (past.since, past.why) = (SystemTime::now(), why.clone());
        let subject = Subject::server(&self.config, config.to);
        let hook = if up { ("notify_up", &config.notify_up) } else { ("notify_down", &config.notify_down) };
        let text = format!(
            "{}: real server {} is {}: {why}",
            ServiceView::label(&self.config),
            config.to,
            if up { "up" } else { "down" }
        );
        let hook = hook.1.clone().map(|command| (hook.0, command));
        let called = Called::server(&self.config, config.to);
        let told = Told { subject, called, up, check: None, why, cause, hook, mail: config.mail };
        Some(Notice { warning: !up, text, told: Some(Arc::new(told)) })
    }

    /// What is told of a server that is up when it is set up, where that is wanted (`rs_init_notifies`).
    pub(super) fn arrival(&self, number: usize) -> Option<Notice> {
        let (config, up) = (self.config.servers.get(number)?, self.state.servers().get(number)?.is_up());
        let subject = Subject::server(&self.config, config.to);
        let why: Arc<str> = "set up".into();
        let text = format!("{}: real server {} is up: {why}", ServiceView::label(&self.config), config.to);
        let hook = config.notify_up.clone().map(|command| ("notify_up", command));
        let called = Called::server(&self.config, config.to);
        let told = Told { subject, called, up, check: None, why, cause: None, hook, mail: false };
        up.then(|| Notice { warning: false, text, told: Some(Arc::new(told)) })
    }

    /// What is told of a virtual server that has its quorum when it is set up.
    pub(super) fn beginning(&self) -> Notice {
        let (sum, needed) = (self.state.sum(), self.config.quorum);
        self.quorum_notice(true, format!("weight {sum} up of {needed} needed, as it is set up").into())
    }

    /// What is told of a check that turned and left its server as it was; `mail` where that is wanted.
    pub(super) fn check_turned(&self, number: usize, turned: &Turned, mail: bool) -> Option<Notice> {
        let (config, up) = (self.config.servers.get(number)?, self.state.servers().get(number)?.is_up());
        let Turned { check, good, why } = turned;
        let (verb, state) = (if *good { "succeeds" } else { "fails" }, if up { "up" } else { "down" });
        let of = ServiceView::label(&self.config);
        let text = format!("{of}: {check} {verb}: {why}; real server {} is {state} as before", config.to);
        let check = Some(format!("{check} {verb}"));
        let subject = Subject::server(&self.config, config.to);
        let (called, why) = (Called::server(&self.config, config.to), why.clone());
        let told = Told { subject, called, up, check, why, cause: None, hook: None, mail: true };
        let told = (mail && config.mail).then(|| Arc::new(told));
        Some(Notice { warning: false, text, told })
    }

    fn weight_changed(&self, number: usize, from: u16, to: u16) -> Option<Notice> {
        let (config, past) = (self.config.servers.get(number)?, self.servers.get(number)?);
        let why = match &past.order {
            Some(order) if to == 0 => format!("drained by {} ({})", order.by, order.reason),
            Some(order) => format!("ordered by {} ({})", order.by, order.reason),
            None if to == config.weight => "as configured".to_owned(),
            None => "its checks say so".to_owned(),
        };
        let of = ServiceView::label(&self.config);
        Some(Notice::plain(false, format!("{of}: real server {} weight {from} -> {to}: {why}", config.to)))
    }

    fn quorum_changed(&mut self, up: bool) -> Notice {
        let (sum, config) = (self.state.sum(), &self.config);
        let needed = u64::from(config.quorum);
        let who = match (&config.sorry, up) {
            (Some(sorry), false) => format!("; sorry server {} answers", sorry.to),
            (Some(sorry), true) => format!("; sorry server {} answers no more", sorry.to),
            (None, false) if sum == 0 => "; nobody answers".to_owned(),
            (None, false) => "; who is left goes on".to_owned(),
            (None, true) => String::new(),
        };
        let band = match config.hysteresis {
            0 => String::new(),
            hysteresis => format!(" (hysteresis {hysteresis})"),
        };
        let why: Arc<str> = format!("weight {sum} up of {needed} needed{band}{who}").into();
        (self.since, self.why) = (SystemTime::now(), why.clone());
        self.quorum_notice(up, why)
    }

    fn quorum_notice(&self, up: bool, why: Arc<str>) -> Notice {
        let config = &self.config;
        let hook = if up { ("quorum_up", &config.quorum_up) } else { ("quorum_down", &config.quorum_down) };
        let hook = hook.1.clone().map(|command| (hook.0, command));
        let verb = if up { "has its quorum" } else { "lost its quorum" };
        let text = format!("{} {verb}: {why}", ServiceView::label(config));
        let (subject, called) = (Subject::service(config), Called::service(config));
        let told = Told { subject, called, up, check: None, why, cause: None, hook, mail: config.mail };
        Notice { warning: !up, text, told: Some(Arc::new(told)) }
    }

    /// What is told when the agent ends and the configuration wants that told (`omega`).
    pub(super) fn farewell(&self) -> Vec<Notice> {
        if !self.config.omega {
            return Vec::new();
        }
        let mut last = self.clone();
        let up = |number: &usize| last.state.servers().get(*number).is_some_and(Server::is_up);
        let ending: Vec<usize> = (0..self.servers.len()).filter(up).collect();
        let why = |_, _| Why::from("the agent stops");
        let mut notices: Vec<_> =
            ending.into_iter().filter_map(|number| last.server_changed(number, false, &why)).collect();
        if self.state.has_quorum() {
            notices.push(last.quorum_changed(false));
        }
        notices.iter_mut().for_each(|notice| notice.warning = false);
        notices
    }

    /// What the kernel knows it by.
    pub(super) fn keys(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        self.config.frontends.iter().map(table::service_key)
    }

    /// Its rows of the kernel's table.
    pub(super) fn rows(&self) -> impl Iterator<Item = (ServiceKey, Row)> + '_ {
        self.config
            .frontends
            .iter()
            .map(|frontend| (table::service_key(frontend), table::row(frontend, &self.config, &self.state)))
    }

    /// For the status; `said` is what is known of each server's checks.
    pub(super) fn view(&self, said: impl Fn(usize) -> Vec<CheckView>) -> ServiceView {
        let servers = self.state.servers().iter().zip(&self.servers).enumerate();
        let server = |(number, (state, past)): (usize, (&Server, &Past))| ServerView {
            up: state.is_up(),
            since: past.since,
            why: past.why.clone(),
            weight: state.weight(),
            placed: self.state.destination(number),
            order: past.order.clone(),
            checks: said(number),
        };
        ServiceView {
            config: self.config.clone(),
            up: self.state.has_quorum(),
            since: self.since,
            why: self.why.clone(),
            sum: self.state.sum(),
            threshold: self.state.threshold(),
            suspended: self.state.is_suspended(),
            sorry: self.state.sorry(),
            servers: servers.map(server).collect(),
        }
    }
}

fn first(up: bool) -> Arc<str> {
    if up { "".into() } else { "not seen good yet".into() }
}
