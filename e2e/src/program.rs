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
