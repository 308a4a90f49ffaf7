//! Webhooks in the form of [Standard Webhooks](https://www.standardwebhooks.com): what is signed, and when a message
//! that was not taken is sent again.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Timestamp;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// How long after each failed try the next one follows; the first is made at once. After the last, nothing does.
pub const PAUSES: [Duration; 9] = [
    Duration::from_secs(5 * SECOND),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];

/// The longest that a receiver may ask to be left alone (`Retry-After`).
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * HOUR);
/// A pause is longer by up to a tenth, so that what failed together does not come back together.
const JITTER: u32 = 10;

/// Messages to one webhook that wait at once; past it the trail is not read on until there are fewer.
pub const MOST_PENDING: u64 = 10_000;
/// Dead letters that are kept, over all webhooks, and for how long.
pub const MOST_DEAD: u32 = 10_000;
pub const DEAD_FOR: Duration = Duration::from_secs(30 * 24 * HOUR);

/// Prefix of a secret as text.
const PREFIX: &str = "whsec_";
/// Prefix of a signature: HMAC-SHA256.
const VERSION: &str = "v1";

/// A secret that a webhook's messages are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads `whsec_` and 24 to 64 bytes in base64; the error says what is expected, and nothing of the text.
    ///
    /// # Errors
    /// The end of a sentence that begins with "expected".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "whsec_ and 24 to 64 random bytes in base64, as `echo whsec_$(openssl rand -base64 32)` makes";
        let bytes = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
        bytes.filter(|bytes| (24..=64).contains(&bytes.len())).map(Self).ok_or(EXPECTED)
    }

    fn sign(&self, text: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        format!("{VERSION},{}", STANDARD.encode(hmac::sign(&key, text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// `webhook-signature`: one for each secret, with spaces between them, so that a receiver that knows any of them is
/// content while a secret is exchanged. `at` in seconds, as in `webhook-timestamp`.
#[must_use]
pub fn signature(secrets: &[Secret], id: &str, at: i64, body: &str) -> String {
    let text = format!("{id}.{at}.{body}");
    let all: Vec<String> = secrets.iter().map(|secret| secret.sign(text.as_bytes())).collect();
    all.join(" ")
}

/// Whether a webhook may be named so, as a provider too: 1 to 32 of `a-z 0-9 _ -`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

/// A message for a webhook, until it has been taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `webhook-id`: the same at every try, and of no other message.
    pub id: String,
    pub webhook: String,
    /// The event's `type`.
    pub kind: String,
    pub body: String,
    /// How often it was sent.
    pub tries: u32,
    /// When it is due.
    pub next_at: Timestamp,
    /// Set once nothing follows any more: a dead letter.
    pub dead_at: Option<Timestamp>,
    /// What became of the last try; empty before the first.
    pub problem: String,
}

/// What a receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// Nothing, and why.
    None(String),
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Again {
        at: Timestamp,
    },
    /// The last try has failed.
    Dead,
    /// 410: the receiver wants no more messages. This one and the others wait until the operator says so.
    Gone,
}

/// What to do with a message that was sent for the `tries`th time; `random` moves the next try.
#[must_use]
pub fn decide(tries: u32, answer: &Answer, now: Timestamp, random: u8) -> Verdict {
    let asked = match answer {
        Answer::Status { status: 200..=299, .. } => return Verdict::Delivered,
        Answer::Status { status: 410, .. } => return Verdict::Gone,
        Answer::Status { status: 429 | 503, retry_after } => *retry_after,
        _ => None,
    };
    let pause = tries.checked_sub(1).and_then(|failed| PAUSES.get(usize::try_from(failed).ok()?));
    let Some(pause) = pause else { return Verdict::Dead };
    let more = pause.saturating_mul(u32::from(random)) / (JITTER * u32::from(u8::MAX));
    let asked = asked.unwrap_or_default().min(LONGEST_PAUSE);
    Verdict::Again { at: now.plus(pause.saturating_add(more).max(asked)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    fn secret(byte: u8) -> Secret {
        Secret::parse(&format!("whsec_{}", STANDARD.encode([byte; 24]))).unwrap()
    }

    #[test]
    fn the_example_of_the_specification() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature(&[secret], id, at, body), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_exchanged_there_is_a_signature_of_each() {
        let both = signature(&[secret(1), secret(2)], "a", 1, "{}");
        let one = |byte| signature(&[secret(byte)], "a", 1, "{}");
        assert_eq!(both, format!("{} {}", one(1), one(2)));
        assert_ne!(one(1), signature(&[secret(1)], "b", 1, "{}"));
        assert_ne!(one(1), signature(&[secret(1)], "a", 2, "{}"));
        assert_ne!(one(1), signature(&[secret(1)], "a", 1, "{ }"));
    }

    #[test]
    fn a_secret_is_read_strictly_and_never_shown() {
        for bad in ["", "whsec_", "whsec_AAAA", "secret", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
        assert!(Secret::parse(&format!("whsec_{}", STANDARD.encode([1; 65]))).is_err());
        assert_eq!(format!("{:?}", secret(1)), "Secret");
    }

    #[test]
    fn each_answer_and_what_follows() {
        let status = |status| Answer::Status { status, retry_after: None };
        let asks =
            |status, seconds| Answer::Status { status, retry_after: Some(Duration::from_secs(seconds)) };
        let after = |seconds| Verdict::Again { at: NOW.plus(Duration::from_secs(seconds)) };
        for (tries, answer, verdict) in [
            (1, status(200), Verdict::Delivered),
            (10, status(299), Verdict::Delivered),
            (1, status(410), Verdict::Gone),
            // A redirect is not followed: it is a failure like any other.
            (1, status(301), after(5)),
            (1, status(404), after(5)),
            (1, status(500), after(5)),
            (1, Answer::None("no".into()), after(5)),
            (2, status(500), after(300)),
            (3, status(500), after(1800)),
            (9, status(500), after(86_400)),
            (10, status(500), Verdict::Dead),
            (10, Answer::None("no".into()), Verdict::Dead),
            (10, asks(429, 60), Verdict::Dead),
            (0, status(500), Verdict::Dead),
            (1, asks(429, 60), after(60)),
            (1, asks(503, 60), after(60)),
            (1, asks(503, 1), after(5)),
            (1, asks(503, u64::MAX), after(86_400)),
            // Of another status it means nothing.
            (1, asks(500, 60), after(5)),
        ] {
            assert_eq!(decide(tries, &answer, NOW, 0), verdict, "{tries} {answer:?}");
        }
        assert_eq!(decide(2, &status(500), NOW, u8::MAX), after(330), "a tenth more at most");
    }

    #[test]
    fn names_are_what_a_header_and_a_key_can_hold() {
        assert!(is_name("orders-2_eu") && is_name("a"));
        for bad in ["", "A", "a.b", "a b", "ä", &"a".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
