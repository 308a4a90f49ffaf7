//! What stands behind and beside a proxy: Jotgate, an application, names and certificates.

use super::backend::Backend;
use e2e::{Client, Server, Trust};
use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;

pub(super) const PASSWORD: &str = "four unrelated words here";

const RULES: &str = r#"
[rules.app]
host = ["app.example.com"]

[rules.public]
host = ["app.example.com"]
path = ["/public"]
access = "public"

[rules.admin]
host = ["app.example.com"]
path = ["/admin"]
role = "admin"

[rules.api]
host = ["app.example.com"]
path = ["/api"]
methods = ["GET"]
access = "public"

[rules.money]
host = ["app.example.com"]
path = ["/money"]
max_age = "10s"
"#;

pub(super) struct World {
    pub(super) server: Server,
    pub(super) backend: Backend,
    pub(super) folder: TempDir,
    pub(super) trust: Trust,
    /// Where the proxy listens.
    pub(super) port: u16,
    /// Stands where the proxy takes Jotgate to be, and shows what that would be sent.
    instead: Option<Backend>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(&[("JOTGATE_COOKIE_DOMAIN", ".example.com".to_owned())], free_port())
    }

    /// The application is on a root domain of its own.
    pub(super) fn apart() -> Self {
        let port = free_port();
        Self::with(&[("JOTGATE_SSO_ORIGINS", format!("https://app.example.com:{port}"))], port)
    }

    /// What the proxy sends to Jotgate comes back.
    pub(super) fn mirrored() -> Self {
        Self { instead: Some(Backend::start()), ..Self::new() }
    }

    fn with(environment: &[(&str, String)], port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("jotgate-proxy-").tempdir().unwrap();
        let trust = e2e::certificate(folder.path(), &["app.example.com", "auth.example.com"]);
        let options = Server::with()
            .env("JOTGATE_PUBLIC_URL", &format!("https://auth.example.com:{port}"))
            .env("JOTGATE_TRUSTED_PROXIES", "127.0.0.1")
            .config(RULES);
        let server =
            environment.iter().fold(options, |options, (name, value)| options.env(name, value)).start();
        for (name, role) in [("ada", "staff"), ("grace", "admin")] {
            let add = ["user", "add", name, "--role", role, "--password-stdin"];
            let added = server.command_with_input(add, PASSWORD);
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        Self { server, backend: Backend::start(), folder, trust, port, instead: None }
    }

    pub(super) fn jotgate(&self) -> &str {
        let server = || self.server.url().split_once("://").unwrap().1;
        self.instead.as_ref().map_or_else(server, |instead| &instead.address)
    }

    /// Somebody at the proxy, who calls it by this name.
    pub(super) fn client(&self, host: &str) -> Client {
        let address = format!("127.0.0.1:{}", self.port);
        self.server.client().through(&address, &format!("{host}:{}", self.port), Some(self.trust.clone()))
    }

    /// A shipped file, with the addresses and paths of this world in place of those of the example. What is to be
    /// replaced has to be there.
    pub(super) fn shipped(&self, file: &str, replace: &[(&str, &str)]) -> String {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/proxies").join(file);
        let mut text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (shown, here) in replace {
            assert!(text.contains(shown), "{file} has no {shown}");
            text = text.replace(shown, here);
        }
        text
    }

    pub(super) fn write(&self, file: &str, text: &str) -> String {
        let path = self.path(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_str().unwrap().to_owned()
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
