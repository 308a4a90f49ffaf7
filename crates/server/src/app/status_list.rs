//! Token Status Lists (draft-ietf-oauth-status-list): for verifiers that poll. Signed from the revocations in
//! memory, at most once a second a list, and served from memory.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use jotgate_domain::Timestamp;
use jotgate_domain::status::LIST_SIZE;
use serde::Serialize;

use super::{App, Fault};

/// `typ` of a status list token, and its media type after `application/`.
const STATUS_LIST: &str = "statuslist+jwt";
/// A list is signed again after this when something was revoked.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Past this a verifier must not go by a list any more, whatever it is configured to do with stale ones.
const EXPIRES_AFTER: Duration = Duration::from_secs(60 * 60);

/// A signed list, ready to be sent.
#[derive(Debug)]
pub struct StatusList {
    pub token: String,
    pub etag: String,
    /// For `Cache-Control`, in seconds: half of `status_list.ttl`, the other half is the token's `ttl`, since
    /// caches add up.
    pub max_age: u64,
    /// Where the log ended that it was made from.
    log_end: u64,
    made_at: Timestamp,
    as_of: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct StatusLists {
    signed: Mutex<HashMap<u64, Arc<StatusList>>>,
    making: Mutex<()>,
    highest: AtomicU64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: i64,
    exp: i64,
    ttl: u64,
    status_list: Bits,
}

#[derive(Serialize)]
struct Bits {
    bits: u8,
    lst: String,
}

impl StatusLists {
    pub(super) fn exist_up_to(&self, list: u64) {
        self.highest.fetch_max(list, Ordering::AcqRel);
    }

    /// The next one may have begun on another node since this one last looked.
    fn exists(&self, list: u64) -> bool {
        list <= self.highest.load(Ordering::Acquire).saturating_add(1)
    }
}

impl App {
    /// Addresses of all lists that tokens name.
    #[must_use]
    pub fn status_list_uris(&self) -> Vec<String> {
        let highest = self.status_lists.highest.load(Ordering::Acquire);
        (0..=highest).map(|list| self.status_uri(list)).collect()
    }

    /// The list of this number, where a fresh one is at hand.
    #[must_use]
    pub fn made_status_list(&self, list: u64) -> Option<Arc<StatusList>> {
        let now = self.now();
        let signed = self.status_lists.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let made = signed.get(&list)?;
        let fresh = now >= made.made_at && now.since(made.made_at) < self.remake_after(made);
        fresh.then(|| Arc::clone(made))
    }

    /// The list of this number, signed if need be, which takes milliseconds; none where no token names it.
    ///
    /// # Errors
    /// [`Fault`], where it cannot be signed.
    pub fn status_list(&self, list: u64) -> Result<Option<Arc<StatusList>>, Fault> {
        if !self.status_lists.exists(list) {
            return Ok(None);
        }
        // One at a time, and for all who wait at once.
        let _making = self.status_lists.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.made_status_list(list) {
            return Ok(Some(made));
        }
        let made = Arc::new(self.sign_status_list(list, self.now())?);
        let mut signed = self.status_lists.signed.lock().unwrap_or_else(PoisonError::into_inner);
        signed.insert(list, Arc::clone(&made));
        Ok(Some(made))
    }

    fn remake_after(&self, made: &StatusList) -> Duration {
        if made.log_end != self.feed.end() || made.as_of != self.feed.as_of() {
            AT_MOST_EVERY
        } else {
            Duration::from_secs(made.max_age)
        }
    }

    fn sign_status_list(&self, list: u64, now: Timestamp) -> Result<StatusList, Fault> {
        let (log_end, as_of) = (self.feed.end(), self.feed.as_of());
        let uri = self.status_uri(list);
        let bytes = self.verifier.revocations().bits(&uri, usize::try_from(LIST_SIZE).unwrap_or(usize::MAX));
        let compressed =
            compress(&bytes).map_err(|error| Fault::Internal(format!("status list: {error}")))?;
        // A second of `status_list.ttl` is what the signing itself may lag behind.
        let half = self.config.policy.status_list_ttl.saturating_sub(AT_MOST_EVERY).as_secs() / 2;
        let claims = Claims {
            sub: &uri,
            // The instant at which the database was heard, never this node's own now: a node that is cut off
            // cannot pass as fresh.
            iat: as_of.secs(),
            exp: as_of.plus(EXPIRES_AFTER).secs(),
            ttl: half,
            status_list: Bits { bits: 1, lst: URL_SAFE_NO_PAD.encode(compressed) },
        };
        let token = self.keys.current().sign_list(STATUS_LIST, &claims)?;
        let hash = digest(&SHA256, token.as_bytes());
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default()));
        Ok(StatusList { token, etag, max_age: half, log_end, made_at: now, as_of })
    }
}

/// DEFLATE in the zlib format, at its best (draft-ietf-oauth-status-list §4.1).
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(bytes)?;
    zlib.finish()
}

#[cfg(test)]
mod tests {
    use jotgate_domain::status::Permutation;
    use jotgate_verify::Revocations;

    use super::*;

    /// What the draft's appendix says of a million entries, whatever sessions they were that ended.
    #[test]
    fn a_million_sessions_cost_what_the_draft_says() {
        let permutation = Permutation::new(&[7; 32]).list(0);
        // (every how many-th session ended, KB that the draft says for a million entries of one bit)
        for (every, kilobytes) in [(1000, 2.2), (100, 13.7)] {
            let revocations = Revocations::new();
            for number in (0..LIST_SIZE).step_by(every) {
                revocations.insert("u", permutation.index(number).unwrap(), i64::MAX);
            }
            let size = compress(&revocations.bits("u", 1 << 20)).unwrap().len();
            // Ours has 2^20 entries, and KB may be of 1,000 bytes or of 1,024.
            let limit = kilobytes * 1024.0 * 1.048_576 * 1.02;
            println!("one in {every} revoked: {size} bytes");
            assert!((size as f64) < limit, "one in {every}: {size} bytes, the draft says {kilobytes} KB");
        }
    }
}
