//! The seam to the checks, so that tests can look themselves.

use crate::check::{Checks, Settings, TrackedFile, Wanted};
use hacluster_conf::model::Config;
use hacluster_conf::model::track::Probe;

/// Who looks.
pub(super) trait Looks {
    /// How it is looked from now on.
    fn configure(&mut self, config: &Config);

    /// From now on at exactly these; what goes on keeps its state.
    fn set(&mut self, wanted: Vec<Wanted>);
}

impl Looks for Checks {
    fn configure(&mut self, config: &Config) {
        self.change(settings(config));
    }

    fn set(&mut self, wanted: Vec<Wanted>) {
        Checks::set(self, wanted);
    }
}

/// What checks need to know of `config` beside themselves.
pub(super) fn settings(config: &Config) -> Settings {
    let files = config.trackers.iter().filter_map(|tracker| match &tracker.probe {
        Probe::File { path, init } => {
            let file = TrackedFile { path: path.clone(), init: *init };
            Some((tracker.id.name.clone(), file))
        }
        _ => None,
    });
    let client = config.lvs.client.as_ref();
    Settings {
        scripts: config.scripts.clone(),
        certificate: client.map(|client| (client.certificate.clone(), client.key.clone())),
        authorities: config.lvs.authorities.clone(),
        files: files.collect(),
    }
}
