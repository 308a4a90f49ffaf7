//! One connection: reached, protected, and known for what it is.
//!
//! The socket is opened here rather than by tokio-postgres, for two things that it does not know: certificate
//! checks by rustls, and whether a pooler stands between. A pooler in transaction mode may run each transaction on
//! another server connection, so a statement prepared under a name can be missing there, or, worse, be another
//! program's under the same name. It gives itself away: the process that it announces is not the one that answers.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls};
use tokio_rustls::TlsConnector;

use super::error::Problem;
use crate::config::{PostgresHost, PostgresTls, PostgresUrl};

/// To reach one host and be let in.
const CONNECT: Duration = Duration::from_secs(3);
/// The server gives up a statement after this, even where nobody is left to hear of it.
const SESSION_OPTIONS: &str =
    // Longer than the deadline of an operation: a timeout that ends a commit's wait for its synchronous standby makes
    // PostgreSQL call it done, and nobody must be there to believe it.
    "-c statement_timeout=7000 -c idle_in_transaction_session_timeout=10000 -c jit=off";
/// The oldest server that this program works with.
const OLDEST: u32 = 140_000;

/// Opens connections.
pub(super) struct Connector {
    url: PostgresUrl,
    tls: Option<TlsConnector>,
    /// The host that let us in last; tried first.
    last: AtomicU64,
    /// A pooler refused the options once; it would again.
    without_options: AtomicBool,
}

/// A connection that is open, its messages not yet read.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) connection: Connection<Tap, NoTlsStream>,
    pub(super) announced: Arc<AtomicU64>,
}

/// What the server says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    /// Another process answers than was announced.
    pub(super) pooled: bool,
}

impl Connector {
    /// # Errors
    /// [`Problem::Tls`] where the roots cannot be read.
    pub(super) fn new(url: PostgresUrl) -> Result<Self, Problem> {
        let tls = tls_config(&url.tls)?.map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self { url, tls, last: AtomicU64::new(0), without_options: AtomicBool::new(false) })
    }

    pub(super) fn url(&self) -> &PostgresUrl {
        &self.url
    }

    /// A connection to the first host that takes writes, beginning with the one that did last.
    ///
    /// # Errors
    /// [`Problem`], of the last host tried.
    pub(super) async fn open(&self) -> Result<(Client, tokio::task::JoinHandle<()>, About), Problem> {
        self.open_with(|connection| async move {
            // What goes wrong shows at whoever waits for an answer.
            let _ = connection.await;
        })
        .await
    }

    /// The same; `drive` reads its messages until it ends.
    pub(super) async fn open_with<F>(
        &self,
        drive: impl Fn(Connection<Tap, NoTlsStream>) -> F,
    ) -> Result<(Client, tokio::task::JoinHandle<()>, About), Problem>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hosts = self.url.hosts();
        let first = usize::try_from(self.last.load(Ordering::Relaxed)).unwrap_or(0);
        let limit = self.url.connect_timeout().map_or(CONNECT, |limit| limit.min(CONNECT));
        let mut problem = Problem::Unreachable("no host".to_owned());
        for step in 0..hosts.len() {
            let number = first.wrapping_add(step) % hosts.len();
            let Some(host) = hosts.get(number) else { continue };
            let attempt = async {
                let opened = match self.open_at(host).await {
                    Err(Problem::NoOptions) => {
                        self.without_options.store(true, Ordering::Relaxed);
                        self.open_at(host).await?
                    }
                    opened => opened?,
                };
                let Opened { client, connection, announced } = opened;
                let driver = Driver(Some(tokio::spawn(drive(connection))));
                let about = look(&client, announced.load(Ordering::Acquire)).await?;
                Ok((client, driver.keep(), about))
            };
            match timeout(limit, attempt).await {
                Ok(Ok((client, Some(driver), about))) => {
                    self.last.store(u64::try_from(number).unwrap_or(0), Ordering::Relaxed);
                    return Ok((client, driver, about));
                }
                Ok(Ok((_, None, _))) => {}
                Ok(Err(found)) => problem = found,
                Err(_) => problem = Problem::Unreachable(format!("{host} did not answer in {limit:?}")),
            }
        }
        Err(problem)
    }

    async fn open_at(&self, host: &PostgresHost) -> Result<Opened, Problem> {
        let unreachable = |error: io::Error| Problem::Unreachable(format!("{host}: {error}"));
        let stream: Box<dyn Stream> = match host {
            PostgresHost::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
            PostgresHost::Tcp(name, port) => {
                let tcp = TcpStream::connect((name.as_str(), *port)).await.map_err(unreachable)?;
                prepare(&tcp).map_err(unreachable)?;
                match &self.tls {
                    None => Box::new(tcp),
                    Some(tls) => protect(tcp, tls, name, self.url.tls == PostgresTls::Prefer).await?,
                }
            }
        };
        let announced = Arc::new(AtomicU64::new(0));
        let tap = Tap { stream, ear: Some(Ear::default()), announced: Arc::clone(&announced) };
        let mut config = self.url.config();
        if !self.without_options.load(Ordering::Relaxed) {
            config.options(SESSION_OPTIONS);
        }
        let (client, connection) =
            config.connect_raw(tap, NoTls).await.map_err(|error| refusal(host, &error))?;
        Ok(Opened { client, connection, announced })
    }
}

/// Ends the task of a connection that is given up before it is anybody's.
struct Driver(Option<tokio::task::JoinHandle<()>>);

impl Driver {
    fn keep(mut self) -> Option<tokio::task::JoinHandle<()>> {
        self.0.take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Small messages go at once, and a peer that is gone is noticed while nobody asks anything.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, Duration::from_secs(15))?;
    sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    Ok(())
}

/// Asks for TLS (`SSLRequest`) and makes it.
async fn protect(
    mut tcp: TcpStream,
    tls: &TlsConnector,
    name: &str,
    clear_will_do: bool,
) -> Result<Box<dyn Stream>, Problem> {
    let unreachable = |error: io::Error| Problem::Unreachable(format!("{name}: {error}"));
    tcp.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.map_err(unreachable)?;
    // Exactly one byte: what came behind it in clear would be taken for what came under TLS.
    let mut answer = [0];
    tcp.read_exact(&mut answer).await.map_err(unreachable)?;
    match answer {
        [b'S'] => {
            let server = ServerName::try_from(name.to_owned())
                .map_err(|_| Problem::Tls(format!("{name:?} is no host name")))?;
            let stream =
                tls.connect(server, tcp).await.map_err(|error| Problem::Tls(format!("{name}: {error}")))?;
            Ok(Box::new(stream))
        }
        [b'N'] if clear_will_do => Ok(Box::new(tcp)),
        [b'N'] => Err(Problem::Tls(format!("{name} does not offer TLS"))),
        _ => Err(Problem::NotPostgres(format!("{name} does not speak PostgreSQL's protocol"))),
    }
}

fn tls_config(wanted: &PostgresTls) -> Result<Option<ClientConfig>, Problem> {
    let failed = |error: &dyn std::fmt::Display| Problem::Tls(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let config = match wanted {
        PostgresTls::Disable => return Ok(None),
        PostgresTls::Prefer => {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
        PostgresTls::Verify { roots: None } => {
            builder.with_platform_verifier().map_err(|error| failed(&error))?.with_no_client_auth()
        }
        PostgresTls::Verify { roots: Some(path) } => {
            builder.with_root_certificates(read_roots(path)?).with_no_client_auth()
        }
    };
    Ok(Some(config))
}

fn read_roots(path: &Path) -> Result<RootCertStore, Problem> {
    let failed = |why: String| Problem::Tls(format!("sslrootcert {}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("no certificate in it (PEM)".to_owned()));
    }
    Ok(roots)
}

/// For `sslmode=prefer`, which whoever stands between can switch off anyhow: keeps out those who only listen.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Words why the server did not let us in.
fn refusal(host: &PostgresHost, error: &tokio_postgres::Error) -> Problem {
    let Some(said) = error.as_db_error() else {
        let why = super::error::text(error);
        if why.contains("password missing") {
            return Problem::NotLetIn("it asks for a password, and there is none".to_owned());
        }
        return Problem::Unreachable(format!("{host}: {why}"));
    };
    let code = said.code();
    let message = said.message().to_owned();
    if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        Problem::NotLetIn(message)
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        Problem::NoDatabase
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        Problem::Starting(message)
    } else if message.contains("startup parameter") {
        Problem::NoOptions
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Problem::NoRight(message)
    } else {
        Problem::Unreachable(format!("{host}: {message} ({})", code.code()))
    }
}

/// Asks the server who it is.
async fn look(client: &Client, announced: u64) -> Result<About, Problem> {
    let rows = client
        .query_typed(
            "SELECT pg_backend_pid(), current_setting('server_version_num'), version(), pg_is_in_recovery()",
            &[],
        )
        .await
        .map_err(|error| Problem::Unreachable(super::error::text(&error)))?;
    let odd = || Problem::NotPostgres("it does not say who it is".to_owned());
    let row = rows.first().ok_or_else(odd)?;
    let pid: i32 = row.try_get(0).map_err(|_| odd())?;
    let number: String = row.try_get(1).map_err(|_| odd())?;
    let words: String = row.try_get(2).map_err(|_| odd())?;
    let standby: bool = row.try_get(3).map_err(|_| odd())?;
    if !words.starts_with("PostgreSQL ") {
        return Err(Problem::NotPostgres(words));
    }
    if number.parse::<u32>().map_err(|_| odd())? < OLDEST {
        return Err(Problem::TooOld(words));
    }
    if standby {
        return Err(Problem::Standby);
    }
    Ok(About { pooled: u64::try_from(pid).ok() != Some(announced) })
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The stream of a connection, listened to until the server has announced its process.
pub(super) struct Tap {
    stream: Box<dyn Stream>,
    ear: Option<Ear>,
    announced: Arc<AtomicU64>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tap")
    }
}

/// Reads messages as they come in pieces: a type, a length that counts itself, a body.
#[derive(Debug, Default)]
struct Ear {
    head: Vec<u8>,
    body_left: usize,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// `BackendKeyData`.
    Process(u32),
    /// `ReadyForQuery`: it comes no more.
    End,
}

impl Ear {
    fn hear(&mut self, mut bytes: &[u8]) -> Heard {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let skipped = self.body_left.min(bytes.len());
                self.body_left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            // Of the one message that matters, the first four bytes of its body too.
            let wanted = if self.head.first() == Some(&b'K') { 9 } else { 5 };
            let taken = (wanted - self.head.len()).min(bytes.len());
            let (now, rest) = bytes.split_at(taken);
            self.head.extend_from_slice(now);
            bytes = rest;
            match *self.head.as_slice() {
                [b'Z', ..] => return Heard::End,
                [b'K', _, _, _, _, a, b, c, d] => return Heard::Process(u32::from_be_bytes([a, b, c, d])),
                [kind, a, b, c, d] if kind != b'K' => {
                    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                    self.body_left = length.saturating_sub(4);
                    self.head.clear();
                }
                _ => {}
            }
        }
        Heard::Nothing
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let this = &mut *self;
        if let Some(ear) = &mut this.ear {
            match ear.hear(buffer.filled().get(before..).unwrap_or_default()) {
                Heard::Nothing => {}
                Heard::Process(pid) => {
                    this.announced.store(pid.into(), Ordering::Release);
                    this.ear = None;
                }
                Heard::End => this.ear = None,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_heard_however_its_bytes_come() {
        let mut bytes = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x06aK".to_vec();
        bytes.extend_from_slice(b"K\0\0\0\x0c\0\0\x30\x39secr");
        bytes.extend_from_slice(b"Z\0\0\0\x05I");
        for size in 1..=bytes.len() {
            let mut ear = Ear::default();
            let heard =
                bytes.chunks(size).map(|chunk| ear.hear(chunk)).find(|heard| *heard != Heard::Nothing);
            assert_eq!(heard, Some(Heard::Process(12_345)), "in pieces of {size}");
        }
        assert_eq!(Ear::default().hear(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"), Heard::End);
        assert_eq!(Ear::default().hear(b"R\xff\xff\xff\xff\0\0\0\0K\0\0\0\x0c\0\0\x30\x39"), Heard::Nothing);
    }
}
