//! Whether somebody takes connections.

use super::outcome::{Answer, bad, good, span};
use super::route::connect;
use hacluster_conf::model::lvs::CheckRoute;
use std::time::Duration;
use tokio::time::timeout;

pub(super) async fn ask(route: &CheckRoute, limit: Duration) -> Answer {
    match timeout(limit, connect(route)).await {
        Ok(connected) => connected.and_then(|_| good("takes connections")),
        Err(_) => Err(bad(format!("no connection within {}", span(limit)))),
    }
}
