//! PostgreSQL as Debian packages it, one server for each test process, one database for each test.
//!
//! It listens on a free loopback port and on a socket in a folder of its own, runs as another user where the tests
//! run as root, and ends with the process that started it, however that ends: a shell beside it waits for a pipe to
//! close.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long the server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The user of every database, who owns it and may do no more.
pub const USER: &str = "jotgate";
/// What is needed in a URL of a password: it does not look like one of these by accident.
pub const PASSWORD: &str = "canary-4XK9 @:/?";
/// The same, percent-encoded.
pub const PASSWORD_IN_URL: &str = "canary-4XK9%20%40%3A%2F%3F";

/// Ends `server` when standard input closes, and takes its folder away.
const GUARD: &str = r#"folder=$1; shift; "$@" </dev/null >>"$folder/log" 2>&1 & server=$!
read -r _; kill -QUIT $server 2>/dev/null; wait $server; rm -rf "$folder""#;

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    binaries: PathBuf,
    guard: Mutex<Child>,
}

/// A database of a cluster, empty at first.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: String,
    cluster: &'static Cluster,
}

/// The server of this process; started by whoever asks first. What it acknowledges does not survive a failing
/// machine.
#[must_use]
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&["fsync=off", "full_page_writes=off"]))
}

/// A new database of it.
#[must_use]
pub fn database() -> Database {
    cluster().database()
}

impl Cluster {
    /// Starts another server, with these settings besides.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, &[])
    }

    /// The same with files in its folder, which is the one above that of its data.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    pub fn start_with(settings: &[&str], files: &[(&str, String)]) -> Self {
        let binaries = binaries();
        let folder = tempfile::Builder::new().prefix("jotgate-postgres-").tempdir().unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let user = Account::find();
        user.own(&folder);
        for (name, content) in files {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            user.own(&path);
        }
        let password = folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        user.own(&password);
        let data = folder.join("data");
        let made = user
            .command(&binaries.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", password.display()))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let cluster = Self::run(&user, binaries, folder, settings);
        cluster.sql("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"));
        cluster
    }

    /// Starts a standby that follows this server, and has this server answer a commit only when the standby has it too.
    ///
    /// # Panics
    /// Where it cannot be made, or does not follow.
    #[must_use]
    pub fn start_standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("jotgate-postgres-").tempdir().unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let user = Account::find();
        user.own(&folder);
        let made = user
            .command(&self.binaries.join("pg_basebackup"))
            .arg("--pgdata")
            .arg(folder.join("data"))
            .arg("--host")
            .arg(&self.folder)
            .args(["--port", &self.port.to_string(), "--username=postgres", "--write-recovery-conf"])
            .args(["--checkpoint=fast", "--no-sync"])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        let standby = Self::run(&user, self.binaries.clone(), folder, &["fsync=off"]);
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let begun = Instant::now();
        while self.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(begun.elapsed() < START_LIMIT, "the standby does not follow: {}", standby.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        standby
    }

    /// Makes a standby the server that takes writes.
    ///
    /// # Panics
    /// Where it does not become one.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote()"), "t", "{}", self.log());
    }

    fn run(user: &Account, binaries: PathBuf, folder: PathBuf, settings: &[&str]) -> Self {
        // Somebody else may take the port between here and there.
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let mut server = user.command(&binaries.join("postgres"));
            server.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder).args(["-p", &port.to_string()]);
            server.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]);
            server.args(["-c", "shared_buffers=64MB", "-c", "unix_socket_permissions=0777"]);
            for setting in settings {
                server.args(["-c", setting]);
            }
            let guard = Command::new("sh")
                .args(["-c", GUARD, "sh"])
                .arg(&folder)
                .arg(server.get_program())
                .args(server.get_args())
                .current_dir(&folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let cluster =
                Self { folder: folder.clone(), port, binaries: binaries.clone(), guard: Mutex::new(guard) };
            let begun = Instant::now();
            while begun.elapsed() < START_LIMIT {
                if cluster.try_sql("postgres", "SELECT 1").is_ok() {
                    return cluster;
                }
                if cluster.log().contains("could not bind") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(cluster.log().contains("could not bind"), "PostgreSQL does not start: {}", cluster.log());
            fs::write(folder.join("log"), "").unwrap();
        }
        panic!("no free port for PostgreSQL");
    }

    /// One of the programs that come with the server, such as `pgbench`.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// What the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A new database, owned by [`USER`].
    ///
    /// # Panics
    /// Where the server does not make it.
    #[must_use]
    pub fn database(&'static self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {USER}"));
        Database { name, cluster: self }
    }

    /// Runs SQL as the superuser; the answer without ornament, a row a line.
    ///
    /// # Panics
    /// Where it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database])
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-c", sql])
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Cluster {
    /// Ends it at once, as a failing machine would, and takes its folder away.
    pub fn stop(&self) {
        let mut guard = self.guard.lock().unwrap();
        drop(guard.stdin.take());
        let _ = guard.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Database {
    /// Over TCP, with a password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.cluster.port)
    }

    /// The same through what listens on another loopback port.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{port}/{}", self.name)
    }

    /// Runs SQL in it as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// Everything in it as SQL that any later version loads, the same for the same content.
    ///
    /// # Panics
    /// Where it cannot be dumped.
    #[must_use]
    pub fn dump(&self) -> String {
        let output = Command::new(self.cluster.binaries.join("pg_dump"))
            .args(["--no-owner", "--no-privileges", "-U", "postgres", "-d", &self.name])
            .arg("-h")
            .arg(&self.cluster.folder)
            .args(["-p", &self.cluster.port.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Versions of the tools, settings that older servers do not know, and lines for `psql` only.
        let settings = ["--", "\\restrict", "\\unrestrict", "SET transaction_timeout"];
        let kept = text.lines().filter(|line| !settings.iter().any(|start| line.starts_with(start)));
        let mut lines: Vec<&str> = kept.collect();
        lines.dedup_by(|one, before| one.is_empty() && before.is_empty());
        lines.join("\n").trim().to_owned() + "\n"
    }

    /// Loads a dump into it, as the user who is to own what is in it.
    ///
    /// # Panics
    /// Where that fails.
    pub fn load(&self, dump: &Path) {
        let output = Command::new(self.cluster.binaries.join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &format!("SET ROLE {USER}"), "-f"])
            .arg(dump)
            .args(["-U", "postgres", "-d", &self.name, "-h"])
            .arg(&self.cluster.folder)
            .args(["-p", &self.cluster.port.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[must_use]
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// A session of the superuser that lasts: what is written to it is run.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn psql(&self) -> Psql {
        let child = Command::new(self.cluster.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", &self.name])
            .arg("-h")
            .arg(&self.cluster.folder)
            .args(["-p", &self.cluster.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Psql(child)
    }
}

/// A session that lasts.
#[derive(Debug)]
pub struct Psql(Child);

impl Psql {
    /// Runs it, and waits until it is done.
    ///
    /// # Panics
    /// Where the session has ended.
    pub fn run(&mut self, sql: &str) {
        use std::io::Read as _;
        let input = self.0.stdin.as_mut().unwrap();
        writeln!(input, "{sql};\n\\echo :done:").unwrap();
        input.flush().unwrap();
        let output = self.0.stdout.as_mut().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b":done:\n") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).unwrap(), 1, "psql ended: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who runs the server, which refuses to be run by root.
struct Account {
    /// User and group, where it is not this process's own.
    other: Option<(u32, u32)>,
}

impl Account {
    fn find() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self { other: None };
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let ids = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let other = ids("postgres").or_else(|| ids("nobody"));
        assert!(other.is_some(), "no user to run PostgreSQL as");
        Self { other }
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.other {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn command(&self, program: &Path) -> Command {
        let Some((user, group)) = self.other else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups", "--"]);
        command.arg(program);
        command
    }
}

/// The folder of the newest PostgreSQL, where Debian puts it or on the path.
///
/// # Panics
/// Where there is none: a test that needs it must not pass without.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.pop().map(|(_, folder)| folder).or_else(on_path).unwrap_or_else(|| {
        panic!("PostgreSQL is not installed: run `cargo xtask test`, or install the package `postgresql`")
    })
}

/// PgBouncer in transaction mode before the server of this process.
#[derive(Debug)]
pub struct Bouncer {
    port: u16,
}

impl Bouncer {
    /// Its port; each database behind it has its own name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The pooler of this process, over [`cluster`]; started by whoever asks first. It knows no statements prepared under
/// names, and has few connections to the server, so that clients share them.
///
/// # Panics
/// Where it is not installed, or does not start.
pub fn bouncer() -> &'static Bouncer {
    static BOUNCER: OnceLock<Bouncer> = OnceLock::new();
    BOUNCER.get_or_init(|| {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let program = program.into_iter().find(|path| path.exists()).unwrap_or_else(|| {
            panic!("PgBouncer is not installed: run `cargo xtask test`, or install the package `pgbouncer`")
        });
        let cluster = cluster();
        let user = Account::find();
        let users = cluster.folder.join("userlist.txt");
        let config = cluster.folder.join("pgbouncer.ini");
        let log = cluster.folder.join("pgbouncer.log");
        fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).unwrap();
        user.own(&users);
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let text = format!(
                "[databases]\n* = host={folder} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n\
                 pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 2000\nlogfile = {log}\n",
                folder = cluster.folder.display(),
                server = cluster.port,
                users = users.display(),
                log = log.display(),
            );
            fs::write(&config, text).unwrap();
            user.own(&config);
            let command = user.command(program);
            // Ends with the server's folder: its guard waits for the same process.
            let child = Command::new("sh")
                .args(["-c", "\"$@\" </dev/null >/dev/null 2>&1 & it=$!; read -r _; kill -KILL $it", "sh"])
                .arg(command.get_program())
                .args(command.get_args())
                .arg(&config)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let begun = Instant::now();
            while begun.elapsed() < START_LIMIT {
                if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    // Its pipe stays open as long as this process lives.
                    std::mem::forget(child);
                    return Bouncer { port };
                }
                let said = fs::read_to_string(&log).unwrap_or_default();
                if said.contains("Address already in use") || said.contains("FATAL") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("in use"), "PgBouncer does not start: {said}");
            fs::write(&log, "").unwrap();
            drop(child);
        }
        panic!("no free port for PgBouncer");
    })
}
