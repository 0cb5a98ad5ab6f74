//! YAML of a JSON value. JSON's scalars are YAML's, so only blocks have to be written.

use serde_json::Value;

/// A document.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                indent(depth, out);
                out.push_str(&format!("{}:", Value::from(name.as_str())));
                nested(member, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(depth, out);
                out.push('-');
                nested(item, depth, out);
            }
        }
        scalar => {
            indent(depth, out);
            out.push_str(&format!("{scalar}\n"));
        }
    }
}

fn nested(value: &Value, depth: usize, out: &mut String) {
    let is_block = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push_str(&format!(" {value}\n"));
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_scalars() {
        let value = serde_json::json!({"a": [1, {"b": "x: y\n"}, []], "c": null});
        let expected = "\"a\":\n  - 1\n  -\n    \"b\": \"x: y\\n\"\n  - []\n\"c\": null\n";
        assert_eq!(text(&value), expected);
    }
}
