//! Names of routing tables: iproute2's files give them.

use std::path::Path;

/// Later ones go before earlier ones.
const FILES: [&str; 3] =
    ["/usr/lib/iproute2/rt_tables", "/usr/share/iproute2/rt_tables", "/etc/iproute2/rt_tables"];
/// Nobody names more tables than fit in here.
const BYTES_MAX: u64 = 1 << 20;

/// The number of a table: of the kernel's own names, of the files', or the number itself.
pub(super) fn number(text: &str) -> Option<u32> {
    match text {
        "default" => return Some(253),
        "main" => return Some(254),
        "local" => return Some(255),
        _ => {}
    }
    super::reader::number(text).filter(|number| *number > 0).or_else(|| named(text))
}

fn named(name: &str) -> Option<u32> {
    let more = std::fs::read_dir("/etc/iproute2/rt_tables.d").into_iter().flatten().flatten();
    let more =
        more.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "conf"));
    let files = FILES.iter().rev().map(|path| Path::new(path).to_owned());
    more.chain(files).find_map(|path| find(&text_of(&path)?, name))
}

fn text_of(path: &Path) -> Option<String> {
    let small = std::fs::metadata(path).ok().filter(|found| found.is_file() && found.len() <= BYTES_MAX);
    small.and_then(|_| std::fs::read_to_string(path).ok())
}

/// Lines are `NUMBER NAME`; `#` begins a comment.
fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let number = super::reader::number(words.next()?)?;
        (words.next() == Some(name) && number > 0).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_numbers_and_names() {
        for (text, expected) in [
            ("main", Some(254)),
            ("100", Some(100)),
            ("0x64", Some(100)),
            ("0", None),
            ("no such table", None),
            ("4294967296", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        let text = "# reserved\n255\tlocal\n100 wan # the second uplink\n101\nx y\n";
        assert_eq!([find(text, "wan"), find(text, "lan"), find(text, "the")], [Some(100), None, None]);
    }
}
