//! Whether a virtual server has its quorum, as the balancer says.

use super::desk::{Observation, Reporter};
use crate::lvs::{Reading as Quorum, Readings};
use hacluster_conf::model::lvs::is_called;
use hacluster_core::track::Reading;
use std::sync::Arc;
use tokio::sync::watch;

/// Every virtual server; nothing before the balancer knows.
pub(super) type Source = watch::Receiver<Option<Arc<Readings>>>;

/// Tells what becomes of the virtual server called `name`, until nobody listens.
pub(super) async fn watch(name: String, mut source: Source, to: Reporter) {
    let mut told = None;
    loop {
        let seen = source.borrow_and_update().as_ref().map(|readings| find(readings, &name).cloned());
        if let Some(seen) = seen.filter(|seen| told.as_ref() != Some(seen)) {
            let observation = match &seen {
                Some(Quorum { up: true, why }) => Observation::new(Reading::Good, why.to_string()),
                Some(Quorum { up: false, why }) => Observation::new(Reading::Bad, why.to_string()),
                None => Observation::new(Reading::Unknown, "no virtual server is called so".to_owned()),
            };
            if !to.tell(observation).await {
                return;
            }
            told = Some(seen);
        }
        if source.changed().await.is_err() {
            return;
        }
    }
}

/// `10.0.0.1 80`, `10.0.0.1:80`, `group web`, `web`.
fn find<'a>(readings: &'a Readings, name: &str) -> Option<&'a Quorum> {
    readings.iter().find(|(known, _)| is_called(known, name)).map(|(_, quorum)| quorum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_server_is_found_as_people_write_it() {
        let quorum = |up| Quorum { up, why: "".into() };
        let readings: Readings = [
            ("10.0.0.1 80".to_owned(), quorum(true)),
            ("group web".to_owned(), quorum(false)),
            ("2001:db8::1 80".to_owned(), quorum(false)),
        ]
        .into();
        for (name, up) in [
            ("10.0.0.1 80", Some(true)),
            ("10.0.0.1:80", Some(true)),
            ("web", Some(false)),
            ("group web", Some(false)),
            ("[2001:db8::1]:80", Some(false)),
            ("10.0.0.1:443", None),
            ("", None),
        ] {
            assert_eq!(find(&readings, name).map(|quorum| quorum.up), up, "{name}");
        }
    }
}
