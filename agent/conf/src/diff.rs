//! What a new configuration changes, so that a reload touches nothing else.
//!
//! ```text
//!   old model --.                    .-> Live     given to the running router, no packet is lost
//!               +-> [Change, ...] ---+
//!   new model --'                    `-> Restart  the router leaves and starts again
//! ```
//!
//! A virtual router is the same one when interface and VRID are the same; its name is for people,
//! so renaming it is a change like any other. One that moved to another interface or VRID is found by
//! its name. No line ever shows a password.

mod cluster;
mod lvs;
mod route;

use crate::diag::{Diagnostic, Severity};
use crate::model::{
    Accept, Address, Agent, Authentication, Config, Garp, Global, InitialState, PacketFilter, Preemption,
    VirtualRouter,
};
use hacluster_core::{time::Duration, vrid::Vrid};
use std::fmt;

/// How a change is put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Without disturbing anything that runs.
    Live,
    /// By stopping and starting what it concerns.
    Restart,
}

/// One step from the old configuration to the new one.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A virtual router that was not there.
    Add(Box<VirtualRouter>),
    /// A virtual router that goes.
    Remove(Box<VirtualRouter>),
    /// A virtual router, known by interface and VRID, that differs.
    Modify {
        /// As it runs.
        old: Box<VirtualRouter>,
        /// As it is to run.
        new: Box<VirtualRouter>,
        /// What differs, never empty.
        what: Vec<FieldChange>,
    },
    /// A setting of the process.
    Agent(FieldChange),
    /// A setting for all virtual routers.
    Global(FieldChange),
    /// How this node is reached, or another agent it knows.
    Cluster(FieldChange),
    /// A setting for all virtual servers.
    Balance(FieldChange),
    /// A virtual server that comes, goes or differs.
    Service {
        /// Its name.
        name: String,
        /// What differs, never empty.
        what: Vec<FieldChange>,
    },
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Name of the setting, as in `agent.toml`.
    pub field: &'static str,
    /// The change for people: `100 -> 90`, `+192.0.2.9/24 -192.0.2.8/24`, `changed`.
    pub text: String,
    /// How it is put in force.
    pub effect: Effect,
}

impl Change {
    /// The strongest effect of what it holds; adding or removing a router disturbs no other one.
    pub fn effect(&self) -> Effect {
        match self {
            Self::Add(_) | Self::Remove(_) => Effect::Live,
            Self::Modify { what, .. } | Self::Service { what, .. } => {
                what.iter().map(|field| field.effect).max().unwrap_or(Effect::Live)
            }
            Self::Agent(field) | Self::Global(field) | Self::Cluster(field) | Self::Balance(field) => {
                field.effect
            }
        }
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.text)
    }
}

impl fmt::Display for Change {
    /// `VI_1: priority 100 -> 90, preempt true -> false`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(new) => write!(f, "{}: added (VRID {} on {})", new.name, new.vrid, new.interface),
            Self::Remove(old) => write!(f, "{}: removed (VRID {} on {})", old.name, old.vrid, old.interface),
            Self::Modify { new, what, .. } => {
                let what: Vec<String> = what.iter().map(ToString::to_string).collect();
                write!(f, "{}: {}", new.name, what.join(", "))?;
                f.write_str(if self.effect() == Effect::Restart { " (restarts it)" } else { "" })
            }
            Self::Agent(field) | Self::Global(field) => {
                let of = if matches!(self, Self::Agent(_)) { "agent" } else { "global" };
                write!(f, "{of}: {field}")?;
                f.write_str(if field.effect == Effect::Restart {
                    " (needs a restart of the agent)"
                } else {
                    ""
                })
            }
            Self::Cluster(field) => write!(f, "cluster: {field}"),
            Self::Balance(field) => write!(f, "lvs: {field}"),
            Self::Service { name, what } => {
                let what: Vec<String> = what.iter().map(ToString::to_string).collect();
                write!(f, "virtual_server {name}: {}", what.join(", "))
            }
        }
    }
}

/// The steps from `old` to `new`: process, all routers, virtual servers, then routers that are removed,
/// modified, added; none when equal.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes: Vec<Change> = agent(&old.agent, &new.agent).into_iter().map(Change::Agent).collect();
    changes.extend(global(&old.global, &new.global).into_iter().map(Change::Global));
    changes.extend(filter(&old.filter, &new.filter).into_iter().map(Change::Global));
    changes.extend(cluster::fields(old, new).into_iter().map(Change::Cluster));
    changes.extend(route::statics(&old.statics, &new.statics).into_iter().map(Change::Global));
    changes.extend(services(old, new).into_iter().map(Change::Global));
    changes.extend(lvs::changes(&old.lvs, &new.lvs));
    let pairs: Vec<Option<&VirtualRouter>> =
        new.routers.iter().map(|router| predecessor(router, &old.routers, &new.routers)).collect();
    let stays = |router: &VirtualRouter| pairs.iter().flatten().any(|old| place(old) == place(router));
    let gone = old.routers.iter().filter(|old| !stays(old));
    changes.extend(gone.map(|old| Change::Remove(Box::new(old.clone()))));
    let mut added = Vec::new();
    for (new, old) in new.routers.iter().zip(&pairs) {
        let Some(old) = *old else {
            added.push(Change::Add(Box::new(new.clone())));
            continue;
        };
        let what = router(old, new);
        if !what.is_empty() {
            changes.push(Change::Modify { old: Box::new(old.clone()), new: Box::new(new.clone()), what });
        }
    }
    changes.extend(added);
    changes
}

/// What makes a virtual router this one and no other.
fn place(router: &VirtualRouter) -> (&str, Vrid) {
    (&router.interface, router.vrid)
}

/// The router of `old` that `router` continues: at the same place, else of the same name when
/// nothing of `new` stands at the place it leaves.
fn predecessor<'a>(
    router: &VirtualRouter,
    old: &'a [VirtualRouter],
    new: &[VirtualRouter],
) -> Option<&'a VirtualRouter> {
    old.iter().find(|old| place(old) == place(router)).or_else(|| {
        old.iter().find(|old| {
            old.name.eq_ignore_ascii_case(&router.name) && !new.iter().any(|new| place(new) == place(old))
        })
    })
}

/// Errors of `new` that `old` did not have, by severity, code and message: where they stand, and how
/// often, does not matter. A reload that brings one is refused.
pub fn new_errors<'a>(old: &[Diagnostic], new: &'a [Diagnostic]) -> Vec<&'a Diagnostic> {
    let same = |a: &Diagnostic, b: &Diagnostic| {
        a.severity == b.severity && a.code == b.code && a.message == b.message
    };
    new.iter()
        .filter(|new| new.severity >= Severity::Error && !old.iter().any(|old| same(old, new)))
        .collect()
}

/// Collects what differs between two values of one type.
#[derive(Default)]
struct Fields(Vec<FieldChange>);

impl Fields {
    fn push(&mut self, field: &'static str, effect: Effect, text: String) {
        self.0.push(FieldChange { field, text, effect });
    }

    fn compare<T: PartialEq>(
        &mut self,
        field: &'static str,
        effect: Effect,
        (old, new): (&T, &T),
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            let (old, new) = (show(old), show(new));
            // What has no short form: the fact alone.
            let text = if old == new { "changed".to_owned() } else { format!("{old} -> {new}") };
            self.push(field, effect, text);
        }
    }

    /// Added, removed and otherwise changed members of a list that people know by name.
    fn names<T: PartialEq>(
        &mut self,
        field: &'static str,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> String,
    ) {
        let find = |list: &[T], of: &T| list.iter().position(|other| name(other) == name(of));
        let mut words = Vec::new();
        for item in new {
            match find(old, item) {
                None => words.push(format!("+{}", name(item))),
                Some(at) if old[at] != *item => words.push(format!("~{}", name(item))),
                Some(_) => {}
            }
        }
        words.extend(
            old.iter().filter(|item| find(new, item).is_none()).map(|item| format!("-{}", name(item))),
        );
        if !words.is_empty() {
            self.push(field, Effect::Live, words.join(", "));
        }
    }

    fn live<T: PartialEq + fmt::Display>(&mut self, field: &'static str, old: &T, new: &T) {
        self.compare(field, Effect::Live, (old, new), T::to_string);
    }

    fn restart<T: PartialEq + fmt::Display>(&mut self, field: &'static str, old: &T, new: &T) {
        self.compare(field, Effect::Restart, (old, new), T::to_string);
    }

    fn span(&mut self, field: &'static str, old: &Duration, new: &Duration) {
        self.compare(field, Effect::Live, (old, new), seconds);
    }

    /// Added and removed addresses; one whose way of being installed differs is `~`.
    fn addresses(&mut self, field: &'static str, old: &[Address], new: &[Address]) {
        let holds = |list: &[Address], of: &Address| {
            list.iter().any(|a| (a.ip, a.prefix_len) == (of.ip, of.prefix_len))
        };
        let mut words: Vec<String> = new.iter().filter(|a| !holds(old, a)).map(|a| format!("+{a}")).collect();
        words.extend(old.iter().filter(|a| !holds(new, a)).map(|a| format!("-{a}")));
        words.extend(new.iter().filter(|a| holds(old, a) && !old.contains(a)).map(|a| format!("~{a}")));
        if !words.is_empty() {
            self.push(field, Effect::Live, words.join(" "));
        } else if old != new {
            self.push(field, Effect::Live, "reordered".into());
        }
    }
}

fn agent(old: &Agent, new: &Agent) -> Vec<FieldChange> {
    // Written out without `..`: a new setting does not compile until it is considered here.
    let Agent { realtime_priority, urgency, lock_memory, cpu_affinity, fast_takeover, run_dir, state_dir } =
        old;
    let mut fields = Fields::default();
    fields.compare(
        "realtime_priority",
        Effect::Live,
        (realtime_priority, &new.realtime_priority),
        |priority| or(priority.as_ref(), "off"),
    );
    fields.compare("realtime_priority_max", Effect::Live, (urgency, &new.urgency), |urgency| {
        let shown = urgency.map(|urgency| format!("{} after {} late", urgency.most, seconds(&urgency.late)));
        or(shown.as_ref(), "off")
    });
    fields.live("lock_memory", lock_memory, &new.lock_memory);
    fields
        .compare("cpu_affinity", Effect::Live, (cpu_affinity, &new.cpu_affinity), |cpus| format!("{cpus:?}"));
    fields.live("fast_takeover", fast_takeover, &new.fast_takeover);
    fields.compare("run_dir", Effect::Restart, (run_dir, &new.run_dir), |dir| {
        or(dir.as_ref().map(|dir| dir.display()).as_ref(), "default")
    });
    fields.compare("state_dir", Effect::Restart, (state_dir, &new.state_dir), |dir| {
        or(dir.as_ref().map(|dir| dir.display()).as_ref(), "default")
    });
    fields.0
}

fn global(old: &Global, new: &Global) -> Vec<FieldChange> {
    let Global { router_id, mcast_group, startup_delay_ms, delay_after_boot_ms, log_unknown_vrids } = old;
    let mut fields = Fields::default();
    fields.compare("router_id", Effect::Live, (router_id, &new.router_id), |id| or(id.as_ref(), "host name"));
    // Routers that use it differ in their own `mcast_group` and restart for that.
    fields.live("mcast_group", mcast_group, &new.mcast_group);
    fields.compare("startup_delay", Effect::Live, (startup_delay_ms, &new.startup_delay_ms), |ms| {
        seconds(&Duration::from_millis(*ms))
    });
    let after_boot = (delay_after_boot_ms, &new.delay_after_boot_ms);
    fields.compare("delay_after_boot", Effect::Live, after_boot, |ms| seconds(&Duration::from_millis(*ms)));
    fields.live("log_unknown_vrids", log_unknown_vrids, &new.log_unknown_vrids);
    fields.0
}

fn filter(old: &PacketFilter, new: &PacketFilter) -> Vec<FieldChange> {
    let mut fields = Fields::default();
    fields.compare("packet_filter", Effect::Restart, (old, new), |filter| {
        let table = filter.table.as_deref().unwrap_or("default");
        let counters = if filter.counters { " with counters" } else { "" };
        format!("table {table} at priority {}{counters}", filter.priority)
    });
    fields.0
}

/// What runs beside the protocol.
fn services(old: &Config, new: &Config) -> Vec<FieldChange> {
    let mut fields = Fields::default();
    fields.names("trackers", &old.trackers, &new.trackers, |tracker| tracker.id.to_string());
    fields.names("sync_groups", &old.groups, &new.groups, |group| group.name.clone());
    fields.compare("scripts", Effect::Live, (&old.scripts, &new.scripts), |_| String::new());
    fields.compare("fifos", Effect::Live, (&old.fifos, &new.fifos), |_| String::new());
    fields.compare("mail", Effect::Live, (&old.mail, &new.mail), |_| String::new());
    fields.0
}

fn router(old: &VirtualRouter, new: &VirtualRouter) -> Vec<FieldChange> {
    let VirtualRouter {
        name,
        interface,
        vrid,
        initial_state,
        priority,
        advert_interval,
        preemption,
        authentication,
        addresses,
        excluded,
        routes: _,
        rules: _,
        mcast_group,
        source,
        garp,
        down_timer_adverts,
        lower_prio_no_advert,
        higher_prio_send_advert,
        owner_ignore_adverts,
        skip_check_adv_addr,
        strict,
        accept,
        dont_track_primary,
        promote_secondaries,
        tracked,
        notify,
    } = old;
    let mut fields = Fields::default();
    fields.live("name", name, &new.name);
    fields.restart("interface", interface, &new.interface);
    fields.restart("vrid", vrid, &new.vrid);
    // Only matters when a router starts, so a running one is left alone.
    fields.compare("state", Effect::Live, (initial_state, &new.initial_state), |state| match state {
        InitialState::Master => "MASTER".into(),
        InitialState::Backup => "BACKUP".into(),
    });
    fields.live("priority", priority, &new.priority);
    fields.live("advert_interval", advert_interval, &new.advert_interval);
    fields.compare("preempt", Effect::Live, (preemption, &new.preemption), preempt);
    if authentication != &new.authentication {
        fields.push("password", Effect::Live, password(authentication, &new.authentication).into());
    }
    fields.addresses("addresses", addresses, &new.addresses);
    fields.addresses("excluded", excluded, &new.excluded);
    route::router(&mut fields, old, new);
    fields.restart("mcast_group", mcast_group, &new.mcast_group);
    fields.compare("source", Effect::Restart, (source, &new.source), |ip| or(ip.as_ref(), "automatic"));
    garp_fields(&mut fields, garp, &new.garp);
    fields.live("down_timer_adverts", down_timer_adverts, &new.down_timer_adverts);
    fields.live("lower_prio_no_advert", lower_prio_no_advert, &new.lower_prio_no_advert);
    fields.live("higher_prio_send_advert", higher_prio_send_advert, &new.higher_prio_send_advert);
    fields.live("owner_ignore_adverts", owner_ignore_adverts, &new.owner_ignore_adverts);
    fields.live("skip_check_adv_addr", skip_check_adv_addr, &new.skip_check_adv_addr);
    fields.live("strict", strict, &new.strict);
    fields.compare("accept", Effect::Live, (accept, &new.accept), |accept| {
        (*accept == Accept::Yes).to_string()
    });
    fields.live("dont_track_primary", dont_track_primary, &new.dont_track_primary);
    fields.live("promote_secondaries", promote_secondaries, &new.promote_secondaries);
    fields.names("track", tracked, &new.tracked, |tracked| tracked.tracker.to_string());
    fields.compare("notify", Effect::Live, (notify, &new.notify), |_| String::new());
    fields.0
}

fn garp_fields(fields: &mut Fields, old: &Garp, new: &Garp) {
    let Garp {
        master_delay,
        master_repeat,
        master_refresh,
        master_refresh_repeat,
        lower_prio_delay,
        lower_prio_repeat,
        interval,
    } = old;
    fields.span("garp.master_delay", master_delay, &new.master_delay);
    fields.live("garp.master_repeat", master_repeat, &new.master_repeat);
    fields.span("garp.master_refresh", master_refresh, &new.master_refresh);
    fields.live("garp.master_refresh_repeat", master_refresh_repeat, &new.master_refresh_repeat);
    fields.span("garp.lower_prio_delay", lower_prio_delay, &new.lower_prio_delay);
    fields.live("garp.lower_prio_repeat", lower_prio_repeat, &new.lower_prio_repeat);
    fields.span("garp.interval", interval, &new.interval);
}

fn seconds(span: &Duration) -> String {
    format!("{}s", span.as_secs_f64())
}

fn or<T: fmt::Display>(value: Option<&T>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), T::to_string)
}

fn preempt(preemption: &Preemption) -> String {
    match preemption {
        Preemption::Never => "never".into(),
        Preemption::After(delay) if delay.is_zero() => "at once".into(),
        Preemption::After(delay) => format!("after {}", seconds(delay)),
    }
}

fn password(old: &Authentication, new: &Authentication) -> &'static str {
    match (old, new) {
        (Authentication::None, _) => "added",
        (_, Authentication::None) => "removed",
        (Authentication::Pass(_), Authentication::Pass(_)) => "changed",
    }
}
