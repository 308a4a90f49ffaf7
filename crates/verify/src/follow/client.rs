//! A question over HTTP/1.1 to one host, bounded in time and size. Redirects are answers like any other: not followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HOST, HeaderMap, IF_NONE_MATCH, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A whole answer takes at most this, however slowly it drips; an endless one begins within it.
const PATIENCE: Duration = Duration::from_secs(10);

const AGENT: &str = concat!("jotgate-verify/", env!("CARGO_PKG_VERSION"));

/// Why an issuer could not be asked, or its answer not be used. Nothing of the answer is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection, or one that broke: what the system said.
    Unreachable(String),
    /// No whole answer in time.
    TimedOut,
    /// Another status than 200, a redirect included.
    Status(u16),
    /// A longer answer than such an answer may be.
    TooLong,
    /// An answer that is not what was asked for: what is wrong with it.
    Unusable(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the issuer cannot be reached: {why}"),
            Self::TimedOut => f.write_str("the issuer did not answer in time"),
            Self::Status(status) => write!(f, "the issuer answered {status}"),
            Self::TooLong => f.write_str("the issuer's answer is too long"),
            Self::Unusable(what) => write!(f, "the issuer's answer cannot be used: {what}"),
        }
    }
}

impl std::error::Error for Failure {}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    host: String,
    port: u16,
    /// As in the address: for `Host`.
    authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// None: what the caller has is still right (304).
    pub(super) body: Option<Bytes>,
}

impl Answer {
    pub(super) fn etag(&self) -> Option<String> {
        Some(self.headers.get(ETAG)?.to_str().ok()?.to_owned())
    }
}

impl Client {
    /// `tls`: the configuration, where the host is to be reached by TLS; without one of the caller's, the platform's
    /// roots are trusted.
    pub(super) fn new(
        authority: &http::uri::Authority,
        https: bool,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if https {
            let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
            Some((tls.map_or_else(platform_tls, Ok)?, name))
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { host, port, authority: authority.to_string(), tls })
    }

    /// The whole answer, of at most `limit` bytes.
    pub(super) async fn get(&self, path: &str, etag: Option<&str>, limit: usize) -> Result<Answer, Failure> {
        let answer = async {
            let response = self.send(path, "*/*", etag).await?;
            let (parts, body) = response.into_parts();
            if etag.is_some() && parts.status == StatusCode::NOT_MODIFIED {
                return Ok(Answer { headers: parts.headers, body: None });
            }
            if parts.status != StatusCode::OK {
                return Err(Failure::Status(parts.status.as_u16()));
            }
            Ok(Answer { headers: parts.headers, body: Some(whole(body, limit).await?) })
        };
        timeout(PATIENCE, answer).await.unwrap_or(Err(Failure::TimedOut))
    }

    /// Status and whole answer, of at most `limit` bytes, to a form that is sent with this `Authorization`.
    #[cfg(feature = "introspect")]
    pub(crate) async fn post(
        &self,
        path: &str,
        authorization: &str,
        form: &str,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let mut authorization = http::HeaderValue::from_str(authorization).map_err(unreachable)?;
        authorization.set_sensitive(true);
        let request = Request::post(path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .header(http::header::AUTHORIZATION, authorization)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::copy_from_slice(form.as_bytes())))
            .map_err(unreachable)?;
        let answer = async {
            let response = self.connect().await?.send_request(request).await.map_err(unreachable)?;
            let (parts, body) = response.into_parts();
            Ok((parts.status, whole(body, limit).await?))
        };
        timeout(PATIENCE, answer).await.unwrap_or(Err(Failure::TimedOut))
    }

    /// The beginning of an endless answer.
    pub(super) async fn open(&self, path: &str) -> Result<Incoming, Failure> {
        let opened = timeout(PATIENCE, self.send(path, "text/event-stream", None));
        let response = opened.await.unwrap_or(Err(Failure::TimedOut))?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Status(response.status().as_u16()));
        }
        let kind = response.headers().get(http::header::CONTENT_TYPE).map(|kind| kind.as_bytes());
        if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            return Err(Failure::Unusable("no event stream"));
        }
        Ok(response.into_body())
    }

    /// A connection a question: they are rare, and none has to be looked after.
    async fn send(
        &self,
        path: &str,
        accept: &str,
        etag: Option<&str>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request =
            Request::get(path).header(HOST, &self.authority).header(ACCEPT, accept).header(USER_AGENT, AGENT);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = request.body(Full::default()).map_err(unreachable)?;
        self.connect().await?.send_request(request).await.map_err(unreachable)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        let Some((config, name)) = &self.tls else { return handshake(stream).await };
        let connector = TlsConnector::from(Arc::clone(config));
        handshake(connector.connect(name.clone(), stream).await.map_err(unreachable)?).await
    }
}

async fn whole(body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        let too_long = error.is::<http_body_util::LengthLimitError>();
        if too_long { Failure::TooLong } else { Failure::Unreachable(error.to_string()) }
    })?;
    Ok(body.to_bytes())
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    // Ends with the answer, or when nobody wants it any more; what goes wrong shows there.
    tokio::spawn(connection);
    Ok(sender)
}

fn platform_tls() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(rustls::ConfigBuilder::with_platform_verifier)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_no_client_auth()))
}

fn unreachable(error: impl fmt::Display) -> Failure {
    Failure::Unreachable(error.to_string())
}
