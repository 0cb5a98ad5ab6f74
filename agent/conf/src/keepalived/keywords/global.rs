//! Keywords of `global_defs`.

use super::Takes::{Bool, Flag, List, Maybe, Number, OneOf, Seconds, Word, Words};
use super::{ANY, Block, DAY_MS, Keyword, Topic, gone, later, moot, now, old};

pub(in super::super) static GLOBAL: Block = Block {
    name: "global_defs",
    keywords: &[PROTOCOL, MAIL, IPVS, FILTER, SCHEDULING, SCRIPTS, FILES, OUTDATED],
};

const PROTOCOL: &[Keyword] = &[
    now("router_id", Word),
    now("vrrp_mcast_group4", Word),
    later(Topic::Version3, "vrrp_mcast_group6", Word),
    now("default_interface", Word),
    now("vrrp_garp_master_delay", Word),
    now("vrrp_garp_master_repeat", Word),
    now("vrrp_garp_master_refresh", Word),
    now("vrrp_garp_master_refresh_repeat", Word),
    now("vrrp_garp_lower_prio_delay", Word),
    now("vrrp_garp_lower_prio_repeat", Word),
    now("vrrp_garp_interval", Word),
    moot("vrrp_gna_interval", Seconds(0, DAY_MS), "IPv6 neighbour adverts are not sent yet"),
    now("vrrp_min_garp", Bool),
    later(Topic::Garp, "vrrp_garp_extra_if", Words),
    now("vrrp_down_timer_adverts", Word),
    now("vrrp_lower_prio_no_advert", Bool),
    now("vrrp_higher_prio_send_advert", Bool),
    now("vrrp_version", Word),
    later(Topic::Version3, "v3_checksum_as_v2", Bool),
    later(Topic::Unicast, "vrrp_check_unicast_src", Bool),
    now("vrrp_skip_check_adv_addr", Bool),
    now("vrrp_strict", Bool),
    now("vrrp_owner_ignore_adverts", Bool),
    now("vrrp_startup_delay", Word),
    now("vrrp_delay_after_boot", Word),
    now("log_unknown_vrids", Flag),
    moot("disable_local_igmp", Flag, "the agent joins its own group only"),
    now("dynamic_interfaces", Maybe),
    later(Topic::Vmac, "vmac_prefix", Word),
    later(Topic::Vmac, "vmac_addr_prefix", Word),
];

const MAIL: &[Keyword] = &[
    now("notification_email", List),
    now("notification_email_from", Words),
    now("smtp_server", Words),
    now("smtp_helo_name", Word),
    now("smtp_connect_timeout", Word),
    now("smtp_alert", Bool),
    now("smtp_alert_vrrp", Bool),
    now("smtp_alert_checker", Bool),
    now("no_email_faults", Flag),
    now("no_checker_emails", Flag),
];

const IPVS: &[Keyword] = &[
    now("checker_log_all_failures", Bool),
    now("lvs_sync_daemon", Words),
    now("lvs_timeouts", Words),
    now("lvs_flush", Flag),
    now("lvs_flush_on_stop", Maybe),
    old("lvs_flush_onstop", Maybe, "the old spelling of `lvs_flush_on_stop`"),
    now("rs_init_notifies", Flag),
    now("lvs_notify_fifo", Words),
    now("lvs_notify_fifo_script", Words),
];

const FILTER: &[Keyword] = &[
    now("vrrp_iptables", Maybe),
    gone("vrrp_ipsets", Maybe, "a set of nftables is used, which replaces ipsets"),
    now("nftables", Maybe),
    now("nftables_priority", Word),
    now("nftables_counters", Flag),
    moot("nftables_ifindex", Flag, "only link-local addresses of IPv6 need the interface"),
    later(Topic::Ipvs, "nftables_ipvs", Maybe),
    later(Topic::Ipvs, "nftables_ipvs_priority", Number(-ANY, ANY)),
    later(Topic::Ipvs, "nftables_ipvs_start_fwmark", Number(1, ANY)),
];

const BUFFERS: &str = "the agent sizes its socket buffers itself";
const PROCESSES: &str = "the agent is one process: only the settings of the VRRP process are used";
const MISSPELT: &str = "the misspelt form of `..._rlimit_rttime`, outdated since 2020";

const SCHEDULING: &[Keyword] = &[
    now("max_auto_priority", Word),
    now("min_auto_priority_delay", Word),
    later(Topic::Scheduling, "vrrp_priority", Number(-20, 19)),
    moot("checker_priority", Number(-20, 19), PROCESSES),
    moot("bfd_priority", Number(-20, 19), PROCESSES),
    now("vrrp_rt_priority", Word),
    moot("checker_rt_priority", Number(1, 99), PROCESSES),
    moot("bfd_rt_priority", Number(1, 99), PROCESSES),
    now("vrrp_no_swap", Flag),
    moot("checker_no_swap", Flag, PROCESSES),
    moot("bfd_no_swap", Flag, PROCESSES),
    now("vrrp_cpu_affinity", Words),
    moot("checker_cpu_affinity", Words, PROCESSES),
    moot("bfd_cpu_affinity", Words, PROCESSES),
    later(Topic::Scheduling, "vrrp_rlimit_rttime", Number(1, ANY)),
    moot("checker_rlimit_rttime", Number(1, ANY), PROCESSES),
    moot("bfd_rlimit_rttime", Number(1, ANY), PROCESSES),
    gone("vrrp_rlimit_rtime", Maybe, MISSPELT),
    gone("checker_rlimit_rtime", Maybe, MISSPELT),
    gone("bfd_rlimit_rtime", Maybe, MISSPELT),
    moot("vrrp_netlink_cmd_rcv_bufs", Number(0, ANY), BUFFERS),
    moot("vrrp_netlink_cmd_rcv_bufs_force", Bool, BUFFERS),
    moot("vrrp_netlink_monitor_rcv_bufs", Number(0, ANY), BUFFERS),
    moot("vrrp_netlink_monitor_rcv_bufs_force", Bool, BUFFERS),
    moot("lvs_netlink_cmd_rcv_bufs", Number(0, ANY), BUFFERS),
    moot("lvs_netlink_cmd_rcv_bufs_force", Bool, BUFFERS),
    moot("lvs_netlink_monitor_rcv_bufs", Number(0, ANY), BUFFERS),
    moot("lvs_netlink_monitor_rcv_bufs_force", Bool, BUFFERS),
    moot("process_monitor_rcv_bufs", Number(0, ANY), BUFFERS),
    moot("process_monitor_rcv_bufs_force", Bool, BUFFERS),
    moot("vrrp_rx_bufs_policy", Words, BUFFERS),
    moot("vrrp_rx_bufs_multiplier", Number(1, ANY), BUFFERS),
    later(Topic::Files, "process_names", Flag),
    later(Topic::Files, "process_name", Word),
    later(Topic::Files, "vrrp_process_name", Word),
    later(Topic::Files, "checker_process_name", Word),
    later(Topic::Files, "bfd_process_name", Word),
    gone("lvs_process_name", Word, "the old name of `checker_process_name`, outdated since 2020"),
];

const SCRIPTS: &[Keyword] = &[
    now("script_user", Words),
    now("enable_script_security", Bool),
    later(Topic::Script, "set_supplementary_groups", Flag),
    now("use_symlink_paths", Bool),
    now("startup_script", Words),
    now("shutdown_script", Words),
    now("startup_script_timeout", Word),
    now("shutdown_script_timeout", Word),
    now("notify_fifo", Words),
    now("notify_fifo_script", Words),
    now("vrrp_notify_fifo", Words),
    now("vrrp_notify_fifo_script", Words),
    now("fifo_write_vrrp_states_on_reload", Flag),
    now("vrrp_notify_priority_changes", Bool),
];

const FILES: &[Keyword] = &[
    moot("umask", Words, "each file the agent writes has a mode of its own, and nobody else may write it"),
    moot("random_seed", Number(0, ANY), "random numbers come from the kernel"),
    moot("reload_check_config", Maybe, "a new configuration is always tested before it is used"),
    later(Topic::Include, "include_check", Maybe),
    later(Topic::Reload, "reload_time_file", Word),
    later(Topic::Reload, "reload_repeat", Flag),
    later(Topic::Reload, "reload_file", Maybe),
    later(Topic::Files, "data_use_instance", Bool),
    later(Topic::Files, "state_dump_file", Word),
    later(Topic::Files, "stats_dump_file", Word),
    later(Topic::Files, "json_dump_file", Word),
    later(Topic::Files, "json_version", OneOf(&["1", "2"])),
    later(Topic::Files, "iproute_usr_dir", Word),
    later(Topic::Files, "iproute_etc_dir", Word),
    moot("tmp_config_directory", Word, "the configuration is kept in memory"),
    later(Topic::Files, "config_save_dir", Word),
];

const SNMP: &str = "there is no SNMP; state will be told by metrics and by haclusterctl";
const DBUS: &str = "there is no D-Bus; state will be told by metrics and by haclusterctl";

const OUTDATED: &[Keyword] = &[
    gone("snmp_socket", Word, SNMP),
    gone("enable_snmp_vrrp", Flag, SNMP),
    gone("enable_snmp_checker", Flag, SNMP),
    gone("enable_snmp_rfc", Flag, SNMP),
    gone("enable_snmp_rfcv2", Flag, SNMP),
    gone("enable_snmp_rfcv3", Flag, SNMP),
    gone("enable_snmp_keepalived", Flag, SNMP),
    gone("enable_traps", Flag, SNMP),
    gone("snmp_vs_stats_update_interval", Word, SNMP),
    gone("snmp_rs_stats_update_interval", Word, SNMP),
    gone("enable_dbus", Flag, DBUS),
    gone("dbus_service_name", Word, DBUS),
    gone("dbus_no_interface_name", Maybe, DBUS),
    gone("vrrp_vmac_garp_intvl", Maybe, "one release called `vrrp_garp_extra_if` so"),
];
