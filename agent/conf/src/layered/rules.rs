//! The rules between settings, marked where the layers say them.

use super::read::{Layers, Place};
use crate::diag::Span;
use crate::findings::Findings;
use crate::model::validate::{self, About, Remark};
use crate::model::{Config, Refused, VirtualRouter};
use std::collections::HashSet;

/// A remark by what it says, and of whom.
type Known = HashSet<(String, &'static str, String)>;

/// What is to be said of the base alone: its own front end has said it already.
pub(super) fn known(base: &[VirtualRouter]) -> Known {
    let key =
        |remark: Remark| (base[remark.router].name.clone(), remark.finding.code, remark.finding.message);
    validate::check(base).into_iter().map(key).collect()
}

/// Reports what is not known yet, and takes out the routers that cannot run.
pub(super) fn check(config: &mut Config, known: &Known, layers: &Layers, findings: &Findings) {
    let mut refused = HashSet::new();
    for Remark { router, about, mut finding, refusal } in validate::check(&config.routers) {
        let name = config.routers[router].name.clone();
        if let Some(reason) = refusal {
            refused.insert(router);
            config.refused.push(Refused { name: name.clone(), reason });
        }
        let key = (name, finding.code, finding.message.clone());
        if !known.contains(&key) {
            finding.span = place(layers, &config.routers[router], about);
            findings.push(finding);
        }
    }
    let mut at = 0..;
    config.routers.retain(|_| at.next().is_none_or(|at| !refused.contains(&at)));
}

/// The value, else the default of all routers, else the router.
fn place(layers: &Layers, router: &VirtualRouter, about: About) -> Option<Span> {
    let path = format!("virtual_router.{}", router.name.to_ascii_lowercase());
    let own = |key: &str| layers.place(&format!("{path}.{key}"));
    let advertised = router.addresses.len();
    let found: Option<&Place> = match about {
        About::Router => own("name"),
        About::Accept => own("accept").or_else(|| own("strict")),
        About::Vrid => own("vrid"),
        About::State => own("state").or_else(|| own("priority")),
        About::Priority => own("priority"),
        About::Interval => own("advert_interval"),
        About::DownTimer => own("down_timer_adverts"),
        About::Source => own("source"),
        About::Group => own("mcast_group").or_else(|| layers.place("global.mcast_group")),
        About::GarpRefresh => own("garp.master_refresh"),
        About::Addresses => own("addresses"),
        About::Address(at) if at < advertised => own(&format!("addresses.{at}")).or_else(|| own("addresses")),
        About::Address(at) => own(&format!("excluded.{}", at - advertised)).or_else(|| own("excluded")),
    };
    let router = || layers.place(&path).map(|place| place.key.clone());
    found.map(|place| place.value.clone()).or_else(router)
}
