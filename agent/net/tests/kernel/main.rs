//! The Linux layer against the real kernel, every trial in a network namespace of its own.
//!
//! Runs as root, or as an ordinary user where user namespaces are allowed; elsewhere every trial is
//! reported as ignored, by name.

mod addresses;
mod filters;
mod host;
mod links;
mod packets;
mod routes;
mod world;

use hacluster_net::{
    netns::become_root_in_user_namespace,
    sched::{Capability, has_capability},
};
use libtest_mimic::{Arguments, Failed, Trial};
use world::World;

/// A trial finds the cable of its world laid, and may do with that world what it likes.
type Body = fn(&mut World) -> Result<(), Failed>;

fn main() {
    let arguments = Arguments::from_args();
    let allowed = [Capability::SysAdmin, Capability::NetAdmin, Capability::NetRaw].map(has_capability);
    let privileged = allowed == [true; 3] || become_root_or_say_why();
    let all =
        [addresses::TRIALS, filters::TRIALS, host::TRIALS, links::TRIALS, packets::TRIALS, routes::TRIALS];
    let trials = all.concat().into_iter().map(|(name, body): (&str, Body)| {
        Trial::test(name, move || World::run(body)).with_ignored_flag(!privileged)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn become_root_or_say_why() -> bool {
    let outcome = become_root_in_user_namespace();
    if let Err(error) = &outcome {
        eprintln!("every trial here needs a network of its own and is ignored: {error}");
    }
    outcome.is_ok()
}
