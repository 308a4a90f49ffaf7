//! `jotgate token verify`: one JSON object a token, at the speed of the signature check.

use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use jotgate_jose::{Algorithm, Error, KeySet, Policy};
use serde_json::value::RawValue;

use crate::cli::error::{Failure, failed, warn};
use crate::cli::fetch;
use crate::edge::Edge;

/// What is read at once; a pipe gives 64 KiB.
const BLOCK: usize = 1024 * 1024;
/// A longer line is no token: it is refused without being kept.
const LONGEST_LINE: usize = 4 * 1024 * 1024;
/// Fewer lines are not worth a second thread.
const SPLIT_AT: usize = 32;

/// Verify tokens with published keys, without asking the server
///
/// Prints one JSON object a token: {"valid":true,"claims":{…}} or {"valid":false,"error":"CODE","detail":"…"}.
/// The whole access-token policy applies (RFC 9068): signature, type, times, required claims, and issuer and
/// audience where they are given. Revocations are not looked at. Exit code 0 only if all are valid.
#[derive(Debug, Args)]
#[command(after_help = "\
Error codes: malformed unsupported_algorithm unknown_key invalid_signature wrong_type expired not_yet_valid
too_old wrong_issuer wrong_audience missing_claim

Examples:
  jotgate token verify eyJhbGciOi… --jwks https://auth.example.com/.well-known/jwks.json
  jotgate token verify --jwks jwks.json --issuer https://auth.example.com --audience https://api.example.com < tokens.txt
  jotgate token verify --jwks key.json --signature-only eyJhbGciOi…")]
pub(in crate::cli) struct Verify {
    /// The token; `-` or nothing: a token per line on standard input
    token: Option<String>,
    /// JWK Set, or one JWK: a file, or an https:// URL. A bad key among good ones is left out. A shared secret
    /// (HMAC) is accepted from a file only
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    /// Issuer that the token must name, exactly
    #[arg(long)]
    issuer: Option<String>,
    /// Audience that the token must name; can be repeated: any of them
    #[arg(long)]
    audience: Vec<String>,
    /// Verify the signature alone, whatever the type and payload are
    #[arg(long, conflicts_with_all = ["issuer", "audience"])]
    signature_only: bool,
    /// Accepted for uniformity: the output is always JSON
    #[arg(long, hide = true)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let checker = Checker {
            keys: read_keys(&self.jwks)?,
            policy: (!self.signature_only).then(|| policy(self.issuer.as_deref(), &self.audience)),
            edge: Edge::system(),
        };
        let mut out = io::stdout().lock();
        let all_valid = match super::from_standard_input(self.token) {
            Some(token) => {
                let mut line = Vec::new();
                let valid = checker.check(token.as_bytes(), checker.now(), &mut Vec::new(), &mut line);
                out.write_all(&line)?;
                valid
            }
            None => {
                let Checked { lines, valid } = checker.check_lines(&mut io::stdin().lock(), &mut out)?;
                if lines == 0 {
                    return Err(Failure::Usage(
                        "there is no token: give one as argument, or one a line on standard input".to_owned(),
                    ));
                }
                valid == lines
            }
        };
        out.flush()?;
        if all_valid { Ok(()) } else { Err(Failure::Silent) }
    }
}

fn policy(issuer: Option<&str>, audience: &[String]) -> Policy {
    let policy = Policy::access_token(issuer.unwrap_or_default(), "").any_audience();
    let policy = if issuer.is_none() { policy.any_issuer() } else { policy };
    audience.iter().fold(policy, |policy, one| policy.audience(one))
}

/// Keys from a file may be secrets and need not say their algorithm; keys from a network are public and do.
fn read_keys(source: &str) -> Result<KeySet, Failure> {
    let keys = if fetch::is_url(source) {
        KeySet::from_public_json(&fetch::text(source)?)
    } else {
        let text = std::fs::read_to_string(Path::new(source))
            .map_err(|error| failed(format!("cannot read {source}: {error}")))?;
        KeySet::from_json_for(&text, &Algorithm::ALL)
    };
    let keys = keys.map_err(|error| failed(format!("{source} is neither a JWK Set nor a JWK: {error}")))?;
    for left_out in keys.rejected() {
        let kid = left_out.kid.as_ref().map_or_else(String::new, |kid| format!(", kid {kid:?}"));
        warn(format!("key {} of {source}{kid} is left out: {}", left_out.index + 1, left_out.error));
    }
    if keys.is_empty() {
        warn(format!("{source} has no key that can be used: nothing verifies"));
    }
    Ok(keys)
}

struct Checker {
    keys: KeySet,
    /// None: the signature alone.
    policy: Option<Policy>,
    edge: Edge,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Checked {
    lines: u64,
    valid: u64,
}

impl Checker {
    fn now(&self) -> u64 {
        u64::try_from(self.edge.now().secs()).unwrap_or(0)
    }

    /// Verifies one token and appends its line to `out`. `scratch` is reused from token to token.
    fn check(&self, token: &[u8], now: u64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        let result =
            std::str::from_utf8(token).map_err(|_| Error::Malformed).and_then(|token| match &self.policy {
                Some(policy) => {
                    let verified = jotgate_jose::verify_in(scratch, &self.keys, policy, token, now)?;
                    accept(verified.claims().json(), out);
                    Ok(())
                }
                None => {
                    let verified = jotgate_jose::verify_signature_only(&self.keys, token)?;
                    let payload = verified.payload();
                    match std::str::from_utf8(payload).ok().filter(|text| is_object(text)) {
                        Some(claims) => accept(claims, out),
                        None => {
                            let payload = URL_SAFE_NO_PAD.encode(payload);
                            let _ = writeln!(out, r#"{{"valid":true,"payload":"{payload}"}}"#);
                        }
                    }
                    Ok(())
                }
            });
        if let Err(error) = &result {
            refuse(*error, out);
        }
        result.is_ok()
    }

    /// A token per line, an answer per line in the same order; what was read is answered before more is awaited.
    fn check_lines(&self, input: &mut impl Read, out: &mut impl Write) -> io::Result<Checked> {
        let mut total = Checked::default();
        let mut buffer = vec![0; BLOCK];
        // Bytes at the start of the buffer that belong to a line whose end was not read yet.
        let mut held = 0;
        let mut overlong = false;
        loop {
            if held == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let read = match input.read(buffer.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let end = held + read;
            let filled = buffer.get(..end).unwrap_or_default();
            if read == 0 {
                if end > 0 || overlong {
                    total.add(self.check_block(filled, &mut overlong, out)?);
                }
                return Ok(total);
            }
            let complete = filled.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
            let (block, _) = filled.split_at(complete);
            if complete > 0 {
                let block = block.strip_suffix(b"\n").unwrap_or(block);
                total.add(self.check_block(block, &mut overlong, out)?);
                out.flush()?;
            }
            buffer.copy_within(complete..end, 0);
            held = end - complete;
            if held > LONGEST_LINE {
                overlong = true;
                held = 0;
            }
        }
    }

    /// Lines without the last one's end, over all cores where that pays.
    fn check_block(&self, block: &[u8], overlong: &mut bool, out: &mut impl Write) -> io::Result<Checked> {
        let now = self.now();
        let mut lines: Vec<&[u8]> = block.split(|&b| b == b'\n').collect();
        let mut total = Checked::default();
        if std::mem::take(overlong) && !lines.is_empty() {
            lines.remove(0);
            let mut line = Vec::new();
            refuse(Error::Malformed, &mut line);
            out.write_all(&line)?;
            total.lines += 1;
        }
        let threads =
            if lines.len() < SPLIT_AT { 1 } else { thread::available_parallelism().map_or(1, NonZero::get) };
        let part = lines.len().div_ceil(threads).max(1);
        let results = thread::scope(|scope| {
            let mut parts = lines.chunks(part);
            let first = parts.next().unwrap_or_default();
            let others: Vec<_> =
                parts.map(|lines| scope.spawn(move || self.check_part(lines, now))).collect();
            let mut results = vec![Some(self.check_part(first, now))];
            results.extend(others.into_iter().map(|thread| thread.join().ok()));
            results
        });
        for result in results {
            let (checked, text) = result.ok_or_else(|| io::Error::other("a thread ended early"))?;
            out.write_all(&text)?;
            total.add(checked);
        }
        Ok(total)
    }

    fn check_part(&self, lines: &[&[u8]], now: u64) -> (Checked, Vec<u8>) {
        let mut scratch = Vec::with_capacity(2048);
        let mut out = Vec::with_capacity(lines.iter().map(|line| line.len() + 64).sum());
        let mut checked = Checked::default();
        for line in lines {
            let token = line.strip_suffix(b"\r").unwrap_or(line);
            checked.lines += 1;
            checked.valid += u64::from(self.check(token, now, &mut scratch, &mut out));
        }
        (checked, out)
    }
}

impl Checked {
    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.valid += other.valid;
    }
}

fn accept(claims: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"valid":true,"claims":"#);
    // Only white space between values can be a new line: inside strings JSON has none.
    if claims.contains(['\n', '\r']) {
        out.extend(claims.bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    } else {
        out.extend_from_slice(claims.as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

/// Codes and details are ours and have nothing in them that JSON would escape.
fn refuse(error: Error, out: &mut Vec<u8>) {
    let (code, detail) = (error.code(), error.detail());
    let _ = writeln!(out, r#"{{"valid":false,"error":"{code}","detail":"{detail}"}}"#);
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use jotgate_jose::SigningKey;

    use super::*;

    /// Gives at most so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(n);
            buffer[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }

    fn checker() -> (Checker, SigningKey) {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::from(key.verifying_key());
        (Checker { keys, policy: Some(policy(None, &[])), edge: Edge::system() }, key)
    }

    fn token(key: &SigningKey, number: u64, now: u64) -> String {
        let payload = format!(
            "{{\"iss\":\"i\",\"sub\":\"s\",\"aud\":\"a\",\n\"exp\":{},\"iat\":{now},\"jti\":\"{number}\",\"client_id\":\"c\"}}",
            now + 600
        );
        key.sign("at+jwt", payload.as_bytes()).unwrap()
    }

    fn answers(checker: &Checker, input: &[u8], step: usize) -> (Checked, Vec<serde_json::Value>) {
        let mut out = Vec::new();
        let checked = checker.check_lines(&mut Slow(input, step), &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        (checked, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn an_answer_a_line_in_order_however_the_input_is_cut() {
        let (checker, key) = checker();
        let now = checker.now();
        let mut input = String::new();
        for number in 0..100 {
            input.push_str(&if number % 7 == 3 { "nonsense".to_owned() } else { token(&key, number, now) });
            input.push_str(if number % 2 == 0 { "\r\n" } else { "\n" });
        }
        for (text, step) in [(input.as_str(), 1 << 20), (input.as_str(), 77), (input.trim_end(), 4096)] {
            let (checked, answers) = answers(&checker, text.as_bytes(), step);
            assert_eq!(checked, Checked { lines: 100, valid: 86 });
            for (number, answer) in answers.iter().enumerate() {
                if number % 7 == 3 {
                    assert_eq!(answer["error"], "malformed");
                } else {
                    assert_eq!(answer["claims"]["jti"], number.to_string());
                }
            }
        }
    }

    #[test]
    fn empty_lines_are_answered_and_empty_input_is_not() {
        let (checker, _) = checker();
        assert_eq!(answers(&checker, b"", 9).0, Checked::default());
        assert_eq!(answers(&checker, b"\n\nx", 9).0, Checked { lines: 3, valid: 0 });
        assert_eq!(answers(&checker, b"\xff\xfe\n", 9).1[0]["error"], "malformed");
    }

    #[test]
    fn an_endless_line_is_one_refusal_and_no_memory() {
        let (checker, key) = checker();
        let good = token(&key, 1, checker.now());
        let mut input = vec![b'a'; 3 * LONGEST_LINE];
        input.extend_from_slice(format!("\n{good}\n").as_bytes());
        let (checked, answers) = answers(&checker, &input, 1 << 20);
        assert_eq!(checked, Checked { lines: 2, valid: 1 });
        assert_eq!(answers[0]["error"], "malformed");
        assert_eq!(answers[1]["valid"], true);
    }

    #[test]
    fn issuer_and_audience_count_where_they_are_given() {
        let (checker, key) = checker();
        let token = token(&key, 1, checker.now());
        let code = |issuer, audience: &[&str]| {
            let audience: Vec<String> = audience.iter().map(|&a| a.to_owned()).collect();
            let policy = policy(issuer, &audience);
            jotgate_jose::verify(&checker.keys, &policy, &token, checker.now()).err().map(Error::code)
        };
        assert_eq!(code(None, &[]), None);
        assert_eq!(code(Some("i"), &["x", "a"]), None);
        assert_eq!(code(Some("j"), &[]), Some("wrong_issuer"));
        assert_eq!(code(None, &["x"]), Some("wrong_audience"));
    }

    #[test]
    fn the_signature_alone_can_be_over_anything() {
        let (checker, key) = checker();
        let checker = Checker { policy: None, ..checker };
        for (payload, answer) in [
            (&b"{\"a\":1}"[..], r#"{"valid":true,"claims":{"a":1}}"#),
            (b"hello", r#"{"valid":true,"payload":"aGVsbG8"}"#),
            (b"[1]", r#"{"valid":true,"payload":"WzFd"}"#),
        ] {
            let token = key.sign("x", payload).unwrap();
            let mut out = Vec::new();
            assert!(checker.check(token.as_bytes(), 0, &mut Vec::new(), &mut out));
            assert_eq!(String::from_utf8(out).unwrap().trim_end(), answer);
        }
    }
}
