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
/// The caller also publishes the `kid` as revoked ([`revoked_until`]).
///
/// # Errors
/// [`KeyError::Unknown`].
pub fn rotate_emergency(keys: &[StoredKey], kid: &str, now: Timestamp) -> Result<Vec<KeyChange>, KeyError> {
    let bad = live(keys, now).find(|k| k.kid == kid).ok_or(KeyError::Unknown)?;
    let family = Family::of(keys, &bad.algorithm, now);
    let mut changes = vec![KeyChange::Update(StoredKey { gone_at: Some(now), ..bad.clone() })];
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

/// Takes a retired key out of the set before its time; tokens that it signed are refused from then on.
///
/// # Errors
/// [`KeyError::Unknown`]; [`KeyError::InUse`] for one that signs or is to sign under `algorithm`.
pub fn retire(
    keys: &[StoredKey],
    kid: &str,
    algorithm: &str,
    now: Timestamp,
) -> Result<Vec<KeyChange>, KeyError> {
    let key = live(keys, now).find(|k| k.kid == kid).ok_or(KeyError::Unknown)?;
    let wanted = key.algorithm == algorithm || key.algorithm == list_algorithm(algorithm);
    let signs = signing_key(keys, algorithm, now).is_some_and(|k| k.kid == kid)
        || signing_key(keys, list_algorithm(algorithm), now).is_some_and(|k| k.kid == kid);
    if signs || (wanted && state(key, keys, now) != State::Retired) {
        return Err(KeyError::InUse);
    }
    Ok(vec![KeyChange::Update(StoredKey { gone_at: Some(now), ..key.clone() })])
}

/// Until when a `kid` that was revoked at `now` has to be told of: past it no token of it is unexpired.
#[must_use]
pub fn revoked_until(policy: &Policy, now: Timestamp) -> Timestamp {
    now.plus(policy.access_ttl).plus(RETIRED_MARGIN)
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;

    fn policy() -> Policy {
        Policy {
            access_ttl: Duration::from_secs(600),
            jwks_max_age: Duration::from_secs(300),
            key_rotation: Duration::from_secs(90 * 24 * 3600),
            ..Policy::default()
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp(1_800_000_000_000 + millis)
    }

    /// The database, as far as keys go.
    #[derive(Clone, Default)]
    struct Database {
        keys: Vec<StoredKey>,
        generation: u64,
        created: u32,
    }

    impl Database {
        /// Applies what was planned on `generation`; refused where another node was faster.
        fn apply(&mut self, changes: Vec<KeyChange>, generation: u64) -> bool {
            if changes.is_empty() {
                return true;
            }
            if generation != self.generation {
                return false;
            }
            self.generation += 1;
            for change in changes {
                match change {
                    KeyChange::Create { algorithm, published_at, signs_at } => {
                        self.created += 1;
                        self.keys.push(StoredKey {
                            // Names in no order of time.
                            kid: format!("{:02}-{}", (self.created * 37) % 100, self.created),
                            algorithm,
                            sealed: Vec::new(),
                            published_at,
                            signs_at,
                            gone_at: None,
                        });
                    }
                    KeyChange::Update(key) => {
                        let row = self.keys.iter_mut().find(|k| k.kid == key.kid).unwrap();
                        *row = key;
                    }
                    KeyChange::Delete { kid } => self.keys.retain(|k| k.kid != kid),
                }
            }
            true
        }

        fn plan(&mut self, algorithm: &str, now: Timestamp) -> usize {
            let changes = plan(&self.keys, algorithm, &policy(), now);
            let count = changes.len();
            assert!(self.apply(changes, self.generation));
            assert_eq!(plan(&self.keys, algorithm, &policy(), now), [], "planning again gives nothing");
            count
        }

        fn states(&self, now: Timestamp) -> BTreeMap<String, Vec<&'static str>> {
            let mut all: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
            for key in &self.keys {
                all.entry(key.algorithm.clone()).or_default().push(state(key, &self.keys, now).name());
            }
            all.values_mut().for_each(|v| v.sort_unstable());
            all
        }

        fn signing(&self, algorithm: &str, now: Timestamp) -> &StoredKey {
            signing_key(&self.keys, algorithm, now).unwrap()
        }

        fn kids(&self, now: Timestamp) -> Vec<String> {
            published(&self.keys, now).into_iter().map(|k| k.kid.clone()).collect()
        }
    }

    fn started(algorithm: &str) -> Database {
        let mut db = Database::default();
        db.plan(algorithm, at(0));
        db
    }

    fn expect(db: &Database, now: Timestamp, expected: &[(&str, &[&str])]) {
        let expected: BTreeMap<String, Vec<&str>> =
            expected.iter().map(|(algorithm, states)| ((*algorithm).to_owned(), states.to_vec())).collect();
        assert_eq!(db.states(now), expected);
    }

    #[test]
    fn first_start_has_a_signing_key_and_a_standby() {
        for algorithm in ["ES256", "EdDSA", "RS256"] {
            let db = started(algorithm);
            expect(&db, at(0), &[(algorithm, &["signing", "standby"])]);
            assert_eq!(db.kids(at(0)).len(), 2);
            assert_eq!(db.kids(at(0))[0], db.signing(algorithm, at(0)).kid);
        }
    }

    #[test]
    fn a_symmetric_key_is_never_published_and_lists_have_another() {
        let db = started("HS256");
        expect(&db, at(0), &[("ES256", &["signing", "standby"]), ("HS256", &["signing", "standby"])]);
        assert!(published(&db.keys, at(0)).iter().all(|k| k.algorithm == "ES256"));
        assert_eq!(verifying(&db.keys, at(0)).len(), 4);
        assert_eq!(db.signing("HS256", at(0)).algorithm, "HS256");
        assert_eq!(db.signing(list_algorithm("HS256"), at(0)).algorithm, "ES256");
        // A secret never stands in for a published key.
        let secrets: Vec<StoredKey> = db.keys.iter().filter(|k| k.is_symmetric()).cloned().collect();
        assert_eq!(signing_key(&secrets, "ES256", at(0)), None);
    }

    #[test]
    fn the_schedule() {
        let mut db = started("ES256");
        let first = db.signing("ES256", at(0)).kid.clone();
        assert_eq!(db.plan("ES256", at(90 * DAY - 1)), 0);
        assert_eq!(
            db.plan("ES256", at(90 * DAY)),
            3,
            "old one gets its end, standby its start, and a new standby"
        );
        // The standby has been published for months: it signs at once.
        let second = db.signing("ES256", at(90 * DAY)).kid.clone();
        assert_ne!(first, second);
        expect(&db, at(90 * DAY), &[("ES256", &["retired", "signing", "standby"])]);
        let gone = 90 * DAY + 12 * MINUTE;
        expect(&db, at(gone - 1), &[("ES256", &["retired", "signing", "standby"])]);
        assert!(db.kids(at(gone - 1)).contains(&first));
        expect(&db, at(gone), &[("ES256", &["gone", "signing", "standby"])]);
        assert!(!db.kids(at(gone)).contains(&first));
        assert!(verifying(&db.keys, at(gone)).iter().all(|k| k.kid != first));
        assert_eq!(db.plan("ES256", at(gone + DAY - 1)), 0);
        assert_eq!(db.plan("ES256", at(gone + DAY)), 1);
        expect(&db, at(gone + DAY), &[("ES256", &["signing", "standby"])]);
    }

    #[test]
    fn by_hand_the_standby_signs_once_everyone_can_have_it() {
        let mut db = started("ES256");
        let first = db.signing("ES256", at(0)).kid.clone();
        // A minute after the first start: the standby is young.
        assert!(db.apply(rotate(&db.keys, "ES256", &policy(), at(MINUTE)), db.generation));
        let ready = 5 * MINUTE + 5_000;
        assert_eq!(db.signing("ES256", at(ready - 1)).kid, first);
        expect(&db, at(MINUTE), &[("ES256", &["signing", "standby", "standby"])]);
        let second = db.signing("ES256", at(ready)).kid.clone();
        assert_ne!(second, first);
        // Asking twice does not rotate twice while the first is under way.
        assert_eq!(rotate(&db.keys, "ES256", &policy(), at(2 * MINUTE)), []);
        // Later ones are at once.
        assert!(db.apply(rotate(&db.keys, "ES256", &policy(), at(DAY)), db.generation));
        assert_ne!(db.signing("ES256", at(DAY)).kid, second);
        assert_eq!(db.plan("ES256", at(DAY)), 0);
    }

    #[test]
    fn emergency() {
        // (which key is bad, states at once)
        let table: &[(&str, &[&str])] =
            &[("signing", &["gone", "signing", "standby"]), ("standby", &["gone", "signing", "standby"])];
        for (which, expected) in table {
            let mut db = started("ES256");
            let now = at(DAY);
            let bad = db.keys.iter().find(|k| state(k, &db.keys, now).name() == *which).unwrap().kid.clone();
            assert!(db.apply(rotate_emergency(&db.keys, &bad, now).unwrap(), db.generation));
            expect(&db, now, &[("ES256", expected)]);
            assert!(!db.kids(now).contains(&bad));
            assert!(verifying(&db.keys, now).iter().all(|k| k.kid != bad));
            assert_ne!(db.signing("ES256", now).kid, bad);
            assert_eq!(db.plan("ES256", now), 0);
            assert_eq!(rotate_emergency(&db.keys, &bad, now), Err(KeyError::Unknown), "it is gone already");
        }
        assert_eq!(revoked_until(&policy(), at(0)), at(12 * MINUTE));
        assert_eq!(rotate_emergency(&[], "x", at(0)), Err(KeyError::Unknown));
    }

    /// The bad key may be the one that a rotation under way hands over from, or to, or none of them.
    #[test]
    fn emergency_during_a_rotation() {
        for (which, signs_first) in [("from", false), ("to", true), ("standby", true)] {
            let mut db = started("ES256");
            assert!(db.apply(rotate(&db.keys, "ES256", &policy(), at(MINUTE)), db.generation));
            let now = at(2 * MINUTE);
            let family = Family::of(&db.keys, "ES256", now);
            let [from, to, standby] =
                [family.signing, family.upcoming, family.standby].map(|k| k.unwrap().kid.clone());
            let bad = match which {
                "from" => &from,
                "to" => &to,
                _ => &standby,
            };
            assert!(db.apply(rotate_emergency(&db.keys, bad, now).unwrap(), db.generation));
            db.plan("ES256", now);
            assert_eq!(db.signing("ES256", now).kid, *if signs_first { &from } else { &to }, "{which}");
            for later in [now, at(6 * MINUTE), at(DAY)] {
                assert_ne!(db.signing("ES256", later).kid, *bad);
                assert!(!db.kids(later).contains(bad));
                db.plan("ES256", later);
                assert!(db.keys.iter().any(|k| state(k, &db.keys, later) == State::Standby));
            }
        }
    }

    #[test]
    fn a_retired_key_can_be_sent_away() {
        let mut db = started("ES256");
        let first = db.signing("ES256", at(0)).kid.clone();
        let now = at(90 * DAY);
        db.plan("ES256", now);
        for key in db.keys.clone() {
            let expected = if key.kid == first { Ok(1) } else { Err(KeyError::InUse) };
            assert_eq!(retire(&db.keys, &key.kid, "ES256", now).map(|c| c.len()), expected);
        }
        assert!(db.apply(retire(&db.keys, &first, "ES256", now).unwrap(), db.generation));
        assert!(!db.kids(now).contains(&first));
        assert_eq!(retire(&db.keys, &first, "ES256", now), Err(KeyError::Unknown));
    }

    #[test]
    fn another_algorithm_takes_over_like_a_rotation() {
        let mut db = started("ES256");
        db.plan("EdDSA", at(DAY));
        // The old key signs until everyone can have the new one.
        let ready = DAY + 5 * MINUTE + 5_000;
        assert_eq!(db.signing("EdDSA", at(DAY)).algorithm, "ES256");
        assert_eq!(db.signing("EdDSA", at(ready - 1)).algorithm, "ES256");
        assert_eq!(db.signing("EdDSA", at(ready)).algorithm, "EdDSA");
        db.plan("EdDSA", at(ready));
        expect(&db, at(ready), &[("ES256", &["retired", "standby"]), ("EdDSA", &["signing", "standby"])]);
        // A node that still has the old configuration signs with the old key, and makes none.
        let created = db.created;
        assert_eq!(db.signing("ES256", at(ready)).algorithm, "ES256");
        db.plan("ES256", at(ready));
        db.plan("EdDSA", at(ready));
        assert_eq!(db.created, created);
        // In the end the old ones are gone.
        db.plan("EdDSA", at(ready + DAY + 12 * MINUTE));
        expect(
            &db,
            at(ready + DAY + 12 * MINUTE),
            &[("ES256", &["gone", "gone"]), ("EdDSA", &["signing", "standby"])],
        );
        db.plan("EdDSA", at(ready + 2 * DAY + 12 * MINUTE));
        expect(&db, at(ready + 3 * DAY), &[("EdDSA", &["signing", "standby"])]);
    }

    #[test]
    fn to_a_shared_secret_and_back() {
        let mut db = started("ES256");
        db.plan("HS256", at(DAY));
        assert_eq!(db.signing("HS256", at(DAY)).algorithm, "ES256");
        let ready = at(DAY + 5 * MINUTE + 5_000);
        assert_eq!(db.signing("HS256", ready).algorithm, "HS256");
        assert_eq!(db.signing("ES256", ready).algorithm, "ES256", "for the lists");
        let created = db.created;
        db.plan("ES256", at(2 * DAY));
        assert_eq!(
            db.signing("ES256", at(2 * DAY)).algorithm,
            "ES256",
            "at once: it was published all along"
        );
        assert_eq!(db.created, created);
    }

    #[test]
    fn damage_is_repaired() {
        // Only a standby is left: nothing else can sign, so it does.
        let mut db = started("ES256");
        db.keys.retain(|k| k.signs_at.is_none());
        db.plan("ES256", at(DAY));
        expect(&db, at(DAY), &[("ES256", &["signing", "standby"])]);
        // The standby is missing.
        let mut db = started("ES256");
        db.keys.retain(|k| k.signs_at.is_some());
        db.plan("ES256", at(DAY));
        expect(&db, at(DAY), &[("ES256", &["signing", "standby"])]);
        // The rotation was planned while tokens lived for less long.
        let mut db = started("ES256");
        assert!(db.apply(rotate(&db.keys, "ES256", &policy(), at(MINUTE)), db.generation));
        let longer = Policy { access_ttl: Duration::from_secs(3600), ..policy() };
        let changes = plan(&db.keys, "ES256", &longer, at(2 * MINUTE));
        assert!(
            matches!(changes.as_slice(), [KeyChange::Update(k)] if k.gone_at == Some(at(67 * MINUTE + 5_000)))
        );
    }

    #[test]
    fn a_clock_that_went_back_still_signs_and_publishes() {
        let db = started("ES256");
        let before = at(-DAY);
        assert_eq!(db.signing("ES256", before).kid, db.signing("ES256", at(0)).kid);
        assert_eq!(db.kids(before).len(), 2);
        assert_eq!(signing_key(&[], "ES256", before), None);
    }

    /// Two nodes plan from the same rows at once, over and over: one writes, the other finds it done.
    #[test]
    fn two_nodes_at_once_converge() {
        let mut db = Database::default();
        let mut conflicts = 0;
        for hour in 0..24 * 400 {
            let now = at(hour * 60 * MINUTE);
            let (keys, generation) = (db.keys.clone(), db.generation);
            // Their clocks differ by up to three seconds.
            let plans = [
                plan(&keys, "ES256", &policy(), now),
                plan(&keys, "ES256", &policy(), now.plus(Duration::from_secs(3))),
            ];
            for changes in plans {
                if !db.apply(changes, generation) {
                    conflicts += 1;
                    assert_eq!(plan(&db.keys, "ES256", &policy(), now.plus(Duration::from_secs(3))), []);
                }
            }
            let count =
                |state_is: State| db.keys.iter().filter(|k| state(k, &db.keys, now) == state_is).count();
            assert_eq!((count(State::Signing), count(State::Standby)), (1, 1), "hour {hour}");
            assert!(db.keys.len() <= 4);
        }
        // First start, four rotations, and what they leave behind.
        assert!(conflicts >= 5, "{conflicts}");
        assert_eq!(db.created, 2 + 4);
    }

    /// Verifiers that keep the set for exactly max-age, nodes that lag behind the database, clocks that differ:
    /// no token is ever unknown or gone before it expires, over many rotations of every planned kind.
    #[test]
    fn no_verifier_that_honours_max_age_meets_an_unknown_key() {
        // Faster than max-age: each standby is as young as it may be.
        let policy = Policy { key_rotation: Duration::from_secs(200), ..policy() };
        let mut db = Database::default();
        let mut algorithm = "ES256";
        // What each of two nodes has read: keys and when; a verifier's kids and when it fetched them.
        let mut nodes = [(Vec::new(), 0), (Vec::new(), 0)];
        let mut verifiers: Vec<(Vec<String>, i64)> = (0..7).map(|_| (Vec::new(), i64::MIN)).collect();
        // Seconds that each kept its first set: they fetch just after keys are made, from a node that has not
        // read them yet.
        let mut first_fetches = [299, 199, 99, 298, 198, 98, 250].into_iter();
        let mut tokens: Vec<(String, i64)> = Vec::new();
        let (mut checked, mut signed_by) = (0, std::collections::BTreeSet::new());
        for step in 0..(12 * 3600) {
            let now = step * 1000;
            if step % 20 == 0 || step == 0 {
                let changes = plan(&db.keys, algorithm, &policy, at(now));
                assert!(db.apply(changes, db.generation));
            }
            match step {
                9_000 | 9_100 | 20_000 => {
                    assert!(db.apply(rotate(&db.keys, algorithm, &policy, at(now)), db.generation));
                }
                15_000 => algorithm = "EdDSA",
                30_000 => algorithm = "ES256",
                _ => {}
            }
            for (n, (keys, read_at)) in nodes.iter_mut().enumerate() {
                // Four seconds behind the database at most, one after the other.
                if step == 0 || (now + 2000 * i64::try_from(n).unwrap()) % 4000 == 3000 {
                    (*keys, *read_at) = (db.keys.clone(), now);
                }
                // The second node's clock is half a second behind.
                let clock = at(now - 500 * i64::try_from(n).unwrap());
                if step % 2 == 0 {
                    let kid = signing_key(keys, algorithm, clock).unwrap().kid.clone();
                    signed_by.insert(kid.clone());
                    tokens.push((kid, now + 600_000));
                }
            }
            tokens.retain(|(_, exp)| *exp > now);
            for (v, (kids, fetched)) in verifiers.iter_mut().enumerate() {
                if *fetched == i64::MIN || now - *fetched >= 300_000 {
                    let (keys, _) = &nodes[(v + usize::try_from(step).unwrap()) % 2];
                    *kids = published(keys, at(now)).into_iter().map(|k| k.kid.clone()).collect();
                    // Each first fetches again at a second of its own.
                    *fetched = if *fetched == i64::MIN { -1000 * first_fetches.next().unwrap() } else { now };
                }
                // The newest at once, the others now and then.
                let since = if step % 50 == 0 { 0 } else { tokens.len().saturating_sub(2) };
                for (kid, _) in &tokens[since..] {
                    checked += 1;
                    assert!(kids.contains(kid), "second {step}, verifier {v}: {kid} unknown");
                }
            }
        }
        assert!(checked > 1_000_000 && signed_by.len() > 10, "{checked} {}", signed_by.len());
    }

    #[test]
    fn changes_for_the_store() {
        let row = |kid: &str| StoredKey {
            kid: kid.to_owned(),
            algorithm: "ES256".to_owned(),
            sealed: vec![1],
            published_at: at(0),
            signs_at: None,
            gone_at: None,
        };
        let changes = vec![
            create("ES256", at(0), None),
            KeyChange::Update(row("b")),
            KeyChange::Delete { kid: "c".to_owned() },
            create("ES256", at(0), None),
        ];
        let plan = Plan::new(changes, vec![row("a"), row("d")], Some("41".to_owned()));
        let written: Vec<String> = plan
            .changes
            .iter()
            .map(|change| match change {
                Change::PutKey(key) => format!("put {}", key.kid),
                Change::DeleteKey { kid } => format!("delete {kid}"),
                Change::PutSetting { name, value } => format!("{name} = {value}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(written, ["put a", "put b", "delete c", "put d", "keys.generation = 42"]);
        assert_eq!(
            plan.expect,
            Expect::Setting { name: GENERATION.to_owned(), value: Some("41".to_owned()) }
        );
        let first = Plan::new(Vec::new(), Vec::new(), None);
        assert!(matches!(first.changes.as_slice(), [Change::PutSetting { value, .. }] if value == "1"));
    }
}
