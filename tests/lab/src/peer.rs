//! The daemons we must get along with, where they are installed: keepalived and FRR.
//!
//! Each instance keeps its files in its host's directory, so that many run side by side and none
//! meets the machine's own.

use crate::{
    agent::{Absent, write},
    link,
    node::Host,
    privilege::{self, Privilege},
    process::Process,
    topology::Cidr,
    wait::{LIMIT, wait_until},
};
use anyhow::{Context, Result};
use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where distributions put daemons that an ordinary user's PATH does not reach.
const MORE_FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/frr", "/usr/libexec/frr"];

/// keepalived, any version with VRRP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalived {
    /// Where it is.
    pub binary: PathBuf,
}

impl Keepalived {
    /// The installed one.
    pub fn find() -> Result<Self, Absent> {
        Ok(Self { binary: find("keepalived")? })
    }

    /// Starts its VRRP part on `host` with `config`, in the foreground, telling all on standard error.
    pub fn start(&self, host: &Host, config: &str) -> Result<Process> {
        self.start_parts(host, config, &["--vrrp"])
    }

    /// As [`start`](Self::start), with virtual servers too.
    pub fn start_whole(&self, host: &Host, config: &str) -> Result<Process> {
        self.start_parts(host, config, &[])
    }

    fn start_parts(&self, host: &Host, config: &str, parts: &[&str]) -> Result<Process> {
        let file = host.directory().join("keepalived.conf");
        write(&file, config)?;
        let mut command = Command::new(&self.binary);
        command
            .args(["--dont-fork", "--log-console", "--log-detail"])
            .args(parts)
            .arg("--use-file")
            .arg(&file);
        command.arg("--pid").arg(host.directory().join("keepalived.pid"));
        command.arg("--vrrp_pid").arg(host.directory().join("vrrp.pid"));
        command.arg("--checkers_pid").arg(host.directory().join("checkers.pid"));
        host.spawn("keepalived", command)
    }
}

/// FRR: zebra and vrrpd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frr {
    zebra: PathBuf,
    vrrpd: PathBuf,
}

/// One virtual router of FRR's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrrRouter {
    /// The interface it speaks on.
    pub interface: String,
    /// 1 to 255.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// 1 to 254.
    pub priority: u8,
    /// Between two adverts, in milliseconds: a multiple of 10.
    pub interval_ms: u32,
    /// The virtual addresses.
    pub addresses: Vec<Cidr>,
}

/// A running FRR.
#[derive(Clone, Debug)]
pub struct FrrProcesses {
    /// The interface manager.
    pub zebra: Process,
    /// The VRRP daemon.
    pub vrrpd: Process,
}

impl FrrProcesses {
    /// Asks both to end, vrrpd first, so that it can say that it leaves.
    pub fn stop(&self) -> Result<()> {
        self.vrrpd.stop()?;
        self.zebra.stop().map(drop)
    }
}

impl Frr {
    /// The installed one. It insists on its own user, which only the machine's root can become.
    pub fn find() -> Result<Self, Absent> {
        let frr = Self { zebra: find("zebra")?, vrrpd: find("vrrpd")? };
        match privilege::entered() {
            Some(Privilege::UserNamespace) => {
                Err(Absent("FRR is there, but can only be started by root".to_owned()))
            }
            _ => Ok(frr),
        }
    }

    /// Starts zebra and vrrpd on `host` with one virtual router.
    ///
    /// FRR wants an interface with the virtual Ethernet address and the virtual addresses made for it.
    /// The kernel would answer ARP for these addresses on a backup too, so that is forbidden here.
    pub fn start(&self, host: &Host, router: &FrrRouter) -> Result<FrrProcesses> {
        prepare(host, router)?;
        let folder = host.directory().join("frr");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        open_to_its_user(&folder)?;
        let config = folder.join("frr.conf");
        write(&config, &frr_config(router))?;
        let zebra = self.daemon(host, &self.zebra, "zebra", &folder, &config)?;
        let socket = folder.join("zserv.api");
        wait_until("zebra's socket", LIMIT, || {
            anyhow::ensure!(zebra.is_running(), "zebra ended: {:?}", zebra.lines());
            Ok(socket.exists().then_some(()))
        })?;
        let vrrpd = self.daemon(host, &self.vrrpd, "vrrpd", &folder, &config)?;
        Ok(FrrProcesses { zebra, vrrpd })
    }

    fn daemon(
        &self,
        host: &Host,
        binary: &Path,
        name: &str,
        folder: &Path,
        config: &Path,
    ) -> Result<Process> {
        let mut command = Command::new(binary);
        command.arg("--config_file").arg(config);
        command.arg("--pid_file").arg(folder.join(format!("{name}.pid")));
        command.arg("--vty_socket").arg(folder).args(["--vty_port", "0"]);
        command.arg("--socket").arg(folder.join("zserv.api"));
        command.args(["--log", "stdout", "--log-level", "debug"]);
        host.spawn(name, command)
    }
}

/// Lets FRR's user write into `folder`, and pass through the private folders above it.
fn open_to_its_user(folder: &Path) -> Result<()> {
    let above = folder.ancestors().skip(1).take(2).map(|above| (above, 0o711));
    for (folder, mode) in above.chain([(folder, 0o777)]) {
        fs::set_permissions(folder, Permissions::from_mode(mode))
            .with_context(|| format!("cannot open {} to FRR", folder.display()))?;
    }
    Ok(())
}

fn prepare(host: &Host, router: &FrrRouter) -> Result<()> {
    host.set_sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
    let FrrRouter { interface: lower, vrid, addresses, .. } = router.clone();
    host.netlink(move |requests| {
        let name = format!("vrrp{vrid}");
        link::create_macvlan(requests, &name, &lower, [0, 0, 0x5e, 0, 1, vrid])?;
        addresses.iter().try_for_each(|address| link::add_address(requests, &name, *address))?;
        link::set_protodown(requests, &name, true)?;
        Ok(requests.set_up(&name)?)
    })
}

fn frr_config(router: &FrrRouter) -> String {
    let FrrRouter { interface, vrid, version, priority, interval_ms, addresses } = router;
    let mut text = format!("debug vrrp\ninterface {interface}\n vrrp {vrid} version {version}\n");
    text += &format!(" vrrp {vrid} priority {priority}\n vrrp {vrid} advertisement-interval {interval_ms}\n");
    for address in addresses {
        text += &format!(" vrrp {vrid} ip {}\n", address.ip);
    }
    text
}

/// A program of this machine, also where an ordinary user's `PATH` does not look.
pub fn find(program: &str) -> Result<PathBuf, Absent> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| Absent(format!("{program} is not installed")))
}
