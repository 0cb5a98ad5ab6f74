//! hacluster-agent next to keepalived and FRR in the same virtual routers, over real namespaces.
//!
//! Needs the right to make network namespaces, and the peers. What is absent makes its trials
//! ignored, by name and with the reason. Trials mostly wait for the protocol's own timers, so many
//! run at a time.

mod agree;
mod disagree;
mod many;
mod pair;
mod router;
mod split;
mod stage;
mod wire;

use anyhow::Result;
use hacluster_lab::{
    Absent, Agent,
    peer::{Frr, Keepalived},
};
use hacluster_tests::harness::Suite;
use pair::Cast;
use stage::Kind;

/// Trials at a time, unless `--test-threads` says otherwise: they wait far more than they work.
const AT_ONCE: usize = 20;

/// What a trial does.
pub(crate) type Body = Box<dyn FnOnce() -> Result<()> + Send>;

/// A name, who takes part, and what happens.
pub(crate) struct Trial {
    name: String,
    cast: Vec<Kind>,
    body: Body,
}

impl Trial {
    /// One with keepalived.
    pub(crate) fn new(name: impl Into<String>, body: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self { name: name.into(), cast: vec![Kind::Keepalived], body: Box::new(body) }
    }
}

fn main() {
    let mut suite = Suite::enter();
    // The longest first: the whole then ends soonest.
    let groups =
        [many::trials(), split::trials(), pairs(), agree::trials(), disagree::trials(), wire::trials()];
    for Trial { name, cast, body } in groups.into_iter().flatten() {
        suite.trial(name, move || {
            cast.into_iter().try_for_each(present)?;
            body()
        });
    }
    suite.run_at_once(AT_ONCE)
}

/// Whether a daemon is on this machine; if not, why and the mend.
fn present(kind: Kind) -> Result<(), Absent> {
    let (found, package) = match kind {
        Kind::Agent => return Agent::find().map(drop),
        Kind::Keepalived => (Keepalived::find().map(drop), "keepalived"),
        Kind::Frr => (Frr::find().map(drop), "frr"),
    };
    found.map_err(|Absent(reason)| match reason.ends_with("not installed") {
        true => Absent(format!("{reason}: apt-get install {package}")),
        false => Absent(reason),
    })
}

/// Every story of two nodes, with either peer and in either role.
fn pairs() -> Vec<Trial> {
    type Story = fn(Cast) -> Result<()>;
    let every: [(&str, Story); 6] = [
        ("stop", pair::stop),
        ("crash_and_return", pair::crash),
        ("link_of_the_better", pair::link_of_the_better),
        ("link_of_the_worse", pair::link_of_the_worse),
        ("partition", pair::partition),
        ("tie", pair::tie),
    ];
    // FRR is neither reloaded here, nor told more than its priority.
    let of_the_better: [(&str, Story); 2] =
        [("better_changes_priority", pair::better_changes_priority), ("nopreempt", pair::nopreempt)];
    let of_the_worse: [(&str, Story); 1] = [("worse_changes_priority", pair::worse_changes_priority)];
    let mut trials = Vec::new();
    for peer in [Kind::Keepalived, Kind::Frr] {
        for (better, worse) in [(Kind::Agent, peer), (peer, Kind::Agent)] {
            let of_the_better = of_the_better.iter().filter(|_| better != Kind::Frr);
            let of_the_worse = of_the_worse.iter().filter(|_| worse != Kind::Frr);
            for (name, story) in every.iter().chain(of_the_better).chain(of_the_worse).copied() {
                trials.push(Trial {
                    name: format!("{better}_over_{worse}::{name}"),
                    cast: vec![Kind::Agent, peer],
                    body: Box::new(move || story(Cast { better, worse })),
                });
            }
        }
    }
    trials
}
