//! Whether a node could rule a virtual router, what speaks against it, and who is best. Pure.

use hacluster_proto::v1::{self, ObjectionKind as Kind};
use std::net::Ipv4Addr;

/// What a candidate is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// See [`v1::VirtualRouter::agreement`]: the asking node's.
    pub agreement: &'a str,
    /// Where the master's adverts come from; `None` when the candidate need not hear them.
    pub master: Option<&'a str>,
}

/// One thing that speaks against a candidate.
pub fn objection(kind: Kind, text: impl Into<String>) -> v1::Objection {
    v1::Objection { kind: kind.into(), text: text.into() }
}

/// What speaks against `node` ruling its virtual router `router`, most fundamental first.
pub fn objections(
    node: &str,
    router: &v1::VirtualRouter,
    drain: Option<&v1::Hold>,
    question: Question<'_>,
) -> Vec<v1::Objection> {
    let mut found = Vec::new();
    found.extend(of_state(node, router));
    if router.agreement != question.agreement {
        found.push(objection(
            Kind::ConfigurationDiffers,
            format!(
                "{} is configured differently on {node}: compare advert_int, auth_type and \
                 virtual_ipaddress (`haclusterctl config diff`), then reload",
                router.name
            ),
        ));
    }
    if let Some(drain) = drain {
        found.push(objection(
            Kind::Drained,
            format!(
                "{node} is drained by {} ({}); `haclusterctl undrain {node}` ends that",
                drain.by, drain.reason
            ),
        ));
    }
    if let Some(busy) = &router.r#move {
        found.push(objection(Kind::Busy, format!("on {node} {}", under_way(&router.name, busy))));
    }
    let listens = router.state() == v1::State::Backup && !owns(router);
    if let Some(master) = question.master.filter(|master| listens && router.master_address != *master) {
        found.push(does_not_hear(node, router, master));
    }
    found
}

fn of_state(node: &str, router: &v1::VirtualRouter) -> Option<v1::Objection> {
    let name = &router.name;
    if owns(router) {
        let text = format!(
            "{node} owns the addresses of {name} (priority 255) and rules whenever it lives; give it a \
             priority below 255 to be able to move it"
        );
        return Some(objection(Kind::Owner, text));
    }
    match router.state() {
        v1::State::Backup => None,
        v1::State::Master => Some(objection(Kind::RulesAlready, format!("{node} rules {name} already"))),
        v1::State::Fault => {
            let why: Vec<_> = router.faults().map(|fault| in_words(fault).to_owned()).collect();
            let why = if why.is_empty() { "the cause is not known".to_owned() } else { why.join(", ") };
            Some(objection(Kind::Fault, format!("{name} is in Fault on {node}: {why}")))
        }
        v1::State::Initialize | v1::State::Unspecified => {
            let text = format!("{name} does not run yet on {node}; try again in a moment");
            Some(objection(Kind::NotRunning, text))
        }
    }
}

fn does_not_hear(node: &str, router: &v1::VirtualRouter, master: &str) -> v1::Objection {
    let heard = match router.master_address.as_str() {
        "" => "nobody".to_owned(),
        other => other.to_owned(),
    };
    let text = format!(
        "{node} does not hear the master {master} on {} (it hears {heard}): look for a firewall that drops \
         protocol 112, and for multicast snooping",
        router.interface
    );
    objection(Kind::DoesNotHearMaster, text)
}

/// Whether it always rules [RFC 3768 section 5.3.4].
pub fn owns(router: &v1::VirtualRouter) -> bool {
    router.priority_base == 255
}

fn in_words(fault: v1::Fault) -> &'static str {
    match fault {
        v1::Fault::Interface => "the interface does not exist",
        v1::Fault::Link => "the interface has no link",
        v1::Fault::Source => "the interface has no address to send from",
        v1::Fault::AddressInterface => "an interface that carries its addresses is missing or has no link",
        v1::Fault::Claim => "the kernel refused its addresses",
        v1::Fault::Tracked => "something it tracks failed",
        v1::Fault::Group => "another member of its sync group cannot rule",
        v1::Fault::Unspecified => "the cause is not known",
    }
}

/// `alice moves VI_1 to node2 since 3 s`; for whoever finds a move under way.
pub fn under_way(name: &str, busy: &v1::MoveUnderWay) -> String {
    let since = busy.since.and_then(|since| std::time::SystemTime::try_from(since).ok());
    let ago = since.and_then(|since| since.elapsed().ok()).unwrap_or_default();
    format!(
        "{} moves {name} to {} since {:.1} s; wait for it, a move ends within seconds",
        busy.by,
        if busy.to_node.is_empty() { "another node" } else { &busy.to_node },
        ago.as_secs_f64()
    )
}

/// A candidate from its objections.
pub fn candidate(
    node: &str,
    router: Option<&v1::VirtualRouter>,
    objections: Vec<v1::Objection>,
) -> v1::Candidate {
    v1::Candidate {
        node: node.to_owned(),
        priority: router.map_or(0, |router| router.priority_effective),
        address: router.map(|router| router.source.clone()).unwrap_or_default(),
        fit: objections.is_empty(),
        objections,
    }
}

/// Sorts fit before unfit, then as the protocol would choose: priority, then address.
pub fn best_first(candidates: &mut [v1::Candidate]) {
    let rank = |candidate: &v1::Candidate| {
        let address: Option<Ipv4Addr> = candidate.address.parse().ok();
        (candidate.fit, candidate.priority, address)
    };
    candidates.sort_by(|one, other| rank(other).cmp(&rank(one)).then_with(|| one.node.cmp(&other.node)));
}

/// Why nobody fits, in one sentence per candidate.
pub fn all_against(candidates: &[v1::Candidate]) -> String {
    let texts = candidates.iter().map(|candidate| match &candidate.objections[..] {
        [] => format!("{} fits", candidate.node),
        [first, ..] => first.text.clone(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::router;
    use super::*;

    const MASTER: &str = "192.0.2.1";
    const QUESTION: Question<'_> = Question { agreement: "a1", master: Some(MASTER) };

    fn backup() -> v1::VirtualRouter {
        v1::VirtualRouter {
            state: v1::State::Backup.into(),
            master_address: MASTER.into(),
            priority_base: 98,
            priority_effective: 98,
            source: "192.0.2.2".into(),
            ..router("VI_1", "eth0", 51, &["192.0.2.80/24"])
        }
    }

    fn kinds(router: &v1::VirtualRouter, drain: Option<&v1::Hold>, question: Question<'_>) -> Vec<Kind> {
        objections("node2", router, drain, question).iter().map(v1::Objection::kind).collect()
    }

    #[test]
    fn what_speaks_against_a_node() {
        type Change = fn(&mut v1::VirtualRouter);
        let table: &[(Change, &[Kind], &str)] = &[
            (|_| {}, &[], ""),
            (|it| it.state = v1::State::Master.into(), &[Kind::RulesAlready], "already"),
            (|it| it.state = v1::State::Initialize.into(), &[Kind::NotRunning], "does not run"),
            (
                |it| {
                    it.state = v1::State::Fault.into();
                    it.faults = vec![v1::Fault::Link.into()];
                },
                &[Kind::Fault],
                "no link",
            ),
            (|it| it.agreement = "b2".into(), &[Kind::ConfigurationDiffers], "advert_int"),
            (|it| it.master_address.clear(), &[Kind::DoesNotHearMaster], "hears nobody"),
            (|it| it.master_address = "192.0.2.7".into(), &[Kind::DoesNotHearMaster], "192.0.2.7"),
            (|it| it.priority_base = 255, &[Kind::Owner], "below 255"),
            (
                |it| {
                    it.r#move = Some(v1::MoveUnderWay { by: "bob".into(), ..Default::default() });
                },
                &[Kind::Busy],
                "bob moves VI_1",
            ),
            (
                |it| {
                    it.state = v1::State::Fault.into();
                    it.agreement = "b2".into();
                },
                &[Kind::Fault, Kind::ConfigurationDiffers],
                "Fault on node2",
            ),
        ];
        for (change, expected, words) in table {
            let mut router = backup();
            change(&mut router);
            assert_eq!(kinds(&router, None, QUESTION), *expected);
            let found = objections("node2", &router, None, QUESTION);
            assert!(found.first().is_none_or(|first| first.text.contains(words)), "{found:?}");
        }
        let drain = v1::Hold { by: "eve".into(), reason: "disk".into(), ..Default::default() };
        assert_eq!(kinds(&backup(), Some(&drain), QUESTION), [Kind::Drained]);
    }

    #[test]
    fn a_master_that_is_gone_need_not_be_heard() {
        let mut router = backup();
        router.master_address.clear();
        assert_eq!(kinds(&router, None, Question { master: None, ..QUESTION }), []);
    }

    #[test]
    fn the_best_comes_first() {
        let of = |node: &str, priority, address: &str, fit| v1::Candidate {
            node: node.into(),
            priority,
            address: address.into(),
            fit,
            ..Default::default()
        };
        let mut candidates = [
            of("unfit", 250, "192.0.2.5", false),
            of("low", 90, "192.0.2.9", true),
            of("high-low", 98, "192.0.2.9", true),
            of("high-high", 98, "192.0.2.10", true),
            of("unknown", 0, "", false),
        ];
        best_first(&mut candidates);
        let names: Vec<_> = candidates.iter().map(|candidate| candidate.node.as_str()).collect();
        assert_eq!(names, ["high-high", "high-low", "low", "unfit", "unknown"], "192.0.2.10 is above .9");
    }
}
