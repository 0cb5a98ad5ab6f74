//! The segment: who hears whom, how late, how often.

use super::rng::Rng;
use hacluster_core::time::Duration;

/// More nodes than a world ever has.
pub const NODES_MAX: usize = 4;

/// How the segment treats packets at the moment.
#[derive(Clone, Debug)]
pub struct Net {
    /// `cut[a][b]`: b does not hear a.
    cut: [[bool; NODES_MAX]; NODES_MAX],
    /// Packets lost, per mille.
    pub loss_permille: u64,
    /// Packets that arrive twice, per mille.
    pub duplicate_permille: u64,
    /// Packets held back for up to [`Net::SPIKE_MAX`], per mille: they overtake each other.
    pub spike_permille: u64,
    /// Every other packet takes at most this long.
    pub latency_max: Duration,
}

impl Net {
    /// The longest a packet is ever held back.
    pub const SPIKE_MAX: Duration = Duration::from_millis(700);

    /// A segment without faults.
    pub const fn calm(latency_max: Duration) -> Self {
        Self {
            cut: [[false; NODES_MAX]; NODES_MAX],
            loss_permille: 0,
            duplicate_permille: 0,
            spike_permille: 0,
            latency_max,
        }
    }

    /// Whether no packet is lost or held back.
    pub const fn is_fair(&self) -> bool {
        self.loss_permille == 0 && self.spike_permille == 0
    }

    /// Whether `to` can hear `from`.
    pub const fn connects(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }

    /// Cuts or restores one direction.
    pub const fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.cut[from][to] = cut;
    }

    /// Splits the segment into groups: nodes hear each other when their numbers are equal.
    pub fn split(&mut self, groups: &[usize]) {
        for (from, ours) in groups.iter().enumerate() {
            for (to, theirs) in groups.iter().enumerate() {
                self.cut[from][to] = ours != theirs;
            }
        }
    }

    /// When the copies of a packet arrive: none, one or two delays.
    pub fn deliver(&self, rng: &mut Rng, from: usize, to: usize) -> Vec<Duration> {
        if !self.connects(from, to) || rng.chance(self.loss_permille) {
            return Vec::new();
        }
        let copies = if rng.chance(self.duplicate_permille) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(rng)).collect()
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        let max = if rng.chance(self.spike_permille) { Self::SPIKE_MAX } else { self.latency_max };
        Duration::from_micros(rng.between(20, max.as_micros()))
    }
}
