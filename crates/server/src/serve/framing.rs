//! Where one HTTP/1.1 request ends and the next begins, followed beside the parser to find what it lets pass.
//!
//! RFC 9112 §6.3 lets a server read a request that has both `Content-Length` and `Transfer-Encoding`, and hyper
//! does, dropping the length. A proxy in front may have gone by the length, and what it took for a body then is a
//! request of the attacker's choice to us. Here such a request is found, refused and the connection closed.

use memchr::memchr;

/// Longest line of which more than its presence matters.
const LINE_CAP: usize = 256;

/// Follows the bytes that a client sends on one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// Start of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
    /// Heads that ended.
    heads: u64,
}

/// What to do about what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Nothing,
    /// The request with this number, counted from 0, must be refused, and all after it.
    Flaw {
        request: u64,
        why: &'static str,
    },
    /// It is HTTP/2; nothing more is to be found here.
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between requests.
    Idle,
    RequestLine,
    Fields,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// The end of line after a chunk's data.
    ChunkEnd,
    Trailers,
    /// Given up: the connection will not be used for another request.
    Lost,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    lengths: u32,
    /// None: it is not a number.
    length: Option<u64>,
    encodings: u32,
    chunked: bool,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self { state: State::Idle, line: Vec::new(), head: Head::default(), heads: 0 }
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::RequestLine | State::Fields)
    }

    /// Goes on with what was just read.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Finding {
        let mut found = Finding::Nothing;
        while let Some(first) = bytes.first() {
            match self.state {
                State::Lost => break,
                State::Idle if matches!(first, b'\r' | b'\n') => bytes = bytes.get(1..).unwrap_or_default(),
                State::Idle => self.state = State::RequestLine,
                State::Body(left) | State::ChunkData(left) => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    self.state = match self.state {
                        State::ChunkData(_) if left == 0 => State::ChunkEnd,
                        State::ChunkData(_) => State::ChunkData(left),
                        _ if left == 0 => State::Idle,
                        _ => State::Body(left),
                    };
                }
                State::RequestLine | State::Fields | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(end) = memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        break;
                    };
                    let (line, rest) = bytes.split_at(end);
                    bytes = rest.get(1..).unwrap_or_default();
                    let finding = if self.line.is_empty() {
                        self.line(line)
                    } else {
                        self.keep(line);
                        let whole = std::mem::take(&mut self.line);
                        let finding = self.line(&whole);
                        self.line = whole;
                        self.line.clear();
                        finding
                    };
                    match finding {
                        Finding::Nothing => {}
                        Finding::Http2 => return Finding::Http2,
                        // The first is the one that matters: the connection ends with it.
                        flaw if found == Finding::Nothing => found = flaw,
                        Finding::Flaw { .. } => {}
                    }
                }
            }
        }
        found
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_CAP.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }

    /// One line, without its line feed.
    fn line(&mut self, line: &[u8]) -> Finding {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::RequestLine => {
                if line == b"PRI * HTTP/2.0" {
                    self.state = State::Lost;
                    return Finding::Http2;
                }
                self.head = Head::default();
                self.state = State::Fields;
            }
            State::Fields if line.is_empty() => return self.end_of_head(),
            State::Fields => self.field(line),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => self.state = State::Trailers,
                Some(size) => self.state = State::ChunkData(size),
                None => return self.lose("The body's chunks cannot be read."),
            },
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return self.lose("The body's chunks cannot be read."),
            State::Trailers if line.is_empty() => self.state = State::Idle,
            _ => {}
        }
        Finding::Nothing
    }

    fn field(&mut self, line: &[u8]) {
        let is = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let value = || {
            let colon = memchr(b':', line).map_or(line.len(), |at| at + 1);
            line.get(colon..).unwrap_or_default().trim_ascii()
        };
        match line.first() {
            Some(b'c' | b'C') if is(b"content-length:") => {
                self.head.lengths += 1;
                let digits = value();
                let number = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits));
                self.head.length = number.and_then(|text| text.ok()?.parse().ok());
            }
            Some(b't' | b'T') if is(b"transfer-encoding:") => {
                self.head.encodings += 1;
                self.head.chunked = value().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    fn end_of_head(&mut self) -> Finding {
        let request = self.heads;
        self.heads += 1;
        let Head { lengths, length, encodings, chunked } = self.head;
        self.state = match (encodings, length) {
            (0, None | Some(0)) => State::Idle,
            (0, Some(length)) => State::Body(length),
            _ => State::ChunkSize,
        };
        let why = if encodings > 0 && lengths > 0 {
            "The request has both a Content-Length and a Transfer-Encoding."
        } else if lengths > 1 {
            "The request has more than one Content-Length."
        } else if lengths == 1 && length.is_none() {
            "The request's Content-Length is not a number."
        } else if encodings > 1 || (encodings == 1 && !chunked) {
            "The request's Transfer-Encoding is not chunked alone."
        } else {
            return Finding::Nothing;
        };
        self.state = State::Lost;
        Finding::Flaw { request, why }
    }

    /// The end of this body is not known, so no further request can be told from it.
    fn lose(&mut self, why: &'static str) -> Finding {
        self.state = State::Lost;
        Finding::Flaw { request: self.heads, why }
    }
}

/// Hexadecimal digits up to an extension (RFC 9112 §7.1).
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    if !matches!(rest.first(), None | Some(b';' | b' ' | b'\t')) || digits.len() > 16 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed in one piece, byte by byte, and in pieces of seven: always the same finding.
    fn find(text: &str) -> (Finding, u64) {
        let mut all = Vec::new();
        for size in [usize::MAX, 1, 7] {
            let mut framing = Framing::new();
            let mut found = Finding::Nothing;
            for piece in text.as_bytes().chunks(size.min(text.len().max(1))) {
                let finding = framing.feed(piece);
                if found == Finding::Nothing {
                    found = finding;
                }
            }
            all.push((found, framing.heads));
        }
        assert!(all.windows(2).all(|w| w[0] == w[1]), "{text:?}: {all:?}");
        all[0]
    }

    #[test]
    fn a196_requests_that_two_readers_would_cut_differently_are_found() {
        let both = "The request has both a Content-Length and a Transfer-Encoding.";
        let two = "The request has more than one Content-Length.";
        let odd = "The request's Transfer-Encoding is not chunked alone.";
        let table = [
            ("POST / HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", 0, both),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n", 0, both),
            ("POST / HTTP/1.1\r\ntransfer-ENCODING:\tchunked\r\ncontent-LENGTH:0\r\n\r\n", 0, both),
            ("POST / HTTP/1.1\nContent-Length: 6\nTransfer-Encoding: chunked\n\n", 0, both),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 0, two),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nX: y\r\ncontent-length: 2\r\n\r\nx", 0, two),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0, odd),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 0, odd),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 0, odd),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
                0,
                "The request's Content-Length is not a number.",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
                0,
                "The request's Content-Length is not a number.",
            ),
            // Behind others on the connection.
            (
                "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\
                 POST /c HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
                2,
                both,
            ),
            (
                "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\
                 \r\n0\r\nTrailer: x\r\n\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                1,
                two,
            ),
        ];
        for (text, request, why) in table {
            assert_eq!(find(text).0, Finding::Flaw { request, why }, "{text:?}");
        }
    }

    #[test]
    fn what_is_in_bodies_and_values_is_not_taken_for_heads() {
        let evil = "POST /c HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n";
        let long = "x".repeat(5000);
        for (text, heads) in [
            (String::new(), 0),
            ("\r\n\r\n".to_owned(), 0),
            ("GET / HTTP/1.1\r\nHost: x\r\n".to_owned(), 0),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3), 3),
            (format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()), 1),
            (
                format!(
                    "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n{:x}\r\n{evil}\r\n0\r\n\r\n",
                    evil.len()
                ),
                1,
            ),
            (format!("GET / HTTP/1.1\r\nX: content-length: 5\r\nX: {long}content-length: 5\r\n\r\n"), 1),
            (format!("GET /{long} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 2),
            ("GET / HTTP/1.1\r\nContent-Lengthy: 5\r\nX-Content-Length: 5\r\n\r\n".to_owned(), 1),
        ] {
            assert_eq!(find(&text), (Finding::Nothing, heads), "{text:?}");
        }
    }

    #[test]
    fn http2_is_left_alone() {
        assert_eq!(find("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04").0, Finding::Http2);
    }

    #[test]
    fn when_the_end_of_a_body_is_lost_nothing_more_is_answered() {
        for text in [
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            let Finding::Flaw { request: 1, .. } = find(text).0 else { panic!("{text:?}: {:?}", find(text)) };
        }
    }
}
