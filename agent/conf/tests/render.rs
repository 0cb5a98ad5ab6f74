//! Rendering of diagnostics: what people, programs and logs see.

#![allow(clippy::unwrap_used)] // a helper fails its test that way

use hacluster_conf::diag::{Diagnostic, FileId, Severity, SourceMap, Span};
use hacluster_conf::render;
use proptest::prelude::*;

fn one(text: &str) -> (SourceMap, FileId) {
    let mut sources = SourceMap::default();
    let file = sources.add("keepalived.conf", text);
    (sources, file)
}

/// A warning that marks the first `words` of `text`.
fn marking(sources: &SourceMap, file: FileId, words: &str) -> Diagnostic {
    let start = sources.text(file).find(words).unwrap();
    let span = Span { file, range: start..start + words.len() };
    Diagnostic::new(Severity::Warning, "test", "look here").at(&span)
}

fn shown(text: &str, words: &str) -> String {
    let (sources, file) = one(text);
    render::text(&[marking(&sources, file, words)], &sources, false)
}

#[test]
fn wrong_authentication_type_is_shown_with_its_mend() {
    let (sources, file) = one("vrrp_instance VI_1 {\n    interface eth0\n    auth_type pass\n}\n");
    let span = Span { file, range: 54..58 };
    let why =
        "unknown authentication type `pass`: this instance runs WITHOUT authentication, as keepalived does";
    let diagnostics = [Diagnostic::new(Severity::Error, "unknown-auth-type", why)
        .at(&span)
        .label("did you mean `PASS`?")
        .note("its neighbours must agree: a node with PASS and one without both become master")];
    insta::assert_snapshot!(render::text(&diagnostics, &sources, false));
    insta::assert_snapshot!(render::line(&diagnostics[0], &sources));
    insta::assert_snapshot!(serde_json::to_string_pretty(&render::json(&diagnostics, &sources)).unwrap());
}

#[test]
fn many_lines_are_those_of_each() {
    let (sources, file) = one("auth_pass sesame\nsecond sesame\nauth_pass third\n");
    let list: Vec<_> = ["sesame", "second", "third"].map(|word| marking(&sources, file, word)).into();
    let mut lines = render::Lines::of(&sources);
    let many: Vec<_> = list.iter().map(|one| lines.line(one)).collect();
    let each: Vec<_> = list.iter().map(|one| render::line(one, &sources)).collect();
    assert_eq!(many, each);
}

#[test]
fn sorted_by_place_with_the_whole_last_and_counted() {
    let (sources, file) = one("first\nsecond\n");
    let second = marking(&sources, file, "second");
    let mut first = marking(&sources, file, "first").not_in_force();
    first.severity = Severity::Hint;
    let whole = Diagnostic::new(Severity::Fatal, "no-file", "no configuration").label("pass --config");
    insta::assert_snapshot!(render::text(&[whole, second, first], &sources, false));
}

#[test]
fn summary_speaks_of_one_and_of_many() {
    let of = |severities: &[Severity]| {
        let list: Vec<_> = severities.iter().map(|s| Diagnostic::new(*s, "x", "x")).collect();
        render::Summary::of(&list).to_string()
    };
    use Severity::{Error, Fatal, Hint, Warning};
    assert_eq!(of(&[]), "no problems");
    assert_eq!(of(&[Warning]), "1 warning");
    assert_eq!(of(&[Error, Hint, Hint]), "1 error, 2 hints; 1 thing written is not in force");
    assert_eq!(of(&[Fatal, Error]), "1 fatal error, 1 error; 2 things written are not in force");
}

#[test]
fn the_end_of_a_file_is_behind_its_last_line() {
    for (text, place) in
        [("a {\n", "1:4"), ("a {", "1:4"), ("a {\r\n\r\n", "1:4"), ("", "1:1"), ("\n", "1:1")]
    {
        let (sources, file) = one(text);
        for range in [text.len()..text.len(), text.len() + 9..text.len() + 99] {
            let end = Diagnostic::new(Severity::Error, "x", "unclosed").at(&Span { file, range });
            let out = render::text(std::slice::from_ref(&end), &sources, false);
            assert!(out.contains(&format!("keepalived.conf:{place}\n")), "{text:?}\n{out}");
            assert!(out.contains('^'), "{text:?}\n{out}");
            assert!(render::line(&end, &sources).starts_with(&format!("keepalived.conf:{place}: error")));
        }
    }
}

#[test]
fn tabs_wide_characters_and_crlf_keep_the_mark_in_place() {
    insta::assert_snapshot!(shown("\tstate\tmaster # büro 東京\r\nnext\r\n", "master"));
    insta::assert_snapshot!(shown("名前 東京 x", "東京"));
}

#[test]
fn a_span_over_lines_marks_its_first() {
    insta::assert_snapshot!(shown("a b {\n c\n}\n", "b {\n c"));
}

#[test]
fn a_very_long_line_is_cut_around_the_mark() {
    let text = format!("{} bad {}", "x".repeat(100_000), "y".repeat(100_000));
    let out = shown(&text, "bad");
    assert!(out.contains("keepalived.conf:1:100002"), "{out}");
    assert!(out.contains(" bad y"), "{out}");
    assert!(out.len() < 2_000, "{} bytes", out.len());
    let (sources, file) = one(&text);
    let whole = Diagnostic::new(Severity::Error, "x", "x").at(&Span { file, range: 0..text.len() });
    assert!(render::text(&[whole], &sources, false).len() < 2_000);
}

#[test]
fn nothing_in_the_text_reaches_the_terminal_as_a_command() {
    let out = shown("a \u{1b}[31mred\u{7}\u{9b}\u{202e} bad\n", "bad");
    assert!(!out.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{out:?}");
    let mut sources = SourceMap::default();
    let file = sources.add("a\u{1b}[2J.conf", "x");
    let evil = Diagnostic::new(Severity::Error, "x", "m\u{1b}[1m\nn")
        .at(&Span { file, range: 0..1 })
        .label("l\u{1b}c")
        .note("n\u{8}");
    for out in [
        render::text(std::slice::from_ref(&evil), &sources, false),
        render::line(&evil, &sources),
        render::json(std::slice::from_ref(&evil), &sources).to_string(),
    ] {
        assert!(!out.contains(['\u{1b}', '\u{8}']) && !out.contains("\\u001b"), "{out:?}");
    }
}

#[test]
fn color_is_only_there_when_asked_for() {
    let (sources, file) = one("bad");
    let bad = [marking(&sources, file, "bad")];
    assert!(render::text(&bad, &sources, true).contains("\u{1b}["));
    assert!(!render::text(&bad, &sources, false).contains('\u{1b}'));
}

#[test]
fn passwords_are_masked_wherever_the_mark_is() {
    let lines = [
        "auth_pass hunter2",
        "auth_pass \"hunter2\"",
        "auth_pass \"a b\\\"hunter2\"",
        "auth_pass \"x\"hunter2",
        "auth_pass a#hunter2",
        "auth_pass two hunter2",
        "auth_pass \"open hunter2",
        "AUTH_PASS\thunter2",
        "authentication { auth_type PASS auth_pass hunter2 }",
        "$VRRP_PASS=hunter2",
        "$PASS=hunter2",
        "auth_pass = \"hunter2\"",
        "auth_pass = 'hunter2'",
        "\"auth_pass\" = 'hunter2'",
        "x = { auth_pass = \"hunter2\", priority = 3 }",
        "auth_pass = \"\"\"\nhunter2\n\"\"\"",
        "auth_pass a\\\nhunter2",
        "HACLUSTER_VIRTUAL_ROUTER__VI_1__AUTH_PASS=hunter2",
        "password hunter2",
    ];
    for text in lines {
        let (sources, file) = one(text);
        for marked in [marking(&sources, file, "hunter2"), marking(&sources, file, &text[..1])] {
            let list = [marked];
            let out = render::text(&list, &sources, false) + &render::json(&list, &sources).to_string();
            assert!(!out.contains("hunter2"), "{text}\n{out}");
        }
    }
    let kept = shown("authentication { auth_type PASS auth_pass hunter2 }", "auth_type");
    assert!(kept.contains("{ auth_type PASS auth_pass ******* }"), "{kept}");
    let kept = shown("x = { auth_pass = \"hunter2\", priority = 3 }", "priority");
    assert!(kept.contains("\"*******\", priority = 3 }"), "{kept}");
}

proptest! {
    #[test]
    fn no_span_and_no_text_panics(
        text in "(?s).{0,200}",
        path in "(?s).{0,9}",
        message in "(?s).{0,30}",
        start in 0usize..300,
        end in 0usize..300,
        file in 0u32..2,
    ) {
        let mut sources = SourceMap::default();
        sources.add(path, text);
        let span = Span { file: FileId(file), range: start..end };
        let list = [Diagnostic::new(Severity::Error, "x", message.clone()).at(&span).label(message.clone()).note(message)];
        let out = render::text(&list, &sources, false);
        prop_assert!(!out.chars().any(|char| char.is_control() && char != '\n'), "{out:?}");
        render::text(&list, &sources, true);
        render::json(&list, &sources);
        prop_assert!(!render::line(&list[0], &sources).contains('\n'));
    }

    #[test]
    fn words_of_a_configuration_never_panic_either(
        words in proptest::collection::vec(prop_oneof![
            Just("auth_pass"), Just("$PASS"), Just("\""), Just("'"), Just("\"\"\""), Just("="), Just("\\"),
            Just("\n"), Just("\r\n"), Just(" "), Just("}"), Just("é"), Just("x"), Just("\t"),
        ], 0..40),
        start in 0usize..90,
        length in 0usize..20,
    ) {
        let (sources, file) = one(&words.concat());
        let span = Span { file, range: start..start + length };
        let list = [Diagnostic::new(Severity::Hint, "x", "x").at(&span)];
        render::text(&list, &sources, false);
        render::json(&list, &sources);
    }
}
