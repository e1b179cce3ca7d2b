//! The binary's commands, as an operator runs them. `tests/durability` tests them with a running
//! server.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AQUEDUCT_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that reads no input may have ended already.
    let _ = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("the binary ends")
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn accounts_are_made_and_repaired_without_a_server() {
    let folder = TempDir::new().expect("a temporary folder");

    let made = succeeds(folder.path(), &["user", "create", "alice"], "secret\n");
    assert!(made.contains("@alice:localhost"), "{made}");
    let twice = fails(folder.path(), &["user", "create", "alice"], "secret\n");
    assert!(twice.contains("already"), "{twice}");
    succeeds(
        folder.path(),
        &["user", "reset-password", "alice"],
        "another\n",
    );
    let nobody = fails(
        folder.path(),
        &["user", "reset-password", "bob"],
        "another\n",
    );
    assert!(nobody.contains("no user bob"), "{nobody}");
    let empty = fails(folder.path(), &["user", "create", "bob"], "\n");
    assert!(empty.contains("empty"), "{empty}");
}

#[test]
fn a_backup_is_restored_to_an_empty_place_only() {
    let folder = TempDir::new().expect("a temporary folder");
    let at = folder.path();
    let nothing = fails(at, &["backup", "copy"], "");
    assert!(nothing.contains("no database"), "{nothing}");
    succeeds(at, &["user", "create", "alice"], "secret\n");

    succeeds(at, &["backup", "copy"], "");
    let occupied = fails(at, &["restore", "copy"], "");
    assert!(occupied.contains("not empty"), "{occupied}");
    std::fs::rename(at.join("data"), at.join("lost")).expect("the server does not run");
    succeeds(at, &["restore", "copy"], "");

    let known = fails(at, &["user", "create", "alice"], "secret\n");
    assert!(known.contains("already"), "{known}");
}

#[test]
fn the_database_of_another_server_is_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    let at = folder.path();
    succeeds(at, &["user", "create", "alice"], "secret\n");
    std::fs::write(at.join("conduit.toml"), "server_name = \"other.example\"\n")
        .expect("the folder is writable");

    let refused = fails(at, &["user", "create", "bob"], "secret\n");
    for name in ["`localhost`", "`other.example`"] {
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(
        folder.path().join("conduit.toml"),
        "[database]\npaht = \"x\"\n",
    )
    .expect("the folder is writable");

    let mistakes = fails(folder.path(), &["check-config"], "");
    assert!(
        mistakes.contains("`database.paht`: did you mean `database.path`?"),
        "{mistakes}"
    );

    let elsewhere = fails(
        folder.path(),
        &["check-config", "--config", "missing.toml"],
        "",
    );
    assert!(elsewhere.contains("missing.toml"), "{elsewhere}");
}

#[test]
fn settings_are_shown_with_their_origin() {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(
        folder.path().join("conduit.toml"),
        "server_name = \"example.org\"\n[registration]\nmode = \"token\"\ntoken = \"hush\"\n",
    )
    .expect("the folder is writable");

    let shown = succeeds(folder.path(), &["check-config", "--origins"], "");

    let line = |name: &str| {
        let mut lines = shown.lines().filter(|line| line.starts_with(name));
        let line = lines.next().expect("the setting is listed");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("server_name "), "server_name \"example.org\" file");
    assert_eq!(
        line("registration.token "),
        "registration.token (secret) file"
    );
    assert_eq!(line("database.path "), "database.path \"./data\" default");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = TempDir::new().expect("a temporary folder");

    succeeds(folder.path(), &["man", "pages"], "");

    for page in ["aqueduct.1", "aqueduct-serve.1", "aqueduct-user-create.1"] {
        let text = std::fs::read_to_string(folder.path().join("pages").join(page));
        assert!(text.is_ok_and(|text| text.contains(".SH NAME")), "{page}");
    }
}

#[test]
fn completions_know_the_commands() {
    let folder = TempDir::new().expect("a temporary folder");

    let script = succeeds(folder.path(), &["completions", "bash"], "");
    assert!(script.contains("check-config"), "{script}");
}

#[test]
fn a_valid_configuration_is_shown() {
    let folder = TempDir::new().expect("a temporary folder");

    let shown = succeeds(folder.path(), &["check-config"], "");
    assert!(shown.contains("127.0.0.1:8008"), "{shown}");
}
