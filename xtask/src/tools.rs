//! What the steps need beyond Cargo, and how it comes to be there.
//!
//! Everything that is no package of the system goes below `target/`. Each function answers with an error text
//! that says what is missing and how to get it, where it cannot be installed here.

use crate::process::{self, Ended};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// This machine, and whether anything may be installed on it.
pub(crate) struct Machine {
    pub may_install: bool,
}

impl Machine {
    /// A component of the Rust toolchain that brings `program`.
    pub(crate) fn rust_component(&self, component: &str, program: &str) -> Result<(), String> {
        if on_path(program).is_some() && process::output(Command::new(program).arg("--version")).is_some() {
            return Ok(());
        }
        let how = format!("{component} is missing: `rustup component add {component}`");
        self.install(&how, Command::new("rustup").args(["component", "add", component]))
    }

    /// A program of a Debian package; `why` says what it is for.
    pub(crate) fn debian(&self, program: &str, packages: &[&str], why: &str) -> Result<PathBuf, String> {
        if let Some(path) = on_path(program) {
            return Ok(path);
        }
        let how = format!("{program} is missing ({why}): install {}", packages.join(" "));
        self.apt(&how, packages)?;
        on_path(program).ok_or(how)
    }

    /// PostgreSQL's server and a pooler, for the tests that start their own. Debian would make and run a database of
    /// the system's when it installs the package; nobody asked for that.
    pub(crate) fn postgres(&self) -> Result<(), String> {
        let why = "the tests of the PostgreSQL store start their own server";
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let server = versions.map(|entry| entry.path().join("bin/initdb")).any(|file| file.is_file());
        if !server && on_path("initdb").is_none() {
            let how = format!("PostgreSQL is missing ({why}): install postgresql");
            self.apt(&how, &["postgresql-common"])?;
            let mut quiet = as_root().ok_or_else(|| how.clone())?;
            let edit = "s/^#*create_main_cluster.*/create_main_cluster = false/";
            quiet.args(["sed", "-i", edit, "/etc/postgresql-common/createcluster.conf"]);
            self.install(&how, &mut quiet)?;
            self.apt(&how, &["postgresql"])?;
        }
        self.debian("setpriv", &["util-linux"], "the server does not run as root").map(drop)?;
        self.pgbouncer()
    }

    /// What counts instructions.
    pub(crate) fn valgrind(&self) -> Result<(), String> {
        self.debian("valgrind", &["valgrind"], "counts instructions").map(drop)
    }

    /// A proxy of a Debian package. The package starts one of its own; the tests have theirs.
    pub(crate) fn server(&self, program: &str, package: &str) -> Result<(), String> {
        if Path::new("/usr/sbin").join(program).is_file() || on_path(program).is_some() {
            return Ok(());
        }
        let how = format!("{program} is missing (forward-auth is tested through it): install {package}");
        self.apt(&how, &[package])?;
        // Where nothing is started, there is no harm.
        if let Some(mut stop) = as_root() {
            let _ = process::output(stop.args(["service", package, "stop"]));
        }
        Ok(())
    }

    /// Programs that `script` builds by Go, kept below `target/`.
    pub(crate) fn go_programs(&self, script: &str, names: &[&str]) -> Result<(), String> {
        let missing = format!("Go is missing ({} are tested as proxies): install Go", names.join(" and "));
        let go =
            on_path("go").or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|go| go.is_file()));
        let Some(folder) = go.as_deref().and_then(Path::parent) else { return Err(missing) };
        let mut folders = vec![folder.to_owned()];
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        let path = std::env::join_paths(folders).map_err(|error| error.to_string())?;
        for name in names {
            let mut command = Command::new("env");
            command.arg(format!("PATH={}", path.to_string_lossy())).args([script, name]);
            // A module that the proxy does not have leaves out that program, not the other.
            if let Err(problem) =
                self.install(&format!("{name} is built from the Go module proxy"), &mut command)
            {
                println!("xtask: {problem}");
            }
        }
        Ok(())
    }

    fn pgbouncer(&self) -> Result<(), String> {
        if Path::new("/usr/sbin/pgbouncer").is_file() || on_path("pgbouncer").is_some() {
            return Ok(());
        }
        let how = "pgbouncer is missing (PostgreSQL is tested behind it): install pgbouncer";
        self.apt(how, &["pgbouncer"])?;
        // The package starts one of its own; the tests have theirs. Where nothing is started, there is no harm.
        if let Some(mut stop) = as_root() {
            let _ = process::output(stop.args(["service", "pgbouncer", "stop"]));
        }
        Ok(())
    }

    /// Installs packages of Debian; `how` is the error where that cannot be done here.
    fn apt(&self, how: &str, packages: &[&str]) -> Result<(), String> {
        if on_path("apt-get").is_none() {
            return Err(how.to_owned());
        }
        let mut update =
            as_root().ok_or_else(|| format!("{how} (needs root, or sudo without a password)"))?;
        update.args(["apt-get", "-q", "update"]);
        self.install(how, &mut update)?;
        let mut install = as_root().ok_or_else(|| how.to_owned())?;
        install.args([
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "-y",
            "--no-install-recommends",
            "install",
        ]);
        self.install(how, install.args(packages))
    }

    /// A program that extends Cargo, such as `cargo-deny`: the one on the path, or one built below `target/tools`.
    pub(crate) fn cargo_tool(&self, name: &str) -> Result<PathBuf, String> {
        if let Some(path) = on_path(name) {
            return Ok(path);
        }
        let path = Path::new("target/tools/bin").join(name);
        if !path.exists() {
            let how = format!("{name} is missing: `cargo install --locked {name}`");
            // Its speed does not matter, and this builds in half the time.
            let args = ["install", "--locked", "--root", "target/tools", "--profile", "dev", name];
            self.install(&how, Command::new("cargo").args(args))?;
        }
        Ok(path)
    }

    /// A small Debian of this machine's release, as an archive, with systemd and the shells: packages are installed
    /// in copies of it.
    pub(crate) fn debian_root(&self) -> Result<(), String> {
        let archive = Path::new("target/e2e/debian-root.tar");
        if archive.exists() {
            return Ok(());
        }
        let how = "the test root is missing: `cargo xtask test --only packaging` makes it with mmdebstrap"
            .to_owned();
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let codename = codename.ok_or_else(|| format!("{how}, on Debian"))?;
        self.debian("mmdebstrap", &["mmdebstrap"], "makes the test root")?;
        std::fs::create_dir_all("target/e2e").map_err(|error| format!("target/e2e: {error}"))?;
        // Whole or not at all.
        let unfinished = "target/e2e/unfinished-root.tar";
        let mut make = as_root().ok_or_else(|| format!("{how} (needs root, or sudo without a password)"))?;
        make.args(["mmdebstrap", "--quiet", "--variant=essential"]);
        make.arg("--include=systemd,adduser,bash-completion,zsh,fish");
        make.args(["--aptopt=Acquire::Languages none", "--dpkgopt=path-exclude=/usr/share/man/*"]);
        make.args(["--dpkgopt=path-exclude=/usr/share/locale/*", codename, unfinished]);
        self.install(&how, &mut make)?;
        std::fs::rename(unfinished, archive).map_err(|error| format!("{unfinished}: {error}"))
    }

    /// The npm packages that `source/package-lock.json` names, below `target`; nothing of theirs runs at install.
    pub(crate) fn npm(&self, source: &str, target: &str) -> Result<(), String> {
        let read = |folder: &str, file: &str| std::fs::read(Path::new(folder).join(file)).unwrap_or_default();
        let files = ["package.json", "package-lock.json", ".npmrc"];
        let unchanged = files.iter().all(|file| read(source, file) == read(target, file));
        // npm writes this file last.
        if unchanged && Path::new(target).join("node_modules/.package-lock.json").exists() {
            return Ok(());
        }
        let how = format!("the npm packages of {source} are missing: `npm ci` in {target}");
        self.debian("npm", &["npm"], "to install them").map_err(|missing| format!("{how}; {missing}"))?;
        let copied = std::fs::create_dir_all(target).and_then(|()| {
            files.iter().try_for_each(|file| std::fs::write(Path::new(target).join(file), read(source, file)))
        });
        copied.map_err(|error| format!("{target}: {error}"))?;
        self.install(&how, Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(target))
    }

    /// Builds the native part of an npm package that was installed without running anything; `file` is what comes of
    /// it. The headers are those beside the Node that is here.
    pub(crate) fn npm_native(&self, target: &str, package: &str, file: &str) -> Result<(), String> {
        if Path::new(target).join("node_modules").join(package).join(file).is_file() {
            return Ok(());
        }
        let how = format!("the native part of {package} is missing: `npm rebuild {package}` in {target}");
        self.debian("c++", &["g++"], "it is C++").map_err(|missing| format!("{how}; {missing}"))?;
        let node = on_path("node").and_then(|node| node.canonicalize().ok());
        let headers = node.as_deref().and_then(Path::parent).and_then(Path::parent);
        let headers = headers.ok_or_else(|| format!("{how}: there is no node"))?;
        let mut command = Command::new("env");
        command.arg(format!("npm_config_nodedir={}", headers.display()));
        command.args(["npm_config_build_from_source=true", "npm", "rebuild", package]).current_dir(target);
        self.install(&how, &mut command)
    }

    /// The Python packages of a requirements file, below `target`.
    pub(crate) fn pip(&self, requirements: &str, target: &str) -> Result<(), String> {
        let wanted = std::fs::read(requirements).map_err(|error| format!("{requirements}: {error}"))?;
        let mark = Path::new(target).join("installed-requirements.txt");
        if std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        let how = format!("the packages of {requirements} are missing in {target}");
        self.debian("python3", &["python3", "python3-pip"], "to install them")
            .map_err(|missing| format!("{how}; {missing}"))?;
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
        self.install(&how, command.args(["--target", target, "-r", requirements]))?;
        std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))
    }

    /// The Go modules that `source/go.sum` names, below `target`. The toolchain itself is not installed: Debian's is
    /// too old for them.
    pub(crate) fn go(&self, source: &str, target: &str) -> Result<(), String> {
        let how = format!("the Go modules of {source} are missing in {target}");
        self.once(&format!("{source}/go.sum"), target, "go", &how, |folder| {
            let mut command = Command::new("env");
            command.arg(format!("GOMODCACHE={}", folder.join("mod").display()));
            command.args(["go", "mod", "download"]).current_dir(source);
            command
        })
    }

    /// Builds the Go program of `source` as `target`/`name`, with its modules below `target`.
    pub(crate) fn go_program(&self, source: &str, target: &str, name: &str) -> Result<(), String> {
        self.go(source, target)?;
        let folder = std::path::absolute(target).map_err(|error| format!("{target}: {error}"))?;
        let mut command = Command::new("env");
        command.arg(format!("GOMODCACHE={}", folder.join("mod").display()));
        command
            .args(["go", "build", "-mod=readonly", "-o"])
            .arg(folder.join(name))
            .arg(".")
            .current_dir(source);
        self.install(&format!("{target}/{name} is built"), &mut command)
    }

    /// What Maven needs to build `source`, in the repository `target`: it is built once, in a copy there.
    pub(crate) fn maven(&self, source: &str, target: &str) -> Result<(), String> {
        let how = format!("the Maven packages of {source} are missing in {target}");
        self.once(&format!("{source}/pom.xml"), target, "mvn", &how, |folder| {
            let mut command = Command::new("mvn");
            command.args(["-q", "-B", "-f", source, "package"]);
            command.arg(format!("-Dmaven.repo.local={}", folder.display()));
            // Nothing is left in the source.
            command.arg(format!("-DbuildDirectory={}", folder.join("build").display()));
            command
        })
    }

    /// Installs below `target` with a tool that has to be there, unless `list` is what was installed last.
    fn once(
        &self,
        list: &str,
        target: &str,
        tool: &str,
        how: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Result<(), String> {
        let wanted = std::fs::read(list).map_err(|error| format!("{list}: {error}"))?;
        let mark = Path::new(target).join("installed-list");
        if std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        on_path(tool).ok_or_else(|| format!("{how}: there is no {tool}"))?;
        let folder = std::path::absolute(target).map_err(|error| format!("{target}: {error}"))?;
        self.install(how, &mut command(&folder))?;
        std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))
    }

    /// Runs one installing command, saying what and why.
    fn install(&self, how: &str, command: &mut Command) -> Result<(), String> {
        if !self.may_install {
            return Err(how.to_owned());
        }
        println!("xtask: {how}");
        println!("xtask: running {}", shown(command));
        let mut owned = Command::new(command.get_program());
        owned.args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            owned.current_dir(directory);
        }
        match process::stream(owned, INSTALL_LIMIT, |_| {}) {
            Ok(Ended::Well) => Ok(()),
            Ok(Ended::Badly) => Err(format!("{how} (tried here, and it failed)")),
            Ok(Ended::TimeLimit) => {
                Err(format!("{how} (tried here; no end after {} s)", INSTALL_LIMIT.as_secs()))
            }
            Err(error) => Err(format!("{how} (tried here: {error})")),
        }
    }
}

/// `env` run by root; arguments are variables and the command. None where this user cannot become root silently.
fn as_root() -> Option<Command> {
    if process::output(Command::new("id").arg("-u")).as_deref() == Some("0") {
        return Some(Command::new("env"));
    }
    process::output(Command::new("sudo").args(["-n", "true"]))?;
    let mut command = Command::new("sudo");
    command.args(["-n", "env"]);
    Some(command)
}

/// Where `program` is, by PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| Path::is_file(file))
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
