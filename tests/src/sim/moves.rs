//! Operators who move routers between nodes, and the shells that carry it out.
//!
//! ```text
//!   order -> mover: hold, YieldTo(target) -- TakeOver --> target: TakeOver -> Claim -> Claimed
//!            moved <- its transition      <--- Rules ---  Master, leads
//!            or, too late: YieldTo(None), no hold -- StepBack --> Lead(None)
//! ```
//!
//! Messages take time and get lost; either side may crash at any moment. What a node must not
//! forget, its hold and its lead, outlives its process.

use super::node::Life;
use super::rng::Rng;
use super::sabotage::Sabotage;
use super::world::{Event, RETRY, World};
use hacluster_core::machine::{Action, Input, Note, Reason, State, StateKind};
use hacluster_core::priority::Priority;
use hacluster_core::time::Duration;
use std::collections::BTreeMap;

/// A mover waits this long for an answer: longer than a target may take for its claim.
const ANSWER_MAX: Duration = Duration::from_millis(2_500);
/// Then this long until it hears its successor.
const HEAR_MAX: Duration = Duration::from_millis(500);

/// Who is killed in the course of a move is killed within this time.
const KILL_MAX: Duration = Duration::from_millis(600);

/// How often routers are moved, and how messages fare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moves {
    /// Longest pause between orders.
    pub pause_max: Duration,
    /// Longest way of a message.
    pub way_max: Duration,
    /// Messages lost, per mille.
    pub loss_permille: u64,
    /// Orders in whose course somebody is killed, per mille.
    pub kill_permille: u64,
}

impl Moves {
    /// Draws them; in half of the worlds nobody moves anything.
    fn draw(rng: &mut Rng) -> Option<Self> {
        rng.chance(500).then(|| Self {
            pause_max: Duration::from_millis(rng.pick(&[500, 3_000, 10_000])),
            way_max: Duration::from_millis(rng.pick(&[1, 30, 300, 1_500])),
            loss_permille: rng.pick(&[0, 0, 50, 300]),
            kill_permille: rng.pick(&[0, 0, 200]),
        })
    }
}

/// A virtual router on a node.
type Place = (usize, usize);

/// What a mover waits for.
#[derive(Clone, Copy, Debug)]
struct Move {
    serial: u64,
    to: usize,
    /// The way back: the mover does not hold.
    back: bool,
}

/// Who waits for a target's answer.
#[derive(Clone, Copy, Debug)]
struct Request {
    serial: u64,
    asker: usize,
}

/// What shells say to each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    TakeOver { serial: u64, asker: usize, lead: Option<Priority> },
    Rules { serial: u64 },
    Refused { serial: u64 },
    StepBack,
}

/// Everything under way.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) rng: Rng,
    pub(super) plan: Option<Moves>,
    /// Messages lost once the world is healed, per mille.
    pub(super) loss_permille: u64,
    serial: u64,
    moves: BTreeMap<Place, Move>,
    requests: BTreeMap<Place, Request>,
}

impl Desk {
    /// With a source of chance of its own: a world without moves stays the same world.
    pub(super) fn new(mut rng: Rng) -> Self {
        let plan = Moves::draw(&mut rng);
        Self { rng, plan, loss_permille: 0, serial: 0, moves: BTreeMap::new(), requests: BTreeMap::new() }
    }

    /// The process ended: nobody remembers.
    pub(super) fn forget(&mut self, node: usize) {
        self.moves.retain(|(index, _), _| *index != node);
        self.requests.retain(|(index, _), _| *index != node);
    }
}

impl World {
    /// How long a move may take until its last word is said.
    pub fn move_max(&self) -> Duration {
        let way = self.desk.plan.map_or(Duration::ZERO, |moves| moves.way_max);
        ANSWER_MAX + HEAR_MAX + way.times(2) + RETRY.times(2)
    }

    /// Whether anybody moves routers in this world.
    pub const fn moves_routers(&self) -> bool {
        self.desk.plan.is_some()
    }

    pub(super) fn next_order(&mut self) {
        let Some(moves) = self.desk.plan.filter(|_| self.faulty) else { return };
        let pause = self.desk.rng.between(1, moves.pause_max.as_micros());
        self.clock.after(Duration::from_micros(pause), Event::Order);
        let vr = self.desk.rng.index(self.plan.virtual_routers.len());
        let other = self.desk.rng.index(self.nodes.len());
        let rulers: Vec<_> =
            self.rulers(vr).into_iter().filter(|node| self.nodes[*node].is_awake()).collect();
        let held = |node: &usize| self.nodes[*node].is_awake() && self.nodes[*node].routers[vr].hold;
        let holders: Vec<_> = (0..self.nodes.len()).filter(held).collect();
        let draw = self.desk.rng.index(10);
        if self.desk.rng.chance(moves.kill_permille) {
            let soon = Duration::from_micros(self.desk.rng.between(1, KILL_MAX.as_micros()));
            let ruler = rulers.first().copied().filter(|_| self.desk.rng.chance(500));
            self.clock.after(soon, Event::Kill { node: ruler.unwrap_or(other) });
        }
        match (draw, rulers.is_empty(), holders.is_empty()) {
            (0..=4, false, _) => {
                let ruler = self.desk.rng.pick(&rulers);
                self.begin_move(ruler, other, vr, false);
            }
            (5..=6, false, false) => {
                let (ruler, holder) = (self.desk.rng.pick(&rulers), self.desk.rng.pick(&holders));
                self.begin_move(ruler, holder, vr, true);
            }
            (7, _, false) => {
                let holder = self.desk.rng.pick(&holders);
                self.remark(Some(holder), "holds back no more".to_owned());
                self.set_hold((holder, vr), false);
            }
            (8, false, _) => {
                let ruler = self.desk.rng.pick(&rulers);
                if !self.is_owner((ruler, vr)) {
                    self.remark(Some(ruler), format!("is told to resign router {vr}"));
                    self.set_hold((ruler, vr), true);
                    self.tell(ruler, vr, Input::Resign);
                }
            }
            _ => {}
        }
    }

    pub(super) fn kill(&mut self, node: usize) {
        if self.faulty && self.nodes[node].life == Life::Running {
            self.crash(node);
        }
    }

    fn base(&self, (node, vr): Place) -> Priority {
        self.nodes[node].routers[vr].parameters.priority
    }

    fn is_owner(&self, place: Place) -> bool {
        self.base(place).is_owner()
    }

    fn set_hold(&mut self, (node, vr): Place, hold: bool) {
        let router = &mut self.nodes[node].routers[vr];
        if router.hold != hold {
            router.hold = hold;
            let parameters = router.in_force();
            self.tell(node, vr, Input::Parameters(parameters));
        }
    }

    /// Moves `vr` from its ruler `from` to `to`; false when that is refused at once.
    pub(super) fn begin_move(&mut self, from: usize, to: usize, vr: usize, back: bool) -> bool {
        let (place, target) = ((from, vr), (to, vr));
        let owned = self.is_owner(place) || self.is_owner(target);
        if from == to || owned || self.desk.moves.contains_key(&place) {
            return false;
        }
        let way = if back { "back " } else { "" };
        self.remark(Some(from), format!("moves router {vr} {way}to {to}"));
        self.desk.serial += 1;
        let serial = self.desk.serial;
        self.desk.moves.insert(place, Move { serial, to, back });
        let lead = match back {
            false => Some(self.nodes[from].routers[vr].machine.priority().max(self.base(target))),
            true => Some(self.base(place)).filter(|base| *base > self.base(target)),
        };
        if !back {
            self.set_hold(place, true);
        }
        let word = match self.sabotage {
            Sabotage::BreakBeforeMake => Input::Resign,
            _ => Input::YieldTo(Some(self.nodes[to].address)),
        };
        self.tell(from, vr, word);
        self.send(target, Message::TakeOver { serial, asker: from, lead });
        self.clock.after(ANSWER_MAX, Event::MoveLate { place, serial });
        true
    }

    fn send(&mut self, to: Place, message: Message) {
        let Some(moves) = self.desk.plan else { return };
        if self.desk.rng.chance(if self.faulty { moves.loss_permille } else { self.desk.loss_permille }) {
            return;
        }
        let way = self.desk.rng.between(20, moves.way_max.as_micros());
        self.clock.after(Duration::from_micros(way), Event::Message { to, message });
    }

    pub(super) fn take_message(&mut self, to: Place, message: Message) {
        let node = &self.nodes[to.0];
        if node.stalled {
            return self.clock.after(RETRY, Event::Message { to, message });
        }
        if !node.is_awake() {
            return;
        }
        self.remark(Some(to.0), format!("router {} gets {message:?}", to.1));
        let ours = |serial: u64| self.desk.moves.get(&to).is_some_and(|ours| ours.serial == serial);
        match message {
            Message::TakeOver { serial, asker, lead } => self.take_over(to, Request { serial, asker }, lead),
            Message::Rules { serial } if ours(serial) => {
                self.clock.after(HEAR_MAX, Event::MoveLate { place: to, serial });
            }
            Message::Refused { serial } if ours(serial) => self.fail_move(to),
            Message::Rules { .. } | Message::Refused { .. } => {}
            Message::StepBack => self.tell(to.0, to.1, Input::Lead(None)),
        }
    }

    fn take_over(&mut self, place: Place, request: Request, lead: Option<Priority>) {
        let (node, vr) = place;
        let ready = self.nodes[node].kind(vr) == StateKind::Backup && !self.is_owner(place);
        if !ready || self.desk.requests.contains_key(&place) {
            let refused = Message::Refused { serial: request.serial };
            return self.send((request.asker, vr), refused);
        }
        self.desk.requests.insert(place, request);
        let from = self.nodes[request.asker].address;
        self.tell(node, vr, Input::TakeOver { from, lead });
    }

    pub(super) fn move_late(&mut self, place: Place, serial: u64) {
        let Some(late) = self.desk.moves.get(&place).copied().filter(|ours| ours.serial == serial) else {
            return;
        };
        if self.nodes[place.0].stalled {
            return self.clock.after(RETRY, Event::MoveLate { place, serial });
        }
        self.send((late.to, place.1), Message::StepBack);
        self.fail_move(place);
    }

    fn fail_move(&mut self, place: Place) {
        let Some(failed) = self.desk.moves.remove(&place) else { return };
        self.remark(Some(place.0), format!("gives up moving router {} to {}", place.1, failed.to));
        self.tell(place.0, place.1, Input::YieldTo(None));
        if !failed.back {
            self.set_hold(place, false);
        }
    }

    /// What the shell concludes from what the machine just did.
    pub(super) fn conclude(&mut self, place: Place, before: StateKind, actions: &[Action]) {
        let router = &mut self.nodes[place.0].routers[place.1];
        router.lead = router.machine.lead();
        let after = router.machine.state().kind();
        self.answer_request(place, after, actions);
        if before != StateKind::Master && after == StateKind::Master {
            self.set_hold(place, false); // it rules: there is nothing to hold back from
        }
        let gave = actions.iter().any(
            |action| matches!(action, Action::Transition(change) if matches!(change.reason, Reason::GaveAway(_))),
        );
        if before == StateKind::Master && after != StateKind::Master {
            let moved = self.desk.moves.remove(&place);
            if moved.is_some_and(|moved| !moved.back) && !gave {
                self.set_hold(place, false);
            }
        }
    }

    fn answer_request(&mut self, place: Place, after: StateKind, actions: &[Action]) {
        let Some(request) = self.desk.requests.get(&place).copied() else { return };
        let failed = |action: &Action| {
            matches!(action, Action::Note(Note::TakeOverTooSlow(_) | Note::TakeOverRefused(_)))
        };
        let answer = match after {
            StateKind::Master => Message::Rules { serial: request.serial },
            StateKind::Backup if !actions.iter().any(failed) => return,
            StateKind::Backup | StateKind::Initialize | StateKind::Fault => {
                Message::Refused { serial: request.serial }
            }
        };
        self.desk.requests.remove(&place);
        self.send((request.asker, place.1), answer);
    }
}

/// Whether `state` is a backup that was asked to rule.
pub(super) fn prepares(state: &State) -> bool {
    matches!(state, State::Backup(backup) if backup.preparing.is_some())
}
