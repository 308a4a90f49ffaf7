//! GitHub: OAuth 2 without an ID token. Who it is, its API says to whoever has the access token that its token
//! endpoint gave us for the code.

use jotgate_domain::name::Email;
use jotgate_domain::upstream::Vouched;
use serde_json::Value;

use super::provider::{Metadata, Provider, Trouble, away};

/// The API, and the rest of what others have metadata for. `base` is github.com, or an Enterprise server.
pub(super) fn metadata(base: &str) -> Result<Metadata, String> {
    let base = base.trim_end_matches('/');
    let api = if base == "https://github.com" {
        "https://api.github.com".to_owned()
    } else {
        format!("{base}/api/v3")
    };
    let authorize = format!("{base}/login/oauth/authorize");
    Metadata::without_id_token(base, &authorize, format!("{base}/login/oauth/access_token"), api)
        .ok_or_else(|| format!("{base} is no address"))
}

/// Who the access token is of. The number of the account stays when its name changes; only an address that is both
/// primary and verified there counts as the person's.
pub(super) async fn vouched(
    provider: &Provider,
    metadata: &Metadata,
    access_token: &str,
) -> Result<Vouched, Trouble> {
    let api = metadata.userinfo_endpoint.as_deref().unwrap_or_default();
    let user = provider.get("the user", &format!("{api}/user"), Some(access_token)).await?;
    let id = user.get("id").and_then(Value::as_u64).ok_or_else(|| away("the user", "has no id"))?;
    let text = |name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
    // Without the scope for it there is no address, and none is needed.
    let emails = provider.get("the addresses", &format!("{api}/user/emails"), Some(access_token)).await;
    let is = |email: &Value, what: &str| email.get(what) == Some(&Value::Bool(true));
    let email = emails
        .ok()
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|email| is(email, "primary") && is(email, "verified"))
        .and_then(|email| Email::parse(email.get("email")?.as_str()?).ok());
    Ok(Vouched {
        issuer: metadata.issuer.clone(),
        subject: id.to_string(),
        email_verified: email.is_some(),
        email,
        names: ["login", "name"].into_iter().filter_map(text).collect(),
        // It says nothing of when.
        authenticated_at: None,
    })
}
