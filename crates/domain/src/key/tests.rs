//! A table for each rule, and a year in the life of two nodes.

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
    revoked: Vec<(String, Timestamp)>,
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
                KeyChange::Revoke { kid, until } => self.revoked.push((kid, until)),
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
        assert!(db.apply(rotate_emergency(&db.keys, &bad, &policy(), now).unwrap(), db.generation));
        expect(&db, now, &[("ES256", expected)]);
        assert!(!db.kids(now).contains(&bad));
        // Told of for longer than anybody goes by an old set, whatever `exp` a thief writes.
        assert_eq!(db.revoked, [(bad.clone(), at(2 * DAY + 17 * MINUTE))]);
        assert!(verifying(&db.keys, now).iter().all(|k| k.kid != bad));
        assert_ne!(db.signing("ES256", now).kid, bad);
        assert_eq!(db.plan("ES256", now), 0);
        assert_eq!(
            rotate_emergency(&db.keys, &bad, &policy(), now),
            Err(KeyError::Unknown),
            "it is gone already"
        );
    }
    assert_eq!(rotate_emergency(&[], "x", &policy(), at(0)), Err(KeyError::Unknown));
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
        assert!(db.apply(rotate_emergency(&db.keys, bad, &policy(), now).unwrap(), db.generation));
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
        let expected = if key.kid == first { Ok(2) } else { Err(KeyError::InUse) };
        assert_eq!(retire(&db.keys, &key.kid, "ES256", &policy(), now).map(|c| c.len()), expected);
    }
    assert!(db.apply(retire(&db.keys, &first, "ES256", &policy(), now).unwrap(), db.generation));
    assert!(!db.kids(now).contains(&first));
    assert_eq!(retire(&db.keys, &first, "ES256", &policy(), now), Err(KeyError::Unknown));
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
    assert_eq!(db.signing("ES256", at(2 * DAY)).algorithm, "ES256", "at once: it was published all along");
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
        let count = |state_is: State| db.keys.iter().filter(|k| state(k, &db.keys, now) == state_is).count();
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
        KeyChange::Revoke { kid: "b".to_owned(), until: at(9) },
        create("ES256", at(0), None),
    ];
    let plan = Plan::new(changes, vec![row("a"), row("d")], Some("41".to_owned()));
    let written: Vec<String> = plan
        .changes
        .iter()
        .map(|change| match change {
            Change::PutKey(key) => format!("put {}", key.kid),
            Change::DeleteKey { kid } => format!("delete {kid}"),
            Change::RevokeKey { kid, until } => format!("revoke {kid} {}", until.0 - at(0).0),
            Change::PutSetting { name, value } => format!("{name} = {value}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(written, ["put a", "put b", "delete c", "revoke b 9", "put d", "keys.generation = 42"]);
    assert_eq!(plan.expect, Expect::Setting { name: GENERATION.to_owned(), value: Some("41".to_owned()) });
    let first = Plan::new(Vec::new(), Vec::new(), None);
    assert!(matches!(first.changes.as_slice(), [Change::PutSetting { value, .. }] if value == "1"));
}

#[test]
fn after_all_keys_ended_new_ones_sign_at_once_and_the_old_ones_are_told_of() {
    for algorithm in ["ES256", "HS256"] {
        let mut database = Database::default();
        let first = at(0);
        database.apply(plan(&database.keys, algorithm, &policy(), first), 0);
        let later = first.plus(Duration::from_secs(3600));
        let old: Vec<String> = database.keys.iter().map(|key| key.kid.clone()).collect();
        let ended = end_all(&database.keys, &policy(), later);
        database.apply(ended, 1);
        assert!(verifying(&database.keys, later).is_empty());
        let told: Vec<String> = database.revoked.iter().map(|(kid, _)| kid.clone()).collect();
        assert_eq!(told, old);
        assert!(database.revoked.iter().all(|(_, until)| *until == told_until(&policy(), later)));
        assert!(end_all(&database.keys, &policy(), later).is_empty(), "once is enough");
        database.apply(plan(&database.keys, algorithm, &policy(), later), 2);
        let signing = signing_key(&database.keys, algorithm, later).unwrap();
        assert!(!old.contains(&signing.kid));
        assert!(plan(&database.keys, algorithm, &policy(), later).is_empty());
    }
}
