//! `haclusterctl pki`: certificates for nodes, operators and viewers, each in one command.

mod list;

use crate::args::Format;
use crate::args::moves::Consent;
use crate::context::Surroundings;
use crate::output;
use crate::pki::index::Record;
use crate::pki::store::Signer;
use crate::pki::{Issued, PORT, Store, Wish};
use crate::{Outcome, Usage, confirm};
use clap::{Args as Arguments, Subcommand, value_parser};
use hacluster_proto::identity::Role;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// Where root keeps the authority.
const SYSTEM_DIR: &str = "/etc/hacluster/pki";
/// What the authority is called where a holder's name stands; nobody else can be.
const AUTHORITY: &str = "ca";
/// How long it lasts unless told otherwise.
const AUTHORITY_DAYS: u32 = 3650;
/// How long what it signs lasts unless told otherwise, and at most.
const HOLDER_DAYS: u32 = 365;
const HOLDER_DAYS_MAX: u32 = 7300;

#[derive(Debug, Arguments)]
#[command(after_help = "Examples:\n  \
    haclusterctl pki init web\n  \
    haclusterctl pki node node1 --address 192.0.2.11\n  \
    haclusterctl pki operator alice && haclusterctl context add web --operator alice\n\n\
    Exit status: 0 done, 1 something ends within 30 days (list), 3 not done.")]
pub(crate) struct PkiArgs {
    /// Directory of the authority [default: /etc/hacluster/pki for root, else
    /// ~/.config/haclusterctl/pki]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: PkiVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiVerb {
    /// Make the authority of a cluster
    Init {
        /// What the cluster is called
        #[arg(value_name = "CLUSTER", default_value = "hacluster")]
        cluster: String,
        /// The same, as an option
        #[arg(long, value_name = "CLUSTER", conflicts_with = "cluster")]
        name: Option<String>,
        /// How long it lasts; nothing it signs lasts longer
        #[arg(long, value_name = "DAYS", default_value_t = AUTHORITY_DAYS, value_parser = value_parser!(u32).range(1..=36500))]
        days: u32,
    },
    /// Make a certificate for a node's agent
    Node {
        /// Its name: its router_id, or its host name
        name: String,
        /// Where it is reached: IP address or host name; may be repeated
        #[arg(long = "address", value_name = "HOST")]
        addresses: Vec<String>,
        #[command(flatten)]
        lasting: Lasting,
    },
    /// Make a certificate for somebody who may look and move
    Operator {
        /// Whom it names, also in the audit log
        name: String,
        #[command(flatten)]
        lasting: Lasting,
    },
    /// Make a certificate for somebody who may only look
    Viewer {
        /// Whom it names
        name: String,
        #[command(flatten)]
        lasting: Lasting,
    },
    /// Make a new certificate and a new key in place of somebody's; `ca` lets the authority last longer
    #[command(after_help = "Examples:\n  \
        haclusterctl pki renew node1 --keep-key\n  \
        haclusterctl pki renew ca\n\n\
        The authority keeps its name and key: every certificate goes on as it is.\n\
        Exit status: 0 done, 3 not done.")]
    Renew {
        /// Whose; `ca` for the authority's own
        name: String,
        /// Other addresses than before, for a node
        #[arg(long = "address", value_name = "HOST")]
        addresses: Vec<String>,
        /// Keep the key, so that only the certificate has to be copied
        #[arg(long)]
        keep_key: bool,
        /// How long it lasts [default: 365, the authority's 3650]
        #[arg(long, value_name = "DAYS", value_parser = value_parser!(u32).range(1..=36500))]
        days: Option<u32>,
    },
    /// Let somebody's certificates count no more
    #[command(after_help = "Examples:\n  \
        haclusterctl pki revoke alice --dry-run\n  \
        haclusterctl pki revoke alice --yes\n\n\
        Exit status: 0 done, 1 not wanted after all, 3 not done.")]
    Revoke {
        /// Whose
        name: String,
        /// Only say what would count no more
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Who holds a certificate, and when it ends
    #[command(visible_alias = "show")]
    List {
        /// Only these, regardless of case
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// How to answer: table, wide, json or yaml
        #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
        output: Format,
    },
}

#[derive(Clone, Copy, Debug, Arguments)]
pub(crate) struct Lasting {
    /// How long it lasts
    #[arg(long, value_name = "DAYS", default_value_t = HOLDER_DAYS, value_parser = value_parser!(u32).range(1..=i64::from(HOLDER_DAYS_MAX)))]
    days: u32,
}

/// Does what was asked. Whatever fails here is no matter of nodes: the exit status is that of wrong use.
pub(crate) fn run(args: PkiArgs) -> anyhow::Result<Outcome> {
    did(args).map_err(|error| match error {
        error if error.is::<Usage>() || output::is_broken_pipe(&error) => error,
        error => Usage(format!("{error:#}")).into(),
    })
}

fn did(args: PkiArgs) -> anyhow::Result<Outcome> {
    let dir = match args.dir {
        Some(dir) => std::path::absolute(dir)?, // what is printed is used elsewhere
        None => default_dir()?,
    };
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let issue = |wish: Wish| tell_issued(&Signer::open(&dir, now)?.issue(&wish, now)?, &dir, now);
    let simple =
        |name, role, lasting: Lasting| Wish { name, role, addresses: Vec::new(), days: lasting.days };
    match args.verb {
        PkiVerb::Init { cluster, name, days } => init(&dir, &name.unwrap_or(cluster), days, now),
        PkiVerb::Node { name, addresses, lasting } => {
            issue(Wish { name, role: Role::Peer, addresses, days: lasting.days })
        }
        PkiVerb::Operator { name, lasting } => issue(simple(name, Role::Operator, lasting)),
        PkiVerb::Viewer { name, lasting } => issue(simple(name, Role::Viewer, lasting)),
        PkiVerb::Renew { name, addresses, keep_key, days } if name.eq_ignore_ascii_case(AUTHORITY) => {
            if !addresses.is_empty() || keep_key {
                let text = "the authority has no address and always keeps its key: only --days is for it";
                return Err(Usage(text.to_owned()).into());
            }
            renew_authority(&dir, days.unwrap_or(AUTHORITY_DAYS), now)
        }
        PkiVerb::Renew { name, addresses, keep_key, days } => {
            let days = days.unwrap_or(HOLDER_DAYS);
            if days > HOLDER_DAYS_MAX {
                return Err(Usage(format!("a certificate lasts at most {HOLDER_DAYS_MAX} days")).into());
            }
            let mut signer = Signer::open(&dir, now)?;
            let issued = signer.renew(&name, (&addresses, days), keep_key, now)?;
            tell_renewed(&issued, keep_key, now)
        }
        PkiVerb::Revoke { name, dry_run, consent } => revoke(&dir, &name, (dry_run, consent), now),
        PkiVerb::List { names, output } => list::run(&Store::open(&dir)?, &names, output, now),
    }
}

/// Where the authority is when nobody says.
pub(crate) fn default_dir() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(SYSTEM_DIR.into());
    }
    let own = Surroundings::now().user_dir().map(|dir| dir.join("pki"));
    own.ok_or_else(|| Usage("HOME is not set: name the authority's directory with --dir".to_owned()).into())
}

fn init(dir: &Path, cluster: &str, days: u32, now: Timestamp) -> anyhow::Result<Outcome> {
    crate::pki::check_name(cluster)?;
    let store = Store::found(dir, cluster, days, now)?;
    let (shown, option) = (dir.display(), option(dir));
    output::print(&format!(
        "Made the authority \"{}\", valid until {}, in {shown}:\n  \
         ca.crt   everybody needs it\n  \
         ca.key   secret: whoever has it can make operators. Keep a copy off the cluster\n  \
         ca.crl   what was revoked (nothing yet)\n\
         Next, for each node and for yourself:\n  \
         haclusterctl pki{option} node NODE --address IP\n  \
         haclusterctl pki{option} operator YOU\n",
        store.name,
        day(store.expires),
    ))?;
    Ok(Outcome::Well)
}

fn tell_issued(issued: &Issued, dir: &Path, now: Timestamp) -> anyhow::Result<Outcome> {
    let Record { name, addresses, role, .. } = &issued.record;
    let mut text = made(issued, now);
    if *role == Role::Peer.name() {
        let host = addresses.first().map_or("ADDRESS", String::as_str);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let listen = if host.parse::<std::net::IpAddr>().is_ok() { &bracketed } else { "0.0.0.0" };
        text.push_str(&format!(
            "Next, copy it to {name} (its key is needed there only):\n  \
             scp -pr {}/. {name}:{SYSTEM_DIR}/\n\
             and say so in agent.toml there:\n  \
             [api]\n  \
             listen = \"{listen}:{PORT}\"\n  \
             certificate = \"{SYSTEM_DIR}/{name}.crt\"\n  \
             key = \"{SYSTEM_DIR}/{name}.key\"\n  \
             authority = \"{SYSTEM_DIR}/ca.crt\"\n  \
             revoked = \"{SYSTEM_DIR}/ca.crl\"\n\
             and in agent.toml of every other node:\n  \
             [[peer]]\n  \
             name = \"{name}\"\n  \
             address = \"{bracketed}:{PORT}\"\n",
            issued.dir.display(),
        ));
    } else {
        let from =
            if option(dir).is_empty() { String::new() } else { format!(" --from-pki {}", dir.display()) };
        text.push_str(&format!(
            "Next, to ask the cluster as {name}:\n  haclusterctl context add CLUSTER{from} --operator {name}\n"
        ));
    }
    output::print(&text)?;
    Ok(Outcome::Well)
}

fn tell_renewed(issued: &Issued, keep_key: bool, now: Timestamp) -> anyhow::Result<Outcome> {
    let name = &issued.record.name;
    let what = if keep_key { format!("{name}.crt") } else { format!("{name}.crt and {name}.key, both,") };
    let mut text = made(issued, now);
    text.push_str(&format!(
        "Next, copy {what} to where {name} uses them; a running agent takes them without a restart.\n\
         The former certificate counts until its own end.\n"
    ));
    output::print(&text)?;
    Ok(Outcome::Well)
}

fn renew_authority(dir: &Path, days: u32, now: Timestamp) -> anyhow::Result<Outcome> {
    let before = Store::open(dir)?.expires;
    if before > now + jiff::SignedDuration::from_hours(i64::from(days) * 24) {
        let text = format!("the authority ends on {} already: --days would make that sooner", day(before));
        return Err(Usage(text).into());
    }
    let store = Signer::renew_authority(dir, days, now)?.store;
    let (shown, former) = (dir.display(), if now < before { "counts until" } else { "ended on" });
    let mut text = format!(
        "Renewed the authority \"{}\", valid until {}, in {shown}: ca.crt and ca.crl.\n\
         Name and key are the same, so every certificate goes on as it is, to its own end.\n\
         The former ca.crt {former} {}. Next, copy both to every node, as what `authority` and `revoked` in\n\
         agent.toml name; running agents take them without a restart, in any order:\n",
        store.name,
        day(store.expires),
        day(before),
    );
    for node in store.index.current().iter().filter(|record| record.role == Role::Peer.name()) {
        text.push_str(&format!("  scp {shown}/ca.crt {shown}/ca.crl {}:{SYSTEM_DIR}/\n", node.name));
    }
    text.push_str("and ca.crt to whoever asks from another machine (haclusterctl context show).\n");
    output::print(&text)?;
    Ok(Outcome::Well)
}

/// What was made, for whom and until when.
fn made(issued: &Issued, now: Timestamp) -> String {
    let Record { name, role, addresses, expires, .. } = &issued.record;
    let kind = if *role == Role::Peer.name() { "node" } else { role };
    let at = if addresses.is_empty() { String::new() } else { format!(" at {}", addresses.join(", ")) };
    let (until, days) = (day(*expires), issued.record.days_left(now));
    let short = if issued.is_shortened { "; the authority ends then" } else { "" };
    format!(
        "Made a certificate for the {kind} {name}{at}, valid until {until} ({days} days{short}), in {}:\n  \
         {name}.crt\n  {name}.key   secret\n  ca.crt{}\n",
        issued.dir.display(),
        if kind == "node" { "\n  ca.crl" } else { "" },
    )
}

fn revoke(
    dir: &Path,
    name: &str,
    (dry_run, Consent { yes }): (bool, Consent),
    now: Timestamp,
) -> anyhow::Result<Outcome> {
    confirm::possible(yes, dry_run)?;
    let before = at_stake(&Store::open(dir)?, name, now)?;
    if dry_run {
        output::print(&before)?;
        return Ok(Outcome::Well);
    }
    if !yes {
        eprint!("{before}");
        if !confirm::ask(&format!("Revoke what {name} holds now?"))? {
            eprintln!("nothing was revoked");
            return Ok(Outcome::Degraded);
        }
    }
    let mut signer = Signer::open(dir, now)?;
    let count = signer.revoke(name, now)?;
    let store = &signer.store;
    let name = &store.latest(name)?.name;
    let nodes: Vec<_> =
        store.index.current().into_iter().filter(|record| record.role == Role::Peer.name()).collect();
    let nodes: Vec<_> =
        nodes.iter().filter(|record| record.counts(now)).map(|record| record.name.as_str()).collect();
    let what = match count {
        0 => format!("{name} holds no certificate that counts; the list was written anew"),
        1 => format!("Revoked the certificate of {name}"),
        many => format!("Revoked all {many} certificates of {name}"),
    };
    let list = dir.join("ca.crl");
    let list = list.display();
    let mut text = format!("{what}: {list}\n");
    if !nodes.is_empty() {
        text.push_str(&format!(
            "IT COUNTS UNTIL the nodes have the list. Next, copy it to {} as what `revoked` in agent.toml names:\n",
            nodes.join(", ")
        ));
        for node in nodes {
            text.push_str(&format!("  scp {list} {node}:{SYSTEM_DIR}/ca.crl\n"));
        }
    }
    output::print(&text)?;
    Ok(Outcome::Well)
}

/// What `name` would lose.
fn at_stake(store: &Store, name: &str, now: Timestamp) -> anyhow::Result<String> {
    let Record { name, role, .. } = store.latest(name)?;
    let kind = if *role == Role::Peer.name() { "node" } else { role };
    let of = |record: &&Record| record.name.eq_ignore_ascii_case(name) && record.counts(now);
    let ends: Vec<_> = store.index.records.iter().filter(of).map(|record| record.expires).collect();
    let Some(last) = ends.iter().max() else {
        return Ok(format!("{name} ({kind}) holds no certificate that counts.\n"));
    };
    let what =
        if ends.len() == 1 { "1 certificate".to_owned() } else { format!("{} certificates", ends.len()) };
    Ok(format!(
        "{name} ({kind}) holds {what} until {}. What is revoked stays revoked; a node without a certificate leaves \
         the cluster, VRRP goes on.\n",
        day(*last)
    ))
}

/// ` --dir DIR` where it has to be said.
fn option(dir: &Path) -> String {
    match default_dir() {
        Ok(default) if default == dir => String::new(),
        _ => format!(" --dir {}", dir.display()),
    }
}

/// The day, UTC, as in certificates.
fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
