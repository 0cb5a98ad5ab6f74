//! The story that a verb begins: agents continue it, and whoever collects traces finds it by its id.
//!
//! Where the environment has a `TRACEPARENT`, as CI systems set it, the verb is part of that story.

use hacluster_proto::trail::{NOBODYS_PART, TRACEPARENT, TRACESTATE, Trail};
use tonic::Request;
use tonic::metadata::MetadataValue;

/// What an operator began, or another program before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    trail: Trail,
    /// Somebody else tells of its beginning.
    continues: bool,
}

impl Story {
    /// A new one, or the one of the environment.
    pub(crate) fn begin() -> Self {
        Self::of(std::env::var("TRACEPARENT").ok().as_deref())
    }

    fn of(environment: Option<&str>) -> Self {
        let told = environment.and_then(|text| text.parse().ok());
        Self { trail: told.unwrap_or_else(Trail::begin), continues: told.is_some() }
    }

    /// `message` as part of it.
    pub(crate) fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(trail) = self.trail.to_string().parse() {
            request.metadata_mut().insert(TRACEPARENT, trail);
        }
        if !self.continues {
            request.metadata_mut().insert(TRACESTATE, MetadataValue::from_static(NOBODYS_PART));
        }
        request
    }

    /// By which it is found.
    pub(crate) fn trace_id(self) -> String {
        self.trail.trace_id()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_story_of_the_environment_is_continued_and_any_other_begun() {
        let told = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Story::of(Some(told)).request(());
        assert_eq!(request.metadata().get(TRACEPARENT).unwrap(), told);
        assert!(request.metadata().get(TRACESTATE).is_none());
        for text in [None, Some("nonsense")] {
            let story = Story::of(text);
            let request = story.request(());
            let sent = request.metadata().get(TRACEPARENT).unwrap().to_str().unwrap();
            assert!(sent.contains(&story.trace_id()));
            assert_eq!(request.metadata().get(TRACESTATE).unwrap(), NOBODYS_PART);
        }
    }
}
