//! nginx with TLS before a server and the applications of a test, as an installation has it.

use crate::program::{on_path, wait_for_port};
use crate::tls::certificate;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running nginx; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
}

impl Proxy {
    /// A free port and a certificate for `names`; nothing listens yet, so that a server can be told its address. None
    /// where nginx is missing.
    #[must_use]
    pub fn reserve(names: &[&'static str]) -> Option<Self> {
        nginx()?;
        let folder = tempfile::Builder::new().prefix("jotgate-e2e-proxy-").tempdir().unwrap();
        let _ = certificate(folder.path(), names);
        Some(Self { child: None, folder, port: free_port() })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The one that browsers are to trust (PEM).
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// Starts it with these `server { … }` blocks; `PORT` in them is [`Self::port`].
    pub fn start(&mut self, servers: &str) {
        let folder = self.folder.path();
        let at = |name: &str| folder.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {};\n", at(kind)))
            .concat();
        let config = format!(
            "daemon off; pid {pid}; error_log {log} warn; worker_processes 1;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n{temporary}  ssl_certificate {crt};\n  ssl_certificate_key {key};\n  \
             large_client_header_buffers 16 64k;\n  proxy_http_version 1.1;\n{servers}\n}}\n",
            pid = at("pid"),
            log = at("error.log"),
            crt = at("tls.crt"),
            key = at("tls.key"),
            servers = servers.replace("PORT", &self.port.to_string()),
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(nginx().expect("it was there"));
        command.arg("-p").arg(folder).arg("-c").arg(&path).stdin(Stdio::null());
        self.child = Some(command.spawn().expect("nginx runs"));
        assert!(wait_for_port(self.port), "nginx does not listen: {}", log_of(folder));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            // Asked to end, it takes its workers along.
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
}

fn nginx() -> Option<PathBuf> {
    on_path("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.is_file()))
}

/// A port that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
