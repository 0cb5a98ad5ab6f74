//! The command line.

pub(crate) mod lvs;
pub(crate) mod moves;
mod slip;

use crate::cmd::context::ContextVerb;
use crate::cmd::pki::PkiArgs;
use crate::context::ContextArgs;
use crate::times::parse_span;
use clap::{Args as Arguments, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Shows what hacluster agents do, and why.
#[derive(Debug, Parser)]
#[command(
    name = "haclusterctl",
    version,
    after_help = "Examples:\n  \
        haclusterctl status\n  \
        haclusterctl events -f VI_1\n\n\
        Exit status: 0 as it should be, 1 degraded, 2 a node cannot be reached, 3 wrong usage."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// For people, with the nearest command where one is misspelt; help and version are errors, too.
    pub(crate) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let line: Vec<OsString> = line.into_iter().collect();
        Self::try_parse_from(&line).map_err(|error| slip::named(error, Self::command(), &line))
    }
}

/// Where the agents are.
#[derive(Clone, Debug, Arguments)]
#[command(next_help_heading = "Where the agents are")]
pub(crate) struct Place {
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// How long each node may take to answer: 500ms, 3s
    #[arg(long, global = true, value_name = "TIME", default_value = "3s", value_parser = parse_span)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Every virtual router: who is master, who should be and why not, and what is wrong
    Status(StatusArgs),
    /// The same, live on a terminal, with what happens
    Watch(WatchArgs),
    /// What happened, and why
    Events(EventsArgs),
    /// Changes of state: from, to, why, when, and how long nobody ruled
    History(HistoryArgs),
    /// Move a virtual router to another node, without a gap where both run agents
    Failover(moves::FailoverArgs),
    /// Bring a virtual router back to where a failover took it from
    Failback(moves::FailbackArgs),
    /// Move everything away from a node and make it the last resort
    Drain(moves::DrainArgs),
    /// End a drain
    Undrain(moves::UndrainArgs),
    /// No automatic moves: take nothing from a living master
    Pause(moves::PauseArgs),
    /// End a pause
    Resume(moves::ResumeArgs),
    /// Put the configuration files in force as they are now
    Reload(moves::ReloadArgs),
    /// Virtual servers, their real servers, and why; drain and weigh real servers
    Lvs(lvs::LvsArgs),
    /// Check a configuration file, show what is in force, say what differs
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Named clusters: their nodes, and who asks them
    #[command(subcommand)]
    Context(ContextVerb),
    /// Certificates for nodes, operators and viewers
    Pki(PkiArgs),
    /// Shell completions and man pages
    #[command(hide = true)]
    Generate {
        /// Where to write them
        dir: PathBuf,
    },
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl status vi_1\n  \
    haclusterctl status -o json\n\n\
    Exit status: 0 as it should be, 1 degraded, 2 a node cannot be reached, 3 wrong usage.")]
pub(crate) struct StatusArgs {
    /// Only these virtual routers, by name regardless of case, or by VRID
    #[arg(value_name = "ROUTER")]
    pub(crate) routers: Vec<String>,
    /// How to answer: table, wide, json or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Format,
    /// Answer again after every change, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl watch\n  \
    haclusterctl watch vi_1 --context web")]
pub(crate) struct WatchArgs {
    /// Only these virtual routers, by name regardless of case, or by VRID
    #[arg(value_name = "ROUTER")]
    pub(crate) routers: Vec<String>,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl events -f\n  \
    haclusterctl events vi_1 -o json")]
pub(crate) struct EventsArgs {
    /// Only of this virtual router, regardless of case
    #[arg(value_name = "ROUTER")]
    pub(crate) router: Option<String>,
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How to answer: table, wide, json (one object a line) or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Format,
}

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl history\n  \
    haclusterctl history vi_1 -o json")]
pub(crate) struct HistoryArgs {
    /// Only of this virtual router, regardless of case
    #[arg(value_name = "ROUTER")]
    pub(crate) router: Option<String>,
    /// How to answer: table, wide, json or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say everything that is wrong with a file and its programs, as hacluster-agent --check does
    #[command(after_help = "Examples:\n  \
        haclusterctl config check keepalived.conf --agent-config agent.toml\n  \
        haclusterctl config check --no-programs node2.conf\n\n\
        Exit status: 0 all is in force, 1 something written is not, 2 not runnable.")]
    Check {
        /// keepalived.conf, or agent.toml when the name ends in .toml
        file: PathBuf,
        /// agent.toml with settings of the process, laid over a keepalived.conf
        #[arg(long, value_name = "FILE")]
        agent_config: Option<PathBuf>,
        /// Do not look at the programs it names: they are on another machine
        #[arg(long)]
        no_programs: bool,
        /// How to answer: table or json
        #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
        output: Format,
    },
    /// The files in force as the agents read them, passwords masked
    #[command(after_help = "Examples:\n  \
        haclusterctl config show\n  \
        haclusterctl config show node1 -o json")]
    Show {
        /// Only of this node
        node: Option<String>,
        /// How to answer: table, wide, json or yaml
        #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
        output: Format,
    },
    /// What differs between files, and between nodes in what all must agree on
    Diff(DiffArgs),
}

#[derive(Debug, Arguments)]
#[command(
    long_about = "What differs.\n\n\
        Between two files, or a file and a node: what loading the second instead would change.\n\
        Between nodes: what all nodes of a virtual router must agree on. Without NODE, all nodes; on the \
        local socket alone, what the node runs and what its file says now.",
    after_help = "Examples:\n  \
        haclusterctl config diff node1 node2\n  \
        haclusterctl config diff keepalived.conf keepalived.conf.new\n\n\
        Exit status: 0 no difference, 1 differences, 2 a node cannot be reached, 3 wrong usage."
)]
pub(crate) struct DiffArgs {
    /// A file, or the name of a node
    #[arg(value_name = "FILE|NODE")]
    pub(crate) from: Option<String>,
    /// What to compare it with
    #[arg(value_name = "FILE|NODE")]
    pub(crate) to: Option<String>,
    /// How to answer: table, wide, json or yaml
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Format,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide terminals.
    Wide,
    /// For programs; names are stable.
    Json,
    /// For programs; names as in json.
    Yaml,
}

impl Format {
    /// Whether a person reads it.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}
