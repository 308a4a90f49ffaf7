//! Makes the package as a release does, of the binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The package, and the same program again with a higher version.
pub(crate) struct Packages {
    pub(crate) first: PathBuf,
    pub(crate) next: PathBuf,
}

/// Both, made by whoever asks first; the error says why they cannot be made here.
pub(crate) fn packages() -> Result<&'static Packages, String> {
    static PACKAGES: OnceLock<Result<Packages, String>> = OnceLock::new();
    PACKAGES.get_or_init(build).as_ref().map_err(Clone::clone)
}

fn build() -> Result<Packages, String> {
    let tools = root().join("target/tools/bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    if !std::env::split_paths(&path).any(|folder| folder.join("cargo-deb").is_file()) {
        return Err("cargo-deb is missing".to_owned());
    }
    // A target folder with nothing but the binary under test: whatever profile it was built with, nothing is built
    // here.
    let target = root().join("target/e2e/package");
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir_all(target.join("release")).unwrap();
    let binary = e2e::jotgate(root()).get_program().to_owned();
    std::fs::copy(binary, target.join("release/jotgate")).unwrap();
    let package = |name: &str, arguments: &[&str]| {
        let file = target.join(name);
        let made = Command::new(root().join("packaging/debian/build.sh"))
            .args(["--no-build", "--strip", "--fast", "--output"])
            .arg(&file)
            .args(arguments)
            .env("PATH", &path)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .unwrap();
        assert!(made.status.success(), "build.sh: {}", String::from_utf8_lossy(&made.stderr));
        file
    };
    Ok(Packages {
        first: package("jotgate.deb", &[]),
        next: package("jotgate-next.deb", &["--deb-version", "99.0.0-1"]),
    })
}
