//! From what is written to what runs: defaults, keepalived's corrections, and traps.

use super::Refusal;
use super::global::Globals;
use super::instance::Draft;
use super::service::Services;
use crate::diag::{Diagnostic, Severity, Span};
use crate::findings::{Findings, show};
use crate::model::validate::owner_as_backup;
use crate::model::{Accept, Authentication, Garp, InitialState, Preemption, VirtualRouter};
use crate::notation::is_interface_name;
use hacluster_core::{interval::Seconds, priority::Priority, time::Duration, vrid::Vrid};

struct Completion<'a, 'b> {
    draft: &'a Draft<'a>,
    strict: bool,
    findings: &'b Findings,
}

/// Decides what runs.
pub(super) fn complete(
    mut draft: Draft<'_>,
    globals: &Globals<'_>,
    services: &Services,
    findings: &Findings,
) -> Result<VirtualRouter, Refusal> {
    if let (Some(at), false) = (&globals.version3, draft.version2) {
        let note = "`vrrp_version 3` asks for it; its neighbours drop packets of version 2. Write `version 2` for one that runs version 2";
        draft.refuse("refused-version", "VRRPv3 is not in force yet", at, note);
    }
    if let Some(refusal) = draft.refusal.take() {
        return Err(refusal);
    }
    let strict = draft.strict.unwrap_or(globals.strict);
    let (interface, vrid) = required(&draft)?;
    if strict && draft.addresses.is_empty() {
        let note = "with `vrrp_strict` keepalived refuses it too";
        return Err(Refusal::new("no-address", "strict mode needs an address", Some(&draft.name.span), note));
    }
    let mut completion = Completion { draft: &draft, strict, findings };
    let (initial_state, priority) = completion.election();
    let preemption = completion.preemption(initial_state, priority);
    let advert_interval = completion.interval();
    let authentication = completion.authentication();
    let accept = draft.accept.as_ref().map_or(!strict, |(accept, _)| *accept);
    let (own, all) = (draft.switches, globals.switches);
    Ok(VirtualRouter {
        name: draft.name.text.clone(),
        interface,
        vrid,
        initial_state,
        priority,
        advert_interval,
        preemption,
        authentication,
        mcast_group: draft.mcast_group.unwrap_or(globals.model.mcast_group),
        source: draft.source,
        garp: garp(&draft, globals, strict),
        down_timer_adverts: draft.down_timer_adverts.or(globals.down_timer_adverts).unwrap_or(3),
        lower_prio_no_advert: own.lower_prio_no_advert.or(all.lower_prio_no_advert).unwrap_or(strict),
        higher_prio_send_advert: own.higher_prio_send_advert.or(all.higher_prio_send_advert).unwrap_or(true),
        owner_ignore_adverts: own.owner_ignore_adverts.or(all.owner_ignore_adverts).unwrap_or(strict),
        skip_check_adv_addr: own.skip_check_adv_addr.or(all.skip_check_adv_addr).unwrap_or(false),
        strict,
        accept: if accept { Accept::Yes } else { Accept::No },
        dont_track_primary: draft.dont_track_primary,
        promote_secondaries: draft.promote_secondaries,
        tracked: std::mem::take(&mut draft.tracked),
        notify: std::mem::take(&mut draft.notify).complete(services.mails(), services.priority_changes),
        addresses: std::mem::take(&mut draft.addresses),
        excluded: std::mem::take(&mut draft.excluded),
        routes: std::mem::take(&mut draft.routes),
        rules: std::mem::take(&mut draft.rules),
    })
}

/// Without these nothing can run.
fn required(draft: &Draft<'_>) -> Result<(String, Vrid), Refusal> {
    let name_at = Some(&draft.name.span);
    let Some(interface) = draft.interface else {
        return Err(Refusal::new(
            "no-interface",
            "it has no `interface`",
            name_at,
            "write the interface that adverts leave by",
        ));
    };
    if !is_interface_name(&interface.text) {
        let reason = format!("`{}` cannot be an interface", show(&interface.text));
        return Err(Refusal::new("bad-interface", reason, Some(&interface.span), "names have 1 to 15 bytes"));
    }
    let vrid = draft.vrid.and_then(|word| word.text.parse().ok().and_then(Vrid::new));
    if let Some(vrid) = vrid {
        return Ok((interface.text.clone(), vrid));
    }
    let (reason, at) = match draft.vrid {
        Some(word) => (format!("`{}` is no virtual router ID", show(&word.text)), &word.span),
        None => ("it has no `virtual_router_id`".to_owned(), &draft.name.span),
    };
    let note = "write a number from 1 to 255, the same on all nodes and used by no other virtual router of the network";
    Err(Refusal::new("no-vrid", reason, Some(at), note))
}

fn garp(draft: &Draft<'_>, globals: &Globals<'_>, strict: bool) -> Garp {
    let (own, all, standard) = (draft.garp, globals.garp, Garp::default());
    let single = globals.min_garp;
    let master_delay =
        own.delay.or(all.delay).unwrap_or(if single { Duration::ZERO } else { standard.master_delay });
    let master_repeat = own.repeat.or(all.repeat).unwrap_or(if single { 1 } else { standard.master_repeat });
    Garp {
        master_delay,
        master_repeat,
        master_refresh: own.refresh.or(all.refresh).unwrap_or(standard.master_refresh),
        master_refresh_repeat: own
            .refresh_repeat
            .or(all.refresh_repeat)
            .unwrap_or(standard.master_refresh_repeat),
        lower_prio_delay: if strict {
            Duration::ZERO
        } else {
            own.lower_delay.or(all.lower_delay).unwrap_or(master_delay)
        },
        lower_prio_repeat: if strict {
            0
        } else {
            own.lower_repeat.or(all.lower_repeat).unwrap_or(master_repeat)
        },
        interval: own.interval.or(all.interval).unwrap_or(standard.interval),
    }
}

impl Completion<'_, '_> {
    fn warn(&mut self, code: &'static str, message: impl Into<String>, at: &Span, note: &str) {
        self.findings.push(Diagnostic::new(Severity::Warning, code, message).at(at).note(note));
    }

    fn election(&mut self) -> (InitialState, Priority) {
        let name = &self.draft.name.span;
        let state = self.draft.state.clone();
        let wants_master = matches!(state, Some((InitialState::Master, _)));
        let number = self.draft.priority.unwrap_or_else(|| {
            if wants_master {
                let at = state.as_ref().map_or(name, |(_, at)| at).clone();
                let note = "an owner rules whatever its neighbours say, and trackers and nopreempt do not touch it; write the priority you mean";
                self.warn("no-priority", "MASTER without `priority` means 255, the owner of the addresses, as with keepalived", &at, note);
                255
            } else {
                100
            }
        });
        let priority = Priority::configured(number).unwrap_or(Priority::DEFAULT);
        let state = match state {
            Some((InitialState::Backup, at)) if priority.is_owner() => {
                self.findings.push(owner_as_backup().at(&at));
                InitialState::Master
            }
            Some((InitialState::Master, at)) if self.strict && !priority.is_owner() => {
                self.warn(
                    "strict-state",
                    format!("strict mode lets only priority 255 start as MASTER: {number} starts as BACKUP"),
                    &at,
                    "it still becomes master when it has the highest priority",
                );
                InitialState::Backup
            }
            Some((state, _)) => state,
            None if priority.is_owner() => InitialState::Master,
            None => InitialState::Backup,
        };
        (state, priority)
    }

    fn preemption(&mut self, state: InitialState, priority: Priority) -> Preemption {
        let (mut nopreempt, mut delay) = (self.draft.nopreempt.clone(), self.draft.preempt_delay.clone());
        let starts_as_master = state == InitialState::Master;
        let mend = "write `state BACKUP` on every node that must not take over by itself";
        if let Some(at) = nopreempt.take_if(|_| priority.is_owner() || starts_as_master) {
            let why = if priority.is_owner() { "priority 255" } else { "`state MASTER`" };
            self.warn("preempt-conflict", format!("`nopreempt` has no effect with {why}"), &at, mend);
        }
        if let Some((_, at)) = delay.take_if(|_| starts_as_master) {
            self.warn("preempt-conflict", "`preempt_delay` has no effect with `state MASTER`", &at, mend);
        }
        if let Some((_, at)) = delay.take_if(|_| self.strict) {
            self.warn(
                "strict-preempt",
                "strict mode allows no `preempt_delay`: it is cleared",
                &at,
                "as with keepalived",
            );
        }
        if nopreempt.is_some() {
            if let Some((_, at)) = delay {
                self.warn(
                    "preempt-conflict",
                    "`preempt_delay` has no effect with `nopreempt`",
                    &at,
                    "remove one of the two",
                );
            }
            return Preemption::Never;
        }
        Preemption::After(delay.map_or(Duration::ZERO, |(delay, _)| delay))
    }

    /// Whole seconds: the packet of version 2 knows no others.
    fn interval(&mut self) -> Seconds {
        let Some((interval, at)) = self.draft.advert_interval.clone() else { return Seconds::ONE };
        let micros = interval.as_micros();
        let rounded = ((micros + 500_000) / 1_000_000).clamp(1, 255) as u8;
        if u64::from(rounded) * 1_000_000 != micros {
            let seconds = if rounded == 1 { "1 second".to_owned() } else { format!("{rounded} seconds") };
            let message = format!("VRRPv2 counts whole seconds: `advert_int` becomes {seconds}");
            let note = "keepalived rounds the same way; all nodes must have the same interval, or each becomes master";
            self.warn("rounded-interval", message, &at, note);
        }
        Seconds::new(rounded).unwrap_or(Seconds::ONE)
    }

    fn authentication(&mut self) -> Authentication {
        let (wanted, password) = (self.draft.password_wanted.clone(), self.draft.password);
        let agree = "its neighbours must agree: a node with PASS and one without both become master";
        match (wanted, password) {
            (Some(at), Authentication::Pass(_)) if self.strict => {
                let message =
                    "strict mode allows no authentication: this instance runs WITHOUT it, as keepalived does";
                self.findings
                    .push(Diagnostic::new(Severity::Error, "strict-auth", message).at(&at).note(agree));
                Authentication::None
            }
            (Some(_), password @ Authentication::Pass(_)) => password,
            (Some(at), Authentication::None) => {
                let message =
                    "PASS without `auth_pass`: this instance runs WITHOUT authentication, as keepalived does";
                self.findings
                    .push(Diagnostic::new(Severity::Error, "no-password", message).at(&at).note(agree));
                Authentication::None
            }
            (None, _) => {
                if let Some(at) = self.draft.password_at.clone().filter(|_| !self.draft.auth_type_wrong) {
                    self.findings.push(
                        Diagnostic::new(
                            Severity::Warning,
                            "unused-password",
                            "a password without a valid `auth_type` is not used",
                        )
                        .at(&at)
                        .label("write `auth_type PASS`")
                        .not_in_force(),
                    );
                }
                Authentication::None
            }
        }
    }
}
