//! The rules of the contract, kept by us: no linter has to be installed.
#![allow(clippy::unwrap_used)]

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

const FILES: [&str; 3] = ["hacluster/v1/read.proto", "hacluster/v1/admin.proto", "hacluster/v1/peer.proto"];

fn files() -> Vec<FileDescriptorProto> {
    let all = protox::compile(FILES, [env!("CARGO_MANIFEST_DIR")]).unwrap();
    let ours: Vec<_> = all.file.into_iter().filter(|file| file.package() == "hacluster.v1").collect();
    assert!(ours.len() >= 2, "the contract's files were not found");
    ours
}

/// Whether the descriptor at `path` has a comment.
fn documented(file: &FileDescriptorProto, path: &[i32]) -> bool {
    let places = &file.source_code_info.as_ref().unwrap().location;
    let place = places.iter().find(|place| place.path == path);
    place.is_some_and(|place| !place.leading_comments().trim().is_empty())
}

fn camel(name: &str) -> bool {
    name.starts_with(|char: char| char.is_ascii_uppercase()) && !name.contains('_')
}

fn snake(name: &str) -> bool {
    name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

fn shouted(name: &str) -> String {
    let mut out = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(char.to_ascii_uppercase());
    }
    out
}

/// Names that speak of time must not be bare numbers: nobody knows the unit.
fn bare_time(name: &str, kind: Type) -> bool {
    let time = ["_time", "_at", "interval", "delay", "timeout", "duration", "since", "age"];
    let number = matches!(kind, Type::Uint32 | Type::Uint64 | Type::Int32 | Type::Int64 | Type::Double);
    number && time.iter().any(|ending| name.ends_with(ending))
}

fn message_faults(file: &FileDescriptorProto, message: &DescriptorProto, at: &[i32]) -> Vec<String> {
    let generated = message.options.as_ref().is_some_and(|options| options.map_entry());
    if generated {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut demand = |holds: bool, what: String| faults.extend((!holds).then_some(what));
    demand(camel(message.name()), format!("{}: not CamelCase", message.name()));
    demand(documented(file, at), format!("{}: no comment", message.name()));
    for (number, field) in message.field.iter().enumerate() {
        let name = format!("{}.{}", message.name(), field.name());
        let path = [at, &[2, number as i32]].concat();
        demand(documented(file, &path), format!("{name}: no comment"));
        demand(snake(field.name()), format!("{name}: not lower_snake"));
        demand(!bare_time(field.name(), field.r#type()), format!("{name}: a time needs a unit or a type"));
    }
    for (number, nested) in message.nested_type.iter().enumerate() {
        faults.extend(message_faults(file, nested, &[at, &[3, number as i32]].concat()));
    }
    faults
}

fn enum_faults(file: &FileDescriptorProto, of: &EnumDescriptorProto, at: &[i32]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut demand = |holds: bool, what: String| faults.extend((!holds).then_some(what));
    let prefix = shouted(of.name());
    demand(documented(file, at), format!("{}: no comment", of.name()));
    let zero = of.value.first().unwrap();
    let unspecified = zero.number() == 0 && zero.name() == format!("{prefix}_UNSPECIFIED");
    demand(unspecified, format!("{}: must begin with {prefix}_UNSPECIFIED = 0", of.name()));
    for (number, value) in of.value.iter().enumerate() {
        let path = [at, &[2, number as i32]].concat();
        demand(documented(file, &path), format!("{}: no comment", value.name()));
        demand(value.name().starts_with(&prefix), format!("{}: prefix {prefix}_", value.name()));
    }
    faults
}

#[test]
fn names_and_comments() {
    let mut faults = Vec::new();
    for file in files() {
        for (number, message) in file.message_type.iter().enumerate() {
            faults.extend(message_faults(&file, message, &[4, number as i32]));
        }
        for (number, of) in file.enum_type.iter().enumerate() {
            faults.extend(enum_faults(&file, of, &[5, number as i32]));
        }
    }
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn every_method_is_documented_and_has_messages_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for file in files() {
        for (of, service) in file.service.iter().enumerate() {
            for (number, method) in service.method.iter().enumerate() {
                assert!(documented(&file, &[6, of as i32, 2, number as i32]), "{}", method.name());
                for (message, ending) in
                    [(method.input_type(), "Request"), (method.output_type(), "Response")]
                {
                    let own = format!(".{}.{}{ending}", file.package(), method.name());
                    assert_eq!(message, own, "messages are named after their method");
                    assert!(seen.insert(own), "{message} is used twice");
                }
                let full = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                assert!(hacluster_proto::METHODS.contains(&full.as_str()), "{full} is not in METHODS");
            }
        }
    }
    assert_eq!(seen.len(), 2 * hacluster_proto::METHODS.len());
}

#[test]
fn the_lint_finds_faults() {
    assert!(bare_time("advert_interval", Type::Uint32) && !bare_time("advert_interval", Type::Message));
    assert!(!bare_time("priority", Type::Uint32));
    assert_eq!(shouted("ReasonKind"), "REASON_KIND");
    assert!(!snake("camelCase") && !camel("not_camel"));
}
