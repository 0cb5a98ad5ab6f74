//! A collector behind nginx that speaks TLS only, and lets nobody in without the right header: what hosted
//! collectors look like.
//!
//! ```text
//!   agent --https, authorization--> nginx :4320 gRPC, :4321 HTTP --> rotel :4317, :4318
//! ```

use crate::collector::told_by;
use crate::rotel::Rotel;
use crate::ways::story;
use anyhow::{Context, Result, ensure};
use hacluster_lab::{Absent, Host, LIMIT, Lab, Process, wait_for, wait_until};
use hacluster_tests::harness::{Cluster, Suite, trio};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const GRPC: u16 = 4320;
const HTTP: u16 = 4321;
/// With a percent sign: no part of the way may decode it.
const SECRET: &str = "c2VjcmV0%3AaGVyZQ==";

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("a_story_goes_to_a_collector_that_wants_a_header_over_grpc", || lets_in("grpc", GRPC));
    suite.trial("a_story_goes_to_a_collector_that_wants_a_header_over_http", || lets_in("http", HTTP));
    suite.trial("without_the_right_header_nothing_is_taken_and_the_reason_is_told", refused);
    suite.trial("a_changed_header_counts_from_the_next_reload", changed);
    suite.trial("a_collector_of_another_authority_is_told_nothing_over_https", strange);
}

/// nginx in front of the collector on `host`.
fn nginx(cluster: &Cluster<'_>, host: &Host) -> Result<Process> {
    let program = Path::new("/usr/sbin/nginx");
    if !program.is_file() {
        return Err(Absent("nginx is not installed: apt-get install nginx-light".to_owned()).into());
    }
    cluster.fleet.pki(&["node", "collector", "--address", "10.8.0.9"])?;
    let [certificate, key] = cluster.fleet.identity("collector");
    let folder = host.directory().join("nginx");
    fs::create_dir_all(&folder)?;
    let server = |port: u16, way: &str, refusal: &str, pass: &str| {
        format!(
            " server {{\n  listen {port} ssl{way};\n  ssl_certificate {};\n  ssl_certificate_key {};\n  \
             client_max_body_size 8m;\n  {refusal}\n  location / {{\n   if ($http_authorization != \"Bearer \
             {SECRET}\") {{\n    return 401;\n   }}\n   {pass};\n  }}\n }}\n",
            certificate.display(),
            key.display()
        )
    };
    // What gRPC calls 401.
    let unauthenticated = "error_page 401 = /unauthenticated;\n  location = /unauthenticated {\n   internal;\n   \
                           default_type application/grpc;\n   add_header grpc-status 16;\n   \
                           add_header content-length 0;\n   return 204;\n  }";
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n \
         access_log off;\n client_body_temp_path {0}/body;\n proxy_temp_path {0}/proxy;\n fastcgi_temp_path \
         {0}/fastcgi;\n uwsgi_temp_path {0}/uwsgi;\n scgi_temp_path {0}/scgi;\n{1}{2}}}\n",
        folder.display(),
        server(GRPC, " http2", unauthenticated, "grpc_pass grpc://127.0.0.1:4317"),
        server(HTTP, "", "", "proxy_pass http://127.0.0.1:4318")
    );
    fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
    let process = host.spawn("nginx", command)?;
    let listens = || host.namespace().run(|| Ok(TcpStream::connect(("127.0.0.1", HTTP)).is_ok()));
    wait_for("nginx to listen", LIMIT, || listens().unwrap_or(false))?;
    Ok(process)
}

/// A file with the header, as it should be; both agents read the same.
fn headers(cluster: &Cluster<'_>, secret: &str) -> Result<PathBuf> {
    let file = cluster.fleet.folder().join("otlp.headers");
    let fresh = file.with_extension("new");
    fs::write(&fresh, format!("# of the collector\nAuthorization: Bearer {secret}\n"))?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, &file)?;
    Ok(file)
}

fn settings(authority: &Path, protocol: &str, port: u16, headers: &Path) -> String {
    format!(
        "\n[telemetry]\notlp = \"https://10.8.0.9:{port}\"\nprotocol = {protocol:?}\nauthority = {authority:?}\n\
         headers_file = {headers:?}\ninterval = 1\n"
    )
}

fn lets_in(protocol: &str, port: u16) -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let _nginx = nginx(&cluster, cluster.host("client")?)?;
        let headers = headers(&cluster, SECRET)?;
        story(&cluster, &rotel, &settings(&cluster.fleet.authority(), protocol, port, &headers))
    })
}

fn refused() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _nginx = nginx(&cluster, cluster.host("client")?)?;
        let secret = "bm90IHRoZSByaWdodCBvbmU=";
        let headers = headers(&cluster, secret)?;
        let authority = cluster.fleet.authority();
        for (protocol, port) in [("grpc", GRPC), ("http", HTTP)] {
            let (left, right) = told_by(&cluster, &settings(&authority, protocol, port, &headers))?;
            let line = left.logged(&["the collector takes no"])?;
            let why = ["401", "nauthenticated"].iter().any(|word| line.text.contains(word));
            ensure!(why, "it does not say why: {}", line.text);
            // Nothing shows the value.
            let mut shown = String::new();
            for asked in
                [&["status", "-o", "json"][..], &["status", "-o", "wide"], &["config", "show"], &["events"]]
            {
                let said = cluster.ctl(asked)?;
                shown += &said.out;
                shown += &said.err;
            }
            shown.extend(left.process.lines().iter().map(|line| line.text.clone()));
            ensure!(shown.contains("the collector takes no"), "{shown}");
            ensure!(!shown.contains(secret), "the secret is shown");
            left.stop()?;
            right.stop()?;
        }
        Ok(())
    })
}

/// A file that everybody can read is refused, and told; put right, a reload is enough.
fn changed() -> Result<()> {
    Rotel::present()?;
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let rotel = Rotel::start(cluster.host("client")?)?;
        let _nginx = nginx(&cluster, cluster.host("client")?)?;
        let file = headers(&cluster, "wrong")?;
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        let (left, _right) = told_by(&cluster, &settings(&cluster.fleet.authority(), "http", HTTP, &file))?;
        left.logged(&["collectors are told nothing", "otlp.headers", "mode 644", "chmod 600"])?;
        headers(&cluster, "wrong")?;
        cluster.ctl(&["reload", "--yes", "--reason", "a trial"])?.well()?;
        left.logged(&["the collector takes no", "401"])?;
        ensure!(rotel.all().is_empty(), "nothing was to get through: {:#?}", rotel.all());
        headers(&cluster, SECRET)?;
        cluster.ctl(&["reload", "--yes", "--reason", "a trial"])?.well()?;
        wait_until("metrics", LIMIT, || Ok(rotel.text().contains("hacluster.vrrp.state").then_some(())))
            .with_context(|| rotel.text())
    })
}

fn strange() -> Result<()> {
    Lab::run(trio(), |lab| {
        let cluster = Cluster::found(lab)?;
        let _nginx = nginx(&cluster, cluster.host("client")?)?;
        let authority = cluster.fleet.folder().join("another.crt");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(&authority, parameters.self_signed(&KeyPair::generate()?)?.pem())?;
        let headers = headers(&cluster, SECRET)?;
        let (left, _right) = told_by(&cluster, &settings(&authority, "http", HTTP, &headers))?;
        let line = left.logged(&["the collector takes no"])?;
        ensure!(line.text.contains("certificate"), "it does not say why: {}", line.text);
        Ok(())
    })
}
