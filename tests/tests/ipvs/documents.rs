//! Pages that need a load balancer, played as [`hacluster_tests::docs`] says.

use crate::web::Server;
use hacluster_tests::{docs::PLAYS, harness::Suite};

pub(crate) fn trials(suite: &mut Suite) {
    for play in PLAYS.iter().filter(|play| play.ipvs) {
        suite.trial(play.name, || {
            play.run(|lab| {
                let serve = |name| Server::web(lab.host(name)?, 80);
                ["web1", "web2"].into_iter().map(serve).collect::<Result<Vec<_>, _>>()
            })
        });
    }
}
