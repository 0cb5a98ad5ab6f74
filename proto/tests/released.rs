//! What was released keeps its number, name and type: `released.txt` holds every field, value and
//! method, and this compares.
//!
//! Something new is taken into the list by `HACLUSTER_PROTO_RELEASE=1 cargo test -p hacluster-proto
//! --test released`. That never takes anything out: a line that was never in a release is deleted by hand.
#![allow(clippy::unwrap_used)]

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const FILES: [&str; 3] = ["hacluster/v1/read.proto", "hacluster/v1/admin.proto", "hacluster/v1/peer.proto"];
const VARIABLE: &str = "HACLUSTER_PROTO_RELEASE";

/// What is fixed, by what it is known by: `message Hold 3` -> `reason string`.
type Contract = BTreeMap<String, String>;

fn kind(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        plain => plain.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    };
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    // Whether absence can be told is part of the meaning.
    let optional = if field.proto3_optional() { "optional " } else { "" };
    format!("{repeated}{optional}{name}")
}

fn messages(of: &[DescriptorProto], within: &str, contract: &mut Contract) {
    for message in of {
        let name = format!("{within}{}", message.name());
        for field in &message.field {
            let group = field.oneof_index.and_then(|at| message.oneof_decl.get(at as usize));
            let group = group.filter(|_| !field.proto3_optional());
            let group = group.map(|group| format!(" in {}", group.name())).unwrap_or_default();
            let key = format!("message {name} {}", field.number());
            contract.insert(key, format!("{} {}{group}", field.name(), kind(field)));
        }
        messages(&message.nested_type, &format!("{name}."), contract);
        enums(&message.enum_type, &format!("{name}."), contract);
    }
}

fn enums(of: &[EnumDescriptorProto], within: &str, contract: &mut Contract) {
    for of in of {
        for value in &of.value {
            let key = format!("enum {within}{} {}", of.name(), value.number());
            contract.insert(key, value.name().to_owned());
        }
    }
}

/// The contract as it is now.
fn now() -> Contract {
    let mut contract = Contract::new();
    let compiled = protox::compile(FILES, [env!("CARGO_MANIFEST_DIR")]).unwrap();
    for file in compiled.file.iter().filter(|file| file.package() == "hacluster.v1") {
        messages(&file.message_type, "", &mut contract);
        enums(&file.enum_type, "", &mut contract);
        for service in &file.service {
            for method in &service.method {
                let stream = |streams: bool| if streams { "stream " } else { "" };
                let (takes, gives) = (stream(method.client_streaming()), stream(method.server_streaming()));
                contract.insert(
                    format!("method {}.{}", service.name(), method.name()),
                    format!("{takes}{} -> {gives}{}", method.input_type(), method.output_type()),
                );
            }
        }
    }
    contract
}

/// One line each: `message Hold 3: reason string`.
fn write(contract: &Contract) -> String {
    contract.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

fn read(text: &str) -> Contract {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split_once(": ").unwrap()).map(|(key, value)| (key.into(), value.into())).collect()
}

/// What of `released` is gone or another now.
fn broken(released: &Contract, now: &Contract) -> Vec<String> {
    let mut broken = Vec::new();
    for (key, before) in released {
        match now.get(key) {
            Some(after) if after == before => {}
            Some(after) => broken.push(format!("{key}: was `{before}`, is `{after}`")),
            None => broken.push(format!("{key}: was `{before}`, is gone")),
        }
    }
    broken
}

#[test]
fn what_was_released_stays() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/released.txt");
    let (released, now) = (read(&fs::read_to_string(&path).unwrap_or_default()), now());
    let broken = broken(&released, &now);
    assert!(
        broken.is_empty(),
        "programs that are out there would misunderstand:\n  {}\nadd a field beside it instead",
        broken.join("\n  ")
    );
    if std::env::var_os(VARIABLE).is_some() {
        fs::write(&path, write(&now)).unwrap();
        return;
    }
    let new: Vec<_> = now.keys().filter(|key| !released.contains_key(*key)).map(String::as_str).collect();
    assert!(new.is_empty(), "new; if it is right, run again with {VARIABLE}=1:\n  {}", new.join("\n  "));
}

#[test]
fn the_comparison_finds_what_breaks() {
    let now = now();
    assert!(now.len() > 100, "{}", now.len());
    let line = |key: &str| now.get(key).map(String::as_str);
    assert_eq!(line("message Hold 3"), Some("reason string"));
    assert_eq!(line("message WatchResponse 1"), Some("snapshot hacluster.v1.GetSnapshotResponse in change"));
    assert_eq!(line("enum State 3"), Some("STATE_MASTER"));
    assert_eq!(
        line("method Read.Watch"),
        Some(".hacluster.v1.WatchRequest -> stream .hacluster.v1.WatchResponse")
    );
    assert_eq!(read(&write(&now)), now);
    assert!(broken(&now, &now).is_empty());
    for (edit, expected) in [
        ((|c| drop(c.remove("message Hold 3"))) as fn(&mut Contract), "is gone"),
        (|c| drop(c.insert("message Hold 3".into(), "why string".into())), "is `why string`"),
        (|c| drop(c.insert("message Hold 3".into(), "reason bytes".into())), "is `reason bytes`"),
        (|c| drop(c.remove("method Read.Watch")), "is gone"),
        (|c| drop(c.remove("enum State 3")), "is gone"),
    ] {
        let mut edited = now.clone();
        edit(&mut edited);
        let found = broken(&now, &edited);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }
    let mut more = now.clone();
    more.insert("message Hold 99".into(), "x string".into());
    assert!(broken(&now, &more).is_empty(), "additions break nobody");
}
