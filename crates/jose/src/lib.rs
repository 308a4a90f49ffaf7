//! Signing and verifying JSON Web Tokens, strictly and fast.
//!
//! ```
//! use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey, verify};
//!
//! // The issuer has a key, and publishes its public half.
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let published = KeySet::from(key.verifying_key()).to_json();
//! let payload = r#"{"iss":"https://login.example","sub":"ada","aud":"https://api.example","exp":1790000600,
//!     "iat":1790000000,"jti":"1","client_id":"web"}"#;
//! let token = key.sign("at+jwt", payload.as_bytes())?;
//!
//! // A resource server verifies. Time is an argument: there is no clock in here.
//! let keys = KeySet::from_public_json(&published)?;
//! let policy = Policy::access_token("https://login.example", "https://api.example");
//! let verified = verify(&keys, &policy, &token, 1_790_000_001)?;
//! assert_eq!(verified.claims().sub(), Some("ada"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does
//! - Compact JWS (RFC 7515) and JWT (RFC 7519), access tokens by RFC 9068, keys as JWK and JWK Set (RFC 7517),
//!   PEM and DER. [Fourteen algorithms](Algorithm) of RFC 7518, RFC 8037 and RFC 9864, over aws-lc-rs.
//! - [`verify()`] needs a [`Policy`] and gives a [`Verified`], a type that nothing else can make; its
//!   [`Claims`] are typed and borrowed. [`verify_signature_only`] and [`insecure_decode`] say in their names what
//!   they leave out.
//!
//! # What it refuses
//! - A token whose `alg` is not exactly the one algorithm of its key (RFC 8725 §3.1); `none` does not exist.
//! - `crit` and `b64` (RFC 7515 §4.1.11, RFC 7797 §7), JWE, the JSON serialisation, nested tokens.
//! - Any second spelling: padded or loose base64url, a JSON member twice, lone surrogates, NUL.
//! - A claim of the wrong type, which is never taken for an absent one.
//! - Weak keys: RSA below 2048 bits or with an exponent below 65537, HMAC secrets shorter than the hash, points
//!   off the curve or of small order.
//! - Anything over a size limit, before any work is done on it.
//!
//! Nothing is fetched because a token says so: `jku`, `x5u`, `jwk` and `x5c` are ignored. There is no I/O in here,
//! no async, no clock, and no `unsafe`.

#![warn(missing_docs)]

mod algorithm;
mod base64url;
mod claims;
mod der;
mod error;
mod header;
mod json;
mod jwk;
mod key;
mod keyset;
mod pem;
mod policy;
mod token;
mod verify;

pub use algorithm::Algorithm;
pub use claims::{Claims, OwnedClaims, OwnedStatus, StatusRef, StringList, Strings};
pub use error::{Error, KeyError};
pub use key::{SigningKey, VerifyingKey};
pub use keyset::{KeySet, RejectedKey};
pub use policy::{MAX_LEEWAY, Policy, PolicyError};
pub use verify::{
    Insecure, Verified, VerifiedSignature, insecure_decode, insecure_issuer, insecure_kid, verify,
    verify_and_keep, verify_in, verify_signature_only,
};
