//! What attributes are called, once for metrics, spans and log records: one thing has one name.
//!
//! OpenTelemetry's rules: lower case, within a namespace, and no name is the namespace of another. Its own names
//! are taken where it has one. All are here, and tests hold what is told to this list.

macro_rules! names {
    ($($(#[$about:meta])+ $name:ident = $key:literal;)+) => {
        $($(#[$about])+ pub(crate) const $name: &str = $key;)+

        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$($name),+];
    };
}

names! {
    // ---- virtual routers

    /// Name of a virtual router.
    ROUTER = "vrrp.router";
    /// Its VRID.
    VRID = "vrrp.vrid";
    /// Its interface.
    INTERFACE = "network.interface.name";
    /// Name of a sync group.
    GROUP = "vrrp.group";
    /// The state it is in; of a change the state entered.
    STATE = "vrrp.state";
    /// The state that a change left, as `session.previous_id` is to `session.id`.
    PREVIOUS_STATE = "vrrp.previous_state";
    /// Why a state changed: one of few words.
    REASON_KIND = "vrrp.reason.kind";
    /// The same for people.
    REASON_TEXT = "vrrp.reason.text";
    /// The priority in force, or in an advert.
    PRIORITY = "vrrp.priority";
    /// Why an advert was dropped: one of few words.
    DISCARD_CAUSE = "vrrp.discard.cause";
    /// Seconds from the kernel's receiving an advert to the agent's.
    RECEIVE_DELAY = "vrrp.advert.receive_delay";
    /// Which way: `receive` or `transmit`.
    DIRECTION = "network.io.direction";

    // ---- addresses

    /// Addresses of a virtual router.
    VIP_COUNT = "hacluster.vip.count";
    /// Addresses that were put in place.
    VIP_ADDED = "hacluster.vip.added";
    /// Addresses that the kernel refused.
    VIP_REFUSED = "hacluster.vip.refused";
    /// Addresses that were taken away.
    VIP_REMOVED = "hacluster.vip.removed";
    /// Requests to the kernel.
    VIP_BATCHES = "hacluster.vip.batches";
    /// Seconds from the beginning of a change to its first announcement.
    FIRST_ANNOUNCED = "hacluster.announce.first_after";
    /// Seconds from the beginning of a change to the first announcement of its last address.
    LAST_ANNOUNCED = "hacluster.announce.last_after";

    // ---- the node, its peers and operators

    /// How something ended: one of few words.
    OUTCOME = "hacluster.outcome";
    /// What came of a step, for people.
    STEP_TEXT = "hacluster.step.text";
    /// Name of a tracker.
    TRACKER = "hacluster.tracker.name";
    /// Whether what it saw is good.
    TRACKER_GOOD = "hacluster.tracker.good";
    /// What it saw, for people.
    TRACKER_TEXT = "hacluster.tracker.text";
    /// Name of a peer.
    PEER = "hacluster.peer.name";
    /// Seconds that its clock is ahead of ours.
    CLOCK_OFFSET = "hacluster.peer.clock.offset";
    /// What holds: `drain` or `pause`.
    HOLD = "hacluster.hold";
    /// A queue whose writers never wait.
    QUEUE = "hacluster.queue";
    /// `traces`, `metrics` or `logs`.
    SIGNAL = "hacluster.telemetry.signal";
    /// A file of TLS, as `[tls]` of agent.toml has it: `certificate`, `authority` or `revoked`.
    TLS_FILE = "hacluster.tls.file";
    /// Why a span refers to another.
    LINK = "hacluster.link";
    /// Who asked.
    OPERATOR = "enduser.id";
    /// `grpc`.
    RPC_SYSTEM = "rpc.system";
    /// The service called.
    RPC_SERVICE = "rpc.service";
    /// Its method.
    RPC_METHOD = "rpc.method";
    /// Host of the peer called.
    SERVER_ADDRESS = "server.address";
    /// Its port.
    SERVER_PORT = "server.port";

    // ---- programs and mail

    /// What programs are run for.
    SCRIPT_PURPOSE = "hacluster.script.purpose";
    /// The hook that names a program: `notify_master`.
    NOTIFY_HOOK = "hacluster.notify.hook";
    /// The state it was told, as programs are: `MASTER`, `DOWN`.
    NOTIFY_STATE = "hacluster.notify.state";
    /// How it ended, for people.
    NOTIFY_TEXT = "hacluster.notify.text";
    /// Subject of a mail.
    MAIL_SUBJECT = "hacluster.mail.subject";
    /// How many should get it.
    MAIL_RECIPIENTS = "hacluster.mail.recipients";

    // ---- virtual and real servers

    /// Name of a virtual server.
    SERVICE = "lvs.service";
    /// Name of a real server.
    SERVER = "lvs.server";
    /// What changed: `server` or `quorum`.
    SUBJECT = "lvs.subject";
    /// `up` or `down`; where servers are counted, `drained`, too.
    LVS_STATE = "lvs.state";
    /// Why it changed, for people.
    LVS_REASON_TEXT = "lvs.reason.text";
    /// What an operator ordered: `drain` or `weight`.
    ORDER = "lvs.order";
    /// Connections that are `active` or `inactive`.
    CONNECTION_STATE = "lvs.connection.state";
    /// `tcp`, `http` and so on.
    CHECK_KIND = "lvs.check.kind";
    /// Which check.
    CHECK_NAME = "lvs.check.name";
    /// What it found, for people.
    CHECK_TEXT = "lvs.check.text";
    /// Part of a sync daemon, for people.
    SYNC_DAEMON = "ipvs.sync_daemon";
    /// Changes that were sent to the kernel together.
    IPVS_SENT = "hacluster.ipvs.sent";
    /// Changes, of those, that it refused.
    IPVS_REFUSED = "hacluster.ipvs.refused";
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_lower_case_in_a_namespace_and_none_is_the_namespace_of_another() {
        let is_a_word = |word: &str| {
            let mut letters = word.chars();
            let begins = letters.next().is_some_and(|letter| letter.is_ascii_lowercase());
            begins && letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
        };
        let mut seen = BTreeSet::new();
        for name in ALL {
            let words: Vec<_> = name.split('.').collect();
            assert!(words.len() >= 2 && words.iter().all(|word| is_a_word(word)), "{name}");
            assert!(seen.insert(name), "{name} twice");
            let inner =
                ALL.iter().find(|other| other.strip_prefix(name).is_some_and(|it| it.starts_with('.')));
            assert_eq!(inner, None, "{name} is a namespace, too");
            // As Prometheus has them they must differ, too.
            let page = |name: &str| name.replace('.', "_");
            assert_eq!(ALL.iter().filter(|other| page(other) == page(name)).count(), 1, "{name}");
        }
    }
}
