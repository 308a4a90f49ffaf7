//! Status lists (draft-ietf-oauth-status-list): all revocations of an issuer, signed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_jose::Policy;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::Deserialize;

use super::Followed;
use super::client::Failure;
use super::discovery::path_of;
use crate::clock::now;
use crate::revocations::MAX_INDEX;
use crate::{Revocations, Verifier};

/// How often lists are asked for where the issuer has nothing else.
pub(super) const USUAL_WAIT: Duration = Duration::from_secs(15);
/// Longest list that is read, in bytes: one that nothing compresses.
const LIMIT: usize = 4 * 1024 * 1024;
/// The same, inflated.
const INFLATED: usize = (MAX_INDEX as usize + 1) / 8;
/// Most lists of one issuer.
const MOST: usize = 256;
/// Seconds for which a bit of a list is kept beside what the feed says: longer than any access token lives.
const KEPT: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
struct Aggregation {
    status_lists: Vec<String>,
}

#[derive(Deserialize)]
struct Bits<'a> {
    bits: u8,
    lst: &'a str,
}

/// What the lists say takes the place of what was known, unless that is newer.
pub(super) async fn replace(one: &Followed) -> Result<(), Failure> {
    let set = Revocations::new();
    let as_of = read_all(one, &set, i64::MAX).await?;
    if one.verifier.freshness().revocations_as_of.is_none_or(|known| as_of >= known) {
        one.verifier.revocations().replace_with(set);
        one.verifier.heard(as_of);
    }
    Ok(())
}

/// What the lists say counts as well.
pub(super) async fn add(one: &Followed) -> Result<(), Failure> {
    let until = i64::try_from(now().saturating_add(KEPT)).unwrap_or(i64::MAX);
    let as_of = read_all(one, one.verifier.revocations(), until).await?;
    one.verifier.heard(as_of);
    Ok(())
}

/// The instant of the oldest list.
async fn read_all(one: &Followed, set: &Revocations, until: i64) -> Result<u64, Failure> {
    let endpoints = one.endpoints().await?;
    let path = endpoints.lists.as_deref().ok_or(Failure::Unusable("no status lists"))?;
    let body = one.client.get(path, None, LIMIT).await?.body.unwrap_or_default();
    let all: Aggregation = serde_json::from_slice(&body).map_err(|_| Failure::Unusable("no aggregation"))?;
    if all.status_lists.is_empty() || all.status_lists.len() > MOST {
        return Err(Failure::Unusable("no lists, or too many"));
    }
    let mut as_of = now();
    for uri in &all.status_lists {
        let outside = Failure::Unusable("a list outside the issuer");
        let path = path_of(uri, &one.settings.address).ok_or(outside)?;
        let body = one.client.get(path, None, LIMIT).await?.body.unwrap_or_default();
        as_of = as_of.min(read(&body, uri, &one.verifier, now(), set, until)?);
        one.verifier.counters().status_lists.add();
    }
    Ok(as_of)
}

/// A list's `iat`.
fn read(
    body: &[u8],
    uri: &str,
    verifier: &Verifier,
    now: u64,
    set: &Revocations,
    until: i64,
) -> Result<u64, Failure> {
    let unusable = || Failure::Unusable("no status list token");
    let policy = Policy::token("statuslist+jwt", "", "").any_issuer().any_audience();
    let policy = policy.optional("iss").optional("aud").require("sub").require("iat");
    let policy = policy.max_length(LIMIT).map_err(|_| unusable())?;
    let token = std::str::from_utf8(body).map_err(|_| unusable())?.trim_ascii();
    let verified = jotgate_jose::verify(&verifier.keys(), &policy, token, now)
        .map_err(|_| Failure::Unusable("a status list whose signature or time is not good"))?;
    // Whoever has the key of tokens can sign lists.
    if verifier.revocations().contains_key(verified.kid()) {
        return Err(Failure::Unusable("a status list under a revoked key"));
    }
    let claims = verified.claims();
    if claims.sub() != Some(uri) {
        return Err(Failure::Unusable("a status list of another address"));
    }
    let list: Bits<'_> =
        serde_json::from_str(claims.get("status_list").ok_or_else(unusable)?).map_err(|_| unusable())?;
    if list.bits != 1 {
        return Err(Failure::Unusable("a status list of more than one bit"));
    }
    let compressed = URL_SAFE_NO_PAD.decode(list.lst).map_err(|_| unusable())?;
    let bytes = decompress_to_vec_zlib_with_limit(&compressed, INFLATED).map_err(|_| unusable())?;
    for (at, byte) in (0_u64..).zip(bytes).filter(|(_, byte)| *byte != 0) {
        (0..8).filter(|bit| byte >> bit & 1 == 1).for_each(|bit| set.insert(uri, at * 8 + bit, until));
    }
    claims.iat().ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;
    use crate::sample::{START, Sample};

    const URI: &str = "https://login.example/auth/status/0";

    fn list(sample: &Sample, typ: &str, bytes: &[u8]) -> String {
        let lst = URL_SAFE_NO_PAD.encode(compress_to_vec_zlib(bytes, 6));
        let payload = format!(
            r#"{{"sub":"{URI}","iat":{START},"exp":{},"ttl":14,"status_list":{{"bits":1,"lst":"{lst}"}}}}"#,
            START + 3600
        );
        sample.key.sign(typ, payload.as_bytes()).unwrap()
    }

    #[test]
    fn a_list_is_read_only_if_it_is_the_issuers_own() {
        let sample = Sample::new();
        let good = list(&sample, "statuslist+jwt", &[0b1000_0001, 0, 2]);
        let (set, verifier) = (Revocations::new(), sample.verifier());
        let read = |token: &str, uri: &str, now| read(token.as_bytes(), uri, &verifier, now, &set, i64::MAX);
        for (token, uri, now) in [
            (&list(&Sample::new(), "statuslist+jwt", &[255]), URI, START),
            (&list(&sample, "JWT", &[255]), URI, START),
            (&good, "https://login.example/auth/status/1", START),
            (&good, URI, START + 3600),
            // Two mebibytes are the most that is believed, however small they came.
            (&list(&sample, "statuslist+jwt", &vec![255; INFLATED + 1]), URI, START),
        ] {
            assert!(read(token, uri, now).is_err());
        }
        assert!((0..64).all(|idx| !set.contains(URI, idx)), "none of them left anything");
        assert_eq!(read(&good, URI, START), Ok(START));
        assert!((0..64).all(|idx| set.contains(URI, idx) == [0, 7, 17].contains(&idx)));
        verifier.revocations().insert_key(sample.keys().iter().next().unwrap().kid(), i64::MAX);
        assert!(read(&good, URI, START).is_err(), "under a revoked key");
    }
}
