//! The record of routes and rules that we may have set: lines as `ip` takes them.
//!
//! ```text
//!   RUN_DIR/routes.json   ["route 198.51.100.0/24 via 192.0.2.254", "rule from 10.0.0.0/8 table 100"]
//! ```

use super::RunDir;
use crate::kernel::Fixed;
use hacluster_conf::model::{Config, Route, Rule};
use std::collections::BTreeSet;
use std::fs;

impl RunDir {
    /// What is to be fixed on the host by an agent that starts with `config`: what is static in it, and
    /// of what a predecessor recorded all that it does not name.
    pub fn fixed(&self, config: &Config) -> Fixed {
        let named = lines(config);
        let text = fs::read_to_string(self.routes()).unwrap_or_default();
        let recorded: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        let stale: Vec<&String> = recorded.iter().filter(|line| !named.contains(*line)).collect();
        let route = |line: &&String| line.strip_prefix("route ")?.parse().ok();
        let rule = |line: &&String| line.strip_prefix("rule ")?.parse().ok();
        Fixed {
            statics: config.statics.clone(),
            stale_routes: stale.iter().filter_map(route).collect(),
            stale_rules: stale.iter().filter_map(rule).collect(),
        }
    }

    /// Records what `configs` may set, and what is still there of before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn record_routes(&self, configs: &[&Config], before: &Fixed) -> anyhow::Result<()> {
        let mut all: BTreeSet<String> = configs.iter().flat_map(|config| lines(config)).collect();
        all.extend(before.stale_routes.iter().map(route_line));
        all.extend(before.stale_rules.iter().map(rule_line));
        if all.is_empty() {
            let _ = fs::remove_file(self.routes()); // most hosts have none
            return Ok(());
        }
        self.replace(&self.routes(), &serde_json::to_string(&all)?)
    }
}

fn lines(config: &Config) -> BTreeSet<String> {
    let own = (&config.statics.routes, &config.statics.rules);
    let routers = config.routers.iter().map(|router| (&router.routes, &router.rules));
    let all = std::iter::once(own).chain(routers);
    all.flat_map(|(routes, rules)| routes.iter().map(route_line).chain(rules.iter().map(rule_line))).collect()
}

/// Whether it is tracked makes it no other route.
fn route_line(route: &Route) -> String {
    format!("route {}", Route { no_track: false, ..route.clone() })
}

fn rule_line(rule: &Rule) -> String {
    format!("rule {}", Rule { no_track: false, ..rule.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_finds_what_it_does_not_name() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::lock(dir.path()).unwrap();
        let mut before = Config::default();
        before.statics.routes =
            vec!["10.1.0.0/16 via 10.0.0.1 no_track".parse().unwrap(), "10.2.0.0/16 dev a".parse().unwrap()];
        before.statics.rules = vec!["from 10.1.0.0/16 table 7".parse().unwrap()];
        run.record_routes(&[&before], &Fixed::default()).unwrap();
        let mut after = Config::default();
        after.statics.routes = vec!["10.1.0.0/16 via 10.0.0.1".parse().unwrap()];
        let fixed = run.fixed(&after);
        assert_eq!(fixed.stale_routes, [before.statics.routes[1].clone()]);
        assert_eq!(fixed.stale_rules, before.statics.rules);
        assert_eq!(fixed.statics, after.statics);
        run.record_routes(&[&after], &fixed).unwrap();
        assert_eq!(run.fixed(&after).stale_rules, before.statics.rules, "not forgotten before it is removed");
        fs::write(run.routes(), "[\"route").unwrap();
        assert_eq!(run.fixed(&after).stale_routes, []);
        run.forget();
        assert!(!run.routes().exists());
    }
}
