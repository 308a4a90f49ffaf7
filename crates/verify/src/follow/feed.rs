//! The issuer's revocations: pages until all are here, then the stream; the status lists where there is no feed.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::Failure;
use super::issuer::Source;
use super::sse::{Event, Parser};
use super::{Followed, lists};
use crate::Revocations;
use crate::clock::now;

/// Longest page that is read, in bytes: some 10,000 entries.
const LIMIT: usize = 8 * 1024 * 1024;
/// Pages in a row; no installation has so many live revocations.
const MOST_PAGES: usize = 2_000;
/// A stream says at once that it is alive, or something on the way holds it back.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// A stream that is silent for longer than two heart-beats is dead.
const SILENCE: Duration = Duration::from_secs(12);
/// Most lists of one issuer: each takes 8 KiB at least.
const MOST_LISTS: usize = 1_024;
/// How often the feed is asked while there is no stream.
const POLL: Duration = Duration::from_millis(900);
/// Longest wait between two tries while the issuer is down.
const MOST_WAIT: Duration = Duration::from_secs(4);
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// A stream that was held back is tried again after this.
const HELD_BACK: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Page {
    cursor: String,
    as_of: u64,
    #[serde(default)]
    reset: bool,
    #[serde(default)]
    more: bool,
    entries: Vec<Entry>,
}

/// Of a later version there may be entries of other kinds, for verifiers that know them.
#[derive(Deserialize)]
struct Entry {
    uri: Option<String>,
    idx: Option<u64>,
    kid: Option<String>,
    until: Option<i64>,
}

#[derive(Deserialize)]
struct Alive {
    as_of: u64,
}

/// How a stream ended.
enum End {
    /// Everything has to be learned anew.
    Reset,
    /// It was open, and broke.
    Broken(Failure),
    /// It never came.
    None(Failure),
}

/// For ever.
pub(super) async fn follow(one: Arc<Followed>) {
    let mut cursor = None;
    let mut wait = FIRST_WAIT;
    let mut no_stream_before = Instant::now();
    loop {
        let next = match round(&one, &mut cursor, &mut no_stream_before).await {
            Ok(next) => {
                wait = FIRST_WAIT;
                next
            }
            Err(failure) => {
                one.verifier.counters().feed_failures.add();
                one.note(Some(failure));
                // The issuer may have moved them.
                one.forget_endpoints();
                let doubled = (wait * 2).min(MOST_WAIT);
                std::mem::replace(&mut wait, doubled)
            }
        };
        sleep(jittered(next)).await;
    }
}

/// Learns what is new, and stays with the stream while there is one. How long to wait for the next round.
async fn round(
    one: &Followed,
    cursor: &mut Option<String>,
    no_stream_before: &mut Instant,
) -> Result<Duration, Failure> {
    let endpoints = one.endpoints().await?;
    let (Some(feed), Source::Stream | Source::Poll(_)) = (&endpoints.feed, one.settings.source) else {
        lists::replace(one).await?;
        one.note(None);
        // An issuer of today has a feed tomorrow.
        one.forget_endpoints();
        return Ok(match one.settings.source {
            Source::StatusLists(every) => every,
            Source::Stream | Source::Poll(_) => lists::USUAL_WAIT,
        });
    };
    if let Err(failure) = catch_up(one, feed, cursor).await {
        // The lists say the same, a little later, and may come from somewhere that is still up.
        let gone = matches!(failure, Failure::Status(404 | 410));
        lists::add(one).await.map_err(|_| failure)?;
        if gone {
            one.forget_endpoints();
        }
        return Ok(POLL);
    }
    one.note(None);
    if let Source::Poll(every) = one.settings.source {
        return Ok(every);
    }
    if Instant::now() < *no_stream_before {
        return Ok(POLL);
    }
    match stream(one, feed, cursor).await {
        End::Reset => {
            *cursor = None;
            // Who says it again and again is not asked as fast as it answers.
            Ok(FIRST_WAIT)
        }
        End::Broken(failure) => {
            one.verifier.counters().feed_failures.add();
            one.note(Some(failure));
            Ok(FIRST_WAIT)
        }
        End::None(failure) => {
            one.verifier.counters().feed_failures.add();
            if failure == Failure::TimedOut {
                *no_stream_before = Instant::now() + HELD_BACK;
            }
            one.note(Some(failure));
            Ok(POLL)
        }
    }
}

/// Pages from the cursor on until there are no more. What begins anew is put together aside and then takes the
/// place of the old set, so that at no instant anything revoked passes.
async fn catch_up(one: &Followed, feed: &str, cursor: &mut Option<String>) -> Result<(), Failure> {
    let mut at = cursor.clone();
    let mut anew = at.is_none().then(Revocations::new);
    for _ in 0..MOST_PAGES {
        let path =
            at.as_deref().map_or_else(|| feed.to_owned(), |at| format!("{feed}?since={}", escaped(at)));
        let body = one.client.get(&path, None, LIMIT).await?.body.unwrap_or_default();
        let page: Page = serde_json::from_slice(&body).map_err(|_| Failure::Unusable("no page of a feed"))?;
        one.verifier.counters().pages.add();
        if page.reset {
            anew = Some(Revocations::new());
        }
        for entry in page.entries {
            entry.put(one, anew.as_ref().unwrap_or(one.verifier.revocations()))?;
        }
        at = Some(page.cursor);
        if !page.more {
            if let Some(anew) = anew {
                one.verifier.revocations().replace_with(anew);
                one.verifier.counters().resets.add();
            }
            *cursor = at;
            heard(one, page.as_of);
            return Ok(());
        }
    }
    Err(Failure::TooLong)
}

/// Takes what comes, for as long as it comes.
async fn stream(one: &Followed, feed: &str, cursor: &mut Option<String>) -> End {
    let path =
        cursor.as_deref().map_or_else(|| feed.to_owned(), |at| format!("{feed}?since={}", escaped(at)));
    let mut body = match one.client.open(&path).await {
        Ok(body) => body,
        Err(failure) => return End::None(failure),
    };
    let mut parser = Parser::default();
    let mut began = false;
    let mut patience = Instant::now() + FIRST_WORD;
    loop {
        let frame = match timeout_at(patience, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return End::Broken(Failure::Unreachable(error.to_string())),
            Ok(None) => return End::Broken(Failure::Unreachable("the stream ended".to_owned())),
            Err(_) if began => return End::Broken(Failure::TimedOut),
            Err(_) => return End::None(Failure::TimedOut),
        };
        let Some(bytes) = frame.data_ref() else { continue };
        let Ok(events) = parser.push(bytes) else { return End::Broken(Failure::TooLong) };
        for event in events {
            if !std::mem::replace(&mut began, true) {
                one.verifier.counters().streams.add();
            }
            // Whole events only: bytes that never become one are silence.
            patience = Instant::now() + SILENCE;
            match take(one, event, cursor) {
                Ok(true) => {}
                Ok(false) => return End::Reset,
                Err(failure) => return End::Broken(failure),
            }
        }
    }
}

/// Whether the set so far still counts.
fn take(one: &Followed, event: Event, cursor: &mut Option<String>) -> Result<bool, Failure> {
    let unusable = |_| Failure::Unusable("an event of another form");
    match &*event.name {
        "revoked" => {
            let entry: Entry = serde_json::from_str(&event.data).map_err(unusable)?;
            entry.put(one, one.verifier.revocations())?;
        }
        "alive" => {
            let alive: Alive = serde_json::from_str(&event.data).map_err(unusable)?;
            heard(one, alive.as_of);
        }
        "reset" => return Ok(false),
        _ => one.verifier.counters().unknown_entries.add(),
    }
    // After what it tells is done: who stops in between asks for it again.
    if event.id.is_some() {
        *cursor = event.id;
    }
    Ok(true)
}

impl Entry {
    /// Half an entry is refused, not passed over: it was a revocation.
    fn put(&self, one: &Followed, set: &Revocations) -> Result<(), Failure> {
        let counters = one.verifier.counters();
        match self {
            Self { uri: Some(uri), idx: Some(idx), kid: None, until: Some(until) } => {
                set.insert(uri, *idx, *until);
                if set.lists() > MOST_LISTS {
                    return Err(Failure::Unusable("too many status lists"));
                }
            }
            Self { uri: None, idx: None, kid: Some(kid), until: Some(until) } => {
                // Its successor may be new; what is listed again at each reconnection is not.
                if !one.verifier.revocations().contains_key(kid) {
                    one.keys.hurry();
                }
                set.insert_key(kid, *until);
            }
            Self { uri: None, idx: None, kid: None, .. } => {
                counters.unknown_entries.add();
                return Ok(());
            }
            _ => return Err(Failure::Unusable("half an entry of a feed")),
        }
        counters.revocations.add();
        Ok(())
    }
}

/// A clock that is ahead buys no freshness, and makes nothing be forgotten before its time: the slower one counts.
/// Heard again, an instant is no news: a node that lost its database says the same for ever, be its clock ahead or not.
fn heard(one: &Followed, as_of: u64) {
    if one.told.swap(as_of, Ordering::AcqRel) == as_of {
        return;
    }
    let as_of = as_of.min(now());
    one.verifier.heard(as_of);
    one.verifier.forget_expired(as_of);
}

/// A cursor is opaque: whatever it is made of, it stays one value of the query.
fn escaped(cursor: &str) -> String {
    let mut text = String::new();
    for byte in cursor.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Between one and one and a half times as long, so that many followers do not come back at once.
pub(super) fn jittered(wait: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(0) % 512).unwrap_or(0);
    wait + wait * part / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_and_waits_keep_their_form() {
        assert_eq!(escaped("0a-B_~."), "0a-B_~.");
        assert_eq!(escaped("a&b=c d\r\né"), "a%26b%3Dc%20d%0D%0A%C3%A9");
        for _ in 0..100 {
            let waited = jittered(Duration::from_millis(1000)).as_millis();
            assert!((1000..1500).contains(&waited), "{waited}");
        }
    }

    #[test]
    fn entries_are_of_two_kinds_and_of_those_to_come() {
        let issuer = super::super::Issuer::new("https://login.example", "a");
        let one = Followed::new(issuer).unwrap();
        let page = r#"{"cursor":"c","as_of":7,"entries":[{"uri":"u","idx":3,"until":9},{"kid":"k","until":9},
            {"client":"c","until":9},{}]}"#;
        let page: Page = serde_json::from_str(page).unwrap();
        let set = Revocations::new();
        page.entries.iter().for_each(|entry| entry.put(&one, &set).unwrap());
        assert!(set.contains("u", 3) && set.contains_key("k") && !page.reset && !page.more);
        let metrics = one.verifier.metrics();
        assert_eq!((metrics.revocations, metrics.unknown_entries), (2, 2));
        for half in
            [r#"{"uri":"u","until":9}"#, r#"{"uri":"u","idx":3}"#, r#"{"kid":"k"}"#, r#"{"kid":"k","idx":1}"#]
        {
            let entry: Entry = serde_json::from_str(half).unwrap();
            assert!(entry.put(&one, &set).is_err(), "{half}");
        }
        for wrong in [r#"{"uri":1,"idx":3,"until":9}"#, r#"{"uri":"u","idx":-3,"until":9}"#, "7"] {
            assert!(serde_json::from_str::<Entry>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endless_row_of_lists_is_cut_off() {
        let one = Followed::new(super::super::Issuer::new("https://login.example", "a")).unwrap();
        let set = Revocations::new();
        let put = |n: usize| {
            let entry = Entry { uri: Some(n.to_string()), idx: Some(1), kid: None, until: Some(9) };
            entry.put(&one, &set)
        };
        assert!((0..MOST_LISTS).all(|n| put(n).is_ok()));
        assert_eq!(put(MOST_LISTS), Err(Failure::Unusable("too many status lists")));
    }

    #[test]
    fn the_slower_clock_decides_what_is_forgotten() {
        let one = Followed::new(super::super::Issuer::new("https://login.example", "a")).unwrap();
        let set = one.verifier.revocations();
        let now = now();
        let until = i64::try_from(now).unwrap();
        set.insert("u", 1, until - 100);
        set.insert("v", 1, until + 100);
        // Our clock may be ahead of the issuer's ...
        heard(&one, now - 1_000);
        assert!(set.contains("u", 1));
        assert_eq!(one.verifier.freshness().revocations_as_of, Some(now - 1_000));
        // ... and the issuer's ahead of ours.
        heard(&one, now + 1_000_000);
        assert!(!set.contains("u", 1) && set.contains("v", 1));
        assert!(one.verifier.freshness().revocations_as_of.is_some_and(|at| at <= now + 60));
    }

    #[test]
    fn an_instant_heard_again_is_no_news() {
        let one = Followed::new(super::super::Issuer::new("https://login.example", "a")).unwrap();
        let tomorrow = now() + 86_400;
        heard(&one, tomorrow);
        let first = one.verifier.freshness();
        std::thread::sleep(Duration::from_millis(1_100));
        heard(&one, tomorrow);
        assert_eq!(one.verifier.freshness(), first, "an hour ahead, it must not pass for fresh");
        heard(&one, tomorrow + 1);
        assert_ne!(one.verifier.freshness(), first);
    }
}
