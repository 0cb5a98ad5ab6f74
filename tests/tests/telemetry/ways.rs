//! Other ways to a collector: OTLP over HTTP, and over TLS.
//!
//! rotel takes no TLS by itself: a door in front of it does, with a certificate by the fleet's own authority.

use crate::collector::told_by;
use crate::rotel::{PORT, Rotel};
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Host, LIMIT, Lab, wait_until};
use hacluster_tests::harness::{Cluster, Suite, trio};
use hacluster_tests::page::{samples, value};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{fs, path::Path, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const DOOR: u16 = 4319;

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_story_goes_over_http", http);
    suite.trial("a_story_goes_over_tls_to_a_collector_of_the_named_authority", tls);
    suite.trial("a_collector_of_another_authority_is_told_nothing_and_said_so_once", strange);
}

/// TLS in front of the collector on `host`.
struct Door {
    _runtime: tokio::runtime::Runtime,
}

impl Door {
    fn open(host: &Host, [certificate, key]: [&Path; 2]) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let mut config =
            rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = host.namespace().run(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let listener = runtime.block_on(TcpListener::bind(("0.0.0.0", DOOR)))?;
            runtime.spawn(serve(listener, acceptor));
            Ok(runtime)
        })?;
        Ok(Self { _runtime: runtime })
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut outside = acceptor.accept(stream).await?;
            let mut inside = TcpStream::connect(("127.0.0.1", PORT)).await?;
            tokio::io::copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}

/// A failover by an agent with these `settings` reaches the collector.
pub(crate) fn story(cluster: &Cluster<'_>, rotel: &Rotel, settings: &str) -> Result<()> {
    let _pair = told_by(cluster, settings)?;
    let said = cluster.ctl(&["failover", "vi_1", "--yes"])?.well()?;
    cluster.served_by("right")?;
    let trace = said.out.split("Trace ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let trace = trace.with_context(|| format!("no trace in {said:?}"))?;
    rotel.story(trace, |spans| {
        let told = |name: &str, node: &str| spans.iter().any(|span| span.name == name && span.node == node);
        told("net.announce", "right") && told("net.release", "left")
    })?;
    wait_until("log lines and metrics", LIMIT, || {
        let text = rotel.text();
        let both = text.contains("hacluster.vrrp.adverts.receive_delay") && text.contains("handed it over");
        Ok(both.then_some(()))
    })
}

fn http() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let settings = "\n[telemetry]\notlp = \"http://10.8.0.9:4318\"\nprotocol = \"http\"\ninterval = 1\n";
        story(&cluster, &rotel, settings)
    })
}

fn settings(authority: &Path) -> String {
    format!("\n[telemetry]\notlp = \"https://10.8.0.9:{DOOR}\"\nauthority = {authority:?}\ninterval = 1\n")
}

/// A door with a certificate of the fleet's.
fn door(cluster: &Cluster<'_>) -> Result<Door> {
    let client = cluster.host("client")?;
    cluster.fleet.pki(&["node", "collector", "--address", "10.8.0.9"])?;
    let [certificate, key] = cluster.fleet.identity("collector");
    Door::open(client, [&certificate, &key])
}

fn tls() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let _door = door(&cluster)?;
        story(&cluster, &rotel, &settings(&cluster.fleet.authority()))
    })
}

fn strange() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _door = door(&cluster)?;
        let authority = cluster.fleet.folder().join("another.crt");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(&authority, parameters.self_signed(&KeyPair::generate()?)?.pem())?;
        let page = "prometheus = \"127.0.0.1:9650\"\n";
        let (left, _right) = told_by(&cluster, &(settings(&authority) + page))?;
        let line = left.logged(&["the collector takes no"])?;
        ensure!(line.text.contains("certificate"), "it does not say why: {}", line.text);
        wait_until("a second failure", LIMIT, || {
            let (_, samples) = samples(left.host)?;
            let failures = value(&samples, "hacluster_telemetry_failures_total", &["signal=\"metrics\""])?;
            Ok((failures > 1.0).then_some(()))
        })?;
        ensure!(left.lines(&["the collector takes no"]).len() == 1, "{:?}", left.process.lines());
        Ok(())
    })
}
