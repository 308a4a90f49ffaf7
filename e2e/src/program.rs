//! Finds the binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `jotgate` binary: what `JOTGATE_BIN` names, else freshly built.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("JOTGATE_BIN") {
        Some(path) => {
            // Tests run in the folder of their package; a relative path is meant from the root.
            let path = root().join(path);
            assert!(path.is_file(), "JOTGATE_BIN: there is no file {}", path.display());
            path
        }
        None => build(),
    })
}

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e/ lies in the root")
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "jotgate", "--bin", "jotgate"])
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the binary does not build");
    // target/PROFILE/deps/this-test
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(3).expect("a target folder");
    target.join("debug/jotgate")
}

/// The binary as a command that runs in `folder`, with no configuration of its surroundings.
#[must_use]
pub fn jotgate(folder: &Path) -> Command {
    in_folder(Command::new(binary()), folder)
}

/// The same of a program that runs the binary.
pub(crate) fn in_folder(mut command: Command, folder: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("JOTGATE_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("NO_COLOR", "1");
    command
}

/// Where a program is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether somebody listens on this port of 127.0.0.1 within ten seconds.
pub(crate) fn wait_for_port(port: u16) -> bool {
    let begin = std::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_secs(10) {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}
