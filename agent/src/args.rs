//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Makes services on this node highly available: VRRP next to keepalived and FRR.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hacluster-agent",
    version,
    after_help = "Examples:\n  \
        hacluster-agent --config /etc/keepalived/keepalived.conf --check\n  \
        hacluster-agent --config /etc/keepalived/keepalived.conf\n\n\
        Exit status of --check: 0 all is in force, 1 something written is not in force, 2 not runnable.\n\
        Exit status otherwise: 0 stopped, 75 a successor takes over, 78 what is written cannot run, 2 failed.\n\
        Signals: TERM and INT resign and stop, HUP reloads what changed, QUIT ends\n\
        with status 75 and leaves what is in place to a successor that is started at once."
)]
pub struct Args {
    /// keepalived.conf, or agent.toml when the name ends in .toml
    #[arg(short = 'f', long, value_name = "FILE", default_value = "/etc/keepalived/keepalived.conf")]
    pub config: PathBuf,

    /// agent.toml with settings of the process, laid over a keepalived.conf
    #[arg(long, value_name = "FILE")]
    pub agent_config: Option<PathBuf>,

    /// Check the configuration, say everything that is wrong with it, and exit
    #[arg(short = 't', long)]
    pub check: bool,

    /// The name that `@NAME` lines are compared with [default: the host's]
    #[arg(short = 'i', long, value_name = "NAME")]
    pub config_id: Option<String>,

    /// How --check answers: text or json
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,

    /// How log lines on stderr look: text or json
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Format,

    /// Log to syslog instead of stderr, under this facility: daemon, user, local0 to local7 or 0 to 7
    #[arg(short = 'S', long, value_name = "FACILITY")]
    pub syslog: Option<crate::log::Facility>,

    /// keepalived's -D, -n and -l: the log is detailed, nothing is forked and stderr is the log anyway
    #[arg(short = 'D', short_aliases = ['n', 'l'], hide = true, action = clap::ArgAction::Count)]
    pub as_keepalived: u8,

    /// keepalived's -P: virtual routers alone, nothing is balanced; with -C both, as without
    #[arg(short = 'P', hide = true)]
    pub only_vrrp: bool,

    /// keepalived's -C: load balancing alone, no virtual router runs
    #[arg(short = 'C', hide = true)]
    pub only_checkers: bool,

    /// Everything the agent writes goes here; agents with different ones can share a machine
    /// [default: run_dir of agent.toml, else /run/hacluster]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,

    /// Holds and the audit log go here [default: state_dir of agent.toml, else below --run-dir or /var/lib]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Take off the addresses that an agent left which died and is not started again, and exit
    #[arg(long)]
    pub release: bool,

    /// Run programs for the agent at the other end of standard input
    #[arg(long, hide = true)]
    pub script_runner: bool,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs, one object per answer or line.
    Json,
}
