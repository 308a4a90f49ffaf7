//! Serving: sockets, TLS, HTTP/1.1 and HTTP/2, limits on all of them, and an orderly end.
//!
//! [`bind`] comes first, so that the issuer is known before anything is built from it; [`run`] serves a router
//! until the process is told to stop.

mod framing;
mod keeper;
mod lifecycle;
mod service;
mod tls;
mod wire;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

pub use lifecycle::{Lifecycle, Phase};
pub use tls::TlsError;

use crate::config::{Config, Ops, Origin};
use keeper::{Keeper, Kept, Order};
use service::Requests;
use tls::Tls;
use wire::Wire;

/// How long requests in flight may take to finish when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(25);

/// What the parsers read of a head. More than a request may have ([`crate::http::FrontLayer`] answers beyond
/// 32 KiB), so that a browser with too many cookies gets an answer and a way out.
const HEAD_CAP: u32 = 128 * 1024;

/// Sockets that are open but not served yet.
#[derive(Debug)]
pub struct Listeners {
    main: TcpListener,
    ops: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
    /// `public_url`, or made of the address that was bound.
    pub public_url: Origin,
    /// Where the server can be reached on this machine: scheme and address that was bound.
    pub local_url: Origin,
    /// The same of the listener for operations, if it is one of its own.
    pub ops_url: Option<Origin>,
}

/// Why the server cannot listen; says which key is at fault and what to do.
#[derive(Debug)]
pub enum BindError {
    Address { key: &'static str, address: SocketAddr, error: io::Error },
    Tls(TlsError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { key, address, error } => {
                let port = address.port();
                write!(f, "{key} = \"{address}\": ")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => write!(
                        f,
                        "another program listens there; stop it, or set {key} to another port (0 picks a free one)"
                    ),
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "ports below 1024 need a privilege; set {key} to a port above, not {port}")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "this machine has no such address; 127.0.0.1 and 0.0.0.0 always exist")
                    }
                    _ => write!(f, "{error}"),
                }
            }
            Self::Tls(error) => write!(f, "tls.cert, tls.key: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Whether the certificate and its key can be used together.
///
/// # Errors
/// [`TlsError`]; it names the file.
pub fn check_tls(config: &crate::config::Tls) -> Result<(), TlsError> {
    Tls::load(config).map(drop)
}

/// Opens the sockets and reads the certificate.
///
/// # Errors
/// [`BindError`].
pub async fn bind(config: &Config) -> Result<Listeners, BindError> {
    raise_file_limit();
    let tls = config.tls.as_ref().map(Tls::load).transpose().map_err(BindError::Tls)?.map(Arc::new);
    let main = open("listen", config.listen)?;
    let ops = match config.ops {
        Ops::Own(address) => Some(open("ops.listen", address)?),
        Ops::Auto | Ops::Main => None,
    };
    let url = |listener: &TcpListener, asked: SocketAddr, https| {
        Origin::of_listener(listener.local_addr().unwrap_or(asked), https)
    };
    let local_url = url(&main, config.listen, tls.is_some());
    let ops_url = match (config.ops, &ops) {
        (Ops::Own(asked), Some(listener)) => Some(url(listener, asked, false)),
        _ => None,
    };
    let public_url = config.public_url.clone().unwrap_or_else(|| local_url.clone());
    Ok(Listeners { main, ops, tls, public_url, local_url, ops_url })
}

fn open(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(4096)
    };
    listen().map_err(|error| BindError::Address { key, address, error })
}

/// A connection is a file: takes as many as the system lets this process have.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it cannot be raised, fewer connections are accepted.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// A limit on the size of files is an error of the write that meets it, as a full disk is; by default the system would
/// end the process.
fn survive_file_limit() {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Once there is a handler, it stays.
    if let Err(error) = signal(kind) {
        tracing::warn!(%error, "the signal of the file size limit cannot be handled");
    }
}

/// How many connections fit, with room left for the database, logs and the like.
fn most_connections() -> usize {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(64) / 10 * 9).unwrap_or(usize::MAX).clamp(64, keeper::MOST)
}

/// Serves until `lifecycle` says to stop, or a signal does; then finishes what is in flight, for at most 25
/// seconds.
///
/// `ops` is served on the listener of its own, where there is one.
///
/// # Errors
/// Where the process cannot follow signals.
pub async fn run(
    config: &Config,
    listeners: Listeners,
    router: Router,
    ops: Option<Router>,
    lifecycle: Lifecycle,
) -> io::Result<()> {
    survive_file_limit();
    let keeper = Keeper::new(most_connections(), config.trusted_proxies.clone());
    let mut jobs = tokio::task::JoinSet::new();
    jobs.spawn(Arc::clone(&keeper).keep());
    jobs.spawn({
        let lifecycle = lifecycle.clone();
        async move {
            if let Err(error) = lifecycle.follow_signals().await {
                tracing::error!(%error, "signals cannot be followed");
            }
        }
    });
    let door = |router, tls: Option<Arc<Tls>>| {
        Arc::new(Door {
            router,
            tls,
            public_url: listeners.public_url.clone(),
            keeper: Arc::clone(&keeper),
            lifecycle: lifecycle.clone(),
            protocol: protocol(),
        })
    };
    if let Some(tls) = &listeners.tls {
        jobs.spawn(Arc::clone(tls).follow());
    }
    let main = accept(listeners.main, door(router, listeners.tls.clone()));
    match (listeners.ops, ops) {
        (Some(listener), Some(ops)) => {
            tokio::join!(main, accept(listener, door(ops, None)));
        }
        _ => main.await,
    }
    // Both have stopped accepting, and their sockets are closed.
    keeper.tell_all(Order::Leave);
    tracing::info!(connections = keeper.count(), "stopping");
    tokio::select! {
        () = keeper.empty() => {}
        () = tokio::time::sleep(LAST_ANSWERS) => {
            tracing::warn!(connections = keeper.count(), "stopped without finishing everything");
        }
        () = lifecycle.reached(Phase::Aborting) => {}
    }
    keeper.tell_all(Order::Drop);
    Ok(())
}

/// Says on standard output where the server listens; the first line is `listening on URL`.
pub fn announce(listeners: &Listeners) {
    let mut out = io::stdout().lock();
    // Nobody need be listening to it.
    let _ = writeln!(out, "listening on {}", listeners.local_url);
    if let Some(ops) = &listeners.ops_url {
        let _ = writeln!(out, "operations on {ops}");
    }
    let _ = out.flush();
}

/// What the connections of one listener have in common.
#[derive(Debug)]
struct Door {
    router: Router,
    tls: Option<Arc<Tls>>,
    public_url: Origin,
    keeper: Arc<Keeper>,
    lifecycle: Lifecycle,
    protocol: Builder<TokioExecutor>,
}

/// HTTP/1.1 and HTTP/2, whichever the client speaks first. Their time limits are the keeper's.
fn protocol() -> Builder<TokioExecutor> {
    let mut protocol = Builder::new(TokioExecutor::new());
    protocol.http1().max_buf_size(HEAD_CAP as usize);
    // h2 bounds rapid reset (CVE-2023-44487), CONTINUATION and empty frames itself.
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(HEAD_CAP)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    protocol
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = door.lifecycle.reached(Phase::Stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A full house: closed without a word, as the system does when its own queue is full.
                let Some(kept) = door.keeper.admit(peer.ip()) else { continue };
                let door = Arc::clone(&door);
                tokio::spawn(async move {
                    let _forget = Forget(Arc::clone(&kept));
                    tokio::select! {
                        biased;
                        () = door.serve(stream, peer, &kept) => {}
                        _ = kept.told(Order::Leave) => {}
                    }
                });
            }
            // Of the connection, which is gone before it was taken.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Forget(Arc<Kept>);

impl Drop for Forget {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl Door {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, kept: &Arc<Kept>) {
        // An answer must not wait for the acknowledgement of its first half.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.speak(stream, peer, kept).await };
        let mut first = [0];
        match stream.peek(&mut first).await {
            // The first byte of a TLS handshake is 22; a method begins with a letter.
            Ok(1) if first.iter().all(u8::is_ascii_uppercase) => self.speak_plain(stream, kept).await,
            Ok(1) => match tls.acceptor().accept(stream).await {
                Ok(stream) => self.speak(stream, peer, kept).await,
                Err(error) => {
                    tracing::debug!(target: "jotgate::tls", address = %peer.ip(), %error, "no handshake")
                }
            },
            _ => {}
        }
    }

    async fn speak<S>(&self, stream: S, peer: SocketAddr, kept: &Arc<Kept>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let requests = Requests {
            router: self.router.clone(),
            peer,
            kept: Arc::clone(kept),
            lifecycle: self.lifecycle.clone(),
        };
        let io = TokioIo::new(Wire::new(stream, Arc::clone(kept)));
        let mut connection = pin!(self.protocol.serve_connection(io, requests));
        tokio::select! {
            biased;
            // What ends a connection early is the client's doing, and nothing to write down.
            _ = connection.as_mut() => return,
            _ = kept.told(Order::Stay) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    async fn speak_plain(&self, stream: TcpStream, kept: &Arc<Kept>) {
        let io = TokioIo::new(Wire::new(stream, Arc::clone(kept)));
        let answer = hyper::service::service_fn(|request| {
            let answer = service::answer_plain(&self.public_url, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .max_buf_size(HEAD_CAP as usize)
            .serve_connection(io, answer)
            .await;
    }
}
