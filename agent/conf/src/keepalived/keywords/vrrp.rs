//! Keywords of the top level and of the VRRP blocks.

use super::Takes::{Bool, Flag, Ip, List, Maybe, Number, OneOf, Seconds, Weight, Word, Words};
use super::{ANY, Block, DAY_MS, Keyword, Takes, Topic, gone, later, moot, now, old};

/// Outside every block.
pub(in super::super) static TOP: Block = Block {
    name: "the top level",
    keywords: &[&[
        now("global_defs", Takes::Block(&super::global::GLOBAL)),
        now("vrrp_instance", Takes::Block(&INSTANCE)),
        now("vrrp_sync_group", Takes::Block(&SYNC_GROUP)),
        now("vrrp_script", Takes::Block(&SCRIPT)),
        now("track_file", Takes::Block(&TRACK_FILE)),
        gone(
            "vrrp_track_file",
            Takes::Block(&TRACK_FILE),
            "the old name of `track_file`; it is in force all the same",
        ),
        now("vrrp_track_process", Takes::Block(&TRACK_PROCESS)),
        later(Topic::Garp, "garp_group", Takes::Block(&GARP_GROUP)),
        later(Topic::Bfd, "bfd_instance", Takes::Block(&BFD)),
        now("static_ipaddress", List),
        now("static_routes", List),
        now("static_rules", List),
        later(Topic::Track, "track_group", Takes::Block(&TRACK_GROUP)),
        later(Topic::Namespace, "net_namespace", Word),
        later(Topic::Namespace, "net_namespace_ipvs", Maybe),
        gone("namespace_with_ipsets", Flag, "it served kernels before 3.13; nftables sets replace ipsets"),
        later(Topic::Files, "instance", Word),
        later(Topic::Files, "use_pid_dir", Flag),
        moot("linkbeat_use_polling", Flag, "link state comes from the kernel as it changes"),
        moot("child_wait_time", Seconds(0, DAY_MS), "the agent has no child processes"),
        later(Topic::Link, "linkbeat_interfaces", List),
        later(Topic::Link, "interface_up_down_delays", List),
        now("SSL", Takes::Block(&super::server::SSL)),
        now("virtual_server_group", List),
        now("virtual_server", Takes::Block(&super::server::VIRTUAL_SERVER)),
    ]],
};

const NOTIFY: &[Keyword] = &[
    now("notify_master", Words),
    now("notify_backup", Words),
    now("notify_fault", Words),
    now("notify_stop", Words),
    now("notify", Words),
    now("notify_priority_changes", Bool),
    now("smtp_alert", Bool),
];

const TRACKERS: &[Keyword] = &[
    now("track_interface", List),
    now("track_script", List),
    now("track_file", List),
    now("track_process", List),
    later(Topic::Track, "track_bfd", List),
];

pub(in super::super) static INSTANCE: Block =
    Block { name: "vrrp_instance", keywords: &[NOTIFY, TRACKERS, INSTANCE_WORDS, INSTANCE_WIRE] };

/// What the protocol needs.
const INSTANCE_WORDS: &[Keyword] = &[
    now("state", Word),
    now("interface", Word),
    now("virtual_router_id", Word),
    now("priority", Word),
    now("advert_int", Word),
    now("authentication", Takes::Block(&AUTHENTICATION)),
    now("virtual_ipaddress", List),
    now("virtual_ipaddress_excluded", List),
    now("no_virtual_ipaddress", Flag),
    now("promote_secondaries", Flag),
    now("dont_track_primary", Flag),
    now("mcast_src_ip", Word),
    now("unicast_src_ip", Word),
    now("mcast_dst_ip", Word),
    now("accept", Flag),
    now("no_accept", Flag),
    now("nopreempt", Flag),
    now("preempt", Flag),
    now("preempt_delay", Word),
    now("strict_mode", Bool),
    now("skip_check_adv_addr", Bool),
    now("garp_master_delay", Word),
    now("garp_master_repeat", Word),
    now("garp_master_refresh", Word),
    now("garp_master_refresh_repeat", Word),
    now("garp_lower_prio_delay", Word),
    now("garp_lower_prio_repeat", Word),
    now("lower_prio_no_advert", Bool),
    now("higher_prio_send_advert", Bool),
    now("owner_ignore_adverts", Bool),
    now("down_timer_adverts", Word),
    now("version", Word),
    // These change the packets: `lower` refuses the instance.
    now("auth_hmac", Takes::Block(&AUTH_HMAC)),
    now("unicast_peer", List),
    now("use_vmac", Maybe),
    now("use_ipvlan", Maybe),
];

const INSTANCE_WIRE: &[Keyword] = &[
    later(Topic::Namespace, "vrf", Word),
    now("virtual_routes", List),
    now("virtual_rules", List),
    later(Topic::Track, "track_src_ip", Flag),
    later(Topic::Unicast, "unicast_fault_no_peer", Flag),
    later(Topic::Unicast, "check_unicast_src", Flag),
    later(Topic::Unicast, "unicast_ttl", Number(0, 255)),
    gone("old_unicast_checksum", Maybe, "only releases before 1.3.7 need it"),
    later(Topic::Version3, "v3_checksum_as_v2", Bool),
    later(Topic::Vmac, "use_vmac_addr", Flag),
    later(Topic::Vmac, "vmac_xmit_base", Flag),
    gone("native_ipv6", Maybe, "the family follows the addresses; remove it"),
    later(Topic::Garp, "garp_extra_if", Words),
    gone("vmac_garp_intvl", Maybe, "one release called `garp_extra_if` so"),
    later(Topic::Timers, "timer_expired_backup", Maybe),
    later(Topic::Timers, "thread_timer_expired", Maybe),
    moot("debug", Number(0, 4), "it has no effect in keepalived either"),
    now("notify_deleted", Maybe),
    now("notify_master_rx_lower_pri", Words),
    old(
        "lvs_sync_daemon_interface",
        Word,
        "the old form of `lvs_sync_daemon INTERFACE INSTANCE id 0` in global_defs",
    ),
    moot("kernel_rx_buf_size", Number(0, ANY), "the agent sizes its socket buffers itself"),
    gone("linkbeat_use_polling", Flag, "link state comes from the kernel as it changes; remove it"),
];

pub(in super::super) static AUTHENTICATION: Block =
    Block { name: "authentication", keywords: &[&[now("auth_type", Word), now("auth_pass", Word)]] };

pub(in super::super) static AUTH_HMAC: Block = Block {
    name: "auth_hmac",
    keywords: &[&[
        now("key", Words),
        now("active_key", Word),
        now("anti_replay", Word),
        now("time_window", Word),
        now("mode", OneOf(&["enforce", "permissive", "receive-only"])),
    ]],
};

pub(in super::super) static SYNC_GROUP: Block = Block {
    name: "vrrp_sync_group",
    keywords: &[
        NOTIFY,
        TRACKERS,
        &[
            now("group", List),
            gone("global_tracking", Flag, "write the trackers into the group"),
            now("sync_group_tracking_weight", Flag),
        ],
    ],
};

pub(in super::super) static SCRIPT: Block = Block {
    name: "vrrp_script",
    keywords: &[&[
        now("script", Words),
        now("interval", Word),
        now("timeout", Word),
        now("weight", Words),
        now("rise", Word),
        now("fall", Word),
        now("user", Words),
        now("init_fail", Flag),
    ]],
};

pub(in super::super) static TRACK_FILE: Block = Block {
    name: "track_file",
    keywords: &[&[now("file", Word), now("weight", Words), now("init_file", Maybe)]],
};

pub(in super::super) static TRACK_PROCESS: Block = Block {
    name: "vrrp_track_process",
    keywords: &[&[
        now("process", Words),
        now("param_match", OneOf(&["initial", "partial"])),
        now("weight", Words),
        now("quorum", Word),
        now("quorum_max", Word),
        now("delay", Word),
        now("fork_delay", Word),
        now("terminate_delay", Word),
        now("full_command", Flag),
    ]],
};

pub(in super::super) static TRACK_GROUP: Block =
    Block { name: "track_group", keywords: &[&[later(Topic::Track, "group", List)]] };

pub(in super::super) static GARP_GROUP: Block = Block {
    name: "garp_group",
    keywords: &[&[
        later(Topic::Garp, "garp_interval", Seconds(0, DAY_MS)),
        later(Topic::Garp, "gna_interval", Seconds(0, DAY_MS)),
        later(Topic::Garp, "interface", Word),
        later(Topic::Garp, "interfaces", List),
    ]],
};

pub(in super::super) static BFD: Block = Block {
    name: "bfd_instance",
    keywords: &[&[
        later(Topic::Bfd, "neighbor_ip", Ip),
        later(Topic::Bfd, "neighbour_ip", Ip),
        later(Topic::Bfd, "source_ip", Ip),
        later(Topic::Bfd, "min_rx", Number(1, ANY)),
        later(Topic::Bfd, "min_tx", Number(1, ANY)),
        later(Topic::Bfd, "idle_tx", Number(1, ANY)),
        later(Topic::Bfd, "multiplier", Number(1, 255)),
        later(Topic::Bfd, "passive", Flag),
        later(Topic::Bfd, "ttl", Number(1, 255)),
        later(Topic::Bfd, "hoplimit", Number(1, 255)),
        later(Topic::Bfd, "max_hops", Number(0, 255)),
        later(Topic::Bfd, "multihop", Bool),
        later(Topic::Bfd, "weight", Weight(-253, 253)),
        later(Topic::Bfd, "vrrp", Flag),
        later(Topic::Bfd, "checker", Flag),
    ]],
};
