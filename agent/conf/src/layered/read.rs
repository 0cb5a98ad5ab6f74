//! Files and environment into layers of plain values, and where each value stands.

use super::stray::PREFIX;
use super::table::Table;
use crate::diag::{Diagnostic, FileId, Severity, SourceMap, Span};
use crate::findings::Findings;
use crate::render::mask;
use crate::source::Source;
use config::{Map, Value, ValueKind};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The tables of a file.
const TABLES: [&str; 14] = [
    "agent",
    "api",
    "fifos",
    "global",
    "lvs",
    "mail",
    "packet_filter",
    "telemetry",
    "peer",
    "scripts",
    "sync_group",
    "tracker",
    "virtual_router",
    "virtual_server",
];
/// Longest name of a virtual router or peer.
const NAME_MAX_BYTES: usize = 128;
/// Longest path whose place is remembered; no key there is comes near it.
const PATH_MAX_BYTES: usize = 256;

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its key, or the value itself within a list.
    pub(super) key: Span,
    /// The value.
    pub(super) value: Span,
    /// Whether it is a text of the environment, where every type is written without quotes.
    pub(super) from_environment: bool,
}

/// Places by path, such as `virtual_router.vi_1.priority` or `virtual_router.vi_1.addresses.0`.
pub(super) type Places = BTreeMap<String, Place>;

/// A list of tables that are known by their names through all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Routers,
    Peers,
    Trackers,
    Groups,
    Services,
}

impl List {
    const ALL: [Self; 5] = [Self::Routers, Self::Peers, Self::Trackers, Self::Groups, Self::Services];

    /// Its name in a file.
    fn table(self) -> &'static str {
        match self {
            Self::Routers => "virtual_router",
            Self::Peers => "peer",
            Self::Trackers => "tracker",
            Self::Groups => "sync_group",
            Self::Services => "virtual_server",
        }
    }

    /// What one of it is for people, and the name of an example.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Routers => ("virtual router", "VI_1"),
            Self::Peers => ("peer", "node2"),
            Self::Trackers => ("tracker", "chk_nginx"),
            Self::Groups => ("sync group", "VG_1"),
            Self::Services => ("virtual server", "web"),
        }
    }

    /// Most of all layers: 255 virtual routers on each of a few interfaces, and peers that are all
    /// connected to each other.
    fn most(self) -> usize {
        match self {
            Self::Routers | Self::Trackers | Self::Groups => 4096,
            Self::Peers => 64,
            Self::Services => 16_384,
        }
    }

    /// What says that there are more.
    fn too_many(self) -> &'static str {
        match self {
            Self::Routers => "too-many-routers",
            Self::Peers => "too-many-peers",
            Self::Trackers => "too-many-trackers",
            Self::Groups => "too-many-groups",
            Self::Services => "too-many-services",
        }
    }
}

/// Keys (names in lower case) of one list, in the order written.
#[derive(Default)]
struct Keys {
    list: Vec<String>,
    seen: HashSet<String>,
}

impl Keys {
    fn see(&mut self, key: &str) {
        if self.seen.insert(key.to_owned()) {
            self.list.push(key.to_owned());
        }
    }
}

/// One layer as a source of the `config` crate.
#[derive(Clone, Debug, Default)]
struct Layer(Map<String, Value>);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// All layers, lowest first.
#[derive(Default)]
pub(super) struct Layers {
    files: Vec<Layer>,
    environment: Map<String, String>,
    places: Places,
    keys: [Keys; List::ALL.len()],
}

impl Layers {
    /// Reads `path`, then `path.d/*.toml` in order.
    pub(super) fn read_files(
        &mut self,
        path: &Path,
        source: &dyn Source,
        sources: &mut SourceMap,
        findings: &Findings,
    ) {
        self.read_file(path, source, sources, findings);
        let mut folder = path.as_os_str().to_owned();
        folder.push(".d");
        match source.glob(Path::new(&folder), "*.toml") {
            Ok(paths) => paths.iter().for_each(|path| self.read_file(path, source, sources, findings)),
            Err(error) => findings.push(cannot_read(Path::new(&folder), &error)),
        }
    }

    fn read_file(&mut self, path: &Path, source: &dyn Source, sources: &mut SourceMap, findings: &Findings) {
        let bytes = match source.read(path) {
            Ok(bytes) => bytes,
            Err(error) => return findings.push(cannot_read(path, &error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let file = sources.add(path, mask(&text));
        if let Err(error) = std::str::from_utf8(&bytes) {
            let at = error.valid_up_to();
            findings.push(
                Diagnostic::new(Severity::Fatal, "not-utf8", "bytes that are not UTF-8")
                    .at(&Span { file, range: at..at + 1 })
                    .label("save the file as UTF-8"),
            );
            return;
        }
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            findings.push(syntax(file, error));
        }
        if errors.is_empty() {
            let mut reader = Reader { file, layers: self, findings };
            let layer = reader.root(table.get_ref());
            self.files.push(Layer(layer));
        }
    }

    /// Asks for every variable that may override a key, for the routers known so far and `names`.
    pub(super) fn read_environment(
        &mut self,
        names: &[String],
        source: &dyn Source,
        sources: &mut SourceMap,
    ) {
        for path in self.overridable(names) {
            let variable = variable(&path);
            if self.environment.contains_key(&variable) {
                continue;
            }
            let Some(value) = source.env(&variable) else { continue };
            let file = sources.add("environment", mask(&format!("{variable}={value}\n")));
            let value_start = variable.len() + 1;
            let key = Span { file, range: 0..variable.len() };
            let place = Span { file, range: value_start..value_start + value.len() };
            if let Some(router) = path.strip_prefix("virtual_router.").and_then(|path| path.split('.').next())
            {
                self.keys_mut(List::Routers).see(router);
            }
            self.places.insert(path, Place { key, value: place, from_environment: true });
            self.environment.insert(variable, value);
        }
    }

    /// Paths of every key that a variable may override.
    fn overridable(&self, names: &[String]) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        paths.extend(super::AGENT_KEYS.map(|key| format!("agent.{key}")));
        paths.extend(super::GLOBAL_KEYS.map(|key| format!("global.{key}")));
        paths.extend(super::FILTER_KEYS.map(|key| format!("packet_filter.{key}")));
        paths.extend(super::cluster::API_KEYS.map(|key| format!("api.{key}")));
        paths.extend(super::service::SCRIPT_KEYS.map(|key| format!("scripts.{key}")));
        paths.extend(super::service::MAIL_KEYS.map(|key| format!("mail.{key}")));
        // Other names cannot be written as variables.
        let plain =
            |key: &&String| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.contains("__");
        let (peers, trackers) = (self.keys(List::Peers).iter(), self.keys(List::Trackers).iter());
        paths.extend(peers.filter(plain).map(|key| format!("peer.{key}.address")));
        for key in trackers.filter(plain) {
            paths.extend(super::track::PLAIN_KEYS.map(|field| format!("tracker.{key}.{field}")));
        }
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        for key in self.keys(List::Routers).iter().chain(&names).filter(plain) {
            let router = super::router::KEYS.iter().filter(|key| !["garp", "name", "notify"].contains(*key));
            paths.extend(router.map(|field| format!("virtual_router.{key}.{field}")));
            let garp = super::router::GARP_KEYS.iter();
            paths.extend(garp.map(|field| format!("virtual_router.{key}.garp.{field}")));
        }
        paths
    }

    /// Every variable that may override a key, for the routers known so far and `names`.
    pub(super) fn variables(&self, names: &[String]) -> Vec<String> {
        self.overridable(names).iter().map(|path| variable(path)).collect()
    }

    fn keys_mut(&mut self, list: List) -> &mut Keys {
        &mut self.keys[list as usize]
    }

    /// Keys of `list`, in the order written.
    pub(super) fn keys(&self, list: List) -> &[String] {
        &self.keys[list as usize].list
    }

    /// The place of the value at `path`.
    pub(super) fn place(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// The keepalived.conf that the topmost layer with a say in it names.
    pub(super) fn base(&self) -> Option<String> {
        let merged = self.merge().ok()?;
        merged.get_string("global.keepalived_conf").ok()
    }

    /// All layers as one table; what cannot be merged is reported.
    pub(super) fn merged<'a>(&'a self, findings: &'a Findings) -> Table<'a> {
        let kind = self.merge().map(|merged| merged.cache.kind);
        let values = match kind {
            Ok(ValueKind::Table(values)) => values,
            Ok(_) => Map::new(),
            Err(error) => {
                findings.push(Diagnostic::new(Severity::Fatal, "cannot-merge", error.to_string()));
                Map::new()
            }
        };
        Table::root(values, &self.places, findings)
    }

    fn merge(&self) -> Result<config::Config, config::ConfigError> {
        let files = self.files.iter().cloned();
        let environment = config::Environment::with_prefix("HACLUSTER")
            .prefix_separator("_")
            .separator("__")
            .source(Some(self.environment.clone()));
        files
            .fold(config::Config::builder(), |all, layer| all.add_source(layer))
            .add_source(environment)
            .build()
    }
}

/// `virtual_router.vi_1.priority` as a variable.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Severity::Fatal, "cannot-read", format!("cannot read {}: {error}", path.display()))
}

fn syntax(file: FileId, error: &toml::de::Error) -> Diagnostic {
    let mut lines = error.message().lines();
    let message = lines.next().unwrap_or("not TOML");
    let mut diagnostic = Diagnostic::new(Severity::Fatal, "toml-syntax", message);
    if let Some(range) = error.span() {
        diagnostic = diagnostic.at(&Span { file, range });
    }
    lines.fold(diagnostic, Diagnostic::note)
}

/// Turns one parsed file into plain values.
struct Reader<'a> {
    file: FileId,
    layers: &'a mut Layers,
    findings: &'a Findings,
}

impl Reader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, range }
    }

    fn root(&mut self, table: &DeTable<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if !TABLES.contains(&name) {
                let mut unknown = Diagnostic::new(
                    Severity::Error,
                    "unknown-key",
                    format!("unknown table or key `{name}`"),
                )
                .at(&self.span(key.span()))
                .note(
                    "a file has the tables [agent], [global], [api], [scripts], [mail], [fifos], [lvs], [[peer]], \
                             [[tracker]], [[virtual_router]], [[sync_group]] and [[virtual_server]]",
                );
                if let Some(near) = self.findings.suggest(name, &TABLES) {
                    unknown = unknown.label(format!("did you mean `{near}`?"));
                }
                self.findings.push(unknown);
            } else if let Some(list) = List::ALL.into_iter().find(|list| list.table() == name) {
                values.insert(name.to_owned(), self.named(list, value));
            } else {
                values.insert(name.to_owned(), self.value(Some(name), key.span(), value));
            }
        }
        values
    }

    fn error(&self, code: &'static str, at: Range<usize>, message: String, label: &str) {
        let error = Diagnostic::new(Severity::Error, code, message).at(&self.span(at));
        self.findings.push(if label.is_empty() { error } else { error.label(label) });
    }

    /// The list as a table by name, so that layers meet.
    fn named(&mut self, list: List, written: &Spanned<DeValue<'_>>) -> Value {
        let (table, (noun, example)) = (list.table(), list.words());
        let mut named: Map<String, Value> = Map::new();
        let DeValue::Array(elements) = written.get_ref() else {
            let label = format!("begin each one with [[{table}]]");
            self.error("wrong-type", written.span(), format!("`{table}` must be a list of tables"), &label);
            return Value::new(None, named);
        };
        for element in elements {
            let name =
                element.get_ref().get("name").and_then(|name| Some((name.get_ref().as_str()?, name.span())));
            let Some((name, name_at)) = name.filter(|(name, _)| !name.trim().is_empty()) else {
                let label = format!("write name = \"{example}\"");
                self.error("missing-key", element.span(), format!("a {noun} needs a `name`"), &label);
                continue;
            };
            if name.len() > NAME_MAX_BYTES {
                let message = format!("a `name` has at most {NAME_MAX_BYTES} bytes");
                self.error("bad-value", name_at, message, "");
                continue;
            }
            let key = name.to_ascii_lowercase();
            if named.contains_key(&key) {
                let message = format!("{noun} `{name}` is written twice in this file");
                self.error("duplicate-name", name_at, message, "names must differ, regardless of case");
                continue;
            }
            if self.layers.keys(list).len() >= list.most() {
                let message = format!("more than {} {noun}s", list.most());
                self.error(list.too_many(), name_at, message, "this one and all after it are left out");
                break;
            }
            self.layers.keys_mut(list).see(&key);
            let value = self.value(Some(&format!("{table}.{key}")), element.span(), element);
            named.insert(key, value);
        }
        Value::new(None, named)
    }

    /// One value and all below it; the parser bounds how deep that goes.
    fn value(&mut self, path: Option<&str>, key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Value {
        let place = Place { key: self.span(key), value: self.span(value.span()), from_environment: false };
        // Longer than any key there is: nothing of it is looked up.
        let path = path.filter(|path| path.len() <= PATH_MAX_BYTES);
        if let Some(path) = path {
            self.layers.places.insert(path.to_owned(), place);
        }
        let below = |key: &dyn std::fmt::Display| path.map(|path| format!("{path}.{key}"));
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            // Beyond i128 is beyond every range, too.
            DeValue::Integer(number) => ValueKind::I128(
                i128::from_str_radix(&number.as_str().replace('_', ""), number.radix()).unwrap_or(i128::MAX),
            ),
            DeValue::Float(number) => {
                ValueKind::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
            }
            DeValue::Boolean(boolean) => ValueKind::Boolean(*boolean),
            DeValue::Datetime(_) => ValueKind::Nil,
            DeValue::Array(elements) => ValueKind::Array(
                elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| self.value(below(&at).as_deref(), element.span(), element))
                    .collect(),
            ),
            DeValue::Table(table) => ValueKind::Table(
                table
                    .iter()
                    .map(|(key, value)| {
                        (
                            key.get_ref().to_string(),
                            self.value(below(key.get_ref()).as_deref(), key.span(), value),
                        )
                    })
                    .collect(),
            ),
        };
        Value::new(None, kind)
    }
}
