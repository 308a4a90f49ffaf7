//! The issuer's keys: asked for again as their answer allows, and when a token names one that is not known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CACHE_CONTROL, HeaderMap};
use jotgate_jose::KeySet;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::Followed;
use super::client::Failure;
use super::feed::jittered;
use crate::clock::now;

/// Longest JWK Set that is read, in bytes.
const LIMIT: usize = 1024 * 1024;
/// Where the answer does not say how long it holds.
const USUAL_MAX_AGE: Duration = Duration::from_secs(300);
/// The answer's word is taken between these.
const LEAST_MAX_AGE: Duration = Duration::from_secs(5);
const MOST_MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// First wait after a failure; each further one doubles it, up to the cool-down.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How long after the news of a revoked key the keys are asked for, and up to half as long again.
const SOON: Duration = Duration::from_millis(500);
/// A token with an unknown key waits no longer for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where who wants keys and who gets them meet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    wanted: Notify,
    hurry: Notify,
    done: watch::Sender<u64>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// No unknown key makes them be asked for before this.
    not_before: Option<Instant>,
    asking: bool,
}

impl Keys {
    /// Has the keys asked for, unless that was done just now; whether an answer may have come.
    pub(super) async fn refetch(&self) -> bool {
        let mut done = self.done.subscribe();
        if !self.progress().may_wait() {
            return false;
        }
        self.wanted.notify_one();
        timeout(PATIENCE, done.changed()).await.is_ok()
    }

    /// Has them asked for soon, cool-down or not: the issuer itself said that they changed.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

impl Progress {
    fn may_wait(self) -> bool {
        self.asking || self.cooled_down()
    }

    fn cooled_down(self) -> bool {
        self.not_before.is_none_or(|instant| Instant::now() >= instant)
    }
}

/// For ever.
pub(super) async fn follow(one: Arc<Followed>) {
    let (mut etag, mut wait) = (None, FIRST_WAIT);
    loop {
        let not_before = Some(Instant::now() + one.settings.cool_down);
        one.keys.set(Progress { not_before, asking: true });
        let next = match fetch(&one, &mut etag).await {
            Ok(max_age) => {
                wait = FIRST_WAIT;
                max_age
            }
            Err(failure) => {
                one.verifier.counters().key_fetch_failures.add();
                one.note(Some(failure));
                one.forget_endpoints();
                let doubled = (wait * 2).min(one.settings.cool_down.max(FIRST_WAIT));
                std::mem::replace(&mut wait, doubled)
            }
        };
        one.keys.set(Progress { not_before, asking: false });
        one.keys.done.send_modify(|rounds| *rounds += 1);
        let mut due = Instant::now() + next;
        loop {
            tokio::select! {
                () = sleep(due.saturating_duration_since(Instant::now())) => break,
                () = one.keys.wanted.notified() => if one.keys.progress().cooled_down() { break },
                // All who follow hear it in one moment.
                () = one.keys.hurry.notified() => due = due.min(Instant::now() + jittered(SOON)),
            }
        }
    }
}

/// How long what is now in use may be used without asking.
async fn fetch(one: &Followed, etag: &mut Option<String>) -> Result<Duration, Failure> {
    let path = &one.endpoints().await?.keys;
    one.verifier.counters().key_fetches.add();
    let answer = one.client.get(path, etag.as_deref(), LIMIT).await?;
    if let Some(body) = &answer.body {
        let keys = read(body, &one.settings.own_keys)?;
        // First, or the new keys would pass for ones that nobody confirmed.
        one.verifier.confirm_keys(now());
        // The cache of verified tokens outlives an answer that says nothing new.
        if keys.to_json() != one.verifier.keys().to_json() || one.verifier.keys().is_empty() {
            one.verifier.set_keys(keys);
        }
        *etag = answer.etag();
    }
    one.verifier.confirm_keys(now());
    one.note(None);
    Ok(max_age(&answer.headers))
}

/// A bad key is left out; an answer without a good one is no answer.
fn read(body: &[u8], own: &KeySet) -> Result<KeySet, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::Unusable("no JWK Set"))?;
    let mut keys = KeySet::from_public_json(text).map_err(|_| Failure::Unusable("no JWK Set"))?;
    if keys.is_empty() {
        return Err(Failure::Unusable("no usable key in the JWK Set"));
    }
    for key in own.iter() {
        // One that is there already is there.
        let _ = keys.insert(key.clone());
    }
    Ok(keys)
}

fn max_age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let seconds = directives.find_map(|one| one.strip_prefix("max-age=")?.parse().ok());
    seconds.map_or(USUAL_MAX_AGE, Duration::from_secs).clamp(LEAST_MAX_AGE, MOST_MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn an_answer_without_a_usable_key_is_none() {
        let own = KeySet::new();
        let good = Sample::new().keys().to_json();
        assert_eq!(read(good.as_bytes(), &own).unwrap().len(), 1);
        let with_bad = good.replacen('[', r#"[{"kty":"RSA","n":"AA","e":"AQAB"},"#, 1);
        assert_eq!(read(with_bad.as_bytes(), &own).unwrap().len(), 1, "the bad one is left out");
        for bad in [r#"{"keys":[]}"#, "<html>", "", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
            assert!(read(bad.as_bytes(), &own).is_err(), "{bad}");
        }
    }

    #[test]
    fn max_age_is_taken_within_reason() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, http::HeaderValue::from_static(value));
            max_age(&headers).as_secs()
        };
        assert_eq!(of("public, max-age=120"), 120);
        assert_eq!((of("max-age=0"), of("max-age=99999999"), of("no-cache")), (5, 3600, 300));
        assert_eq!(max_age(&HeaderMap::new()), USUAL_MAX_AGE);
    }
}
