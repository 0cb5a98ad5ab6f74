//! The list of trials of a test program with `harness = false`.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Absent, Vm, agent::BINARY_VARIABLE, enter, privilege, vm};
use hacluster_net::netlink::ipvs::Ipvs;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::{env, fmt, process::Command, time::Duration};

/// Trials at the same time: they wait far more than they work.
const AT_ONCE: usize = 4;
/// How long a whole program of trials may take in a virtual machine.
const VM_LIMIT: Duration = Duration::from_secs(1200);

/// Why a trial cannot run here. Return it as the error of a trial's body, outside of `Lab::run`.
#[derive(Clone, Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Trials to be, and whether labs can be built here.
#[derive(Debug)]
pub struct Suite {
    lab: Result<(), Skip>,
    trials: Vec<Trial>,
}

impl Suite {
    /// First thing in `main`: children of a lab pass through here, and the process has one thread.
    /// Builds agent and haclusterctl too, so that it is never an older one that is tried.
    pub fn enter() -> Self {
        privilege::exec_if_asked();
        ready();
        Self { lab: enter().map(drop).map_err(|why| Skip(why.to_string())), trials: Vec::new() }
    }

    /// As [`enter`](Self::enter), for trials that need IPVS. Where this kernel has none, or we are not
    /// the machine's root, the whole program runs once more in a virtual machine, and ends here as it
    /// ended there; where there can be no such machine, all trials are skipped.
    pub fn enter_with_ipvs() -> Self {
        Self::enter_unless(|| nix::unistd::geteuid().is_root() && Ipvs::open().is_ok())
    }

    /// The same, always in a virtual machine: for trials that no kernel should suffer that others use.
    pub fn enter_in_vm() -> Self {
        Self::enter_unless(|| false)
    }

    fn enter_unless(will_do: impl FnOnce() -> bool) -> Self {
        vm::play_part_if_asked();
        privilege::exec_if_asked();
        if vm::inside() || is_list() || will_do() {
            return Self::enter();
        }
        match Vm::find() {
            Ok(vm) => {
                ready();
                run_in(&vm)
            }
            Err(absent) => Self { lab: Err(Skip(absent.0)), trials: Vec::new() },
        }
    }

    /// Adds a trial that needs a lab. It is skipped, with the reason, where there can be none, and
    /// when its body's error is a [`Skip`] or an [`Absent`].
    pub fn trial(&mut self, name: impl Into<String>, body: impl FnOnce() -> Result<()> + Send + 'static) {
        let lab = self.lab.clone();
        let body = || Ok(lab?).and_then(|()| body());
        self.trials.push(Trial::ignorable_test(name, move || outcome(body())));
    }

    /// Runs what the command line names, and ends the process.
    pub fn run(self) -> ! {
        self.run_at_once(AT_ONCE)
    }

    /// As [`run`](Self::run), with so many trials at a time unless `--test-threads` says otherwise.
    pub fn run_at_once(self, trials: usize) -> ! {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(trials);
        libtest_mimic::run(&arguments, self.trials).exit();
    }
}

fn is_list() -> bool {
    env::args().any(|argument| argument == "--list")
}

/// What a trial starts is built, or nothing goes on.
fn ready() {
    if let Err(error) = if is_list() { Ok(()) } else { build_agent() } {
        give_up(&error);
    }
}

fn run_in(vm: &Vm) -> ! {
    let program = env::current_exe().unwrap_or_default().into_os_string();
    let arguments: Vec<_> = [program].into_iter().chain(env::args_os().skip(1)).collect();
    match vm.run(&arguments, VM_LIMIT) {
        Ok(status) => std::process::exit(status),
        Err(error) => give_up(&error),
    }
}

fn give_up(error: &anyhow::Error) -> ! {
    eprintln!("{error:#}");
    std::process::exit(101);
}

fn outcome(result: Result<()>) -> Result<Completion, Failed> {
    let Err(error) = result else { return Ok(Completion::Completed) };
    let skip = error.downcast_ref::<Skip>().map(|skip| skip.0.clone());
    match skip.or_else(|| error.downcast_ref::<Absent>().map(|absent| absent.0.clone())) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => Err(Failed::from(format!("{error:#}"))),
    }
}

/// Nothing is built when we were not started by cargo, or a binary is named.
fn build_agent() -> Result<()> {
    let Some(cargo) = env::var_os("CARGO").filter(|_| env::var_os(BINARY_VARIABLE).is_none()) else {
        return Ok(());
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "hacluster-agent", "--package", "haclusterctl"]);
    command.arg("--manifest-path");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let program = env::current_exe().unwrap_or_default();
    if program.ancestors().nth(2).is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    ensure!(command.status().context("cannot run cargo")?.success(), "the programs do not build");
    Ok(())
}
