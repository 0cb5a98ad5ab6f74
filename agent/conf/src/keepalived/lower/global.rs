//! `global_defs`: settings of the process, and defaults of every virtual router.

use super::super::parser::Statement;
use super::Places;
use super::values::{group, number, span_of_time, switch, wrong};
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::Findings;
use crate::model::{Agent, Global, PacketFilter, Urgency};
use hacluster_core::time::Duration;

/// Greatest number of announcements in a row that makes sense.
const MAX_REPEAT: u32 = 1000;
/// keepalived's longest timer, in seconds.
pub(super) const MAX_TIMER: u64 = 1000;
const MAX_REFRESH: u64 = 86_400;
/// Longest `vrrp_delay_after_boot`, in seconds.
const MAX_AFTER_BOOT: u64 = 3_600;

/// All `global_defs` blocks together; later lines win.
#[derive(Default)]
pub(super) struct Globals<'a> {
    pub(super) places: Places<'a>,
    pub(super) agent: Agent,
    pub(super) model: Global,
    pub(super) filter: PacketFilter,
    pub(super) garp: Garp,
    pub(super) min_garp: bool,
    /// Where VRRPv3 is made the default.
    pub(super) version3: Option<Span>,
    pub(super) strict: bool,
    pub(super) switches: Switches,
    pub(super) down_timer_adverts: Option<u8>,
    /// `max_auto_priority` and `min_auto_priority_delay`.
    most: Option<u8>,
    late: Option<Duration>,
}

/// Gratuitous ARP as far as it is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Garp {
    pub(super) delay: Option<Duration>,
    pub(super) repeat: Option<u32>,
    pub(super) refresh: Option<Duration>,
    pub(super) refresh_repeat: Option<u32>,
    pub(super) lower_delay: Option<Duration>,
    pub(super) lower_repeat: Option<u32>,
    pub(super) interval: Option<Duration>,
}

/// Switches that a virtual router may set otherwise.
#[derive(Clone, Copy, Default)]
pub(super) struct Switches {
    pub(super) lower_prio_no_advert: Option<bool>,
    pub(super) higher_prio_send_advert: Option<bool>,
    pub(super) owner_ignore_adverts: Option<bool>,
    pub(super) skip_check_adv_addr: Option<bool>,
}

impl Garp {
    /// Takes a `garp_*` line, without its `vrrp_`; `false` if it is none.
    pub(super) fn read(&mut self, name: &str, statement: &Statement, findings: &Findings) -> bool {
        let kept = "the line is ignored";
        match name {
            "garp_master_delay" => {
                self.delay = span_of_time(findings, statement, MAX_TIMER, kept).or(self.delay)
            }
            "garp_lower_prio_delay" => {
                self.lower_delay = span_of_time(findings, statement, MAX_TIMER, kept).or(self.lower_delay)
            }
            "garp_master_refresh" => {
                self.refresh = span_of_time(findings, statement, MAX_REFRESH, kept).or(self.refresh)
            }
            "garp_interval" => self.interval = interval(statement, findings).or(self.interval),
            "garp_master_repeat" => self.repeat = repeat(statement, findings).or(self.repeat),
            "garp_lower_prio_repeat" => self.lower_repeat = repeat(statement, findings).or(self.lower_repeat),
            "garp_master_refresh_repeat" => {
                self.refresh_repeat = repeat(statement, findings).or(self.refresh_repeat)
            }
            _ => return false,
        }
        true
    }
}

/// 0 becomes 1, as with keepalived.
fn repeat(statement: &Statement, findings: &Findings) -> Option<u32> {
    if statement.params().first().is_some_and(|word| word.text == "0") {
        let message = format!("`{} 0` is taken as 1: one announcement is the least", statement.keyword());
        findings.push(
            Diagnostic::new(Severity::Warning, "out-of-range", message).at(&statement.params()[0].span),
        );
        return Some(1);
    }
    number(findings, statement, 1..=MAX_REPEAT, "the line is ignored")
}

/// 0 is out of keepalived's range and ends as "no gap": say so, but gently, for it is in most files.
fn interval(statement: &Statement, findings: &Findings) -> Option<Duration> {
    let gap = span_of_time(findings, statement, MAX_TIMER, "the line is ignored")?;
    if gap.is_zero() {
        let message = format!("`{} 0` is taken as no gap", statement.keyword());
        let found = Diagnostic::new(Severity::Hint, "out-of-range", message).at(&statement.params()[0].span);
        findings.push(found.note("keepalived reports it as out of range and does the same"));
    }
    Some(gap)
}

impl Switches {
    /// Takes a switch, without its `vrrp_`; `false` if it is none.
    pub(super) fn read(&mut self, name: &str, statement: &Statement, findings: &Findings) -> bool {
        let field = match name {
            "lower_prio_no_advert" => &mut self.lower_prio_no_advert,
            "higher_prio_send_advert" => &mut self.higher_prio_send_advert,
            "owner_ignore_adverts" => &mut self.owner_ignore_adverts,
            "skip_check_adv_addr" => &mut self.skip_check_adv_addr,
            _ => return false,
        };
        *field = switch(findings, statement).or(*field);
        true
    }
}

/// Reads every `global_defs` block.
pub(super) fn read<'a>(top: &'a [Statement], findings: &Findings) -> Globals<'a> {
    let mut globals = Globals::default();
    let blocks = top.iter().filter(|statement| statement.keyword() == "global_defs");
    for statement in blocks.filter_map(|statement| statement.block.as_ref()).flatten() {
        globals.line(statement, findings);
    }
    let late = globals.late.unwrap_or(Urgency::USUAL);
    globals.agent.urgency = globals.most.map(|most| Urgency { most, late });
    globals
}

impl<'a> Globals<'a> {
    fn line(&mut self, statement: &'a Statement, findings: &Findings) {
        let keyword = statement.keyword();
        self.places.values.extend(statement.value_span().map(|at| (keyword, at)));
        let short = keyword.strip_prefix("vrrp_").unwrap_or_default();
        if self.garp.read(short, statement, findings) || self.switches.read(short, statement, findings) {
            return;
        }
        if super::filter::read(&mut self.filter, statement, findings) {
            return;
        }
        let first = statement.params().first();
        match keyword {
            "router_id" => {
                self.model.router_id = first.map(|word| word.text.clone()).or(self.model.router_id.take())
            }
            "vrrp_mcast_group4" => {
                self.model.mcast_group = group(findings, statement).unwrap_or(self.model.mcast_group)
            }
            "vrrp_min_garp" => self.min_garp = switch(findings, statement).unwrap_or(self.min_garp),
            "vrrp_strict" => self.strict = switch(findings, statement).unwrap_or(self.strict),
            "vrrp_down_timer_adverts" => {
                let adverts = number(findings, statement, 1..=100, "the line is ignored");
                self.down_timer_adverts = adverts.map(|n| n as u8).or(self.down_timer_adverts);
            }
            "vrrp_version" => match first.map(|word| word.text.as_str()) {
                Some("2") => self.version3 = None,
                Some("3") => self.version3 = first.map(|word| word.span.clone()),
                Some(_) => wrong(findings, keyword, &statement.params()[0], "2 or 3", "the line is ignored"),
                None => {}
            },
            "vrrp_startup_delay" => {
                if let Some(delay) = span_of_time(findings, statement, MAX_TIMER, "the line is ignored") {
                    self.model.startup_delay_ms = delay.as_micros() / 1000;
                }
            }
            "vrrp_delay_after_boot" => {
                if let Some(delay) = span_of_time(findings, statement, MAX_AFTER_BOOT, "the line is ignored")
                {
                    self.model.delay_after_boot_ms = delay.as_micros() / 1000;
                }
            }
            "log_unknown_vrids" => self.model.log_unknown_vrids = true,
            "vrrp_rt_priority" => {
                let priority = number(findings, statement, 1..=99, "the normal scheduler is used");
                self.agent.realtime_priority = priority.map(|n| n as u8).or(self.agent.realtime_priority);
            }
            "max_auto_priority" => self.urgency(statement, findings),
            "min_auto_priority_delay" => {
                let micros = number(findings, statement, 1..=10_000_000, "one second is used");
                self.late = micros.map(|micros| Duration::from_micros(micros.into())).or(self.late);
            }
            "vrrp_no_swap" => self.agent.lock_memory = true,
            "vrrp_cpu_affinity" => self.affinity(statement, findings),
            _ => {}
        }
    }

    /// -1 and 0 are both off: -1 only keeps keepalived from saying that it runs late.
    fn urgency(&mut self, statement: &Statement, findings: &Findings) {
        let Some(word) = statement.params().first() else { return };
        self.most = match word.text.parse::<i64>() {
            Ok(-1 | 0) => None,
            Ok(most @ 1..=99) => u8::try_from(most).ok(),
            _ => {
                let expected = "a real-time priority from 1 to 99, or -1 or 0 for off";
                return wrong(findings, "max_auto_priority", word, expected, "the line is ignored");
            }
        };
    }

    fn affinity(&mut self, statement: &Statement, findings: &Findings) {
        self.agent.cpu_affinity.clear();
        for word in statement.params() {
            match word.text.parse::<usize>() {
                Ok(cpu) if cpu < 1024 => self.agent.cpu_affinity.push(cpu),
                _ => wrong(
                    findings,
                    "vrrp_cpu_affinity",
                    word,
                    "a processor's number, 0 to 1023",
                    "it is left out",
                ),
            }
        }
    }
}
