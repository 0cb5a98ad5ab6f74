//! `cargo lab`: a failover on this machine, in a minute, with real daemons on virtual networks.

mod program;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hacluster_lab::{Vm, privilege, vm, wait::Interrupted};
use program::{
    daemon::{Choice, Daemon},
    narrate::Narrator,
    play::Play,
    scenario::{SCENARIOS, Scenario},
    signals,
};
use std::{ffi::OsString, process::ExitCode, time::Duration};

/// Plays failovers: real daemons on hosts made of network namespaces, without root where user
/// namespaces are allowed.
///
/// Nothing outside is touched, and nothing is left behind.
#[derive(Debug, Parser)]
#[command(name = "hacluster-lab", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  cargo lab                    play everything\n  \
                        cargo lab ring --keep        play the ring, then leave it up to look inside")]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    play: PlayArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Play a scenario, or all (the default)
    Play(PlayArguments),
    /// List the scenarios
    List,
    /// Run a command under a kernel that has IPVS, on virtual hardware (needs user-mode-linux)
    ///
    /// It is root, sees the files of this machine and writes to memory only.
    Vm {
        /// Seconds until it is ended
        #[arg(long, default_value_t = 300)]
        limit: u64,
        /// The command
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
}

#[derive(Clone, Copy, Debug, Args)]
struct PlayArguments {
    /// What to play
    #[arg(value_enum, default_value_t = Which::All)]
    scenario: Which,
    /// Leave the last scenario running until Ctrl-C, and say how to look inside
    #[arg(long)]
    keep: bool,
    /// The same with keepalived, to compare
    #[arg(long, value_enum, default_value_t = Choice::Agent, hide = true)]
    daemon: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Pair,
    DualMaster,
    Ring,
    DualNic,
    All,
}

impl Which {
    fn scenarios(self) -> Vec<&'static Scenario> {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        let wanted = |scenario: &&&Scenario| self == Self::All || name.as_deref() == Some(scenario.name);
        SCENARIOS.iter().filter(wanted).copied().collect()
    }
}

fn main() -> ExitCode {
    vm::play_part_if_asked();
    privilege::exec_if_asked();
    let arguments = Arguments::parse();
    let narrator = Narrator::new();
    let outcome = match arguments.verb {
        Some(Verb::List) => {
            SCENARIOS
                .iter()
                .for_each(|scenario| narrator.line(format_args!("{:12} {}", scenario.name, scenario.title)));
            Ok(())
        }
        Some(Verb::Vm { limit, command }) => match in_vm(&command, limit) {
            Ok(status) => return ExitCode::from(status),
            Err(error) => Err(error),
        },
        Some(Verb::Play(play)) => run(&narrator, play),
        None => run(&narrator, arguments.play),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            narrator.line("\nInterrupted: all programs have ended, nothing is left behind.");
            ExitCode::from(signals::INTERRUPTED)
        }
        Err(error) => {
            eprintln!("hacluster-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn in_vm(command: &[OsString], limit_s: u64) -> Result<u8> {
    let status = Vm::find().map_err(anyhow::Error::msg)?.run(command, Duration::from_secs(limit_s))?;
    Ok(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run(narrator: &Narrator, play: PlayArguments) -> Result<()> {
    // Before the lab's own user namespace: the build is the user's.
    let daemon = Daemon::ready(play.daemon)?;
    let privilege = hacluster_lab::enter().context("no lab can be built here")?;
    signals::watch()?;
    let scenarios = play.scenario.scenarios();
    let last = scenarios.len().saturating_sub(1);
    for (index, scenario) in scenarios.into_iter().enumerate() {
        let keep = play.keep && index == last;
        Play { narrator, daemon: &daemon, scenario, privilege, keep }.perform()?;
    }
    narrator.line("Everything has ended; nothing is left behind. Next:");
    narrator.line("  cargo lab ring --keep                leave it up, look inside");
    narrator.line("  cargo lab ring --daemon keepalived   the same with keepalived, to compare");
    Ok(())
}
