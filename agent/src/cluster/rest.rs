//! Drain and pause: what concerns the whole node.

use super::groups::{one_per_group, went_along};
use super::holds::{Hold, HoldKind};
use super::moves::{After, Wish};
use super::{Cluster, Ours};
use hacluster_proto::v1::{self, MoveOutcome as Outcome};
use std::time::SystemTime;

/// What came of an order to the whole node.
#[derive(Clone, Debug, Default)]
pub struct NodeOutcome {
    /// One per router that was moved, or would be.
    pub moves: Vec<v1::Move>,
    /// What began, or ended.
    pub hold: Option<Hold>,
    /// In words.
    pub text: String,
}

impl Cluster {
    /// Moves everything away and makes this node the last resort.
    pub(crate) async fn drain(&self, wish: &Wish) -> NodeOutcome {
        let own = self.name();
        let ruled: Vec<_> =
            self.all().into_iter().filter(|ours| ours.now.state() == v1::State::Master).collect();
        let before = self.0.store.kept().drain.clone();
        if wish.dry_run {
            let moves = self.away(ruled, wish).await;
            let text = match before {
                Some(before) => format!("{own} is drained already, by {}: {}", before.by, before.reason),
                None => format!("{own} would give away {} virtual router(s) and rest", moves.len()),
            };
            return NodeOutcome { moves, hold: None, text };
        }
        let hold = self.node_hold(HoldKind::Drain, wish);
        self.alter(|kept| {
            kept.emptying = true;
            kept.drain = Some(hold.clone());
        })
        .await;
        self.node_changed();
        let moves = self.away(ruled, wish).await;
        self.alter(|kept| kept.emptying = false).await;
        self.node_changed();
        let stayed = moves.iter().filter(|it| !gone(it)).count();
        let text = match stayed {
            0 => format!("{own} is drained: {} virtual router(s) given away", moves.len()),
            stayed => format!(
                "{own} is drained, but {stayed} virtual router(s) stay, with priority 1, until another node \
                 takes them"
            ),
        };
        NodeOutcome { moves, hold: Some(hold), text }
    }

    /// Moves each of `ruled` to its best peer, else to whoever takes it; all at the same time.
    async fn away(&self, ruled: Vec<Ours>, wish: &Wish) -> Vec<v1::Move> {
        let mut moving = tokio::task::JoinSet::new();
        let (ruled, along) = one_per_group(ruled);
        for ours in ruled {
            let (cluster, wish) = (self.clone(), wish.clone());
            moving.spawn(async move {
                if super::judge::owns(&ours.now) {
                    return cluster.failover(&ours, &Wish { dry_run: true, ..wish }).await; // says why not
                }
                if cluster.peers().is_empty() {
                    cluster.resign(&ours, "", &wish, After::Nothing).await
                } else {
                    cluster.push(&ours, None, &wish, After::Nothing).await
                }
            });
        }
        let mut moves = moving.join_all().await;
        for ours in along {
            let group = &ours.now.sync_group;
            let leads = moves.iter().find(|one| self.group_of(&one.router).as_ref() == Some(group));
            let answer = leads.map(|answer| went_along(&ours, answer));
            moves.extend(answer);
        }
        moves.sort_by(|one, other| one.router.cmp(&other.router));
        moves
    }

    /// Ends a drain.
    pub(crate) async fn undrain(&self, wish: &Wish) -> NodeOutcome {
        let own = self.name();
        let Some(before) = self.0.store.kept().drain.clone() else {
            return NodeOutcome { text: format!("{own} is not drained"), ..NodeOutcome::default() };
        };
        let returning: Vec<_> = self.all().into_iter().filter(returns).map(|ours| ours.now.name).collect();
        let then = match returning.len() {
            0 => "nothing moves by that".to_owned(),
            _ => format!("by its priority it takes over {}", returning.join(", ")),
        };
        let text = if wish.dry_run {
            format!("{own} would rest no more; {then}")
        } else {
            self.alter(|kept| kept.drain = None).await;
            self.node_changed();
            format!("{own} rests no more; {then}")
        };
        NodeOutcome { moves: Vec::new(), hold: Some(before), text }
    }

    /// Takes nothing from a living master from now on.
    pub(crate) async fn pause(&self, wish: &Wish) -> NodeOutcome {
        let own = self.name();
        if wish.dry_run {
            let text =
                format!("{own} would take nothing from a living master; one that dies is still replaced");
            return NodeOutcome { text, ..NodeOutcome::default() };
        }
        let hold = self.node_hold(HoldKind::Pause, wish);
        self.alter(|kept| kept.pause = Some(hold.clone())).await;
        self.node_changed();
        let text = format!("{own} takes nothing from a living master; one that dies is still replaced");
        NodeOutcome { moves: Vec::new(), hold: Some(hold), text }
    }

    /// Ends a pause.
    pub(crate) async fn resume(&self, wish: &Wish) -> NodeOutcome {
        let own = self.name();
        let Some(before) = self.0.store.kept().pause.clone() else {
            return NodeOutcome { text: format!("{own} is not paused"), ..NodeOutcome::default() };
        };
        let text = if wish.dry_run {
            format!("{own} would take over again what its priority gives it")
        } else {
            self.alter(|kept| kept.pause = None).await;
            self.node_changed();
            format!("{own} takes over again what its priority gives it")
        };
        NodeOutcome { moves: Vec::new(), hold: Some(before), text }
    }

    fn group_of(&self, router: &str) -> Option<String> {
        let found = self.all().into_iter().find(|ours| ours.now.name == router)?;
        Some(found.now.sync_group)
    }

    fn node_hold(&self, kind: HoldKind, wish: &Wish) -> Hold {
        let since = SystemTime::now();
        Hold {
            kind,
            by: wish.by.clone(),
            reason: wish.reason.clone(),
            since,
            until: wish.hold_for.and_then(|limit| since.checked_add(limit)),
            to_node: String::new(),
        }
    }
}

/// Whether the router left this node, or never ruled here.
fn gone(answer: &v1::Move) -> bool {
    matches!(answer.outcome(), Outcome::Moved | Outcome::Resigned)
}

/// Whether it takes over by its priority once it may.
fn returns(ours: &Ours) -> bool {
    ours.now.state() == v1::State::Backup
        && ours.now.master_priority != 0
        && ours.now.master_priority < ours.now.priority_base
        && ours.now.hold.is_none()
}
