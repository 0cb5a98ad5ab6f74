//! Checks of virtual servers as an agent runs them, on a host without load balancer, too.
//!
//! ```text
//!   director 10.9.0.1 ── lan ── 10.9.0.2 server, 192.0.2.1 on lo
//! ```

use super::stage::ip;
use anyhow::{Context, Result, ensure};
use hacluster_agent::check::{Outcome, Prober, Settings};
use hacluster_conf::model::lvs::{Check, CheckKind, CheckPace, CheckRoute};
use hacluster_core::time::Duration as Span;
use hacluster_lab::{Absent, Agent, Ctl, Host, LIMIT, Lab, Process, Topology, wait_until};
use hacluster_tests::harness::{Running, Suite};
use rcgen::{CertificateParams, KeyPair};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("memory_stays_flat_while_servers_send_a_gigabyte", gigabyte);
    suite.trial("every_kind_of_check_carries_its_mark", marked);
    suite.trial("pings_go_by_raw_and_by_unprivileged_sockets", pings);
    suite.trial("http2_over_tls_is_good_where_nginx_offers_it", http2);
}

fn stage() -> Topology {
    let lan = Topology::new("checkers").network("lan");
    lan.node("director", &[("eth0", "lan", "10.9.0.1/24")]).node("server", &[("eth0", "lan", "10.9.0.2/24")])
}

/// Treats each connection to `port` of `host` as `with` does, for ever.
fn serve(host: &Host, port: u16, with: impl Fn(TcpStream) + Clone + Send + 'static) -> Result<()> {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    let listener =
        host.namespace().run(move || TcpListener::bind(any).with_context(|| format!("port {port}")))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let with = with.clone();
            thread::spawn(move || with(stream));
        }
    });
    Ok(())
}

/// The head of a request.
fn hear(stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
}

/// Says `text` to whoever connects, and hears until they go.
fn talk(text: &'static str) -> impl Fn(TcpStream) + Clone + Send {
    move |mut stream| {
        let _ = stream.write_all(text.as_bytes());
        while stream.read(&mut [0; 512]).is_ok_and(|read| read > 0) {}
    }
}

/// Says every datagram back with the bit set that makes an answer of a question to a name server.
fn names(host: &Host, at: (Ipv4Addr, u16)) -> Result<()> {
    let socket = host.namespace().run(move || Ok(UdpSocket::bind(at)?))?;
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            bytes[2] |= 0x80;
            let _ = socket.send_to(&bytes[..length], from);
        }
    });
    Ok(())
}

/// The real servers of the only virtual server; none while the agent does not answer yet.
fn servers(host: &Host) -> Result<Vec<Value>> {
    let socket = host.directory().join("run/agent.sock");
    let said = Ctl::find()?.run(host, &["lvs", "-o", "json", "--socket", &socket.display().to_string()])?;
    let seen: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    Ok(seen["nodes"][0]["services"][0]["servers"].as_array().cloned().unwrap_or_default())
}

/// Waits until each real server is `up` or `down` as written, by the word of all its checks, and the last
/// words of those that are bad contain the text.
fn judged(host: &Host, wanted: &[(&str, &str, &str)]) -> Result<()> {
    let mut last = Vec::new();
    let waited = wait_until("the verdicts", LIMIT, || {
        last = servers(host)?;
        let agrees = last.iter().zip(wanted).all(|(server, (address, state, text))| {
            let verdict = if *state == "up" { "good" } else { "bad" };
            let is = |check: &Value| {
                check["verdict"] == verdict && check["text"].as_str().is_some_and(|why| why.contains(text))
            };
            let checks = server["checks"].as_array().map_or(&[][..], Vec::as_slice);
            server["address"] == *address && server["state"] == *state && checks.iter().all(is)
        });
        Ok((last.len() == wanted.len() && agrees).then_some(()))
    });
    waited.with_context(|| format!("wanted {wanted:?}, last seen {last:#?}"))
}

/// Only packets with mark 7 have a way to the server.
fn marked() -> Result<()> {
    Lab::run(stage(), |lab| {
        let (director, server) = (lab.host("director")?, lab.host("server")?);
        ip(server, "address add 192.0.2.1/32 dev lo")?;
        ip(director, "route add 192.0.2.1/32 via 10.9.0.2 table 77")?;
        ip(director, "rule add fwmark 7 lookup 77")?;
        serve(server, 80, |mut stream| {
            hear(&stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        })?;
        serve(server, 25, |mut stream| {
            let _ = stream.write_all(b"220 mail\r\n");
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = stream.write_all(b"250 hello\r\n");
        })?;
        names(server, (Ipv4Addr::new(192, 0, 2, 1), 53))?;
        let checks = |mark: &str| {
            let each = |kind: &str, more: &str| {
                format!("  {kind} {{\n   connect_timeout 5\n   retry 0\n   {more}\n   {mark}\n  }}\n")
            };
            [
                each("HTTP_GET", "connect_port 80\n   url {\n    path /\n    status_code 200\n   }"),
                each("TCP_CHECK", "connect_port 80"),
                each("SMTP_CHECK", "connect_port 25"),
                each("DNS_CHECK", "connect_port 53\n   name www.example.org"),
                each("UDP_CHECK", "connect_port 53\n   payload 0a0b0c\n   require_reply 0a"),
                each("PING_CHECK", ""),
            ]
            .concat()
        };
        let config = format!(
            "virtual_server 10.9.0.100 80 {{\n delay_loop 1\n protocol TCP\n real_server 192.0.2.1 80 {{\n{}}}\n \
             real_server 192.0.2.1 81 {{\n{}}}\n}}\n",
            checks("fwmark 7"),
            checks("")
        );
        let agent = Running::start(director, config)?;
        judged(director, &[("192.0.2.1:80", "up", ""), ("192.0.2.1:81", "down", "network is unreachable")])?;
        agent.stop()
    })
}

/// One ping from this thread, which has a capability for raw sockets or not.
fn ping(director: &Host, raw: bool) -> Result<Outcome> {
    let program = Agent::find()?.binary;
    director.namespace().run(move || {
        if !raw {
            let mut own = capabilities(None)?;
            own.effective.remove(CapabilitySet::NET_RAW);
            set_capabilities(None, own)?;
        }
        let second = Span::from_secs(1);
        let pace = CheckPace {
            delay_loop: second,
            timeout: Span::from_secs(10),
            retry: 0,
            delay_before_retry: second,
            warmup: Span::ZERO,
            alpha: false,
            log_all_failures: false,
        };
        let to = (Ipv4Addr::new(10, 9, 0, 2), 0).into();
        let route = CheckRoute { to, from: None, interface: None, fwmark: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let check = Check { kind: CheckKind::Ping, route, pace };
        Ok(runtime.block_on(async { Prober::new(Settings::default(), &program).probe(&check).await }))
    })
}

/// The kernel says who may open its echo sockets: nobody, or the group of root.
fn pings() -> Result<()> {
    const NOBODY: &str = "1 0";
    const ROOT: &str = "0 0";
    Lab::run(stage(), |lab| {
        let director = lab.host("director")?;
        for (groups, raw, good) in
            [(NOBODY, true, true), (ROOT, false, true), (ROOT, true, true), (NOBODY, false, false)]
        {
            director.set_sysctl("net/ipv4/ping_group_range", groups)?;
            let outcome = ping(director, raw)?;
            ensure!(outcome.good == good, "range {groups}, raw {raw}: {outcome:?}");
            let mends = ["CAP_NET_RAW", "ping_group_range"].iter().all(|mend| outcome.why.contains(mend));
            ensure!(good || (outcome.ours && mends), "{outcome:?}");
        }
        Ok(())
    })
}

/// nginx in the foreground: with HTTP/2 at port 443, without at 444.
fn start_nginx(host: &Host, program: &Path) -> Result<Process> {
    let folder = host.directory().join("nginx");
    fs::create_dir_all(&folder)?;
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(["www.example.org".to_owned()])?.self_signed(&key)?;
    fs::write(folder.join("own.pem"), own.pem())?;
    fs::write(folder.join("own.key"), key.serialize_pem())?;
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\n\
         http {{\n log_format ours '$server_port $server_protocol $ssl_server_name $request_uri';\n access_log \
         {0}/access.log ours;\n client_body_temp_path {0}/body;\n proxy_temp_path {0}/proxy;\n \
         fastcgi_temp_path {0}/fastcgi;\n uwsgi_temp_path {0}/uwsgi;\n scgi_temp_path {0}/scgi;\n \
         ssl_certificate {0}/own.pem;\n ssl_certificate_key {0}/own.key;\n server {{\n  listen 443 ssl http2;\n  \
         return 200 up;\n }}\n server {{\n  listen 444 ssl;\n  return 200 up;\n }}\n}}\n",
        folder.display()
    );
    fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
    host.spawn("nginx", command)
}

fn http2() -> Result<()> {
    const SERVICE: &str = "[[virtual_server]]\nname = \"web\"\naddresses = [\"10.9.0.100:443\"]\nforwarding = \
                           \"DR\"\ndelay_loop = 1\n";
    let program = Path::new("/usr/sbin/nginx");
    if !program.is_file() {
        return Err(Absent("nginx is not installed: apt-get install nginx-light".to_owned()).into());
    }
    Lab::run(stage(), move |lab| {
        let (director, server) = (lab.host("director")?, lab.host("server")?);
        let _nginx = start_nginx(server, program)?;
        let real = |port: u16, version: &str| {
            format!(
                "[[virtual_server.real_server]]\naddress = \"10.9.0.2:{port}\"\ncheck = [{{ kind = \"https\", version = \
                 \"{version}\", sni = \"www.example.org\", timeout = 10, retry = 0, urls = [{{ path = \"/v{version}\", \
                 status = [\"200\"], regex = \"^up$\" }}] }}]\n"
            )
        };
        let toml = director.directory().join("agent.toml");
        fs::write(&toml, SERVICE.to_owned() + &real(443, "2") + &real(444, "2"))?;
        let agent = Running::start_with(director, "", &["--agent-config", &toml.display().to_string()])?;
        judged(
            director,
            &[("10.9.0.2:443", "up", "200"), ("10.9.0.2:444", "down", "does not offer HTTP/2")],
        )?;
        let log = fs::read_to_string(server.directory().join("nginx/access.log"))?;
        ensure!(log.lines().all(|line| line == "443 HTTP/2.0 www.example.org /v2"), "{log}");
        agent.stop()
    })
}

/// Memory of a process in KiB, now (`VmRSS`) or at most so far (`VmHWM`).
fn memory(process: &Process, which: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = text.lines().find(|line| line.starts_with(which)).context("no such line")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("no number")
}

/// All that was sent until the kernel takes no more, by servers that are asked again and again. What is
/// read is bounded for each try; of what is read, a digest takes the most.
fn gigabyte() -> Result<()> {
    const WANTED: u64 = 1 << 30;
    const GROWTH_KIB: u64 = 16 << 10;
    Lab::run(stage(), |lab| {
        let (director, server) = (lab.host("director")?, lab.host("server")?);
        let sent = Arc::new(AtomicU64::new(0));
        let flood = |head: &'static str| {
            let sent = Arc::clone(&sent);
            move |mut stream: TcpStream| {
                let _ = stream.write_all(head.as_bytes());
                let chunk = [b'x'; 1 << 16];
                while stream.write_all(&chunk).is_ok() {
                    sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                }
            }
        };
        serve(server, 80, flood("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"))?;
        serve(server, 81, flood("HTTP/1.1 200 OK\r\nX: "))?;
        serve(server, 82, flood("220-"))?;
        serve(server, 83, talk("220 mail\r\n250 hello\r\n"))?;
        let web = |port: u16, more: &str| {
            format!(
                " real_server 10.9.0.2 {port} {{\n  HTTP_GET {{\n   url {{\n    path /\n    {more}\n   }}\n   \
                 connect_port {}\n   connect_timeout 30\n   retry 0\n  }}\n }}\n",
                if port == 81 { 81 } else { 80 }
            )
        };
        let mail = |port: u16| {
            format!(
                " real_server 10.9.0.2 {port} {{\n  SMTP_CHECK {{\n   connect_timeout 30\n   retry 0\n  }}\n }}\n"
            )
        };
        let digest = "digest 9b3a0c85a887a256d6939da88aabd8cd";
        let config = |servers: &[String]| {
            format!(
                "virtual_server 10.9.0.100 80 {{\n delay_loop 0.1\n protocol TCP\n{}}}\n",
                servers.concat()
            )
        };
        let agent = Running::start(director, config(&[mail(83)]))?;
        judged(director, &[("10.9.0.2:83", "up", "")])?;
        let before = memory(&agent.process, "VmRSS:")?;
        agent.reload(config(&[
            mail(83),
            web(80, "status_code 204"),
            web(81, "status_code 200"),
            mail(82),
            web(8080, digest),
            web(8081, "status_code 200\n    regex y"),
        ]))?;
        wait_until("a gigabyte", LIMIT * 4, || Ok((sent.load(Ordering::Relaxed) >= WANTED).then_some(())))?;
        let most = memory(&agent.process, "VmHWM:")?;
        ensure!(most < before + GROWTH_KIB, "{before} KiB before, {most} KiB at most");
        let digest = "longer than 16 MiB";
        let seen = servers(director)?;
        ensure!(seen.iter().any(|server| server.to_string().contains(digest)), "{seen:#?}");
        ensure!(seen[0]["state"] == "up", "{seen:#?}");
        agent.stop()
    })
}
