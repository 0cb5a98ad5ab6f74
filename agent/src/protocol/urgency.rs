//! A thread whose timers run late becomes more urgent, step by step (`max_auto_priority`).

use hacluster_conf::model::Agent;
use hacluster_core::time::{Duration, Instant};
use hacluster_net::clock;

/// Off by default.
#[derive(Debug, Default)]
pub(super) struct Urgency {
    most: u8,
    late: Duration,
    now: u8,
}

impl Urgency {
    pub(super) fn new(settings: &Agent) -> Self {
        let now = settings.realtime_priority.unwrap_or(0);
        match settings.urgency {
            Some(urgency) => Self { most: urgency.most, late: urgency.late, now },
            None => Self::default(),
        }
    }

    /// The thread begins to serve `deadline`: the real-time priority that it needs from now on.
    pub(super) fn rise(&mut self, deadline: Instant) -> Option<u8> {
        // Asked in every round: without the setting it costs a comparison.
        (self.now < self.most && clock::now().since(deadline) > self.late).then(|| {
            self.now += 1;
            self.now
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacluster_conf::model::Urgency as Setting;

    #[test]
    fn each_late_timer_raises_it_by_one_up_to_the_most() {
        let setting = Setting { most: 12, late: Duration::from_millis(1) };
        let settings = Agent { realtime_priority: Some(10), urgency: Some(setting), ..Agent::default() };
        let mut urgency = Urgency::new(&settings);
        let late = Instant::ZERO;
        assert!(clock::now().since(late) > setting.late);
        assert_eq!(urgency.rise(clock::now() + Duration::from_secs(60)), None, "in time");
        assert_eq!([urgency.rise(late), urgency.rise(late), urgency.rise(late)], [Some(11), Some(12), None]);
        assert_eq!(Urgency::new(&Agent::default()).rise(late), None);
    }
}
