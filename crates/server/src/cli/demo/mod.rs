//! `jotgate demo`: the eight steps on a server that is thrown away, with real requests to it.

mod client;
mod excerpt;
mod narrator;
mod tour;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::error::{Failure, failed};
use crate::app::Operator;
use crate::config::Config;
use crate::edge::Edge;
use crate::serve::{self, Lifecycle};
use crate::server::Server;
use client::Client;
use narrator::Narrator;

/// So short that the tour can wait for a token to expire.
const ACCESS_TTL: Duration = Duration::from_secs(5);
/// So short that the tour can wait until a repeated refresh is no race any more.
const GRACE: Duration = Duration::from_secs(1);

/// Walk through the eight steps of authentication on a server that is thrown away
///
/// Starts a server on a free port of 127.0.0.1 with a data directory of its own, sends it real requests, and prints
/// each with its answer, the cookies and the decoded token. Nothing of an existing installation is read or
/// written. Takes about ten seconds, most of them waiting for a token to expire. Exit code 0 only if every step
/// held.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate demo
  jotgate demo --json | jq .held")]
pub(super) struct Demo {
    /// Print JSON: every step with what was checked, and whether all held
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Readable by its owner only; removed when it goes out of scope, whatever happens.
        let dir = tempfile::Builder::new().prefix("jotgate-demo-").tempdir();
        let dir = dir.map_err(|error| failed(format!("cannot make a temporary directory: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
        let (running, operator, origin) = runtime.block_on(start(config(dir.path())))?;

        let mut narrator = Narrator::new(self.json);
        let ended = tour::walk(&runtime, &operator, &Client::new(origin), &mut narrator);
        running.stop(runtime);
        narrator.finish(ended)
    }
}

fn config(data_dir: &Path) -> Config {
    let mut config = Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: data_dir.to_owned(),
        ..Config::default()
    };
    config.policy.access_ttl = ACCESS_TTL;
    config.policy.grace = GRACE;
    config.policy.permissions = [
        ("editor".to_owned(), vec!["articles:write".to_owned()]),
        ("reviewer".to_owned(), vec!["articles:approve".to_owned()]),
    ]
    .into();
    config
}

/// A server that listens already.
struct Running {
    lifecycle: Lifecycle,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn stop(self, runtime: Runtime) {
        self.lifecycle.stop();
        let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(2), self.task).await });
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// Starts the server as `jotgate serve` does; the operator works on the same database.
async fn start(config: Config) -> Result<(Running, Operator, String), Failure> {
    let listeners = serve::bind(&config).await.map_err(failed)?;
    let origin = listeners.public_url.clone();
    let server = Server::open(config.clone(), origin.clone()).await.map_err(failed)?;
    let store = Arc::clone(&server.app().store);
    let operator = Operator::with_store(
        Config { public_url: Some(origin.clone()), ..config.clone() },
        Edge::system(),
        store,
    );
    let lifecycle = Lifecycle::new();
    let (main, ops) = server.standalone(lifecycle.clone());
    let task = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move {
            // Ends with the lifecycle; what goes wrong before shows in the first request.
            let _ = serve::run(&config, listeners, main, ops, lifecycle).await;
        }
    });
    Ok((Running { lifecycle, task }, operator, origin.to_string()))
}
