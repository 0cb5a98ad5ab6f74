//! Ending for a successor that is started at once, as at an upgrade of the program.
//!
//! ```text
//!   TERM    hand over, priority 0, addresses taken off     the routers move, and move back
//!   QUIT    nothing of it, the process ends                the successor adopts; neighbours notice nothing
//! ```
//!
//! Contract: what is in place stays, as after a crash, and adverts go out until the process ends. Who would
//! find no successor that can run is told, and stops in order: addresses that nobody speaks for must not stay.

use crate::args::Args;
use crate::in_force;
use crate::telemetry::Telemetry;
use crate::teller::Teller;
use hacluster_conf::diag::Severity;
use hacluster_conf::render;

/// Exit status of who leaves for a successor (`EX_TEMPFAIL`): the service manager sees to it that there is one.
const STATUS: i32 = 75;

/// How the agent was told to end.
pub(crate) enum Ending {
    InOrder,
    ForSuccessor,
}

/// Whether a successor with the same arguments would run. It is said either way.
pub(crate) fn can_run(args: &Args) -> bool {
    let loaded = in_force::load(args).loaded;
    match loaded.diagnostics.iter().find(|found| found.severity == Severity::Fatal) {
        None => tracing::info!("ends for a successor: what is in place stays"),
        Some(fatal) => {
            let why = render::line(fatal, &loaded.sources);
            tracing::warn!("no successor could run, so this is a stop in order: {why}");
            return false;
        }
    }
    true
}

/// Says what is left to say, and ends the process without letting go of anything.
pub(crate) fn make_way(teller: Teller, telemetry: &Telemetry) -> ! {
    teller.stop();
    telemetry.stop();
    // Not by returning: threads that end in order take the addresses off.
    std::process::exit(STATUS)
}
