//! What is known about a capture besides its packets.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

/// The description of a capture.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The daemons, by name.
    pub nodes: BTreeMap<String, NodeInfo>,
    /// What was done when, in order.
    pub timeline: Vec<Deed>,
    /// Packets made by hand.
    pub injected: Vec<Injected>,
}

/// A node of the lab.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its IPv4 address.
    pub address: Option<Ipv4Addr>,
    /// Its configuration file.
    pub config: String,
    /// Name and version of its daemon.
    pub daemon: String,
}

/// Something that was done to a node.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Microseconds after the first frame; may be before it.
    pub micros: i64,
    /// To whom.
    pub node: Option<String>,
    /// What, in words.
    pub action: String,
}

/// A packet made by hand.
#[derive(Clone, Debug)]
pub struct Injected {
    /// Its number in the capture, from 1.
    pub frame: usize,
    /// What is odd about it, in words.
    pub what: String,
}

/// Reads a description.
///
/// # Errors
/// The file cannot be read or is no description.
pub fn read(path: &Path) -> Result<Sidecar> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let json: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let daemons = json["daemons"].as_object().context("no daemons")?;
    let nodes = daemons.iter().map(|(name, daemon)| (name.clone(), node_info(&json, name, daemon)));
    Ok(Sidecar {
        nodes: nodes.collect(),
        timeline: array(&json["timeline"]).filter_map(deed).collect(),
        injected: array(&json["injected"]).filter_map(injected).collect(),
    })
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn node_info(json: &Value, name: &str, daemon: &Value) -> NodeInfo {
    let address = text(&json["network"][name]["ipv4"]);
    let address = address.split('/').next().and_then(|address| address.parse().ok());
    NodeInfo { address, config: text(&json["configs"][name]), daemon: text(daemon) }
}

fn deed(value: &Value) -> Option<Deed> {
    let micros = (value["t_capture"].as_f64()? * 1e6) as i64;
    Some(Deed { micros, node: value["node"].as_str().map(str::to_owned), action: text(&value["action"]) })
}

fn injected(value: &Value) -> Option<Injected> {
    let frame = usize::try_from(value["frame"].as_u64()?).ok()?;
    Some(Injected { frame, what: text(&value["what"]) })
}
