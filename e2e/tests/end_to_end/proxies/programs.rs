//! The proxies, each started with the files that are shipped for it.

use super::world::{World, free_port};
use rustix::process::{Pid, Signal, kill_process_group};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A proxy that can be started here, or why it cannot.
pub(super) struct Program {
    pub(super) name: &'static str,
    binary: fn() -> Option<PathBuf>,
    missing: &'static str,
    command: fn(&World, &Path) -> Command,
}

pub(super) const ALL: [Program; 5] = [
    Program { name: "nginx", binary: || installed("nginx"), missing: "install nginx", command: nginx },
    Program { name: "Caddy 2.6", binary: || installed("caddy"), missing: "install caddy", command: caddy },
    Program { name: "Caddy", binary: || built("caddy"), missing: BUILD, command: caddy },
    Program {
        name: "HAProxy",
        binary: || installed("haproxy"),
        missing: "install haproxy",
        command: haproxy,
    },
    Program { name: "Traefik", binary: || built("traefik"), missing: BUILD, command: traefik },
];

const BUILD: &str = "`cargo xtask test --only e2e` builds it where Go is";

/// A running proxy; ends with this value.
pub(super) struct Running {
    child: Child,
    log: String,
}

impl Program {
    /// # Errors
    /// What is missing.
    pub(super) fn start(&self, world: &World) -> Result<Running, String> {
        let binary = (self.binary)().ok_or(self.missing)?;
        let log = world.path("proxy.log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = (self.command)(world, &binary);
        command.current_dir(world.folder.path()).process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut running = Running { child: command.spawn().expect("the proxy runs"), log };
        let begin = Instant::now();
        // Some listen before they know their certificate and what to do: until the login page is there.
        let ready = || {
            TcpStream::connect(("127.0.0.1", world.port)).is_ok()
                && world
                    .client("auth.example.com")
                    .get("/login")
                    .without_cookies()
                    .try_send()
                    .is_ok_and(|answer| answer.status == 200)
        };
        while !ready() {
            let ended = running.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begin.elapsed() < Duration::from_secs(30),
                "{}: {}",
                self.name,
                running.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }
}

impl Running {
    /// What it wrote so far.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// By PATH, and where Debian has servers.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// By `cargo xtask test`, of the module in `e2e/proxies`.
fn built(program: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Some(root.join("target/e2e/proxies").join(program)).filter(|file| file.is_file())
}

fn nginx(world: &World, binary: &Path) -> Command {
    let jotgate = [("127.0.0.1:8080", world.jotgate())];
    let include = world.write("jotgate.nginx", &world.shipped("jotgate.nginx", &jotgate));
    let app = world.shipped(
        "nginx.conf",
        &[
            ("127.0.0.1:8080", world.jotgate()),
            ("127.0.0.1:3000", &world.backend.address),
            ("listen 443 ssl", &format!("listen 127.0.0.1:{} ssl", world.port)),
            ("/etc/ssl/example.com.pem", &world.path("tls.crt")),
            ("/etc/ssl/example.com.key", &world.path("tls.key")),
            ("/etc/nginx/jotgate.nginx", &include),
        ],
    );
    let app = world.write("app.conf", &app);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};\n", world.path(name)))
        .concat();
    let main = format!(
        "daemon off; worker_processes 1; error_log stderr; pid {};\nevents {{}}\n\
         http {{ access_log off;\n{temporary}include {app}; }}\n",
        world.path("nginx.pid")
    );
    let mut command = Command::new(binary);
    command.args(["-e", "stderr", "-c", &world.write("nginx.conf", &main)]);
    command
}

fn caddy(world: &World, binary: &Path) -> Command {
    let tls = format!("{{\n\ttls {} {}\n", world.path("tls.crt"), world.path("tls.key"));
    let sites = world.shipped(
        "Caddyfile",
        &[
            ("127.0.0.1:8080", world.jotgate()),
            ("127.0.0.1:3000", &world.backend.address),
            ("auth.example.com {\n", &format!("auth.example.com {tls}")),
            ("app.example.com {\n", &format!("app.example.com {tls}")),
        ],
    );
    let options = format!(
        "{{\n\tadmin off\n\thttps_port {}\n\thttp_port {}\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}}\n",
        world.port,
        free_port()
    );
    let file = world.write("Caddyfile", &format!("{options}{sites}"));
    let mut command = Command::new(binary);
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    command.env("HOME", world.folder.path()).env("XDG_DATA_HOME", world.folder.path());
    command.env("XDG_CONFIG_HOME", world.folder.path());
    command
}

fn haproxy(world: &World, binary: &Path) -> Command {
    let lua = world.shipped("jotgate.lua", &[("127.0.0.1:8080", world.jotgate())]);
    let lua = world.write("jotgate.lua", &lua);
    let text = world.shipped(
        "haproxy.cfg",
        &[
            ("127.0.0.1:8080", world.jotgate()),
            ("127.0.0.1:3000", &world.backend.address),
            ("bind :443", &format!("bind 127.0.0.1:{}", world.port)),
            ("/etc/ssl/example.com.pem", &world.path("tls.pem")),
            ("/etc/haproxy/jotgate.lua", &lua),
        ],
    );
    let mut command = Command::new(binary);
    command.args(["-db", "-f", &world.write("haproxy.cfg", &text)]);
    command
}

fn traefik(world: &World, binary: &Path) -> Command {
    let inner = format!("127.0.0.1:{}", free_port());
    let dynamic = world.shipped(
        "traefik-dynamic.yml",
        &[
            ("127.0.0.1:8080", world.jotgate()),
            ("127.0.0.1:3000", &world.backend.address),
            ("127.0.0.1:8079", &inner),
            ("/etc/ssl/example.com.pem", &world.path("tls.crt")),
            ("/etc/ssl/example.com.key", &world.path("tls.key")),
        ],
    );
    let dynamic = world.write("traefik-dynamic.yml", &dynamic);
    let text = world.shipped(
        "traefik.yml",
        &[
            ("address: \":443\"", &format!("address: \"127.0.0.1:{}\"", world.port)),
            ("127.0.0.1:8079", &inner),
            ("/etc/traefik/traefik-dynamic.yml", &dynamic),
        ],
    );
    let text = format!("{text}\nglobal:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n");
    let mut command = Command::new(binary);
    command.arg(format!("--configFile={}", world.write("traefik.yml", &text)));
    command
}
