//! What is looked at without a script: processes, connections, web servers.

use super::stage::config;
use anyhow::{Context, Result};
use hacluster_lab::{Host, Lab};
use hacluster_tests::harness::{Instance, Running, Suite, VIP, Wire, free, hold, pair};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Instant,
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_tracked_process_that_ends_and_comes_back", process);
    suite.trial("a_web_server_that_says_503", http);
    suite.trial("a_port_that_nobody_listens_at", tcp);
    suite.trial("a_virtual_server_without_servers_lowers_the_priority", lowered);
    suite.trial("a_virtual_server_without_servers_is_a_fault", faulty);
}

fn process() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        // An argument that no other process has.
        let time = format!("{}", 500_000 + std::process::id());
        let sleeper = || {
            let mut command = Command::new("sleep");
            command.arg(&time);
            left.spawn("sleep", command)
        };
        let first = sleeper()?;
        let block = format!("vrrp_track_process service {{\n    process sleep {time}\n}}");
        let instance = Instance::new(150).master().with("track_process {\n        service\n    }");
        let agent = Running::start(left, config(&block, &instance))?;
        hold(left, VIP)?;
        first.kill()?;
        agent.logged(&["Master -> Fault", "process service", "0 sleep run, at least 1 wanted"])?;
        free(left, VIP)?;
        let _second = sleeper()?;
        hold(left, VIP)
    })
}

/// Serves `status` on port 8080 of the host for ever.
fn serve(host: &Host, status: Arc<AtomicU16>) -> Result<()> {
    let listener = host.namespace().run(|| TcpListener::bind("127.0.0.1:8080").context("cannot listen"))?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let status = status.load(Ordering::Relaxed);
            let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        }
    });
    Ok(())
}

/// Starts an agent with `tracker`, called `web`, laid over a keepalived.conf.
fn start<'a>(host: &'a Host, tracker: &str) -> Result<Running<'a>> {
    let toml = host.directory().join("agent.toml");
    let text = format!(
        "[[tracker]]\nname = \"web\"\n{tracker}\ninterval = 0.2\nfall = 2\n\
         [[virtual_router]]\nname = \"VI_1\"\ntrack = [\"web\"]\n"
    );
    fs::write(&toml, text)?;
    let toml = toml.display().to_string();
    Running::start_with(host, Instance::new(150).master(), &["--agent-config", &toml])
}

fn http() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let status = Arc::new(AtomicU16::new(200));
        serve(left, Arc::clone(&status))?;
        let agent = start(left, "kind = \"http\"\nurl = \"http://127.0.0.1:8080/health\"")?;
        hold(left, VIP)?;
        status.store(503, Ordering::Relaxed);
        agent.logged(&["Master -> Fault", "HTTP check web", "HTTP 503"])?;
        free(left, VIP)?;
        status.store(204, Ordering::Relaxed);
        hold(left, VIP)
    })
}

fn tcp() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = start(left, "kind = \"tcp\"\naddress = \"127.0.0.1:8080\"")?;
        agent.logged(&["Initialize -> Fault", "TCP check web", "refused"])?;
        serve(left, Arc::new(AtomicU16::new(200)))?;
        agent.logged(&["TCP check web is good", "takes connections"])?;
        hold(left, VIP)
    })
}

/// An agent whose virtual router tracks its virtual server, of which nobody answers; where the kernel has no
/// IPVS it cannot serve, either.
fn balanced<'a>(left: &'a Host, more: &str) -> Result<Running<'a>> {
    let toml = left.directory().join("agent.toml");
    let tracked = format!("{{ virtual_server = \"10.9.0.100 80\"{more} }}");
    fs::write(&toml, format!("[[virtual_router]]\nname = \"VI_1\"\ntrack = [{tracked}]\n"))?;
    let check = "TCP_CHECK {\n connect_timeout 1\n retry 0\n }";
    let server = format!("real_server 127.0.0.1 1 {{\n {check}\n }}");
    let service = format!("virtual_server 10.9.0.100 80 {{\n delay_loop 1\n {server}\n}}\n");
    let config = format!("{service}{}", Instance::new(150).master());
    Running::start_with(left, config, &["--agent-config", &toml.display().to_string()])
}

fn faulty() -> Result<()> {
    Lab::run(pair(), |lab| {
        let left = lab.host("left")?;
        let agent = balanced(left, "")?;
        agent.logged(&["-> Fault", "virtual server", "10.9.0.100 80"])?;
        free(left, VIP)
    })
}

fn lowered() -> Result<()> {
    Lab::run(pair(), |lab| {
        let (left, wire) = (lab.host("left")?, Wire::tap(lab, "lan")?);
        let _agent = balanced(left, ", weight = -20")?;
        hold(left, VIP)?;
        wire.advert("left", 51, Instant::now(), |advert| advert.priority == 130).map(drop)
    })
}
