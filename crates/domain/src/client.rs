//! OAuth clients (RFC 6749 §2): programs that are known here by an id, and prove who they are by a secret or not at
//! all.
//!
//! A secret is `jgc_` and 256 random bits in base64url. It is shown once; stored is its SHA-256, which is enough for a
//! secret that nobody chose: there is nothing to guess from.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Timestamp;
use crate::account::By;
use crate::audit::{Action, Event};
use crate::session::{FIRST_PARTY, cleaned};
use crate::store::{Change, Expect};

/// Most bytes of an id.
pub const ID_MAX: usize = 128;
/// Most characters of a name.
pub const NAME_MAX: usize = 100;
/// Most audiences of one client.
pub const AUDIENCES_MAX: usize = 16;
/// So that scanners find leaked secrets.
pub const SECRET_PREFIX: &str = "jgc_";

/// `client_id`: 1 to 128 visible ASCII characters (RFC 6749 App. A.1) without quotes and backslash.
///
/// Never `jotgate`, which is the id of this server's own logins, and never the form of a user's id: no resource
/// server can take one for the other (RFC 9700 §4.15).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// # Errors
    /// [`ClientError::Id`].
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let fits = (1..=ID_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !fits || text.eq_ignore_ascii_case(FIRST_PARTY) || Uuid::parse_str(text).is_ok() {
            return Err(ClientError::Id);
        }
        Ok(Self(text.to_owned()))
    }

    /// For a client that nobody named: `c` and 20 hexadecimal digits.
    #[must_use]
    pub fn random(random: [u8; 10]) -> Self {
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("c{digits}"))
    }

    /// For a backend that reads back what it wrote.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret as its client gets it. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    #[must_use]
    pub fn new(random: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + 43));
        text.push_str(SECRET_PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut text);
        Self(text)
    }

    /// For whoever made the client, and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the row holds.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

/// How a client proves who it is (RFC 6749 §2.1).
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A public client: it cannot keep a secret, so its id alone says who it claims to be.
    None,
    /// A confidential client: SHA-256 of its secret.
    Secret([u8; 32]),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

/// One row of `clients`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub id: ClientId,
    /// For people.
    pub name: String,
    pub proof: Proof,
    /// Resource servers that it speaks for: it may introspect tokens whose `aud` names one of them.
    pub audiences: Vec<String>,
    pub created_at: Timestamp,
}

impl Client {
    /// A client to be made.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(
        id: ClientId,
        name: &str,
        proof: Proof,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Self, ClientError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX || cleaned(name, NAME_MAX) != name {
            return Err(ClientError::Name);
        }
        let mut distinct: Vec<String> = Vec::new();
        for audience in audiences {
            // As `token.audience` is held to: what a token may say may be named here.
            let fits = (1..=256).contains(&audience.len()) && !audience.chars().any(char::is_control);
            if !fits {
                return Err(ClientError::Audience);
            }
            if !distinct.contains(audience) {
                distinct.push(audience.clone());
            }
        }
        if distinct.len() > AUDIENCES_MAX {
            return Err(ClientError::Audience);
        }
        if proof == Proof::None && !distinct.is_empty() {
            return Err(ClientError::PublicAudience);
        }
        Ok(Self { id, name: name.to_owned(), proof, audiences: distinct, created_at: now })
    }

    #[must_use]
    pub fn is_public(&self) -> bool {
        self.proof == Proof::None
    }

    /// Whether a token of `client_id` is this client's to ask about; `names` says whether the token's `aud` names an
    /// audience.
    #[must_use]
    pub fn may_see(&self, client_id: &str, names: impl Fn(&str) -> bool) -> bool {
        client_id == self.id.as_str() || self.audiences.iter().any(|own| names(own))
    }
}

/// Whether `presented` is the secret of this client. It costs the same where there is no client, or none with a
/// secret, and whatever part of the secret is right.
#[must_use]
pub fn is_secret(client: Option<&Client>, presented: &str) -> bool {
    let (stored, exists) = match client.map(|client| &client.proof) {
        Some(Proof::Secret(hash)) => (*hash, true),
        Some(Proof::None) | None => ([0; 32], false),
    };
    let equal = constant_time::verify_slices_are_equal(&stored, &hash(presented)).is_ok();
    equal && exists
}

/// Why a client cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    Id,
    Name,
    Audience,
    /// A public client proves nothing, so it may not introspect.
    PublicAudience,
}

impl ClientError {
    /// Stable, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Id => "invalid_client_id",
            Self::Name => "invalid_client_name",
            Self::Audience | Self::PublicAudience => "invalid_audience",
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => {
                "a client's id is 1 to 128 visible ASCII characters without quotes and backslash, is not \"jotgate\", \
                 and does not look like a user's id"
            }
            Self::Name => "a client's name is one line of 1 to 100 characters",
            Self::Audience => "a client has at most 16 audiences, each of 1 to 256 characters",
            Self::PublicAudience => {
                "a public client proves nothing, so it may not introspect: leave out its audiences, or let it be \
                 confidential"
            }
        })
    }
}

impl std::error::Error for ClientError {}

/// What makes the client.
#[must_use]
pub fn create(client: &Client, by: &By) -> Vec<Change> {
    let event = event(&client.id, by, Action::ClientCreated);
    vec![Change::CreateClient(client.clone()), Change::Audit(event)]
}

/// What deletes it: the sessions that were granted to it end.
#[must_use]
pub fn delete(client: &Client, by: &By) -> (Vec<Change>, Vec<Expect>) {
    let event = event(&client.id, by, Action::ClientDeleted);
    let changes = vec![Change::DeleteClient(client.id.clone()), Change::Audit(event)];
    (changes, vec![Expect::Client(client.id.clone())])
}

fn event(id: &ClientId, by: &By, action: Action) -> Event {
    Event {
        at: by.at,
        action,
        actor: by.actor.clone(),
        user: None,
        session: None,
        address: by.address.clone(),
        detail: id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Actor;
    use crate::sample::NOW;

    fn client(proof: Proof) -> Client {
        let audiences = if proof == Proof::None { vec![] } else { vec!["https://api.example".to_owned()] };
        Client::new(ClientId::parse("api").unwrap(), "The API", proof, &audiences, NOW).unwrap()
    }

    #[test]
    fn an_id_collides_with_nobodys() {
        for good in ["a", "api", "https://app.example/client", "a:b+c%d", "~", &"x".repeat(128), "jotgate2"] {
            assert_eq!(ClientId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\"b",
            "a\\b",
            "a\nb",
            "a\0",
            "é",
            &"x".repeat(129),
            "jotgate",
            "JotGate",
            "01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d",
            "01936B2E8F007C3A9D570F4A5C1E2B3D",
            "{01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d}",
            "urn:uuid:01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d",
        ] {
            assert_eq!(ClientId::parse(bad), Err(ClientError::Id), "{bad:?}");
        }
        let drawn = ClientId::random([0xab; 10]);
        assert_eq!(ClientId::parse(drawn.as_str()), Ok(drawn));
    }

    #[test]
    fn names_and_audiences_are_held_to_their_form() {
        let id = || ClientId::parse("api").unwrap();
        let made = |name: &str, audiences: &[&str], proof| {
            let audiences: Vec<String> = audiences.iter().map(|&one| one.to_owned()).collect();
            Client::new(id(), name, proof, &audiences, NOW)
        };
        let secret = || Proof::Secret([1; 32]);
        let long = "x".repeat(101);
        for bad in ["", "  ", "a\nb", "a\u{202e}b", &long] {
            assert_eq!(made(bad, &[], secret()).unwrap_err(), ClientError::Name, "{bad:?}");
        }
        for bad in ["", "a\0", &"x".repeat(257), "a\n"] {
            assert_eq!(made("a", &[bad], secret()).unwrap_err(), ClientError::Audience, "{bad:?}");
        }
        let many: Vec<String> = (0..17).map(|n| format!("a{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(made("a", &many, secret()).unwrap_err(), ClientError::Audience);
        assert_eq!(made("a", &many[..16], secret()).unwrap().audiences.len(), 16);
        assert_eq!(made(" a ", &["x", "y", "x"], secret()).unwrap().audiences, ["x", "y"]);
        assert_eq!(made("a", &["x"], Proof::None).unwrap_err(), ClientError::PublicAudience);
    }

    /// Attack 74: compared are hashes, in constant time, so no prefix of a secret is told from another.
    #[test]
    fn a74_only_the_whole_secret_is_the_secret() {
        let secret = ClientSecret::new(&[7; 32]);
        assert_eq!(secret.expose().len(), 47);
        assert!(secret.expose().starts_with("jgc_"));
        assert_eq!(format!("{secret:?}"), "ClientSecret(…)");
        let confidential = client(Proof::Secret(secret.hash()));
        assert!(!format!("{confidential:?}").contains(&format!("{:?}", secret.hash())));
        assert!(is_secret(Some(&confidential), secret.expose()));
        for end in 0..secret.expose().len() {
            assert!(!is_secret(Some(&confidential), &secret.expose()[..end]), "{end}");
        }
        assert!(!is_secret(Some(&confidential), &secret.expose().to_uppercase()));
        assert!(!is_secret(Some(&confidential), &format!("{} ", secret.expose())));
        assert!(!is_secret(Some(&client(Proof::None)), secret.expose()), "it has none");
        assert!(!is_secret(None, secret.expose()));
    }

    /// A stored hash of zeros must not make the dummy that is compared for nobody a secret.
    #[test]
    fn nobody_has_no_secret() {
        assert!(!is_secret(None, ""));
        assert!(!is_secret(Some(&client(Proof::None)), ""));
    }

    #[test]
    fn a114_who_may_see_a_token() {
        let confidential = client(Proof::Secret([1; 32]));
        for (client_id, audience, may) in [
            ("jotgate", &["https://api.example"][..], true),
            ("jotgate", &["https://other.example", "https://api.example"], true),
            ("jotgate", &["https://api.example/"], false),
            ("jotgate", &["https://API.example"], false),
            ("jotgate", &[], false),
            ("api", &["https://other.example"], true),
            ("API", &["https://other.example"], false),
        ] {
            let names = |own: &str| audience.contains(&own);
            assert_eq!(confidential.may_see(client_id, names), may, "{client_id} {audience:?}");
        }
    }

    #[test]
    fn making_and_deleting_are_told() {
        let by = By { actor: Actor::Operator, at: NOW, address: String::new() };
        let client = client(Proof::None);
        let words = crate::sample::words;
        assert_eq!(words(&create(&client, &by)), ["create client api", "audit client.created api"]);
        let (changes, expect) = delete(&client, &by);
        assert_eq!(words(&changes), ["delete client api", "audit client.deleted api"]);
        assert_eq!(expect, [Expect::Client(client.id)], "of two who delete it one is told that it is gone");
    }
}
