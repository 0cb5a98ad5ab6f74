//! `cargo bench -p hacluster-tests --bench ipvs [-- NAME...] [--quick]`: see [`hacluster_tests::bench::lvs`].
//! In a virtual machine where this kernel has no IPVS.

use anyhow::Result;
use hacluster_lab::{Absent, Vm, enter, privilege, vm};
use hacluster_net::netlink::ipvs::Ipvs;
use hacluster_tests::bench::{
    self,
    lvs::{self, farm},
};
use nix::unistd::geteuid;
use std::{env, io::Write as _, process, time::Duration};

const VM_LIMIT: Duration = Duration::from_secs(1800);

fn main() {
    vm::play_part_if_asked();
    farm::play_if_asked();
    privilege::exec_if_asked();
    match run() {
        Ok(status) => process::exit(status),
        Err(error) => {
            eprintln!("{error:#}");
            process::exit(1);
        }
    }
}

fn run() -> Result<i32> {
    if !vm::inside() {
        bench::build_agent()?;
        if !(geteuid().is_root() && Ipvs::open().is_ok()) {
            let vm = match Vm::find() {
                Ok(vm) => vm,
                Err(Absent(why)) => {
                    eprintln!("skipped: {why}");
                    return Ok(0);
                }
            };
            let arguments: Vec<_> =
                [env::current_exe()?.into_os_string()].into_iter().chain(env::args_os().skip(1)).collect();
            return vm.run(&arguments, VM_LIMIT);
        }
    }
    enter().map_err(anyhow::Error::msg)?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let filters: Vec<String> = arguments.into_iter().filter(|one| !one.starts_with("--")).collect();
    let tables = lvs::run(&filters, quick)?;
    let _ = std::io::stdout().write_all(tables.as_bytes()); // a reader that went away is no error
    Ok(0)
}
