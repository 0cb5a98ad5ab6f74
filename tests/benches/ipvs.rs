//! `cargo bench -p hacluster-tests --bench ipvs`: large tables of the kernel's load balancer, put in
//! place from nothing and changed in one place, by the bare netlink layer, the agent and keepalived.
//!
//! All in one virtual machine where this kernel has no IPVS: its system calls cost some twenty times
//! what they do elsewhere, so that figures are for comparison with each other.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{
    Absent, Agent, Host, Lab, Process, Topology, Vm, agent::BINARY_VARIABLE, enter, peer::Keepalived,
    privilege, vm, wait_until,
};
use hacluster_net::netlink::ipvs::{Command, DestSpec, Forwarding, Ipvs, Protocol, ServiceKey, ServiceSpec};
use nix::{sys::signal::Signal, unistd::geteuid};
use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    process,
    time::{Duration, Instant},
};

const SERVICES: u16 = 2000;
const SERVERS: u8 = 5;
/// The service whose weight changes: neither the first nor the last.
const CHANGED: u16 = 1234;
/// A daemon that needs longer has no figure.
const LIMIT: Duration = Duration::from_secs(120);
const VM_LIMIT: Duration = Duration::from_secs(900);

fn main() {
    vm::play_part_if_asked();
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
        build_agent()?;
        if !(geteuid().is_root() && Ipvs::open().is_ok()) {
            let vm = match Vm::find() {
                Ok(vm) => vm,
                Err(Absent(why)) => {
                    eprintln!("skipped: {why}");
                    return Ok(0);
                }
            };
            return vm.run(&[env::current_exe()?.into_os_string()], VM_LIMIT);
        }
    }
    enter().map_err(anyhow::Error::msg)?;
    let topology = || Topology::new("bench").network("lan").node("node", &[("eth0", "lan", "10.0.0.1/24")]);
    let mut table =
        format!("| {SERVICES} services x {SERVERS} servers | from nothing | one weight |\n|---|---:|---:|\n");
    for column in [Column::Bare, Column::Agent, Column::Keepalived] {
        let mut figures = None;
        let outcome = Lab::run(topology(), |lab| {
            figures = Some(column.measure(lab.host("node")?)?);
            Ok(())
        });
        match (outcome, figures) {
            (Ok(()), Some([all, one])) => {
                let millis = |time: Duration| time.as_secs_f64() * 1e3;
                writeln!(table, "| {column:?} | {:.0} ms | {:.2} ms |", millis(all), millis(one))?;
            }
            (outcome, _) => {
                let why = outcome.err().map(|error| error.to_string()).unwrap_or_default();
                writeln!(table, "| {column:?} | | | {}", why.lines().next().unwrap_or_default())?;
            }
        }
    }
    let _ = std::io::stdout().write_all(table.as_bytes()); // a reader that went away is no error
    Ok(0)
}

/// The release programs, freshly built, unless one is named.
fn build_agent() -> Result<()> {
    if env::var_os(BINARY_VARIABLE).is_some() {
        return Ok(());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        process::Command::new(cargo).args(["build", "--release", "--package", "hacluster-agent"]).status()?;
    ensure!(status.success(), "cargo could not build the agent");
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Bare,
    Agent,
    Keepalived,
}

impl Column {
    /// How long the whole table took, and one weight.
    fn measure(self, host: &Host) -> Result<[Duration; 2]> {
        let mut ipvs = host.namespace().run(|| Ok(Ipvs::open()?))?;
        match self {
            Self::Bare => bare(&mut ipvs),
            Self::Agent => daemon(host, &mut ipvs, |config| Agent::find()?.start(host, config)),
            Self::Keepalived => {
                daemon(host, &mut ipvs, |config| Keepalived::find()?.start_whole(host, config))
            }
        }
    }
}

fn key(number: u16) -> ServiceKey {
    let [high, low] = number.to_be_bytes();
    ServiceKey::Address { protocol: Protocol::Tcp, ip: [10, 1, high, low].into(), port: 80 }
}

fn dest(number: u16, last: u8, weight: u32) -> DestSpec {
    let [high, _] = number.to_be_bytes();
    DestSpec::new([10, 2, high, last].into(), 80, weight, Forwarding::Direct)
}

fn bare(ipvs: &mut Ipvs) -> Result<[Duration; 2]> {
    let mut commands = Vec::new();
    for number in 0..SERVICES {
        commands.push(Command::NewService(ServiceSpec::new(key(number), "wrr")));
        commands.extend((1..=SERVERS).map(|last| Command::NewDest(key(number), dest(number, last, 1))));
    }
    let start = Instant::now();
    ipvs.execute(&commands).into_iter().collect::<Result<(), _>>()?;
    let all = start.elapsed();
    whole(ipvs)?.context("the table is not whole")?;
    let start = Instant::now();
    let change = [Command::SetDest(key(CHANGED), dest(CHANGED, 1, 2))];
    ipvs.execute(&change).into_iter().collect::<Result<(), _>>()?;
    Ok([all, start.elapsed()])
}

/// From the start of the program to the last server in place, and from SIGHUP to the new weight.
fn daemon(
    host: &Host,
    ipvs: &mut Ipvs,
    start: impl FnOnce(&str) -> Result<Process>,
) -> Result<[Duration; 2]> {
    let began = Instant::now();
    let process = start(&config(1))?;
    let last = key(SERVICES - 1);
    wait_until("the last service", LIMIT, || {
        ensure!(process.is_running(), "it ended: {:?}", process.lines().last());
        Ok((ipvs.destinations(&last)?.len() == usize::from(SERVERS)).then_some(()))
    })?;
    // Whoever works in another order is waited for, too.
    wait_until("the whole table", LIMIT, || whole(ipvs))?;
    let all = began.elapsed();
    fs::write(host.directory().join("keepalived.conf"), config(2))?;
    let began = Instant::now();
    process.signal(Signal::SIGHUP)?;
    wait_until("the new weight", LIMIT, || {
        let there = ipvs.destinations(&key(CHANGED))?;
        Ok(there.iter().any(|entry| entry.spec.weight == 2).then_some(()))
    })?;
    Ok([all, began.elapsed()])
}

/// Whether every service has all of its servers.
fn whole(ipvs: &mut Ipvs) -> Result<Option<()>> {
    let services = ipvs.services()?;
    if services.len() != usize::from(SERVICES) {
        return Ok(None);
    }
    for number in (0..SERVICES).rev() {
        if ipvs.destinations(&key(number))?.len() != usize::from(SERVERS) {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

/// Nobody is looked at: what is measured is the table.
fn config(changed_weight: u32) -> String {
    let mut text = "global_defs {\n router_id node\n}\n".to_owned();
    for number in 0..SERVICES {
        let [high, low] = number.to_be_bytes();
        text +=
            &format!("virtual_server 10.1.{high}.{low} 80 {{\n lb_algo wrr\n lb_kind DR\n protocol TCP\n");
        for last in 1..=SERVERS {
            let weight = if number == CHANGED && last == 1 { changed_weight } else { 1 };
            text += &format!(" real_server 10.2.{high}.{last} 80 {{\n  weight {weight}\n }}\n");
        }
        text += "}\n";
    }
    text
}
