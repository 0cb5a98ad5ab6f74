//! Two directors, two real servers and a client.
//!
//! ```text
//!   client .9 ──┬── VIP .100 (master) ── director1 .11 ──┬── one .21     DR, TUN: all on "lan"
//!              lan                       director2 .12   lan  two .22    NAT: servers on "inside",
//!                                                                        whose gateway is 10.1.0.1
//! ```

use crate::{
    stage::{ipvsadm, saved},
    web::{Server, ask, tally},
};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Host, Lab, Process, Topology, peer, peer::Keepalived, wait_until};
use hacluster_tests::harness::Suite;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    process::Command,
    time::Duration,
};

/// What clients ask for.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// Longer than checks, their retries and an election take, all slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
const DIRECTORS: [&str; 2] = ["director1", "director2"];
pub(crate) const SERVERS: [&str; 2] = ["one", "two"];

/// Who directs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Agent,
    /// To see that the scene is as it should be, and what users are used to.
    Keepalived,
}

impl Daemon {
    fn find(self) -> Result<()> {
        match self {
            Self::Agent => drop(Agent::find()?),
            Self::Keepalived => drop(Keepalived::find()?),
        }
        Ok(())
    }

    pub(crate) fn start(self, host: &Host, config: &str) -> Result<Process> {
        match self {
            Self::Agent => Agent::find()?.start(host, config),
            Self::Keepalived => Keepalived::find()?.start_whole(host, config),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Keepalived => "keepalived",
        }
    }
}

/// A scene while it plays.
pub(crate) struct Scene<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) daemon: Daemon,
    webs: RefCell<BTreeMap<&'static str, Server>>,
}

type Play = fn(&Scene<'_>) -> Result<()>;

/// Adds `play` on `topology` with both daemons. `programs` are what it needs besides.
pub(crate) fn both(
    suite: &mut Suite,
    name: &str,
    topology: fn() -> Topology,
    programs: &'static [&str],
    play: Play,
) {
    for daemon in [Daemon::Agent, Daemon::Keepalived] {
        let name = format!("{}::{name}", daemon.name());
        suite.trial(name, move || stage(daemon, topology, programs, play));
    }
}

/// Adds `play` on `topology` with the agent alone: there is nothing to compare it with.
pub(crate) fn ours(
    suite: &mut Suite,
    name: &str,
    topology: fn() -> Topology,
    programs: &'static [&str],
    play: Play,
) {
    suite.trial(format!("agent::{name}"), move || stage(Daemon::Agent, topology, programs, play));
}

/// Plays on `topology` with one daemon, or says why it cannot be.
pub(crate) fn stage(
    daemon: Daemon,
    topology: fn() -> Topology,
    programs: &[&str],
    play: impl FnOnce(&Scene<'_>) -> Result<()>,
) -> Result<()> {
    daemon.find()?;
    for program in programs.iter().chain(&["ipvsadm"]) {
        peer::find(program)?;
    }
    Lab::run(topology(), |lab| play(&Scene { lab, daemon, webs: RefCell::default() }))
}

/// All on one network.
pub(crate) fn flat() -> Topology {
    Topology::new("lvs")
        .network("lan")
        .node("client", &[("eth0", "lan", "10.0.0.9/24")])
        .node("director1", &[("eth0", "lan", "10.0.0.11/24")])
        .node("director2", &[("eth0", "lan", "10.0.0.12/24")])
        .node("one", &[("eth0", "lan", "10.0.0.21/24")])
        .node("two", &[("eth0", "lan", "10.0.0.22/24")])
}

/// The real servers behind the directors.
pub(crate) fn behind() -> Topology {
    Topology::new("lvs")
        .network("lan")
        .network("inside")
        .node("client", &[("eth0", "lan", "10.0.0.9/24")])
        .node("director1", &[("eth0", "lan", "10.0.0.11/24"), ("eth1", "inside", "10.1.0.11/24")])
        .node("director2", &[("eth0", "lan", "10.0.0.12/24"), ("eth1", "inside", "10.1.0.12/24")])
        .node("one", &[("eth0", "inside", "10.1.0.21/24")])
        .node("two", &[("eth0", "inside", "10.1.0.22/24")])
}

/// The virtual router of a director.
pub(crate) fn router(name: &str, priority: u8, addresses: &str) -> String {
    format!(
        "global_defs {{\n router_id {name}\n script_user root\n}}\nvrrp_instance VI {{\n state BACKUP\n \
         interface eth0\n virtual_router_id 51\n priority {priority}\n advert_int 1\n virtual_ipaddress {{\n\
         {addresses}\n }}\n}}\n"
    )
}

impl<'a> Scene<'a> {
    pub(crate) fn host(&self, name: &str) -> Result<&'a Host> {
        self.lab.host(name)
    }

    /// Starts the web server of `name`.
    pub(crate) fn serve(&self, name: &'static str) -> Result<()> {
        self.webs.borrow_mut().insert(name, Server::web(self.host(name)?, 80)?);
        Ok(())
    }

    /// How many connections the web server of `name` took from `ip`.
    pub(crate) fn taken(&self, name: &str, ip: Ipv4Addr) -> usize {
        self.webs.borrow().get(name).map_or(0, |web| web.taken_from(ip))
    }

    /// Stops the web server of `name`.
    pub(crate) fn close(&self, name: &str) {
        self.webs.borrow_mut().remove(name);
    }

    /// Real servers take packets to `vip` as their own, and do not tell anybody that they have it.
    pub(crate) fn take(&self, vip: Ipv4Addr) -> Result<()> {
        for server in SERVERS {
            let host = self.host(server)?;
            host.set_sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
            host.set_sysctl("net/ipv4/conf/all/arp_announce", "2")?;
            host.add_address("lo", &format!("{vip}/32"))?;
        }
        Ok(())
    }

    /// Starts both directors with these virtual servers and the addresses of one virtual router, and
    /// waits until director1 holds them.
    pub(crate) fn direct(&self, addresses: &str, servers: &str) -> Result<[Process; 2]> {
        let start = |name, priority| self.start(name, &(router(name, priority, addresses) + servers));
        let [first, second] = DIRECTORS;
        let started = [start(first, 100)?, start(second, 90)?];
        self.holds(first, VIP)?;
        Ok(started)
    }

    /// Waits until `name` holds `ip`.
    pub(crate) fn holds(&self, name: &str, ip: Ipv4Addr) -> Result<()> {
        let host = self.host(name)?;
        wait_until(&format!("{ip} on {name}"), LIMIT, || Ok(host.holds(ip)?.then_some(())))
    }

    /// Starts the daemon of `name`.
    pub(crate) fn start(&self, name: &str, config: &str) -> Result<Process> {
        self.daemon.start(self.host(name)?, config)
    }

    /// Waits until both directors have exactly this table, whatever the order of its lines.
    pub(crate) fn tables<S: AsRef<str>>(&self, lines: &[S]) -> Result<()> {
        DIRECTORS.into_iter().try_for_each(|name| self.table(name, lines))
    }

    /// Waits until `name` has exactly this table, whatever the order of its lines.
    pub(crate) fn table<S: AsRef<str>>(&self, name: &str, lines: &[S]) -> Result<()> {
        let host = self.host(name)?;
        let wanted: BTreeSet<String> = lines.iter().map(|line| line.as_ref().to_owned()).collect();
        let mut last = BTreeSet::new();
        let waited = wait_until(&format!("the table of {name}"), LIMIT, || {
            last = saved(host)?.into_iter().collect();
            Ok((last == wanted).then_some(()))
        });
        waited.with_context(|| format!("wanted {wanted:#?}, last seen {last:#?}"))
    }

    /// Both directors list the service of `vip` as people know it from `ipvsadm -ln`, however many connections
    /// there are.
    pub(crate) fn listed(&self, vip: Ipv4Addr, scheduler: &str, servers: &[(&str, u32)]) -> Result<()> {
        let server = |(ip, weight): &(&str, u32)| format!("-> {ip}:80 Route {weight}");
        let (head, mut wanted) =
            (format!("TCP {vip}:80 {scheduler}"), servers.iter().map(server).collect::<Vec<_>>());
        wanted.sort_unstable();
        for director in DIRECTORS {
            let lines = ipvsadm(self.host(director)?, &["-ln"])?;
            let words = |line: &String| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
            let after = lines.iter().map(words).skip_while(|line| *line != head).skip(1);
            let mut found: Vec<_> = after.take_while(|line| line.starts_with("->")).collect();
            found.sort_unstable();
            ensure!(found == wanted, "{director} lists {lines:#?}");
        }
        Ok(())
    }

    /// Waits until curl hears both servers in turn, four times: with equal weights nobody answers twice.
    pub(crate) fn alternate(&self, vip: Ipv4Addr) -> Result<()> {
        let (client, program) = (self.host("client")?, peer::find("curl")?);
        let ask = || {
            let mut curl = Command::new(&program);
            curl.args(["--silent", "--show-error", "--max-time", "20"]).arg(format!("http://{vip}/"));
            let said = client.run(curl)?;
            Ok(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
        };
        let mut heard = Vec::new();
        let waited = wait_until("an answer of each server in turn", LIMIT, || {
            heard = (0..4).map(|_| ask()).collect::<Result<Vec<String>>>()?;
            let known = heard.iter().all(|who| SERVERS.contains(&who.as_str()));
            Ok((known && heard.windows(2).all(|pair| pair[0] != pair[1])).then_some(()))
        });
        waited.with_context(|| format!("{heard:?} one after the other"))
    }

    /// Waits until the client's requests to `vip` are answered exactly so often by each: on a machine with
    /// much to do an election or a check may come in between.
    pub(crate) fn shares(&self, vip: Ipv4Addr, shares: &[(&str, usize)]) -> Result<()> {
        let client = self.host("client")?;
        let times = shares.iter().map(|(_, times)| times).sum();
        let wanted: BTreeMap<_, _> =
            shares.iter().map(|(name, times)| ((*name).to_owned(), *times)).collect();
        let mut last = String::new();
        let waited = wait_until("each server's share", LIMIT, || {
            let found = tally(client, vip, times);
            last = format!("{found:?}");
            Ok(found.is_ok_and(|found| found == wanted).then_some(()))
        });
        waited.with_context(|| format!("{last} instead of {wanted:?}"))
    }

    /// Waits until the client is answered at `vip`: neighbours learn, elections end.
    pub(crate) fn answered(&self, vip: Ipv4Addr) -> Result<String> {
        let client = self.host("client")?;
        wait_until("an answer", LIMIT, || Ok(ask(client, vip, 80).ok()))
    }

    /// Waits until `name` answers the client.
    pub(crate) fn answered_by(&self, vip: Ipv4Addr, name: &str) -> Result<()> {
        let client = self.host("client")?;
        let right = || Ok(ask(client, vip, 80).is_ok_and(|who| who == name).then_some(()));
        wait_until(&format!("an answer of {name}"), LIMIT, right)
    }

    /// Runs a program of this machine on `name`; it must succeed.
    pub(crate) fn run(&self, name: &str, command: &str) -> Result<()> {
        let mut words = command.split_whitespace();
        let program = words.next().context("no command")?;
        let mut command = Command::new(peer::find(program)?);
        command.args(words);
        let output = self.host(name)?.run(command)?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} on {name}: {told}");
        Ok(())
    }

    /// The first director dies without a word; the second one serves.
    pub(crate) fn lose_the_master(&self, vip: Ipv4Addr) -> Result<()> {
        self.host(DIRECTORS[0])?.cut()?;
        self.holds(DIRECTORS[1], vip)?;
        self.answered(vip).map(drop)
    }
}
