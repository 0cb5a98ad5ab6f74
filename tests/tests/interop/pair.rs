//! Two nodes in one virtual router, one of them better: every way the rule can pass between them.

use crate::{
    router::{Router, router},
    stage::{Kind, Node, Stage, play, until},
};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// A stop must not cost a master-down interval (2.6 s of silence at least); a skew is 0.6 s.
const STOP_LIMIT: Duration = Duration::from_millis(2_500);
/// A crash may cost one (3.6 s); the rest is for a busy machine.
const CRASH_LIMIT: Duration = Duration::from_secs(8);

/// Who is better and who is worse: priorities 150 and 100.
#[derive(Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) better: Kind,
    pub(crate) worse: Kind,
}

impl Cast {
    fn better<'a>(self, stage: &'a Stage<'_>) -> Result<Node<'a>> {
        stage.start(self.better, "one", &router(150))
    }

    fn worse<'a>(self, stage: &'a Stage<'_>) -> Result<Node<'a>> {
        stage.start(self.worse, "two", &router(100))
    }

    /// Both run, the better one rules.
    fn settled<'a>(self, stage: &'a Stage<'_>) -> Result<(Node<'a>, Node<'a>)> {
        let better = self.better(stage)?;
        let worse = self.worse(stage)?;
        worse.listens()?;
        better.is_master()?;
        worse.is_backup()?;
        Ok((better, worse))
    }
}

/// The better one starts first and keeps the rule; it leaves with priority 0, the other is quick.
pub(crate) fn stop(cast: Cast) -> Result<()> {
    play(|stage| {
        let better = cast.better(stage)?;
        better.is_master()?;
        let worse = cast.worse(stage)?;
        worse.listens()?;
        better.rules_alone_over(&[&worse])?;
        let stopped = Instant::now();
        better.stop()?;
        worse.is_master()?;
        let farewell = better.adverts(stopped).into_iter().find(|seen| seen.packet.priority == 0);
        let farewell = farewell.context("the better one left without a word")?;
        let first = worse.adverts(farewell.at).first().context("no advert")?.at;
        let took = first - farewell.at;
        ensure!(took < STOP_LIMIT, "{worse} took {took:?} to follow a priority 0");
        worse.announces(farewell.at)?;
        better.is_backup()
    })
}

/// The worse one starts first and rules until the better one comes; that one crashes and returns.
pub(crate) fn crash(cast: Cast) -> Result<()> {
    play(|stage| {
        let worse = cast.worse(stage)?;
        worse.is_master()?;
        let better = cast.better(stage)?;
        better.is_master()?;
        worse.is_backup()?;
        better.rules_alone_over(&[&worse])?;
        better.kill()?;
        let killed = Instant::now();
        worse.is_master()?;
        let first = worse.adverts(killed).first().context("no advert")?.at;
        ensure!(first - killed < CRASH_LIMIT, "{worse} took {:?}", first - killed);
        ensure!(better.adverts(killed).is_empty(), "the dead speak");
        let returned = Instant::now();
        better.start()?;
        better.is_master()?;
        worse.is_backup()?;
        better.announces(returned)?;
        better.rules_alone_over(&[&worse])
    })
}

/// The better one's cable breaks and heals.
pub(crate) fn link_of_the_better(cast: Cast) -> Result<()> {
    play(|stage| {
        let (better, worse) = cast.settled(stage)?;
        better.host.cut()?;
        worse.is_master()?;
        if better.kind != Kind::Frr {
            // FRR stays master inside; its interface lost the carrier with the cable.
            better.is_backup()?;
        }
        better.host.restore()?;
        better.is_master()?;
        worse.is_backup()?;
        better.rules_alone_over(&[&worse])
    })
}

/// The worse one's cable breaks and heals: nobody else needs to notice. FRR does not care for a lost
/// carrier: it makes itself master in the dark, says so on its return, and is put right.
pub(crate) fn link_of_the_worse(cast: Cast) -> Result<()> {
    play(|stage| {
        let (better, worse) = cast.settled(stage)?;
        worse.host.cut()?;
        until("the carrier lost", || Ok(!worse.host.is_running("eth0")?))?;
        let cut = Instant::now();
        better.rules_alone_over(&[])?;
        worse.host.restore()?;
        until("the carrier back", || worse.host.is_running("eth0"))?;
        if worse.kind == Kind::Frr {
            until(&format!("a word of {worse}"), || Ok(!worse.adverts(cut).is_empty()))?;
            worse.is_backup()?;
            better.announces(worse.adverts(cut)[0].at)?;
            return better.rules_alone_over(&[&worse]);
        }
        better.rules_alone_over(&[&worse])?;
        ensure!(worse.adverts(cut).is_empty(), "{worse} spoke");
        Ok(())
    })
}

/// A reload makes the better one worse, and better again.
pub(crate) fn better_changes_priority(cast: Cast) -> Result<()> {
    play(|stage| {
        let (better, worse) = cast.settled(stage)?;
        better.reload(|router| router.priority = 50)?;
        worse.is_master()?;
        better.is_backup()?;
        worse.rules_alone_over(&[&better])?;
        better.reload(|router| router.priority = 200)?;
        better.is_master()?;
        worse.is_backup()
    })
}

/// A reload makes the worse one better, and worse again.
pub(crate) fn worse_changes_priority(cast: Cast) -> Result<()> {
    play(|stage| {
        let (better, worse) = cast.settled(stage)?;
        worse.reload(|router| router.priority = 200)?;
        worse.is_master()?;
        better.is_backup()?;
        worse.rules_alone_over(&[&better])?;
        worse.reload(|router| router.priority = 90)?;
        better.is_master()?;
        worse.is_backup()
    })
}

/// Without preemption the better one waits for the other's end.
pub(crate) fn nopreempt(cast: Cast) -> Result<()> {
    play(|stage| {
        let worse = cast.worse(stage)?;
        worse.is_master()?;
        let patient: Router = router(150).with(|router| router.more = "nopreempt");
        let better = stage.start(cast.better, "one", &patient)?;
        better.listens()?;
        worse.rules_alone_over(&[&better])?;
        worse.stop()?;
        better.is_master()?;
        worse.start()?;
        worse.listens()?;
        better.rules_alone_over(&[&worse])
    })
}

/// A partition nobody is told of, and its end: the better one rules, alone.
pub(crate) fn partition(cast: Cast) -> Result<()> {
    play(|stage| {
        let (better, worse) = cast.settled(stage)?;
        better.host.isolate()?;
        worse.is_master()?;
        ensure!(better.rules()?, "{better} must not notice");
        better.host.restore()?;
        worse.is_backup()?;
        better.rules_alone_over(&[&worse])
    })
}

/// Equal priorities, two masters after a partition: the higher address has it, on all sides.
pub(crate) fn tie(cast: Cast) -> Result<()> {
    play(|stage| {
        let lower = stage.start(cast.worse, "one", &router(100))?;
        lower.is_master()?;
        let higher = stage.start(cast.better, "two", &router(100))?;
        higher.listens()?;
        lower.rules_alone_over(&[&higher])?; // an equal one never preempts
        lower.host.isolate()?;
        higher.is_master()?;
        lower.host.restore()?;
        lower.is_backup()?;
        higher.rules_alone_over(&[&lower])
    })
}
