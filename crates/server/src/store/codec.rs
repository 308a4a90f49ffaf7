//! How composite values are written in a row, the same in every database.

use std::collections::BTreeMap;

use jotgate_domain::audit::Actor;
use jotgate_domain::name::RoleName;
use jotgate_domain::{StoreError, UserId};
use serde_json::Value;
use uuid::Uuid;

/// A row that says what this program never writes.
pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

pub(super) fn roles_to_json(roles: &[RoleName]) -> String {
    Value::from_iter(roles.iter().map(RoleName::as_str)).to_string()
}

pub(super) fn roles_from_json(json: &str) -> Result<Vec<RoleName>, StoreError> {
    if json == "[]" {
        return Ok(Vec::new());
    }
    serde_json::from_str(json).map_err(|error| corrupt(format!("roles: {error}")))
}

pub(super) fn claims_to_json(claims: &BTreeMap<String, Value>) -> String {
    Value::from_iter(claims.iter().map(|(name, value)| (name.as_str(), value.clone()))).to_string()
}

pub(super) fn claims_from_json(json: &str) -> Result<BTreeMap<String, Value>, StoreError> {
    if json == "{}" {
        return Ok(BTreeMap::new());
    }
    serde_json::from_str(json).map_err(|error| corrupt(format!("claims: {error}")))
}

/// Names in their order.
pub(super) fn texts_to_json(texts: &[String]) -> String {
    Value::from_iter(texts.iter().map(String::as_str)).to_string()
}

pub(super) fn texts_from_json(json: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(json).map_err(|error| corrupt(format!("a list: {error}")))
}

/// Kind and id of an actor.
pub(super) fn actor_to_row(actor: &Actor) -> (&'static str, Option<Uuid>) {
    match actor {
        Actor::Anonymous => ("anonymous", None),
        Actor::User(id) => ("user", Some(id.0)),
        Actor::Operator => ("operator", None),
        Actor::System => ("system", None),
    }
}

pub(super) fn actor_from_row(kind: &str, id: Option<Uuid>) -> Result<Actor, StoreError> {
    match (kind, id) {
        ("anonymous", None) => Ok(Actor::Anonymous),
        ("user", Some(id)) => Ok(Actor::User(UserId(id))),
        ("operator", None) => Ok(Actor::Operator),
        ("system", None) => Ok(Actor::System),
        _ => Err(corrupt(format!("actor {kind:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let roles = ["b", "a:x"].map(|role| RoleName::from_stored(role.to_owned())).to_vec();
        assert_eq!(roles_from_json(&roles_to_json(&roles)).unwrap(), roles);
        assert_eq!(roles_to_json(&[]), "[]");
        let claims = BTreeMap::from([("team".to_owned(), serde_json::json!({"a": [1, null, "ü"]}))]);
        assert_eq!(claims_from_json(&claims_to_json(&claims)).unwrap(), claims);
        assert_eq!(claims_to_json(&BTreeMap::new()), "{}");
        let texts = ["b", "a\"ü"].map(str::to_owned);
        assert_eq!(texts_from_json(&texts_to_json(&texts)).unwrap(), texts);
        for actor in
            [Actor::Anonymous, Actor::User(UserId(Uuid::from_u128(7))), Actor::Operator, Actor::System]
        {
            let (kind, id) = actor_to_row(&actor);
            assert_eq!(actor_from_row(kind, id).unwrap(), actor);
        }
    }

    #[test]
    fn other_rows_are_corrupt() {
        assert!(matches!(roles_from_json("{}"), Err(StoreError::Corrupt(_))));
        assert!(matches!(texts_from_json("[1]"), Err(StoreError::Corrupt(_))));
        assert!(matches!(claims_from_json("[]"), Err(StoreError::Corrupt(_))));
        assert!(matches!(actor_from_row("user", None), Err(StoreError::Corrupt(_))));
        assert!(matches!(actor_from_row("", None), Err(StoreError::Corrupt(_))));
    }
}
