//! Programs as people really write them: what `--check` and `haclusterctl config check` say of each.

use anyhow::{Context, Result, ensure};
use hacluster_lab::{Agent, Ctl};
use hacluster_tests::harness::{Instance, Skip, Suite, copy_program};
use nix::unistd::{Uid, chown};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

pub(crate) fn trials(suite: &mut Suite) {
    suite.trial("every_trap_of_a_script_is_explained_by_both_checks", every_trap);
    suite.trial("a_script_of_somebody_else_is_refused_with_its_owner_and_the_mend", wrong_owner);
    suite.trial("who_may_not_look_at_a_script_is_told_so", hidden);
}

/// A program, and how it is named; `@` stands for its path.
struct Case {
    what: &'static str,
    /// Its text; none for a program that is not there.
    text: Option<&'static str>,
    mode: u32,
    line: &'static str,
    /// What is said; `@` stands for the path, `%` for its folder. Nothing at all when empty.
    words: &'static [&'static str],
    /// Whether something is not in force.
    refused: bool,
}

const PLAIN: Case =
    Case { what: "", text: Some(GOOD), mode: 0o755, line: "script @", words: &[], refused: false };
const GOOD: &str = "#!/bin/sh\npidof nginx\n";

const CASES: &[Case] = &[
    Case { what: "nothing wrong", ..PLAIN },
    Case {
        what: "no interpreter line",
        text: Some("pidof nginx\n"),
        words: &["@ has no interpreter line: /bin/sh runs it", "write #!/bin/sh as the first line of @"],
        ..PLAIN
    },
    Case {
        what: "bash's test without bash",
        text: Some("[[ -f /etc/keepalived/down ]] && exit 1 || exit 0\n"),
        words: &[
            "@ has no interpreter line",
            "it uses `[[`, which is bash's",
            "write #!/bin/bash as the first",
        ],
        ..PLAIN
    },
    Case {
        what: "an interpreter line after blanks, as pasted from a page",
        text: Some("        #!/bin/bash\n        pidof nginx\n"),
        words: &["interpreter line of @ is not at its very beginning", "remove whatever stands before #!"],
        ..PLAIN
    },
    Case {
        what: "shell operators",
        line: "script \"pidof nginx && exit 0 || exit 1\"",
        words: &["no shell runs this: `&&`", "write the first command alone, or \"/bin/sh -c '...'\""],
        ..PLAIN
    },
    Case {
        what: "missing",
        text: None,
        words: &["@ cannot be found: No such file or directory", "write the path of an existing program"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "not executable",
        mode: 0o644,
        words: &["@ is not executable (mode 0644)", "chmod +x @"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "always well",
        text: Some(
            "#!/bin/bash\n\nif [ ! -e /var/run/httpd/httpd.pid ];then\n    systemctl start httpd\nfi\n",
        ),
        words: &[
            "@ says nowhere that something failed: as a check it changes nothing",
            "end it with a command",
        ],
        ..PLAIN
    },
    Case {
        what: "exit 0 at its end",
        text: Some("#!/bin/sh\nsystemctl restart nginx\nexit 0\n"),
        words: &["@ ends well whatever happens"],
        ..PLAIN
    },
    Case {
        what: "typographic quotes",
        line: "script \u{201c}@\u{201d}",
        words: &["left double quotation mark", "begins with `\u{201c}`", "write ASCII quotes, or none"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "an interpreter that is not here",
        text: Some("#!/opt/shellenv/bin/python\nprint(1)\n"),
        words: &["@ cannot run: its interpreter /opt/shellenv/bin/python cannot be found", "install it, or"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "written on Windows",
        text: Some("#!/bin/sh\r\npidof nginx\r\n"),
        words: &["ends with a carriage return", "sed -i 's/\\r$//' @"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "others may write it",
        mode: 0o757,
        words: &["@ can be changed by others than root (owner root, mode 0757)", "chmod go-w @"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "its user may not enter its folder",
        line: "script @\n user nobody",
        words: &["may not enter or execute % (owner root, mode 0700)", "chmod o+x %, or name another user"],
        refused: true,
        ..PLAIN
    },
    Case {
        what: "a user who does not exist",
        line: "script @\n user nobody-of-that-name",
        words: &[
            "user nobody-of-that-name does not exist",
            "useradd --system --no-create-home nobody-of-that",
        ],
        refused: true,
        ..PLAIN
    },
];

/// What both checks say of `file`; it must be the same.
fn said(file: &Path) -> Result<Output> {
    let agent = Command::new(Agent::find()?.binary).arg("--check").arg("-f").arg(file).output()?;
    let file = file.to_str().context("a path in UTF-8")?;
    let ctl = Ctl::find()?.command(&["config", "check", file]).output()?;
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text(&agent) == text(&ctl), "agent: {}\nctl: {}", text(&agent), text(&ctl));
    ensure!(agent.status.code() == ctl.status.code(), "{} and {}", agent.status, ctl.status);
    let alone = Ctl::find()?.command(&["config", "check", "--no-programs", file]).output()?;
    let alone = text(&alone);
    ensure!(!alone.contains("cannot-run") && !alone.contains("script-trap"), "{alone}");
    Ok(agent)
}

fn config(line: &str) -> String {
    let head = "global_defs {\n enable_script_security\n script_user root\n}\n";
    let router = Instance::new(100).with("track_script {\n        chk\n    }");
    format!("{head}vrrp_script chk {{\n {line}\n}}\n{router}")
}

fn try_case(case: &Case) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().canonicalize()?;
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    let script = folder.join("check.sh");
    if let Some(text) = case.text {
        fs::write(&script, text)?;
        fs::set_permissions(&script, Permissions::from_mode(case.mode))?;
    }
    let fill = |text: &str| {
        text.replace('@', &script.display().to_string()).replace('%', &folder.display().to_string())
    };
    let file = folder.join("keepalived.conf");
    fs::write(&file, config(&fill(case.line)))?;
    let output = said(&file)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for words in case.words.iter().map(|words| fill(words)) {
        ensure!(text.contains(&words), "{words:?} is missing:\n{text}");
    }
    let traps = ["script-trap", "cannot-run", "shell-syntax"].iter().any(|code| text.contains(code));
    ensure!(traps != case.words.is_empty(), "{text}");
    let status = i32::from(case.refused);
    ensure!(output.status.code() == Some(status), "{} instead of {status}:\n{text}", output.status);
    Ok(())
}

fn every_trap() -> Result<()> {
    for case in CASES {
        try_case(case).with_context(|| case.what.to_owned())?;
    }
    Ok(())
}

fn wrong_owner() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().canonicalize()?;
    let (script, file) = (folder.join("check.sh"), folder.join("keepalived.conf"));
    fs::write(&script, GOOD)?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    fs::write(&file, config(&format!("script {}", script.display())))?;
    if let Err(error) = chown(&script, Some(Uid::from_raw(65_534)), None) {
        return Err(Skip(format!("a second user ({error})")).into());
    }
    let text = String::from_utf8_lossy(&said(&file)?.stdout).into_owned();
    let shown = script.display();
    ensure!(
        text.contains(&format!("{shown} can be changed by others than root (owner nobody, mode 0755)")),
        "{text}"
    );
    ensure!(text.contains(&format!("chown root {shown}")), "{text}");
    Ok(())
}

/// An ordinary user checks the file of a system on which scripts are root's alone.
fn hidden() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path().canonicalize()?;
    let (secret, file) = (folder.join("secret"), folder.join("keepalived.conf"));
    fs::create_dir(&secret)?;
    fs::write(secret.join("check.sh"), GOOD)?;
    fs::set_permissions(&secret, Permissions::from_mode(0o700))?;
    fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
    let script = secret.join("check.sh");
    fs::write(&file, config(&format!("script {}", script.display())))?;
    let agent = folder.join("agent");
    copy_program(Agent::find()?.binary, &agent)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups", "--"]).arg(&agent).arg("--check").arg("-f").arg(&file);
    let output = command.output().context("setpriv (util-linux)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Skip(format!("a second user ({why})")).into());
    }
    ensure!(text.contains("cannot be looked at as this user") && text.contains("check it as root"), "{text}");
    ensure!(output.status.code() == Some(0), "{}:\n{text}", output.status);
    Ok(())
}
