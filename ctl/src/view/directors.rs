//! Whether all directors balance the same: what each node answers for its virtual servers, compared.

use super::Status;
use super::findings::Finding;
use super::node::Node;

/// Directors of one version that do not balance the same; nodes of their virtual routers are directors too.
pub(super) fn drift(status: &Status) -> Option<Finding> {
    let balances = |node: &Node| node.lvs.is_some();
    let stands_by = |node: &Node| {
        let mut shared = status.routers.iter().filter(|group| group.on(&node.name).is_some());
        shared
            .any(|group| status.nodes.iter().any(|other| balances(other) && group.on(&other.name).is_some()))
    };
    let mut parties: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    for node in &status.nodes {
        let Some(agent) = &node.agent else { continue };
        let agreement = match &node.lvs {
            Some(lvs) => lvs.agreement.as_deref(),
            None => stands_by(node).then_some(""),
        };
        let Some(agreement) = agreement else { continue };
        let key = (agent.version.as_str(), agreement);
        match parties.iter_mut().find(|(known, _)| *known == key) {
            Some((_, nodes)) => nodes.push(&node.name),
            None => parties.push((key, vec![&node.name])),
        }
    }
    // Fingerprints of different versions say nothing about each other.
    let ((_, one), (_, other)) = parties.iter().enumerate().find_map(|(at, first)| {
        let other = parties[at + 1..].iter().find(|other| other.0.0 == first.0.0)?;
        Some((first, other))
    })?;
    let text = format!(
        "virtual servers are not the same on {} and {}: whoever takes over answers differently",
        one.join(", "),
        other.join(", ")
    );
    let mend = format!("haclusterctl config diff {} {}", one.first()?, other.first()?);
    Some(Finding { kind: "lvs_drift", router: None, node: None, text, mend })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, status};
    use super::*;
    use hacluster_proto::v1::{self, State};

    /// A pair of this version each, that balances so; `None` balances nothing.
    fn pair(nodes: [(&str, Option<&str>); 2]) -> Status {
        let both = [Sample::node("node1").router("VI_1", 51, State::Master, 150), backup("node2")];
        let samples = both.into_iter().zip(nodes).map(|(sample, (version, agreement))| {
            let mut sample = sample.and(|node| node.agent_version = version.to_owned());
            sample.answer.lvs = agreement.map(summary);
            sample
        });
        status(samples.collect())
    }

    fn backup(name: &str) -> Sample {
        Sample::node(name).router("VI_1", 51, State::Backup, 100).hears("192.0.2.11", 150)
    }

    fn summary(agreement: &str) -> v1::LvsSummary {
        v1::LvsSummary { services: 1, agreement: agreement.to_owned(), ..Default::default() }
    }

    fn found(of: &Status) -> Vec<&str> {
        of.warnings.iter().map(|warning| warning.kind).collect()
    }

    #[test]
    fn what_differs_between_directors_is_a_warning_with_the_command_that_says_what() {
        let odd = pair([("1", Some("a1")), ("1", Some("b2"))]);
        assert_eq!((odd.health, found(&odd)), ("degraded", vec!["lvs_drift"]));
        let warning = &odd.warnings[0];
        assert!(warning.text.contains("not the same on node1 and node2"), "{warning:?}");
        assert_eq!(warning.mend, "haclusterctl config diff node1 node2");
        assert_eq!(found(&pair([("1", Some("a1")), ("1", Some("a1"))])), [""; 0]);
    }

    #[test]
    fn who_stands_by_for_a_director_and_balances_nothing_differs() {
        assert_eq!(found(&pair([("1", Some("a1")), ("1", None)])), ["lvs_drift"]);
        let mut director = Sample::node("node1").router("VI_1", 51, State::Master, 150);
        director.answer.lvs = Some(summary("a1"));
        let elsewhere = Sample::node("node3").router("VI_3", 53, State::Master, 150);
        assert_eq!(found(&status(vec![director, elsewhere])), [""; 0], "it shares no virtual router");
    }

    #[test]
    fn other_versions_are_not_compared() {
        assert_eq!(found(&pair([("1", Some("a1")), ("2", Some("b2"))])), [""; 0]);
        assert_eq!(found(&pair([("1", Some("a1")), ("1", Some(""))])), [""; 0], "too old to tell");
    }
}
