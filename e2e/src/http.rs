//! A small, strict HTTP/1.1 client: it sends exactly the bytes it is given, and takes no answer that is not in form.

use crate::canary::Canaries;
use crate::tls::Trust;
use serde_json::Value;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer may take longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Sends requests to one server, and keeps its cookies as a browser would.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    /// What it calls the server.
    host: String,
    /// Over TLS, what it trusts.
    trust: Option<Trust>,
    cookies: Vec<Cookie>,
    canaries: Canaries,
    limit: Duration,
}

/// A request to be sent.
#[derive(Debug)]
pub struct Request<'a> {
    client: &'a mut Client,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    with_cookies: bool,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A cookie as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    /// In order, names in lower case; the value is empty where there is none.
    pub attributes: Vec<(String, String)>,
}

/// There is no answer, or not the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody listens.
    Refused,
    /// The connection ended before the first byte of an answer.
    NoAnswer,
    /// The connection ended within an answer.
    BrokenOff,
}

/// One connection, for bytes that no well-behaved client sends, and for several requests on one connection.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    canaries: Canaries,
}

trait Stream: Read + Write + Debug + Send {}
impl<S: Read + Write + Debug + Send> Stream for S {}

impl Client {
    pub(crate) fn new(url: &str, trust: Option<Trust>, canaries: Canaries) -> Self {
        let (scheme, address) = url.split_once("://").expect("a URL");
        assert_eq!(scheme, if trust.is_some() { "https" } else { "http" });
        let (address, host) = (address.to_owned(), address.to_owned());
        Self { address, host, trust, cookies: Vec::new(), canaries, limit: ANSWER_LIMIT }
    }

    /// The same for what stands in front of the server at `address`, as who looks up `host` there.
    #[must_use]
    pub fn through(&self, address: &str, host: &str, trust: Option<Trust>) -> Self {
        Self {
            address: address.to_owned(),
            host: host.to_owned(),
            trust,
            cookies: Vec::new(),
            canaries: self.canaries.clone(),
            limit: self.limit,
        }
    }

    /// A client of another program than the server under test: what passes through it is no secret of anybody's.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self::new(url, None, Canaries::default())
    }

    /// Waits for as long for a byte, not ten seconds: where a test keeps the machine itself busy.
    pub fn wait_for(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A request that reads.
    pub fn get(&mut self, target: &str) -> Request<'_> {
        self.request("GET", target)
    }

    /// A request that writes.
    pub fn post(&mut self, target: &str) -> Request<'_> {
        self.request("POST", target)
    }

    /// A request that removes.
    pub fn delete(&mut self, target: &str) -> Request<'_> {
        self.request("DELETE", target)
    }

    /// Any request.
    pub fn request(&mut self, method: &str, target: &str) -> Request<'_> {
        Request {
            client: self,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            with_cookies: true,
        }
    }

    /// Opens a connection.
    #[must_use]
    pub fn connect(&self) -> Wire {
        self.try_connect().expect("the server listens")
    }

    fn try_connect(&self) -> Result<Wire, Lost> {
        let socket = TcpStream::connect(&self.address).map_err(|_| Lost::Refused)?;
        socket.set_read_timeout(Some(self.limit)).unwrap();
        socket.set_write_timeout(Some(ANSWER_LIMIT)).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream = socket.try_clone().unwrap();
        let stream: Box<dyn Stream> = match &self.trust {
            Some(trust) => Box::new(trust.wrap(stream)),
            None => Box::new(stream),
        };
        Ok(Wire { socket, stream, received: Vec::new(), canaries: self.canaries.clone() })
    }

    /// Sends these very bytes on a connection of their own and reads one answer.
    #[must_use]
    pub fn raw(&self, bytes: &[u8]) -> Response {
        let mut wire = self.connect();
        wire.write(bytes);
        wire.read("GET").expect("an answer")
    }

    /// What goes into the `Host` header.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The cookies that the server has set and not cleared.
    #[must_use]
    pub fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// The value of one of them.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    /// Forgets all cookies.
    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    fn take_cookies(&mut self, response: &Response) {
        for cookie in response.cookies() {
            self.cookies.retain(|kept| kept.name != cookie.name);
            if cookie.attribute("max-age") != Some("0") {
                self.cookies.push(cookie);
            }
        }
    }
}

impl Request<'_> {
    /// One more header, sent as it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A JSON body with its content type.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string().as_bytes())
    }

    /// A form body with its content type; the pairs are percent-encoded.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let fields: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.header("Content-Type", "application/x-www-form-urlencoded").body(fields.join("&").as_bytes())
    }

    /// The body as it is, without a content type.
    #[must_use]
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    /// The client's cookies stay at home, and those of the answer are not kept.
    #[must_use]
    pub fn without_cookies(mut self) -> Self {
        self.with_cookies = false;
        self
    }

    /// Sends the request on a connection of its own. Redirects are not followed.
    pub fn send(self) -> Response {
        self.try_send().expect("an answer")
    }

    /// The same where the server may go away meanwhile.
    ///
    /// # Errors
    /// [`Lost`]; an answer that is whole but out of form still fails the test.
    pub fn try_send(self) -> Result<Response, Lost> {
        let mut wire = self.client.try_connect()?;
        wire.write(&self.bytes());
        let response = wire.read(&self.method)?;
        wire.expect_end();
        if self.with_cookies {
            self.client.take_cookies(&response);
        }
        Ok(response)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.client.host);
        }
        head += "Connection: close\r\n";
        if !self.body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        if self.with_cookies && !self.client.cookies.is_empty() {
            let pairs: Vec<_> = self
                .client
                .cookies
                .iter()
                .map(|cookie| format!("{}={}", cookie.name, cookie.value))
                .collect();
            head += &format!("Cookie: {}\r\n", pairs.join("; "));
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

impl Response {
    /// The one header of this name; a test fails where there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers(name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there more than once: {self:?}");
        value
    }

    /// All headers of this name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The cookies that this answer sets.
    #[must_use]
    pub fn cookies(&self) -> Vec<Cookie> {
        self.headers("set-cookie").map(Cookie::parse).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// This response, if it has the status; else the test fails and shows it.
    #[track_caller]
    #[must_use = "or look at its body too"]
    pub fn is(self, status: u16) -> Self {
        self.expect(status);
        self
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) {
        assert!(
            self.status == status,
            "{status} was expected: {} {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
    }

    /// Fails unless this is a problem (RFC 9457) of this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
    }

    /// A member of the JSON body that is a text.
    #[track_caller]
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        let value = self.json();
        value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
    }
}

impl Cookie {
    fn parse(header: &str) -> Self {
        let mut parts = header.split("; ");
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("NAME=VALUE");
        let attributes = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            attributes: attributes
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        }
    }

    /// The value of an attribute, empty for one without.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }
}

impl Wire {
    /// Sends these bytes. A server that has closed the connection is no failure: its answer tells.
    pub fn write(&mut self, bytes: &[u8]) {
        self.canaries.learn(bytes);
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Says that nothing more will be sent.
    pub fn end_writing(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Reads one answer to a request of this method. Whatever RFC 9112 does not allow in it fails the test, and so
    /// does ten seconds without a byte.
    ///
    /// # Errors
    /// [`Lost`] where the connection ends too early.
    pub fn read(&mut self, method: &str) -> Result<Response, Lost> {
        let end_of_head = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            if !self.receive() {
                return Err(if self.received.is_empty() { Lost::NoAnswer } else { Lost::BrokenOff });
            }
        };
        let rest = self.received.split_off(end_of_head + 4);
        let head = std::mem::replace(&mut self.received, rest);
        let (status, headers) = parse_head(&head[..end_of_head]);
        let body = self.read_body(method, status, &headers)?;
        let response = Response { status, headers, body };
        self.canaries.learn(&head);
        self.canaries.learn(&response.body);
        Ok(response)
    }

    /// Reads all that comes until the connection ends.
    pub fn read_all(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// Reads so many bytes of what comes after an answer that changed the protocol.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        self.read_exactly(count).expect("so many bytes")
    }

    /// Fails unless the connection ends without a further byte.
    pub fn expect_end(&mut self) {
        while self.received.is_empty() && self.receive() {}
        assert!(self.received.is_empty(), "bytes after the answer: {}", shown(&self.received));
    }

    fn read_body(
        &mut self,
        method: &str,
        status: u16,
        headers: &[(String, String)],
    ) -> Result<Vec<u8>, Lost> {
        let one = |name: &str| {
            let mut values = headers.iter().filter(|(is, _)| is == name).map(|(_, value)| value.as_str());
            let value = values.next();
            assert!(values.next().is_none(), "{name} is there more than once");
            value
        };
        let (length, coding) = (one("content-length"), one("transfer-encoding"));
        assert!(length.is_none() || coding.is_none(), "content-length and transfer-encoding");
        if method == "HEAD" || (100..200).contains(&status) || matches!(status, 204 | 304) {
            assert!(status == 304 || method == "HEAD" || length.is_none(), "{status} with a length");
            return Ok(Vec::new());
        }
        if let Some(length) = length {
            assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "content-length: {length}");
            return self.read_exactly(length.parse().expect("a length"));
        }
        assert_eq!(coding, Some("chunked"), "an answer must say how long it is");
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size: {line}"));
            body.extend(self.read_exactly(size)?);
            assert!(self.read_line()?.is_empty(), "a chunk must end with a line end");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn read_line(&mut self) -> Result<String, Lost> {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n") {
                break at;
            }
            self.receive_more()?;
        };
        let line = self.read_exactly(end + 2)?;
        Ok(String::from_utf8(line[..end].to_vec()).expect("text"))
    }

    fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, Lost> {
        while self.received.len() < length {
            self.receive_more()?;
        }
        let rest = self.received.split_off(length);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    fn receive_more(&mut self) -> Result<(), Lost> {
        if self.receive() { Ok(()) } else { Err(Lost::BrokenOff) }
    }

    /// Takes in what has come; false at the end of the connection.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("no answer in time; so far: {}", shown(&self.received))
            }
            // A server that refuses without reading all closes hard.
            Err(_) => false,
        }
    }
}

/// Status line and header lines (RFC 9112 §4, §5), without the final empty line.
fn parse_head(head: &[u8]) -> (u16, Vec<(String, String)>) {
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "a stray line end: {head:?}");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a first line");
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.unwrap_or_else(|| panic!("no status line: {status_line}")).parse().expect("a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(token), "no name of a header: {name:?}");
        (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
    });
    (status, headers.collect())
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// The client's view of a server that sends `answer`, and what the client sent.
    fn exchange(answer: &'static str, use_client: impl FnOnce(&mut Client)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while find(&request, b"\r\n\r\n").is_none() {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        use_client(&mut Client::new(&url, None, Canaries::default()));
        server.join().unwrap()
    }

    #[test]
    fn an_answer_is_read_whole_and_its_cookies_are_kept_until_cleared() {
        let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: jwt=abc; HttpOnly; Max-Age=60\r\nSet-Cookie: old=; Max-Age=0\r\n\
                      transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n5\r\n\": 1}\r\n0\r\n\r\n";
        let sent = exchange(answer, |client| {
            client.cookies = vec![Cookie::parse("old=1; Path=/")];
            let response = client.post("/x").json(&serde_json::json!({"password": "longer than 8"})).send();
            assert_eq!(response.json()["a"], 1);
            assert_eq!(client.cookie("jwt"), Some("abc"));
            assert_eq!(client.cookies()[0].attribute("httponly"), Some(""));
            assert_eq!(client.cookie("old"), None);
            assert_eq!(client.canaries.found_in("is longer than 8 bytes").as_deref(), Some("longer than 8"));
        });
        assert!(sent.starts_with("POST /x HTTP/1.1\r\nHost: 127.0.0.1:"), "{sent}");
        assert!(sent.contains("\r\nCookie: old=1\r\n"), "{sent}");
    }

    #[test]
    fn an_answer_out_of_form_fails() {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\nno length",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
            "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "",
        ] {
            let result = std::panic::catch_unwind(|| exchange(answer, |client| drop(client.get("/").send())));
            assert!(result.is_err(), "{answer:?}");
        }
    }

    #[test]
    fn a_form_is_percent_encoded() {
        let sent = exchange("HTTP/1.1 303 See Other\r\nContent-Length: 0\r\n\r\n", |client| {
            client.post("/login").form(&[("a b", "1&2=ü")]).send().expect(303);
        });
        assert!(sent.ends_with("\r\n\r\na%20b=1%262%3D%C3%BC"), "{sent}");
    }
}
