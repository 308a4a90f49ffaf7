//! Signing keys over their life: published → signs → retired → gone, told by instants in the row, so every node
//! agrees by its clock and no job has to move them.
//!
//! - A key signs only after everyone can have it: it is published for `jwks.max_age` and [`PUBLISH_LAG`] first.
//!   The one exception is the very first key: nobody can have cached a set before there was one.
//! - There is always a standby, published and unused, so that an emergency rotation can sign at once.
//! - A retired key stays published until the last token that it signed has expired.
//! - Another `token.algorithm` is a rotation like any other: the key of the old algorithm signs on until the new
//!   one has been published long enough. Keys of the old algorithm go a day later, not at once, so nodes whose
//!   configuration differs during a rolling change do not undo each other's work.
//! - `HS256` keys are in no JWK Set. They verify here and wherever the operator has put them, and an asymmetric
//!   key beside them signs the status lists ([`list_algorithm`]).
//!
//! The rules look at rows and an instant and say what to write; [`Plan::expect`] makes it hold for one node
//! only: all key changes move one setting ([`GENERATION`]) from the value that was read. Two nodes that plan the
//! same rotation at once therefore never both write it; the loser reads again and finds nothing left to do.

use std::time::Duration;

use crate::Timestamp;
use crate::config::Policy;
use crate::store::{Change, Expect};

/// Setting that counts the changes of the set of keys.
pub const GENERATION: &str = "keys.generation";

/// Beyond `jwks.max_age`: within this every node has read a new key from the database and serves it.
pub const PUBLISH_LAG: Duration = Duration::from_secs(5);

/// A key outlives the last token that it signed by this: leeway of verifiers, clocks of nodes.
pub const RETIRED_MARGIN: Duration = Duration::from_secs(120);

/// How long keys of an algorithm that is configured no more stay, and how long rows of gone keys do.
pub const UNUSED_STAYS: Duration = Duration::from_secs(24 * 60 * 60);

/// One row of `signing_keys`. The private key is sealed; the rule never needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub kid: String,
    /// Its one algorithm, as in a JOSE header.
    pub algorithm: String,
    /// The private JWK, sealed under the master key.
    pub sealed: Vec<u8>,
    /// In the JWK Set from this instant on (a symmetric key: never, but its life is the same).
    pub published_at: Timestamp,
    /// Signs from this instant on, until a later key does; none for the standby.
    pub signs_at: Option<Timestamp>,
    /// Out of the JWK Set and refused from this instant on; set when its successor is.
    pub gone_at: Option<Timestamp>,
}

impl StoredKey {
    #[must_use]
    pub fn is_symmetric(&self) -> bool {
        is_symmetric(&self.algorithm)
    }

    fn is_gone(&self, now: Timestamp) -> bool {
        self.gone_at.is_some_and(|at| at <= now)
    }

    fn signs(&self, now: Timestamp) -> bool {
        self.signs_at.is_some_and(|at| at <= now)
    }
}

/// Where in its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Published so that everyone has it; signs at the next rotation.
    Standby,
    Signing,
    /// Signs no more; what it signed is still accepted.
    Retired,
    Gone,
}

impl State {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Gone => "gone",
        }
    }
}

/// Whether keys of `algorithm` are secrets that verifiers share (RFC 7518 §3.2).
#[must_use]
pub fn is_symmetric(algorithm: &str) -> bool {
    algorithm.starts_with("HS")
}

/// What signs status lists, which everyone must be able to verify: the access tokens' algorithm where it is
/// asymmetric, else `ES256`.
#[must_use]
pub fn list_algorithm(access_algorithm: &str) -> &str {
    if is_symmetric(access_algorithm) { "ES256" } else { access_algorithm }
}

/// Where `key` is in its life among `all` keys at `now`.
#[must_use]
pub fn state(key: &StoredKey, all: &[StoredKey], now: Timestamp) -> State {
    // A key that is to go signs no more once any later key does, of whatever algorithm.
    let replaced = || live(all, now).any(|k| k.signs(now) && k.signs_at > key.signs_at);
    if key.is_gone(now) {
        State::Gone
    } else if !key.signs(now) {
        State::Standby
    } else if same_algorithm(all, &key.algorithm, now).is_some_and(|k| k.kid == key.kid)
        && !(key.gone_at.is_some() && replaced())
    {
        State::Signing
    } else {
        State::Retired
    }
}

/// The key that signs what is to be signed under `algorithm`: its own newest one that signs; until there is one
/// (the algorithm was just changed), the one that signed before.
///
/// A clock behind all `signs_at` (it went back) gets the earliest key meant to sign, rather than none.
#[must_use]
pub fn signing_key<'a>(keys: &'a [StoredKey], algorithm: &str, now: Timestamp) -> Option<&'a StoredKey> {
    let own = newest(live(keys, now).filter(|k| k.algorithm == algorithm && k.signs(now)));
    // What is verified with published keys is never signed with a secret in their place.
    let before =
        || newest(live(keys, now).filter(|k| k.signs(now) && (is_symmetric(algorithm) || !k.is_symmetric())));
    let earliest = || {
        live(keys, now)
            .filter(|k| k.signs_at.is_some() && (is_symmetric(algorithm) || !k.is_symmetric()))
            .min_by_key(|k| (k.algorithm != algorithm, k.signs_at, &k.kid))
    };
    own.or_else(before).or_else(earliest)
}

/// The keys of the JWK Set at `now`, signing ones first, then standbys, then retired ones, newest first.
/// Never a symmetric one.
#[must_use]
pub fn published(keys: &[StoredKey], now: Timestamp) -> Vec<&StoredKey> {
    // `published_at` is not asked: the row is there, and a clock that went back must not empty the set.
    let mut set: Vec<&StoredKey> = live(keys, now).filter(|k| !k.is_symmetric()).collect();
    set.sort_by_key(|k| {
        let rank = match state(k, keys, now) {
            State::Signing => 0,
            State::Standby => 1,
            State::Retired => 2,
            State::Gone => 3,
        };
        (rank, std::cmp::Reverse(k.published_at), k.kid.clone())
    });
    set
}

/// The keys whose signatures this server accepts at `now`.
#[must_use]
pub fn verifying(keys: &[StoredKey], now: Timestamp) -> Vec<&StoredKey> {
    live(keys, now).collect()
}

/// One thing to do to the set of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Draw a key of this algorithm and store it.
    Create {
        algorithm: String,
        published_at: Timestamp,
        signs_at: Option<Timestamp>,
    },
    /// Replace the row of this `kid`.
    Update(StoredKey),
    Delete {
        kid: String,
    },
    /// Tell everybody to refuse its tokens.
    Revoke {
        kid: String,
        until: Timestamp,
    },
}

/// Why keys were left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// No live key has this `kid`.
    Unknown,
    /// It signs or is the standby: rotate first.
    InUse,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "there is no such key, or it is gone already",
            Self::InUse => "the key is in use: rotate first",
        })
    }
}

impl std::error::Error for KeyError {}

/// What has to be done at `now` so that every rule of this module holds; nothing where all is well.
///
/// On first start a signing key and a standby; later the scheduled rotation (`key.rotation` after the signing
/// key began), a new standby for one that was used, and the end of what is gone. Its outcome depends on the
/// instants and algorithms of the rows only, not on the order or the names of keys: planning again after it was
/// carried out gives nothing.
#[must_use]
pub fn plan(keys: &[StoredKey], algorithm: &str, policy: &Policy, now: Timestamp) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    let list = list_algorithm(algorithm);
    for wanted in if list == algorithm { vec![algorithm] } else { vec![algorithm, list] } {
        keep_family(keys, wanted, policy, now, &mut changes);
    }
    retire_others(keys, &[algorithm, list], policy, now, &mut changes);
    for key in keys {
        if key.gone_at.is_some_and(|at| at.plus(UNUSED_STAYS) <= now) {
            changes.push(KeyChange::Delete { kid: key.kid.clone() });
        }
    }
    changes
}

/// Rotation by hand: the standby signs as soon as it has been published for `jwks.max_age`, usually at once.
/// Where a rotation is under way already (its key does not sign yet), nothing is added to it.
#[must_use]
pub fn rotate(keys: &[StoredKey], algorithm: &str, policy: &Policy, now: Timestamp) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    let family = Family::of(keys, algorithm, now);
    match (family.signing, family.upcoming, family.standby) {
        (Some(signing), None, Some(standby)) => {
            hand_over(signing, standby, now.max(ready_at(standby, policy)), policy, &mut changes);
            changes.push(create(algorithm, now, None));
            changes
        }
        _ => plan(keys, algorithm, policy, now),
    }
}

/// Rotation because `kid` can no longer be trusted: it is gone at once, and with it every token that it signed.
/// If it signed, the standby signs at once; if it was the standby, another takes its place.
///
/// Verifiers that follow the feed are told the `kid`, so that they need not wait until their copy of the JWK Set is
/// old.
///
/// # Errors
/// [`KeyError::Unknown`].
pub fn rotate_emergency(
    keys: &[StoredKey],
    kid: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<KeyChange>, KeyError> {
    let bad = live(keys, now).find(|k| k.kid == kid).ok_or(KeyError::Unknown)?;
    let family = Family::of(keys, &bad.algorithm, now);
    let mut changes = end_now(bad, policy, now).to_vec();
    let is = |key: Option<&StoredKey>| key.is_some_and(|k| k.kid == kid);
    if is(family.signing) {
        // The nearest successor, scheduled or not; the other one stays.
        match (family.upcoming, family.standby) {
            (Some(next), standby) => {
                changes.push(KeyChange::Update(StoredKey { signs_at: Some(now), ..next.clone() }));
                if standby.is_none() {
                    changes.push(create(&bad.algorithm, now, None));
                }
            }
            (None, Some(next)) => {
                changes.push(KeyChange::Update(StoredKey { signs_at: Some(now), ..next.clone() }));
                changes.push(create(&bad.algorithm, now, None));
            }
            (None, None) => {
                changes.push(create(&bad.algorithm, now, Some(now)));
                changes.push(create(&bad.algorithm, now, None));
            }
        }
    } else if is(family.upcoming) {
        // What was to succeed is not there: the one that signs goes on until the next rotation.
        if let Some(signing) = family.signing {
            changes.push(KeyChange::Update(StoredKey { gone_at: None, ..signing.clone() }));
        }
        if family.standby.is_none() {
            changes.push(create(&bad.algorithm, now, None));
        }
    } else if is(family.standby) {
        changes.push(create(&bad.algorithm, now, None));
    }
    Ok(changes)
}

/// Takes a retired key out of the set before its time; tokens that it signed are refused from then on, everywhere.
///
/// # Errors
/// [`KeyError::Unknown`]; [`KeyError::InUse`] for one that signs or is to sign under `algorithm`.
pub fn retire(
    keys: &[StoredKey],
    kid: &str,
    algorithm: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<KeyChange>, KeyError> {
    let key = live(keys, now).find(|k| k.kid == kid).ok_or(KeyError::Unknown)?;
    let wanted = key.algorithm == algorithm || key.algorithm == list_algorithm(algorithm);
    let signs = signing_key(keys, algorithm, now).is_some_and(|k| k.kid == kid)
        || signing_key(keys, list_algorithm(algorithm), now).is_some_and(|k| k.kid == kid);
    if signs || (wanted && state(key, keys, now) != State::Retired) {
        return Err(KeyError::InUse);
    }
    Ok(end_now(key, policy, now).to_vec())
}

/// Ends every live key: the database went back to a backup, and tokens that were revoked since must not come back
/// to life. [`plan`] then makes new ones, which sign at once.
#[must_use]
pub fn end_all(keys: &[StoredKey], policy: &Policy, now: Timestamp) -> Vec<KeyChange> {
    live(keys, now).flat_map(|key| end_now(key, policy, now)).collect()
}

/// Until when everybody is told of a key that ended before its time at `now`.
///
/// A thief signs tokens that live as long as they like: the key is told of for as long as a verifier may go by an old
/// copy of the JWK Set, not only until our own tokens have expired.
#[must_use]
pub fn told_until(policy: &Policy, now: Timestamp) -> Timestamp {
    now.plus(policy.access_ttl).plus(RETIRED_MARGIN).plus(policy.jwks_max_age).plus(UNUSED_STAYS)
}

/// Ends a key at `now`, before its time, and tells everybody.
fn end_now(key: &StoredKey, policy: &Policy, now: Timestamp) -> [KeyChange; 2] {
    [
        KeyChange::Update(StoredKey { gone_at: Some(now), ..key.clone() }),
        KeyChange::Revoke { kid: key.kid.clone(), until: told_until(policy, now) },
    ]
}

/// Changes for the store, with what makes them hold for one node only.
#[derive(Clone, Debug)]
pub struct Plan {
    pub changes: Vec<Change>,
    pub expect: Expect,
}

impl Plan {
    /// `created`: the rows that were drawn for each [`KeyChange::Create`], in order; `generation`: the value of
    /// the setting [`GENERATION`], read *before* the keys were.
    #[must_use]
    pub fn new(changes: Vec<KeyChange>, created: Vec<StoredKey>, generation: Option<String>) -> Self {
        let next = generation.as_deref().and_then(|g| g.parse::<u64>().ok()).unwrap_or(0).saturating_add(1);
        let mut created = created.into_iter();
        let mut writes: Vec<Change> = changes
            .into_iter()
            .filter_map(|change| match change {
                KeyChange::Create { .. } => created.next().map(Change::PutKey),
                KeyChange::Update(key) => Some(Change::PutKey(key)),
                KeyChange::Delete { kid } => Some(Change::DeleteKey { kid }),
                KeyChange::Revoke { kid, until } => Some(Change::RevokeKey { kid, until }),
            })
            .collect();
        writes.push(Change::PutSetting { name: GENERATION.to_owned(), value: next.to_string() });
        Self { changes: writes, expect: Expect::Setting { name: GENERATION.to_owned(), value: generation } }
    }
}

/// The live keys of one algorithm by what they are for.
struct Family<'a> {
    /// Signs now.
    signing: Option<&'a StoredKey>,
    /// Will sign at an instant that is fixed.
    upcoming: Option<&'a StoredKey>,
    /// Has no instant yet.
    standby: Option<&'a StoredKey>,
}

impl<'a> Family<'a> {
    fn of(keys: &'a [StoredKey], algorithm: &str, now: Timestamp) -> Self {
        let of_it = || live(keys, now).filter(|k| k.algorithm == algorithm);
        Self {
            signing: same_algorithm(keys, algorithm, now),
            upcoming: of_it()
                .filter(|k| k.signs_at.is_some_and(|at| now < at))
                .min_by_key(|k| (k.signs_at, &k.kid)),
            // The longest published, so that it can sign soonest.
            standby: of_it().filter(|k| k.signs_at.is_none()).min_by_key(|k| (k.published_at, &k.kid)),
        }
    }
}

fn live(keys: &[StoredKey], now: Timestamp) -> impl Iterator<Item = &StoredKey> {
    keys.iter().filter(move |k| !k.is_gone(now))
}

fn newest<'a>(keys: impl Iterator<Item = &'a StoredKey>) -> Option<&'a StoredKey> {
    keys.max_by_key(|k| (k.signs_at, &k.kid))
}

fn same_algorithm<'a>(keys: &'a [StoredKey], algorithm: &str, now: Timestamp) -> Option<&'a StoredKey> {
    newest(live(keys, now).filter(|k| k.algorithm == algorithm && k.signs(now)))
}

fn create(algorithm: &str, now: Timestamp, signs_at: Option<Timestamp>) -> KeyChange {
    KeyChange::Create { algorithm: algorithm.to_owned(), published_at: now, signs_at }
}

/// From when on everyone has the key.
fn ready_at(key: &StoredKey, policy: &Policy) -> Timestamp {
    key.published_at.plus(policy.jwks_max_age).plus(PUBLISH_LAG)
}

fn hand_over(from: &StoredKey, to: &StoredKey, at: Timestamp, policy: &Policy, changes: &mut Vec<KeyChange>) {
    let gone_at = Some(at.plus(policy.access_ttl).plus(RETIRED_MARGIN));
    changes.push(KeyChange::Update(StoredKey { gone_at, ..from.clone() }));
    changes.push(KeyChange::Update(StoredKey { signs_at: Some(at), gone_at: None, ..to.clone() }));
}

/// Keeps one algorithm in a signing key and a standby.
fn keep_family(
    keys: &[StoredKey],
    algorithm: &str,
    policy: &Policy,
    now: Timestamp,
    changes: &mut Vec<KeyChange>,
) {
    let family = Family::of(keys, algorithm, now);
    match (family.signing, family.upcoming, family.standby) {
        (Some(signing), None, standby) => {
            let due = signing.signs_at.is_none_or(|at| at.plus(policy.key_rotation) <= now);
            // It was to go with an algorithm that is wanted again, or its successor is gone.
            let orphaned = signing.gone_at.is_some();
            match standby {
                Some(standby) if due => {
                    hand_over(signing, standby, now.max(ready_at(standby, policy)), policy, changes);
                    changes.push(create(algorithm, now, None));
                }
                standby => {
                    if orphaned {
                        changes.push(KeyChange::Update(StoredKey { gone_at: None, ..signing.clone() }));
                    }
                    if let Some(standby) = standby.filter(|k| k.gone_at.is_some()) {
                        changes.push(KeyChange::Update(StoredKey { gone_at: None, ..standby.clone() }));
                    } else if standby.is_none() {
                        changes.push(create(algorithm, now, None));
                    }
                }
            }
        }
        (signing, Some(upcoming), standby) => {
            // `token.access_ttl` may have grown since the hand-over was fixed.
            if let (Some(signing), Some(at)) = (signing, upcoming.signs_at) {
                let gone_at = at.plus(policy.access_ttl).plus(RETIRED_MARGIN);
                if signing.gone_at.is_none_or(|g| g < gone_at) {
                    changes.push(KeyChange::Update(StoredKey { gone_at: Some(gone_at), ..signing.clone() }));
                }
            }
            if standby.is_none() {
                changes.push(create(algorithm, now, None));
            }
        }
        (None, None, Some(standby)) => {
            // Its signing key is gone: signs when everyone has it, at once where there is no other to sign.
            let at = if signing_key(keys, algorithm, now).is_some() {
                now.max(ready_at(standby, policy))
            } else {
                now
            };
            changes.push(KeyChange::Update(StoredKey {
                signs_at: Some(at),
                gone_at: None,
                ..standby.clone()
            }));
            changes.push(create(algorithm, now, None));
        }
        (None, None, None) => {
            let waits = signing_key(keys, algorithm, now).is_some();
            let ready = now.plus(policy.jwks_max_age).plus(PUBLISH_LAG);
            changes.push(create(algorithm, now, Some(if waits { ready } else { now })));
            changes.push(create(algorithm, now, None));
        }
    }
}

/// Lets keys go whose algorithm is configured no more, once the configured one signs.
fn retire_others(
    keys: &[StoredKey],
    wanted: &[&str],
    policy: &Policy,
    now: Timestamp,
    changes: &mut Vec<KeyChange>,
) {
    if !wanted.iter().all(|algorithm| same_algorithm(keys, algorithm, now).is_some()) {
        return;
    }
    for key in live(keys, now).filter(|k| !wanted.contains(&k.algorithm.as_str()) && k.gone_at.is_none()) {
        let gone_at = now.plus(UNUSED_STAYS).plus(policy.access_ttl).plus(RETIRED_MARGIN);
        changes.push(KeyChange::Update(StoredKey { gone_at: Some(gone_at), ..key.clone() }));
    }
}

#[cfg(test)]
mod tests;
