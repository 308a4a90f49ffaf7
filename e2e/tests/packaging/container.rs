//! The container image: built and run where a Docker engine answers, else checked by linters, and what its runtime
//! stage does is done in a Debian of its own.

use crate::machine::Machine;
use crate::package::root;
use std::path::PathBuf;
use std::process::{Command, Output};

const DOCKERFILE: &str = "packaging/docker/Dockerfile";
const COMPOSE: &str = "packaging/docker/compose.yaml";

#[test]
fn the_linters_have_nothing_to_say() {
    let folder = root().join("target/e2e/containers");
    if !folder.join("bin/hadolint").is_file() {
        return e2e::left_out(
            "the_linters_have_nothing_to_say",
            "the packages of e2e/containers are missing",
        );
    }
    passes(Command::new(folder.join("bin/hadolint")).arg(root().join(DOCKERFILE)).output());
    let compose = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE];
    passes(Command::new("python3").args(compose).env("PYTHONPATH", &folder).current_dir(root()).output());
}

/// Every secret that the compose file mounts is one that the document makes, and none gets into an image.
#[test]
fn the_secrets_of_the_compose_file_are_those_of_the_document() {
    let compose = std::fs::read_to_string(root().join(COMPOSE)).unwrap();
    let document = std::fs::read_to_string(root().join("docs/install.md")).unwrap();
    let files: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("file: ./")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert!(document.contains(&format!("> {file}\n")), "{file} is not made in docs/install.md");
    }
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "packaging/docker/secrets"));
}

/// The commands of the last stage, its environment, user, command and health check, on the system that it is made of.
#[test]
fn the_runtime_stage_runs_the_server() {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(reason) => return e2e::left_out("the_runtime_stage_runs_the_server", &reason),
    };
    let stage = runtime_stage();
    let all = |name: &str| {
        stage.iter().filter(|(word, _)| word == name).map(|(_, rest)| rest.clone()).collect::<Vec<_>>()
    };
    let one = |name: &str| all(name).pop().unwrap_or_else(|| panic!("no {name}"));
    std::fs::copy(e2e::jotgate(root()).get_program(), machine.path("/usr/local/bin/jotgate")).unwrap();
    for command in all("RUN") {
        machine.run(&command);
    }
    assert_eq!(machine.run("stat -c '%u:%g %a' /var/lib/jotgate"), "10001:10001 700");

    let user = one("USER");
    let (user, group) = user.split_once(':').expect("user and group");
    let words = |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap();
    let command = [words(&one("ENTRYPOINT")), words(&one("CMD"))].concat().join(" ");
    let run = |more: &str, command: &str| {
        format!(
            "cd {}; setpriv --reuid {user} --regid {group} --clear-groups env {} {more} {command}",
            one("WORKDIR"),
            one("ENV")
        )
    };
    let (well, said) = machine.try_run(&run("", &command));
    assert!(!well && said.contains("public_url"), "without an address it says what is missing: {said}");

    let (_, check) =
        one("HEALTHCHECK").split_once("CMD ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let [shell, flag, script] = words(&check).try_into().expect("bash -c SCRIPT");
    std::fs::write(machine.path("/root/check"), script).unwrap();
    let healthy = format!(
        "setpriv --reuid {user} --regid {group} --clear-groups {shell} {flag} \"$(cat /root/check)\""
    );
    assert!(!machine.try_run(&healthy).0, "healthy without a server");
    let serve = run("JOTGATE_PUBLIC_URL=http://localhost:8080", &command);
    machine.run(&format!("({serve}) >/root/log 2>&1 </dev/null & disown"));
    machine.wait_for("http://127.0.0.1:8080/.well-known/jwks.json");
    machine.run(&healthy);
}

/// Needs an engine, and the base images from wherever it gets them.
#[test]
fn the_image_is_built_and_runs() {
    let name = "the_image_is_built_and_runs";
    let docker = |arguments: &[&str]| Command::new("docker").args(arguments).current_dir(root()).output();
    if !docker(&["info"]).is_ok_and(|said| said.status.success()) {
        return e2e::left_out(name, "no Docker engine answers; linted, and its commands run without one");
    }
    let image = format!("jotgate-test-{}", std::process::id());
    passes(docker(&["build", "--quiet", "-f", DOCKERFILE, "-t", &image, "."]));
    let run = [
        "run",
        "--detach",
        "--rm",
        "--read-only",
        "--cap-drop=ALL",
        "-e",
        "JOTGATE_PUBLIC_URL=http://localhost:8080",
    ];
    let container = passes(docker(&[&run[..], &["--volume=/var/lib/jotgate", &image]].concat()));
    let state = ["inspect", "--format", "{{.State.Health.Status}}", container.trim()];
    let begin = std::time::Instant::now();
    let mut healthy = false;
    while !healthy && begin.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        healthy = docker(&state).is_ok_and(|said| said.stdout.starts_with(b"healthy"));
    }
    let log = docker(&["logs", container.trim()]).unwrap();
    let _ = docker(&["stop", "--time", "35", container.trim()]);
    let _ = docker(&["image", "rm", &image]);
    assert!(healthy, "{}{}", String::from_utf8_lossy(&log.stdout), String::from_utf8_lossy(&log.stderr));
}

/// Instructions of the last stage in order: the word and what follows, continued lines joined.
fn runtime_stage() -> Vec<(String, String)> {
    let path: PathBuf = root().join(DOCKERFILE);
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let (_, stage) = text.rsplit_once("\nFROM ").expect("two stages");
    let instructions = stage.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = instructions.map(|line| line.split_once(' ').expect("a word and more"));
    split.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

fn passes(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
