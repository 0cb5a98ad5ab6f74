//! An authority, an agent's API on loopback, and those who come to it.

use hacluster_agent::api::audit::Audit;
use hacluster_agent::api::{Api, Settings, Shared};
use hacluster_agent::args::Args;
use hacluster_agent::board::Board;
use hacluster_agent::chronicle::Chronicle;
use hacluster_agent::cluster::Cluster;
use hacluster_agent::cluster::holds::Store;
use hacluster_agent::event::Event;
use hacluster_agent::in_force::{self, DiskCheck};
use hacluster_agent::lvs::Lvs;
use hacluster_agent::mailbox::{Receiver, mailbox};
use hacluster_conf::model::{self, Config};
use hacluster_net::poll::Wake;
use hacluster_proto::identity::{Role, node_uri};
use hacluster_proto::tls::{ClientTls, ConnectError, Files, connect};
use hacluster_proto::v1;
use hacluster_proto::v1::read_client::ReadClient;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tonic::transport::Channel;

/// Longer than anything here takes on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// From now, in hours: from, until.
pub(crate) const VALID: (i64, i64) = (-1, 24);

/// What says who somebody is.
pub(crate) struct Authority {
    pub(crate) name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    next_serial: AtomicU64,
}

fn hours_from_now(hours: i64) -> SystemTime {
    let hours_of = |hours: i64| Duration::from_secs(hours.unsigned_abs() * 3600);
    if hours < 0 { SystemTime::now() - hours_of(hours) } else { SystemTime::now() + hours_of(hours) }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { name: name.to_owned(), issuer, next_serial: AtomicU64::new(1) }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of `name` with `names`, valid from and until so many hours from now; its serial
    /// number, itself and its key.
    pub(crate) fn sign(
        &self,
        name: &str,
        names: Vec<SanType>,
        (from, until): (i64, i64),
    ) -> (u64, String, String) {
        self.sign_until(name, names, from, hours_from_now(until))
    }

    fn sign_until(
        &self,
        name: &str,
        names: Vec<SanType>,
        from: i64,
        until: SystemTime,
    ) -> (u64, String, String) {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = names;
        params.not_before = hours_from_now(from).into();
        params.not_after = until.into();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        (serial, params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A list that revokes `serials`.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        self.revoke_until(serials, 24)
    }

    /// A list that is to be replaced in so many hours.
    pub(crate) fn revoke_until(&self, serials: &[u64], hours: i64) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: hours_from_now(-1).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: hours_from_now(hours.min(0) - 1).into(),
            next_update: hours_from_now(hours).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

pub(crate) fn role(role: Role) -> SanType {
    SanType::URI(role.uri().as_str().try_into().unwrap())
}

/// What a node's certificate says.
pub(crate) fn node(name: &str) -> Vec<SanType> {
    let uri = node_uri(name).unwrap();
    vec![
        SanType::DnsName(name.try_into().unwrap()),
        SanType::URI(uri.as_str().try_into().unwrap()),
        role(Role::Peer),
    ]
}

/// An agent's API, and its files.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) api: Option<Api>,
    pub(crate) cluster: Cluster,
    events: Receiver<Event>,
    pub(crate) said: Vec<String>,
}

impl World {
    /// Open and listening as `node1`.
    pub(crate) fn new() -> Self {
        let mut world = Self::closed();
        world.write_node(VALID);
        world.open();
        world
    }

    /// Everything is there but the certificate.
    pub(crate) fn closed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keepalived = dir.path().join("keepalived.conf");
        fs::write(&keepalived, "").unwrap();
        let args: Args =
            clap::Parser::parse_from(["hacluster-agent", "--config", keepalived.to_str().unwrap()]);
        let board = Arc::new(Board::new(Chronicle::new(Arc::new(in_force::load(&args)))));
        let wake = || Wake::new().unwrap();
        let (sender, events) = mailbox(10_000, &wake());
        // Nobody carries anything out here.
        let ((commands, _), (asks, _)) = (mailbox(1, &wake()), mailbox(1, &wake()));
        let audit = Audit::open(dir.path(), sender.clone()).unwrap();
        let cluster = Cluster::new(board.clone(), commands, sender.clone(), Store::open(dir.path(), false));
        let lvs = Lvs::new(sender.clone(), board.clone(), dir.path(), dir.path());
        let shared = Shared::new(board, DiskCheck::new(args), cluster.clone(), asks, audit, lvs);
        let api = Api::open(&dir.path().join("agent.sock"), shared, sender).unwrap();
        // Of several worlds each has its own, by name, too.
        let authority = Authority::new(&format!("test {}", dir.path().display()));
        write(dir.path(), "ca.pem", &authority.pem());
        write(dir.path(), "revoked.pem", &authority.revoke(&[]));
        let path = |name: &str| dir.path().join(name);
        let tls = model::Tls {
            certificate: path("node1.pem"),
            key: path("node1.key"),
            authority: path("ca.pem"),
            revoked: Some(path("revoked.pem")),
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { api: Some(model::Api { listen, tls }), ..Config::default() };
        let settings = api.settings();
        Self { dir, authority, config, settings, api: Some(api), cluster, events, said: Vec::new() }
    }

    /// Writes the node's own certificate and key.
    pub(crate) fn write_node(&self, valid: (i64, i64)) {
        let (_, certificate, key) = self.authority.sign("node1", node("node1"), valid);
        write(self.dir.path(), "node1.pem", &certificate);
        write(self.dir.path(), "node1.key", &key);
    }

    pub(crate) fn open(&mut self) {
        self.settings.put(&self.config);
        wait("the listener", || self.listening());
    }

    /// Believes `other`'s authority and keeps up a connection to it, under the name in its certificate.
    pub(crate) fn keep_up_with(&mut self, other: &Self) {
        self.believe(&other.authority);
        other.believe(&self.authority);
        self.config.peers = vec![model::Peer { name: "node1".into(), address: other.address() }];
        let (_, notices) = mailbox(1, &Wake::new().unwrap());
        self.cluster.start(self.api.as_ref().unwrap(), notices, &self.config);
    }

    fn believe(&self, other: &Authority) {
        self.write("ca.pem", &format!("{}{}", self.authority.pem(), other.pem()));
    }

    pub(crate) fn listening(&self) -> Option<SocketAddr> {
        self.api.as_ref().and_then(Api::listening)
    }

    pub(crate) fn address(&self) -> String {
        self.listening().unwrap().to_string()
    }

    /// Writes a file of the node, as a renewal does: whole, under another name first.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write(self.dir.path(), name, text);
    }

    /// The identity of somebody whom `authority` signs, and who believes it and the node's one.
    pub(crate) fn signed_by(
        &self,
        authority: &Authority,
        name: &str,
        names: Vec<SanType>,
        valid: (i64, i64),
    ) -> (u64, ClientTls) {
        let signed = authority.sign(name, names, valid);
        (signed.0, self.load(&[authority, &self.authority], name, &signed))
    }

    /// The identity of somebody whose certificate ends at `until`.
    pub(crate) fn expiring(&self, name: &str, names: Vec<SanType>, until: SystemTime) -> ClientTls {
        self.load(&[&self.authority], name, &self.authority.sign_until(name, names, -1, until))
    }

    /// The identity that `signed` (see [`Authority::sign`]) gives to who believes these authorities.
    pub(crate) fn load(
        &self,
        believes: &[&Authority],
        name: &str,
        (serial, certificate, key): &(u64, String, String),
    ) -> ClientTls {
        let file = |ending: &str| -> PathBuf { self.dir.path().join(format!("{name}-{serial}.{ending}")) };
        let files = Files {
            certificate: file("pem"),
            key: file("key"),
            authority: self.dir.path().join(format!("{name}-{serial}.ca.pem")),
            revoked: None,
        };
        write_at(&files.authority, &believes.iter().map(|one| one.pem()).collect::<String>());
        write_at(&files.certificate, certificate);
        write_at(&files.key, key);
        ClientTls::load(&files).unwrap()
    }

    pub(crate) fn client(&self, name: &str, names: Vec<SanType>) -> ClientTls {
        self.signed_by(&self.authority, name, names, VALID).1
    }

    pub(crate) fn viewer(&self) -> ClientTls {
        self.client("vera", vec![role(Role::Viewer)])
    }

    pub(crate) async fn connect(&self, tls: &ClientTls) -> Result<ReadClient<Channel>, ConnectError> {
        connect(&self.address(), "node1", tls, PATIENCE).await.map(ReadClient::new)
    }

    /// Whether somebody honest is still served.
    pub(crate) async fn serves(&self) -> bool {
        let Ok(mut client) = self.connect(&self.viewer()).await else { return false };
        snapshot(&mut client).await.is_ok()
    }

    /// Waits until the agent says something that contains `words`.
    pub(crate) fn heard(&mut self, words: &str) -> String {
        wait(words, || {
            while let Some(event) = self.events.pop() {
                self.said.push(event.what.to_string());
            }
            self.said.iter().find(|line| line.contains(words)).cloned()
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            while let Some(event) = self.events.pop() {
                self.said.push(event.what.to_string());
            }
            eprintln!("the agent said: {:#?}", self.said);
        }
        // Not within a runtime: closing waits.
        if let Some(api) = self.api.take() {
            let _ = std::thread::spawn(move || api.close()).join();
        }
    }
}

pub(crate) async fn snapshot(
    client: &mut ReadClient<Channel>,
) -> Result<v1::GetSnapshotResponse, tonic::Status> {
    client.get_snapshot(v1::GetSnapshotRequest {}).await.map(tonic::Response::into_inner)
}

fn write(dir: &Path, name: &str, text: &str) {
    let fresh = dir.join(format!("{name}.new"));
    write_at(&fresh, text);
    fs::rename(fresh, dir.join(name)).unwrap();
}

fn write_at(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Asks until there is an answer.
pub(crate) fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(std::time::Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
