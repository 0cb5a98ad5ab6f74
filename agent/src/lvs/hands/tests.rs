mod beside;

use super::*;
use crate::event::What;
use crate::mailbox::{Receiver, mailbox};
use hacluster_net::netlink::ipvs::Stats;
use hacluster_net::netlink::ipvs::{DestSpec, Forwarding, Protocol, ServiceSpec};
use hacluster_net::poll::Wake;
use nix::errno::Errno;
use std::net::SocketAddr;
use std::sync::Mutex;

/// A kernel that keeps its tables in memory. Clones are the same kernel.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    table: Table,
    daemons: Vec<SyncDaemon>,
    timeouts: Vec<Timeouts>,
    no_timeouts: bool,
    executed: usize,
    /// Schedulers that are missing.
    missing: Vec<String>,
    /// The module is missing.
    absent: bool,
    opened: usize,
    /// Ports of servers that are refused.
    no_servers: Vec<u16>,
    /// Interfaces that are missing.
    no_links: Vec<String>,
    /// So many listings leave out the first service.
    left_out: usize,
    /// Answers of the next batch get lost, though it is carried out.
    overrun: bool,
}

/// Opens `kernel`.
pub(crate) fn fake(kernel: &Fake) -> impl FnMut() -> Result<Fake, NetError> + Send + 'static {
    let kernel = kernel.clone();
    move || {
        let mut state = kernel.0.lock().unwrap();
        state.opened += 1;
        if state.absent {
            return Err(NetError::new("reach IPVS in the kernel", Ipvs::ABSENT).with_detail("no ip_vs"));
        }
        drop(state);
        Ok(kernel.clone())
    }
}

impl Fake {
    /// `TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1`, a line for each service.
    pub(crate) fn text(&self) -> String {
        let state = self.0.lock().unwrap();
        let lines: Vec<String> = state
            .table
            .iter()
            .map(|(key, row)| {
                let servers = row.servers.values().map(|server| format!(" {}={}", server.key, server.weight));
                format!("{key} {}:{}", row.spec.scheduler, servers.collect::<String>())
            })
            .collect();
        lines.join("\n")
    }

    #[track_caller]
    pub(crate) fn is(&self, expected: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.text() != expected {
            assert!(Instant::now() < until, "found {:?}, wanted {expected:?}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Another program's work: a TCP service as [`Self::text`] writes it.
    pub(crate) fn add(&self, line: &str) {
        let (key, row) = row(line);
        self.0.lock().unwrap().table.insert(key, Arc::new(row));
    }

    /// Refuses servers with these ports.
    pub(crate) fn refuse_servers(&self, ports: Vec<u16>) {
        self.change(|state| state.no_servers = ports);
    }

    pub(crate) fn forget_commands(&self) {
        self.0.lock().unwrap().executed = 0;
    }

    pub(crate) fn commands(&self) -> usize {
        self.0.lock().unwrap().executed
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }
}

/// A TCP service as text.
pub(crate) fn row(line: &str) -> (ServiceKey, Row) {
    let (head, servers) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    let words: Vec<&str> = head.split(' ').collect();
    let to: SocketAddr = words[1].parse().unwrap();
    let key = ServiceKey::Address { protocol: Protocol::Tcp, ip: to.ip(), port: to.port() };
    let server = |text: &str| {
        let (to, weight) = text.split_once('=').unwrap();
        let to: SocketAddr = to.parse().unwrap();
        let spec = DestSpec::new(to.ip(), to.port(), weight.parse().unwrap(), Forwarding::Direct);
        (spec.key, spec)
    };
    let servers = servers.split(' ').filter(|text| !text.is_empty()).map(server).collect();
    (key, Row { spec: ServiceSpec::new(key, words[2]), servers })
}

impl Kernel for Fake {
    fn services(&mut self) -> Result<Vec<ServiceEntry>, NetError> {
        let mut state = self.0.lock().unwrap();
        if state.absent {
            return Err(NetError::new("list virtual servers", Errno::ENOENT));
        }
        let entry = |row: &Arc<Row>| ServiceEntry { spec: row.spec.clone(), stats: Stats::default() };
        let left_out = usize::from(state.left_out > 0);
        state.left_out -= left_out;
        Ok(state.table.values().skip(left_out).map(entry).collect())
    }

    fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestEntry>, NetError> {
        let state = self.0.lock().unwrap();
        let entry = |spec: &DestSpec| DestEntry {
            spec: *spec,
            active: 3,
            inactive: 1,
            persistent: 0,
            stats: Stats::default(),
        };
        Ok(state.table.get(key).map(|row| row.servers.values().map(entry).collect()).unwrap_or_default())
    }

    fn daemons(&mut self) -> Result<Vec<SyncDaemon>, NetError> {
        Ok(self.0.lock().unwrap().daemons.clone())
    }

    fn execute(&mut self, commands: &[Command]) -> Vec<Result<(), NetError>> {
        let state = &mut *self.0.lock().unwrap();
        state.executed += commands.len();
        let lost = std::mem::take(&mut state.overrun);
        let refuse = |errno| Err(NetError::new("do it", errno));
        commands
            .iter()
            .map(|command| {
                let has = |key: &ServiceKey| state.table.contains_key(key);
                match command {
                    Command::NewService(spec) if state.missing.contains(&spec.scheduler) => {
                        return refuse(Errno::ENOENT);
                    }
                    Command::NewDest(_, spec) if state.no_servers.contains(&spec.key.port) => {
                        return refuse(Errno::ERANGE);
                    }
                    Command::NewService(spec) if has(&spec.key) => return refuse(Errno::EEXIST),
                    Command::NewDest(key, _)
                    | Command::SetDest(key, _)
                    | Command::DelDest(key, _)
                    | Command::DelService(key)
                        if !has(key) =>
                    {
                        return refuse(Errno::ESRCH);
                    }
                    Command::StartDaemon(daemon) if state.no_links.contains(&daemon.interface) => {
                        return refuse(Errno::ENODEV);
                    }
                    Command::StartDaemon(daemon) => state.daemons.push(daemon.clone()),
                    Command::SetTimeouts(_) if state.no_timeouts => return refuse(Errno::EINVAL),
                    Command::SetTimeouts(timeouts) => state.timeouts.push(*timeouts),
                    Command::StopDaemon(role) => state.daemons.retain(|daemon| daemon.role != *role),
                    command => apply(&mut state.table, command),
                }
                if lost { refuse(Errno::ENOBUFS) } else { Ok(()) }
            })
            .collect()
    }
}

struct Stage {
    orders: Orders,
    events: Receiver<Event>,
    said: Vec<String>,
    found: Arc<Notify>,
    dir: Arc<tempfile::TempDir>,
}

impl Stage {
    fn open(kernel: &Fake, flush: bool) -> Self {
        Self::open_in(Arc::new(tempfile::tempdir().unwrap()), kernel, flush)
    }

    /// One that finds what a predecessor recorded there.
    fn open_in(dir: Arc<tempfile::TempDir>, kernel: &Fake, flush: bool) -> Self {
        let (events, heard) = mailbox(1_024, &Wake::new().unwrap());
        let record = Record::of(dir.path());
        let (inherited, counts, found) = (mpsc::channel(1).0, Arc::default(), Arc::<Notify>::default());
        let parts = Parts { events, record, flush, inherited, found: found.clone(), counts };
        let (orders, _) = spawn(parts, fake(kernel)).unwrap();
        Self { orders, events: heard, said: Vec::new(), found, dir }
    }

    fn put(&self, lines: &[&str]) {
        let table = lines.iter().map(|line| row(line)).map(|(key, row)| (key, Arc::new(row)));
        self.orders.put(table.collect());
    }

    fn look(&self) {
        std::thread::sleep(FRESH + Duration::from_millis(50));
        self.orders.look().blocking_recv().unwrap();
    }

    /// What was said until now is, line by line, what contains these.
    #[track_caller]
    fn said_only(&mut self, words: &[&str]) {
        while let Some(event) = self.events.pop() {
            self.said.push(event.what.to_string());
        }
        let agrees = self.said.len() == words.len()
            && self.said.iter().zip(words).all(|(line, words)| line.contains(words));
        assert!(agrees, "{:#?}", self.said);
    }

    fn hears(&mut self, words: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            while let Some(event) = self.events.pop() {
                if let What::Balance(notice) = event.what {
                    self.said.push(notice.text.clone());
                }
            }
            if let Some(line) = self.said.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(Instant::now() < until, "{words:?} was not said: {:#?}", self.said);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

const WEB: &str = "TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=2";

#[test]
fn what_others_did_to_our_services_is_said_and_mended_and_theirs_are_left_alone() {
    let kernel = Fake::default();
    let mut stage = Stage::open(&kernel, false);
    stage.put(&[WEB]);
    kernel.is(WEB);
    kernel.add("TCP 10.0.0.1:80 rr: 10.0.0.3:80=9 10.0.0.4:80=1");
    kernel.add("TCP 10.9.9.9:80 rr: 10.9.9.8:80=1");
    stage.look();
    kernel.is(&format!("{WEB}\nTCP 10.9.9.9:80 rr: 10.9.9.8:80=1"));
    let line = stage.hears("another program");
    for words in [
        "virtual server TCP 10.0.0.1:80 was changed",
        "real server 10.0.0.2:80 was removed from TCP 10.0.0.1:80",
        "weight 2 -> 9",
        "and 1 more",
        "time 1",
        "ipvsadm",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!(stage.orders.picture().mended, 1);
    kernel.change(|state| state.table.clear());
    stage.look();
    kernel.is(WEB);
    stage.hears("virtual server TCP 10.0.0.1:80 was removed; mended, time 2");
}

#[test]
fn only_the_difference_is_sent_and_nothing_is_sent_twice() {
    let kernel = Fake::default();
    let stage = Stage::open(&kernel, false);
    stage.put(&[WEB, "TCP 10.0.0.1:443 rr: 10.0.0.2:443=1"]);
    kernel.is(&format!("{WEB}\nTCP 10.0.0.1:443 rr: 10.0.0.2:443=1"));
    assert_eq!(kernel.commands(), 5);
    kernel.forget_commands();
    stage.put(&["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=5", "TCP 10.0.0.1:443 rr: 10.0.0.2:443=1"]);
    kernel.is("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1 10.0.0.3:80=5\nTCP 10.0.0.1:443 rr: 10.0.0.2:443=1");
    stage.look();
    assert_eq!(kernel.commands(), 1);
}

#[test]
fn a_kernel_without_ipvs_is_said_once_and_found_when_it_comes() {
    let kernel = Fake::default();
    kernel.change(|state| state.absent = true);
    let mut stage = Stage::open(&kernel, false);
    for weight in 1..20 {
        stage.put(&[&format!("TCP 10.0.0.1:80 wrr: 10.0.0.2:80={weight}")]);
    }
    let line = stage.hears("no ip_vs");
    assert!(line.contains("virtual routers go on"), "{line}");
    stage.orders.look().blocking_recv().unwrap();
    assert!(stage.orders.picture().absent.is_some());
    let opened = kernel.0.lock().unwrap().opened;
    assert!(opened <= 3, "a module is not asked for with every table: {opened}");
    kernel.change(|state| state.absent = false);
    stage.hears("the kernel balances now");
    kernel.is("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=19");
    assert_eq!(stage.said.iter().filter(|line| line.contains("no ip_vs")).count(), 1);
    assert!(stage.orders.picture().absent.is_none());
}

#[test]
fn a_missing_scheduler_is_said_once_and_the_other_services_are_served() {
    let kernel = Fake::default();
    kernel.change(|state| state.missing = vec!["twos".into()]);
    let mut stage = Stage::open(&kernel, false);
    stage.put(&[WEB, "TCP 10.0.0.1:443 twos: 10.0.0.2:443=1"]);
    kernel.is(WEB);
    stage.look();
    stage.look();
    stage.hears("do it");
    std::thread::sleep(Duration::from_millis(50));
    while let Some(event) = stage.events.pop() {
        stage.said.push(event.what.to_string());
    }
    assert_eq!(stage.said.len(), 1, "{:?}", stage.said);
    assert_eq!(stage.orders.picture().refused.len(), 1);
    kernel.change(|state| state.missing.clear());
    stage.look();
    kernel.is(&format!("{WEB}\nTCP 10.0.0.1:443 twos: 10.0.0.2:443=1"));
    assert!(stage.orders.picture().refused.is_empty());
}

/// Trackers read it: a virtual server that the kernel does not have must not call for connections.
#[test]
fn what_is_not_served_because_of_a_refusal_is_known_by_its_reason_and_told() {
    let kernel = Fake::default();
    kernel.change(|state| (state.missing, state.no_servers) = (vec!["twos".into()], vec![8080]));
    let stage = Stage::open(&kernel, false);
    let half = "TCP 10.0.0.1:81 wrr: 10.0.0.2:80=1";
    stage.put(&["TCP 10.0.0.1:443 twos: 10.0.0.2:443=1", half, "TCP 10.0.0.1:80 wrr: 10.0.0.2:8080=1"]);
    kernel.is(&format!("TCP 10.0.0.1:80 wrr:\n{half}"));
    stage.look();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = || {
        let told = async { tokio::time::timeout(Duration::from_secs(20), stage.found.notified()).await };
        runtime.block_on(told)
    };
    let unserved = || {
        let picture = stage.orders.picture();
        picture.unserved.iter().map(|(key, why)| format!("{key} {why}")).collect::<Vec<_>>()
    };
    told().unwrap();
    let [one, other] = &unserved()[..] else { panic!("{:?}", unserved()) };
    assert!(one.starts_with("TCP 10.0.0.1:80 ") && one.contains("do it"), "{one}");
    assert!(other.starts_with("TCP 10.0.0.1:443 ") && other.contains("do it"), "{other}");
    kernel.change(|state| (state.missing, state.no_servers) = Default::default());
    stage.look();
    told().unwrap();
    assert_eq!(unserved(), [""; 0]);
}

#[test]
fn after_an_overrun_the_kernel_is_looked_at_nothing_is_lost_and_nobody_is_accused() {
    let kernel = Fake::default();
    let mut stage = Stage::open(&kernel, false);
    stage.put(&[WEB]);
    kernel.is(WEB);
    stage.look();
    kernel.change(|state| state.overrun = true);
    stage.put(&["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1"]);
    kernel.is("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=1");
    let line = stage.hears("answers of the kernel were lost");
    assert!(line.contains("ENOBUFS") && line.contains("read back"), "{line}");
    stage.look();
    stage.put(&["TCP 10.0.0.1:80 wrr: 10.0.0.2:80=4 10.0.0.3:80=1"]);
    kernel.is("TCP 10.0.0.1:80 wrr: 10.0.0.2:80=4 10.0.0.3:80=1");
    stage.look();
    stage.said_only(&["answers of the kernel were lost"]);
}

#[test]
fn a_listing_that_leaves_one_out_accuses_nobody() {
    let kernel = Fake::default();
    let mut stage = Stage::open(&kernel, false);
    stage.put(&[WEB, "TCP 10.0.0.1:443 rr: 10.0.0.2:443=1"]);
    kernel.is(&format!("{WEB}\nTCP 10.0.0.1:443 rr: 10.0.0.2:443=1"));
    kernel.forget_commands();
    kernel.change(|state| state.left_out = 1);
    stage.look();
    kernel.change(|state| assert_eq!(state.left_out, 0, "nobody looked"));
    assert_eq!(kernel.commands(), 0);
    stage.said_only(&[]);
}

#[test]
fn lvs_flush_removes_what_others_balance_but_not_what_is_wanted() {
    let kernel = Fake::default();
    kernel.add(WEB);
    kernel.add("TCP 10.9.9.9:80 rr: 10.9.9.8:80=1");
    let stage = Stage::open(&kernel, true);
    stage.put(&[WEB]);
    kernel.is(WEB);
    assert_eq!(kernel.commands(), 1, "connections of what is wanted go on");
    kernel.add("TCP 10.9.9.9:80 rr: 10.9.9.8:80=1");
    stage.look();
    kernel.is(&format!("{WEB}\nTCP 10.9.9.9:80 rr: 10.9.9.8:80=1"));
}
