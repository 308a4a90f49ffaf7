//! The load: HTTP/1.1 over kept connections, as little work a request as can be, since it runs on the same cores.
//!
//! [`closed`] sends a client's next request when its last was answered, as fast as that goes. [`open`] sends at fixed
//! instants, answered or not, and counts each answer's time from the instant at which it was due: a server that
//! stalls cannot hide it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A client that takes longer than this for one answer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One client on one connection.
pub(crate) trait Client: Send + 'static {
    /// Writes its next request; false where it has none left.
    fn ask(&mut self, request: &mut Vec<u8>) -> bool;
    /// What was answered.
    fn answered(&mut self, status: u16, body: &[u8]);
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) elapsed: Duration,
    /// How many answers of each status; 0 where the connection ended instead, or a refusal with 503 did not say when
    /// to come back.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Of each answer, in microseconds; sorted.
    pub(crate) micros: Vec<u32>,
}

impl Tally {
    /// Answers of this status a second.
    #[must_use]
    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.count(status) / self.elapsed.as_secs_f64()
    }

    /// Answers of this status.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn count(&self, status: u16) -> f64 {
        self.statuses.get(&status).copied().unwrap_or(0) as f64
    }

    /// Answers of any other status than 200, and none at all.
    #[must_use]
    pub(crate) fn failures(&self) -> f64 {
        self.statuses.keys().filter(|status| **status != 200).map(|status| self.count(*status)).sum()
    }

    /// Milliseconds within which this share of the answers came.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.micros.extend(other.micros);
    }

    fn note(&mut self, status: u16, since: Instant) {
        *self.statuses.entry(status).or_default() += 1;
        self.micros.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Every client asks again when it was answered, for `time`. The clients come back, to go on later.
pub(crate) async fn closed<C: Client>(
    address: SocketAddr,
    clients: Vec<C>,
    time: Duration,
) -> io::Result<(Tally, Vec<C>)> {
    let mut ready = Vec::with_capacity(clients.len());
    for client in clients {
        ready.push((Wire::open(address).await?, client));
    }
    let began = Instant::now();
    let end = began + time;
    let tasks: Vec<_> = ready
        .into_iter()
        .map(|(mut wire, mut client)| {
            tokio::spawn(async move {
                let mut tally = Tally::default();
                let mut request = Vec::with_capacity(2048);
                while Instant::now() < end {
                    request.clear();
                    if !client.ask(&mut request) {
                        break;
                    }
                    let asked_at = Instant::now();
                    let status = wire.exchange(&request, |status, body| client.answered(status, body)).await;
                    tally.note(status, asked_at);
                    if status == 0 || wire.is_over {
                        match Wire::open(address).await {
                            Ok(new) => wire = new,
                            Err(_) => break,
                        }
                    }
                }
                (tally, client)
            })
        })
        .collect();
    gather(tasks, began).await
}

/// `rate` requests a second in all, at fixed instants, for `time`.
pub(crate) async fn open<C: Client>(
    address: SocketAddr,
    clients: Vec<C>,
    rate: u32,
    time: Duration,
) -> io::Result<(Tally, Vec<C>)> {
    let count = u32::try_from(clients.len()).map_err(io::Error::other)?;
    let mut ready = Vec::with_capacity(clients.len());
    for client in clients {
        ready.push((Wire::open(address).await?, client));
    }
    let began = Instant::now();
    // Each client has every count-th instant.
    let between = Duration::from_secs(1) * count / rate;
    let tasks: Vec<_> = (0..count)
        .zip(ready)
        .map(|(number, (mut wire, mut client))| {
            tokio::spawn(async move {
                let mut tally = Tally::default();
                let mut request = Vec::with_capacity(2048);
                let mut due = began + Duration::from_secs(1) * number / rate;
                while due < began + time {
                    tokio::time::sleep_until(due.into()).await;
                    request.clear();
                    if !client.ask(&mut request) {
                        break;
                    }
                    let status = wire.exchange(&request, |status, body| client.answered(status, body)).await;
                    tally.note(status, due);
                    if status == 0 || wire.is_over {
                        match Wire::open(address).await {
                            Ok(new) => wire = new,
                            Err(_) => break,
                        }
                    }
                    due += between;
                }
                (tally, client)
            })
        })
        .collect();
    gather(tasks, began).await
}

/// What came of all clients since `began`.
async fn gather<C>(tasks: Vec<JoinHandle<(Tally, C)>>, began: Instant) -> io::Result<(Tally, Vec<C>)> {
    let mut whole = Tally::default();
    let mut clients = Vec::with_capacity(tasks.len());
    for task in tasks {
        let (tally, client) = task.await.map_err(io::Error::other)?;
        whole.add(tally);
        clients.push(client);
    }
    whole.elapsed = began.elapsed();
    whole.micros.sort_unstable();
    Ok((whole, clients))
}

/// One exchange on a connection of its own.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut answer = Vec::new();
    let status = Wire::open(address).await?.exchange(request, |_, body| answer.extend_from_slice(body)).await;
    Ok((status, answer))
}

/// A kept connection.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    /// The server closes it.
    is_over: bool,
}

impl Wire {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(8192), is_over: false })
    }

    /// The status of the answer; 0 where there is none.
    async fn exchange(&mut self, request: &[u8], answered: impl FnOnce(u16, &[u8])) -> u16 {
        let exchange = async {
            self.stream.write_all(request).await?;
            self.answer().await
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok((status, body))) => {
                answered(status, &body);
                status
            }
            _ => 0,
        }
    }

    async fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        self.read.clear();
        let head_ends = loop {
            if let Some(at) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = Head::parse(self.read.get(..head_ends).unwrap_or_default());
        let head = head.ok_or(io::ErrorKind::InvalidData)?;
        self.is_over = head.closes;
        if head.status == 503 && !head.says_when {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let body = match head.length {
            Some(length) => {
                while self.read.len() < head_ends + length {
                    self.more().await?;
                }
                self.read.get(head_ends..head_ends + length).unwrap_or_default().to_vec()
            }
            None => self.chunks(head_ends).await?,
        };
        Ok((head.status, body))
    }

    /// A body in chunks (RFC 9112 §7.1).
    async fn chunks(&mut self, mut at: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_ends = loop {
                let rest = self.read.get(at..).unwrap_or_default();
                if let Some(found) = memchr::memmem::find(rest, b"\r\n") {
                    break at + found;
                }
                self.more().await?;
            };
            let size = self.read.get(at..line_ends).and_then(|size| std::str::from_utf8(size).ok());
            let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
            let size = size.ok_or(io::ErrorKind::InvalidData)?;
            let begin = line_ends + 2;
            while self.read.len() < begin + size + 2 {
                self.more().await?;
            }
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(self.read.get(begin..begin + size).unwrap_or_default());
            at = begin + size + 2;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

struct Head {
    status: u16,
    /// None: in chunks.
    length: Option<usize>,
    closes: bool,
    /// `Retry-After`.
    says_when: bool,
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let (mut length, mut chunked, mut closes, mut says_when) = (Some(0), false, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().ok()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("retry-after") {
                says_when = value.parse::<u32>().is_ok();
            }
        }
        Some(Self { status, length: if chunked { None } else { length }, closes, says_when })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    struct Get(u32);

    impl Client for Get {
        fn ask(&mut self, request: &mut Vec<u8>) -> bool {
            request.extend_from_slice(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            true
        }

        fn answered(&mut self, status: u16, body: &[u8]) {
            assert_eq!((status, body), (200, &b"hello"[..]));
            self.0 += 1;
        }
    }

    /// Answers in turn with a length, in chunks, and slowly.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut read = [0; 1024];
                    while stream.read(&mut read).await.is_ok_and(|count| count > 0) {
                        for part in answer.as_bytes().chunks(20) {
                            stream.write_all(part).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn both_forms_of_body_are_read() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        ] {
            let address = server(answer).await;
            let clients = vec![Get(0), Get(0)];
            let (tally, clients) = closed(address, clients, Duration::from_millis(50)).await.unwrap();
            assert!(clients.iter().all(|client| client.0 > 0));
            assert_eq!(tally.count(200), f64::from(clients.iter().map(|client| client.0).sum::<u32>()));
            assert!(tally.percentile(0.99) >= tally.percentile(0.5));
        }
    }

    #[tokio::test]
    async fn a_503_counts_where_it_says_when_to_come_back() {
        let ask = b"GET / HTTP/1.1\r\n\r\n";
        let told = server("HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(once(told, ask).await.unwrap().0, 503);
        let untold = server("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(once(untold, ask).await.unwrap().0, 0);
    }

    #[tokio::test]
    async fn an_open_load_keeps_its_pace() {
        let address = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        let clients = (0..4).map(|_| Get(0)).collect();
        let (tally, _) = open(address, clients, 100, Duration::from_millis(500)).await.unwrap();
        assert!((49.0..=51.0).contains(&tally.count(200)), "{tally:?}");
    }
}
