//! What the server asks of others: one small HTTP client, bounded in time, size and number.
//!
//! It trusts the certificates that the system trusts, follows no redirect, and answers for every status. The library
//! behind it is blocking; a question waits in a thread of its own, and only so many are asked at once.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response};
use tokio::sync::Semaphore;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body};

/// Questions under way at once; one more waits for its turn.
const AT_ONCE: usize = 32;
/// Longest answer that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// A client that follows no redirect and answers for every status: blocking, cheap to clone.
///
/// `https` goes by the proxy that the environment names. Plain `http` never does: it is for servers on this machine,
/// and a proxy would read what is meant for them.
#[derive(Clone, Debug)]
pub(crate) struct Client(Agent);

impl Client {
    /// It gives up after `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("jotgate/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(agent.into())
    }

    pub(crate) fn get(&self, url: &str) -> Result<Response<Body>, ureq::Error> {
        self.run(Request::get(url).body(())?)
    }

    pub(crate) fn run(&self, question: Request<impl AsSendBody>) -> Result<Response<Body>, ureq::Error> {
        let question = if question.uri().scheme() == Some(&Scheme::HTTPS) {
            question
        } else {
            self.0.configure_request(question).proxy(None).build()
        };
        self.0.run(question)
    }
}

/// Why there is no answer. Nothing of the question is in it: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

/// Asks other servers, from async code. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    client: Client,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Outbound {
    /// `patience`: the longest that a question may take, from its place in the queue to the last byte of its answer.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { client: Client::new(patience), places: Arc::new(Semaphore::new(AT_ONCE)), patience }
    }

    /// The answer, whatever its status; a redirect is an answer like any other.
    ///
    /// # Errors
    /// [`NoAnswer`]: no connection, none in time, or a longer one than 1 MiB.
    pub(crate) async fn ask(&self, question: Request<Vec<u8>>) -> Result<Response<Bytes>, NoAnswer> {
        let answered = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.map_err(|_| NoAnswer("no more questions are asked".to_owned()))?;
            let client = self.client.clone();
            let asked = tokio::task::spawn_blocking(move || {
                let answer = ask(&client, question);
                drop(place); // a question that nobody waits for any more holds its place until it is over
                answer
            });
            asked.await.map_err(|error| NoAnswer(error.to_string()))?
        };
        let late = |_| NoAnswer(format!("no answer within {} s", self.patience.as_secs()));
        tokio::time::timeout(self.patience, answered).await.map_err(late)?
    }
}

fn ask(client: &Client, question: Request<Vec<u8>>) -> Result<Response<Bytes>, NoAnswer> {
    let (parts, body) = client.run(question).map_err(|error| no_answer(&error))?.into_parts();
    let mut read = Vec::new();
    // One byte more than there may be tells a longer answer from one that just fits.
    let mut reader = body.into_reader().take(LONGEST + 1);
    reader.read_to_end(&mut read).map_err(|error| NoAnswer(error.to_string()))?;
    if read.len() as u64 > LONGEST {
        return Err(NoAnswer("the answer is longer than 1 MiB".to_owned()));
    }
    Ok(Response::from_parts(parts, Bytes::from(read)))
}

/// In words of our own where the library's would name the address that was asked.
fn no_answer(error: &ureq::Error) -> NoAnswer {
    NoAnswer(match error {
        ureq::Error::BadUri(_) => "the address cannot be asked".to_owned(),
        ureq::Error::HostNotFound => "the host cannot be found".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers one request with these bytes, and its address.
    fn answers(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All of the request: closed with some of it unread, a connection is reset, and takes the answer with it.
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"\r\n\r\nx") {
                let read = stream.read(&mut part).unwrap();
                assert!(read > 0);
                request.extend_from_slice(&part[..read]);
            }
            let _ = stream.write_all(&answer);
        });
        format!("http://{address}/secret")
    }

    /// Long enough for a busy machine.
    const PATIENT: Duration = Duration::from_secs(30);

    async fn ask(url: &str, patience: Duration) -> Result<Response<Bytes>, NoAnswer> {
        let question = Request::post(url).body(b"x".to_vec()).unwrap();
        Outbound::new(patience).ask(question).await
    }

    #[tokio::test]
    async fn every_status_is_an_answer_and_no_redirect_is_followed() {
        for status in ["200 OK", "302 Found", "404 Not Found", "500 Oops"] {
            let answer =
                format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nhi");
            let answer = ask(&answers(answer.into_bytes()), PATIENT).await.unwrap();
            assert!(status.starts_with(answer.status().as_str()));
            assert_eq!(&answer.body()[..], b"hi");
        }
    }

    #[tokio::test]
    async fn a_long_answer_a_slow_one_and_none_are_refused() {
        let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        long.resize(2 * 1024 * 1024, b'x');
        let error = ask(&answers(long), PATIENT).await.unwrap_err();
        assert_eq!(error.to_string(), "the answer is longer than 1 MiB");

        let slow = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/secret", slow.local_addr().unwrap());
        let error = ask(&url, Duration::from_millis(500)).await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        drop(slow);

        let error = ask("http://127.0.0.1:1/secret", PATIENT).await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
