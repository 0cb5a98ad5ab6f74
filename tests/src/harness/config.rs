//! keepalived.conf texts.

use std::fmt;

/// A `vrrp_instance` to be written; `to_string` gives its text.
#[derive(Clone, Debug)]
pub struct Instance {
    name: String,
    interface: String,
    vrid: u8,
    priority: u8,
    state: &'static str,
    interval: u8,
    password: Option<String>,
    addresses: Vec<String>,
    more: Vec<String>,
}

impl Instance {
    /// VRID 51 on eth0 with 10.9.0.100/24, `state BACKUP`, one advert a second, password `lab`.
    pub fn new(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 51,
            priority,
            state: "BACKUP",
            interval: 1,
            password: Some("lab".to_owned()),
            addresses: vec![format!("{}/24", super::VIP)],
            more: Vec::new(),
        }
    }

    /// Another name and VRID.
    pub fn vrid(mut self, vrid: u8) -> Self {
        self.name = format!("VI_{vrid}");
        self.vrid = vrid;
        self
    }

    /// Another interface.
    pub fn interface(mut self, interface: &str) -> Self {
        self.interface = interface.to_owned();
        self
    }

    /// `state MASTER`: waits one interval instead of three after the start.
    pub fn master(mut self) -> Self {
        self.state = "MASTER";
        self
    }

    /// Seconds between adverts.
    pub fn interval(mut self, secs: u8) -> Self {
        self.interval = secs;
        self
    }

    /// Another password; `None` for no authentication.
    pub fn password(mut self, password: Option<&str>) -> Self {
        self.password = password.map(str::to_owned);
        self
    }

    /// Other addresses, each a line of `virtual_ipaddress`.
    pub fn addresses<T: Into<String>>(mut self, addresses: impl IntoIterator<Item = T>) -> Self {
        self.addresses = addresses.into_iter().map(Into::into).collect();
        self
    }

    /// One more line, or block, of the instance.
    pub fn with(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vrrp_instance {} {{", self.name)?;
        writeln!(f, "    state {}\n    interface {}", self.state, self.interface)?;
        writeln!(f, "    virtual_router_id {}\n    priority {}", self.vrid, self.priority)?;
        writeln!(f, "    advert_int {}", self.interval)?;
        if let Some(password) = &self.password {
            writeln!(
                f,
                "    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}"
            )?;
        }
        writeln!(f, "    virtual_ipaddress {{\n        {}\n    }}", self.addresses.join("\n        "))?;
        for line in &self.more {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "}}")
    }
}
