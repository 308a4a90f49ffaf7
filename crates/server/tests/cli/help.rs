//! Every command has help that answers, and says what it is wrong with wrong usage.

use super::program::Place;

/// The commands as `--help` lists them, all the way down.
fn commands(place: &Place, path: &[&str], found: &mut Vec<Vec<String>>) {
    let help = place.run(&[path, &["--help"]].concat()).exits(0);
    assert_eq!(help.err, "");
    found.push(path.iter().map(|&part| part.to_owned()).collect());
    let Some((_, list)) = help.out.split_once("\nCommands:\n") else { return };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // Continued descriptions are indented further.
        let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
        let name = name.split_whitespace().next().unwrap();
        if name != "help" {
            commands(place, &[path, &[name]].concat(), found);
        }
    }
}

#[test]
fn every_command_has_complete_help() {
    let place = Place::new();
    let mut found = Vec::new();
    commands(&place, &[], &mut found);
    let names: Vec<String> = found.iter().map(|path| path.join(" ")).collect();
    for expected in [
        "serve",
        "user add",
        "user list",
        "user show",
        "user set-password",
        "user set-claim",
        "user disable",
        "user enable",
        "user delete",
        "user grant",
        "user revoke",
        "user import",
        "client add",
        "client list",
        "client show",
        "client delete",
        "session list",
        "session revoke",
        "key list",
        "key rotate",
        "key export",
        "audit list",
        "backup",
        "doctor",
        "migrate",
        "restore",
        "move",
        "openapi",
        "config check",
        "config show",
        "token inspect",
        "token verify",
        "completions",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not among {names:?}");
    }
    for path in &found {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = place.run(&[&path[..], &["--help"]].concat()).out;
        let name = path.join(" ");
        let group = help.contains("\nCommands:\n");
        assert!(help.contains("Usage: jotgate"), "{name}");
        assert!(group || help.contains("Examples:\n  "), "{name} has no example");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            assert!(line.trim().is_empty() || !line.ends_with(' '), "{name}: {line:?}");
        }
        // Each argument and option says what it is for.
        for (line, next) in help.lines().zip(help.lines().skip(1)) {
            let option = line.trim_start().starts_with("--") || line.trim_start().starts_with("-h");
            if option && line.trim().split("  ").count() == 1 {
                assert!(next.starts_with("          "), "{name}: {line}");
            }
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2_on_standard_error() {
    let place = Place::new();
    for arguments in [
        &[][..],
        &["nonsense"],
        &["config"],
        &["config", "nonsense"],
        &["config", "show", "--nonsense"],
        &["token", "verify", "x"],
        &["completions", "cmd.exe"],
        &["config", "show", "--listen", "8080"],
        &["config", "show", "--set", "listen"],
        &["config", "show", "--set", "lisen=:0"],
    ] {
        let run = place.run(arguments).exits(2);
        assert_eq!(run.out, "", "{arguments:?}");
        assert!(!run.err.is_empty());
    }
    assert!(place.run(&["confg"]).err.contains("config"));
}

#[test]
fn the_version_is_printed() {
    assert_eq!(
        Place::new().run(&["--version"]).exits(0).out,
        format!("jotgate {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_description_of_the_api_is_printed() {
    let document = Place::new().run(&["openapi"]).exits(0);
    assert_eq!(document.out, jotgate::http::openapi::document());
    assert!(document.json()["paths"]["/auth/login"]["post"].is_object());
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Place::new().run(&["completions", shell]).exits(0).out;
        assert!(script.contains("jotgate") && script.contains("token-access-ttl"), "{shell}");
    }
}

#[test]
fn no_colour_where_no_person_reads() {
    let place = Place::new();
    for run in [place.run(&["config", "show"]), place.run(&["--help"]), place.run(&["nonsense"])] {
        assert!(!run.out.contains('\x1b') && !run.err.contains('\x1b'));
    }
    let forced = place.run_with(&[("CLICOLOR_FORCE", "1")], &["config", "show"]);
    assert!(forced.out.contains('\x1b'));
    let not = place.run_with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &["config", "show"]);
    assert!(!not.out.contains('\x1b'));
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    let place = Place::new();
    for arguments in [&["config", "show"][..], &["completions", "bash"], &["--help"]] {
        let mut command = place.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err, "", "{arguments:?}");
        assert!(output.status.code().is_some());
    }
}
