//! Every file of `tests/cases` against its snapshot.

use crate::{load_file, root, summary};
use std::path::{Path, PathBuf};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "conf") {
            found.push(path);
        }
    }
}

#[test]
fn cases() {
    let cases = root("tests/cases");
    let mut all = Vec::new();
    files(&cases, &mut all);
    all.sort();
    assert!(all.len() >= 60, "the cases are missing");
    for path in all {
        let name =
            path.strip_prefix(&cases).unwrap().with_extension("").display().to_string().replace('/', "__");
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let loaded = load_file(&path);
        let shown = summary(&loaded);
        for secret in ["sesame", "ab#cd", "0123456789", "123456", "1111"]
            .iter()
            .filter(|secret| text.contains(&format!("auth_pass {secret}")))
        {
            let kept = format!("{shown}{:?}{:?}", loaded.config, loaded.sources);
            assert!(!kept.contains(secret), "{name}: a password is kept");
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}
