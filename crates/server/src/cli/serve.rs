//! `jotgate serve`.

use clap::Args;

use super::error::{Failure, failed};
use super::settings::AllSettings;
use crate::config::Config;
use crate::edge::Edge;
use crate::serve::{self, Lifecycle};
use crate::server::Server;
use crate::{log, otel, outbound, store};

/// Run the server
///
/// With no configuration at all it listens on http://127.0.0.1:8080 and makes its database and keys in
/// ./jotgate-data. The first line on standard output is `listening on URL`; logs go to standard error. SIGTERM and
/// Ctrl-C finish what is in flight and end it.
///
/// Every setting can be given as a flag, in the environment or in jotgate.toml; flags win. `jotgate config check`
/// says what is wrong, `jotgate config show` what holds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate serve
  jotgate serve --listen 127.0.0.1:0 --data-dir /tmp/try
  jotgate serve --public-url https://auth.example.com --trusted-proxies 10.0.0.7
  JOTGATE_TLS_CERT=fullchain.pem JOTGATE_TLS_KEY=key.pem jotgate serve --listen 0.0.0.0:443 \\
    --public-url https://auth.example.com")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: AllSettings,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = self.settings.0.load()?;
        // Kept until the end: what is logged last is written when it goes.
        let _log = log::init(&loaded.config.log, Edge::system()).map_err(failed)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        // Until the end as well: what waits is sent when it goes.
        let _traces = otel::start(outbound::Client::new);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(until_stopped(loaded.config))
    }
}

async fn until_stopped(config: Config) -> Result<(), Failure> {
    let _lock = store::lock_data_dir(&config.data_dir).map_err(failed)?;
    let listeners = serve::bind(&config).await.map_err(failed)?;
    let server = Server::open(config.clone(), listeners.public_url.clone()).await.map_err(failed)?;
    let lifecycle = Lifecycle::new();
    let (main, ops) = server.standalone(lifecycle.clone());
    serve::announce(&listeners);
    serve::run(&config, listeners, main, ops, lifecycle).await.map_err(failed)
}
