//! The eight steps.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_jose::{Error, KeySet, Policy, insecure_decode, verify};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::client::{Answer, Ask, Client};
use super::narrator::Narrator;
use super::{ACCESS_TTL, GRACE};
use crate::app::Operator;
use crate::cli::error::{Failure, failed};
use crate::edge::Edge;

const NAME: &str = "ada";
const PASSWORD: &str = "violet otters juggle lanterns";

/// What is shown of answers.
const PAIR: &[&str] = &["access_token", "expires_in", "refresh_token", "user.roles"];
const RENEWED: &[&str] = &["access_token", "refresh_token", "code"];
const PROBLEM: &[&str] = &["code"];

/// Walks them; ends at the first that does not hold.
pub(super) fn walk(
    runtime: &Runtime,
    operator: &Operator,
    client: &Client,
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    narrator.introduce(&[
        format!("A server for this tour listens on {}; its data goes away with it.", client.origin),
        format!(
            "Its access tokens live {} seconds and refresh.grace is {} second, so that nobody has to wait long.",
            ACCESS_TTL.as_secs(),
            GRACE.as_secs()
        ),
    ])?;
    let tour = Tour { runtime, operator, client, edge: Edge::system() };
    let first = tour.log_in(narrator)?;
    tour.credentials(narrator)?;
    tour.token(narrator, &first)?;
    let cookies = tour.delivery(narrator)?;
    tour.sending(narrator, &cookies)?;
    tour.verification(narrator, &cookies, &first)?;
    tour.record(narrator)?;
    tour.refresh_and_logout(narrator)
}

struct Tour<'t> {
    runtime: &'t Runtime,
    operator: &'t Operator,
    client: &'t Client,
    edge: Edge,
}

/// The access token of a login, in a cookie.
struct Cookies {
    /// `name=value`, as a browser sends it back.
    pair: String,
    token: String,
}

impl Tour<'_> {
    fn exchange(&self, narrator: &Narrator, ask: &Ask<'_>, show: &[&str]) -> Result<Answer, Failure> {
        let answer = self.client.send(ask)?;
        narrator.exchange(ask, &answer, show)?;
        Ok(answer)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.edge.now().secs()).unwrap_or(0)
    }

    /// As the operator's program does, on the same database.
    fn grant(&self, narrator: &Narrator, role: &str) -> Result<(), Failure> {
        narrator.note(&format!("$ jotgate user grant {NAME} {role}"))?;
        self.runtime.block_on(self.operator.grant(NAME, role))?;
        Ok(())
    }

    fn login(&self, narrator: &Narrator) -> Result<Answer, Failure> {
        self.exchange(
            narrator,
            &Ask::post("/auth/login", &[("username", NAME), ("password", PASSWORD)]),
            PAIR,
        )
    }

    fn log_in(&self, narrator: &mut Narrator) -> Result<Answer, Failure> {
        narrator.step("A person registers and logs in")?;
        let register = Ask::post("/auth/register", &[("username", NAME), ("password", PASSWORD)]);
        let answer = self.exchange(narrator, &register, &["user.id", "user.username", "user.roles"])?;
        narrator.check("the account is made", answer.status == 201)?;
        self.grant(narrator, "editor")?;
        let answer = self.login(narrator)?;
        let both =
            !answer.text_of("access_token").is_empty() && answer.text_of("refresh_token").starts_with("jgr_");
        narrator.check(
            "name and password are answered with an access token and a refresh token",
            answer.status == 200 && both,
        )?;
        Ok(answer)
    }

    fn credentials(&self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("The credentials are checked against the database")?;
        let wrong = Ask::post("/auth/login", &[("username", NAME), ("password", "violet otters juggle")]);
        let wrong = self.exchange(narrator, &wrong, PROBLEM)?;
        narrator.check(
            "a wrong password is refused",
            wrong.status == 401 && wrong.text_of("code") == "invalid_credentials",
        )?;
        let nobody = Ask::post("/auth/login", &[("username", "nobody"), ("password", PASSWORD)]);
        let nobody = self.exchange(narrator, &nobody, PROBLEM)?;
        narrator.check(
            "a name that nobody has is answered with the same words: names cannot be collected here",
            nobody.status == 401 && nobody.text == wrong.text,
        )
    }

    fn token(&self, narrator: &mut Narrator, login: &Answer) -> Result<(), Failure> {
        narrator.step("The answer carries a signed JWT")?;
        let decoded = insecure_decode(login.text_of("access_token")).map_err(failed)?;
        let claims_text = String::from_utf8(decoded.payload).map_err(failed)?;
        narrator.document("header", &decoded.header)?;
        narrator.document("claims", &claims_text)?;
        let header: Value = serde_json::from_str(&decoded.header).map_err(failed)?;
        let claims: Value = serde_json::from_str(&claims_text).map_err(failed)?;
        let member = |name: &str| claims.get(name).cloned().unwrap_or_default();
        let header_member = |name: &str| header.get(name).cloned().unwrap_or_default();
        narrator.check(
            "an access token by RFC 9068, signed with ES256",
            header_member("alg") == "ES256" && header_member("typ") == "at+jwt",
        )?;
        narrator.check(
            "it names the user, the roles and what they permit",
            member("preferred_username") == NAME
                && member("roles") == json!(["editor"])
                && member("permissions") == json!(["articles:write"]),
        )?;
        let life = member("exp").as_u64().unwrap_or(0).saturating_sub(member("iat").as_u64().unwrap_or(0));
        narrator.check(
            format!("it expires {} seconds after it was issued", ACCESS_TTL.as_secs()),
            life == ACCESS_TTL.as_secs(),
        )
    }

    fn delivery(&self, narrator: &mut Narrator) -> Result<Cookies, Failure> {
        narrator.step("It is delivered in the body, as above, or in cookies")?;
        let ask =
            Ask::post("/auth/login", &[("username", NAME), ("password", PASSWORD), ("delivery", "cookie")]);
        let answer =
            self.exchange(narrator, &ask, &["token_type", "expires_in", "session_id", "user.username"])?;
        let cookie = |prefix: &str| answer.set_cookies.iter().find(|cookie| cookie.starts_with(prefix));
        let (Some(access), Some(session)) = (cookie("jwt="), cookie("jwt_session=")) else {
            narrator.check("two cookies are set", false)?;
            return Err(Failure::Silent);
        };
        let safe = |cookie: &str| {
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Domain")
        };
        narrator.check(
            "no script can read the cookies, no other site can send them along with a form",
            safe(access) && safe(session),
        )?;
        narrator.check(
            "the body has no token in it",
            answer.status == 200
                && answer.body.get("access_token").is_none()
                && answer.body.get("refresh_token").is_none(),
        )?;
        let pair = access.split(';').next().unwrap_or_default().to_owned();
        let token = pair.trim_start_matches("jwt=").to_owned();
        Ok(Cookies { pair, token })
    }

    fn sending(&self, narrator: &mut Narrator, cookies: &Cookies) -> Result<(), Failure> {
        narrator.step("Requests bring it along: in a header, or in the cookie")?;
        let header = self.exchange(narrator, &Ask::get("/auth/verify").bearer(&cookies.token), PROBLEM)?;
        let cookie = self.exchange(narrator, &Ask::get("/auth/verify").cookie(&cookies.pair), PROBLEM)?;
        narrator.check("both are accepted", header.status == 200 && cookie.status == 200)?;
        let none = self.exchange(narrator, &Ask::get("/auth/verify"), PROBLEM)?;
        narrator.check("a request without it is not", none.status == 401)
    }

    fn verification(
        &self,
        narrator: &mut Narrator,
        cookies: &Cookies,
        first: &Answer,
    ) -> Result<(), Failure> {
        narrator.step("Any server verifies it with the public keys alone, without asking")?;
        let published = self.exchange(narrator, &Ask::get("/.well-known/jwks.json"), &["keys"])?;
        let keys = KeySet::from_public_json(&published.text).map_err(failed)?;
        let policy = Policy::access_token(&self.client.origin, &self.client.origin);
        let judge = |policy: &Policy, token: &str| verify(&keys, policy, token, self.now()).err();

        narrator.check(
            "signature, type, expiry, issuer and audience are good",
            judge(&policy, &cookies.token).is_none(),
        )?;

        let tampered = promoted(&cookies.token).ok_or_else(|| failed("the token has no claims"))?;
        narrator.note("the same token with \"roles\":[\"admin\"] written into it:")?;
        narrator.check(
            "offline: invalid_signature",
            judge(&policy, &tampered) == Some(Error::InvalidSignature),
        )?;
        let refused = self.exchange(narrator, &Ask::get("/auth/me").bearer(&tampered), PROBLEM)?;
        narrator.check("and this server refuses it", refused.status == 401)?;

        let elsewhere = Policy::access_token(&self.client.origin, "https://another-api.example");
        narrator.check(
            "at an API that it is not meant for: wrong_audience",
            judge(&elsewhere, &cookies.token) == Some(Error::WrongAudience),
        )?;

        let old = first.text_of("access_token");
        let expires = insecure_decode(old)
            .ok()
            .and_then(|decoded| serde_json::from_slice::<Value>(&decoded.payload).ok())
            .and_then(|claims| claims.get("exp")?.as_u64())
            .unwrap_or(0);
        let left = expires.saturating_sub(self.now());
        if left > 0 {
            narrator.note(&format!("waiting {left} seconds, until the token of step 1 expires"))?;
            // Whole seconds: on the instant itself it is expired.
            thread::sleep(Duration::from_secs(left));
        }
        narrator.check("offline: expired", judge(&policy, old) == Some(Error::Expired))?;
        let refused = self.exchange(narrator, &Ask::get("/auth/me").bearer(old), PROBLEM)?;
        narrator.check("and this server refuses it", refused.status == 401)
    }

    fn record(&self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("A request that needs the user's record loads it")?;
        let login = self.login(narrator)?;
        self.grant(narrator, "reviewer")?;
        let me = self.exchange(
            narrator,
            &Ask::get("/auth/me").bearer(login.text_of("access_token")),
            &["user.username", "user.roles", "claims.roles", "claims.exp"],
        )?;
        let roles =
            |part: &str| me.body.get(part).and_then(|part| part.get("roles")).cloned().unwrap_or_default();
        narrator.check(
            "the record is that of the database, with the role that was just granted",
            roles("user") == json!(["editor", "reviewer"]),
        )?;
        narrator
            .check("the claims are those of the token, which is older", roles("claims") == json!(["editor"]))
    }

    fn refresh_and_logout(&self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("Refresh and logout")?;
        let login = self.login(narrator)?;
        let refresh = |token: &str| Ask::post("/auth/refresh", &[("refresh_token", token)]);
        let spent = login.text_of("refresh_token");
        let second = self.exchange(narrator, &refresh(spent), RENEWED)?;
        narrator.check(
            "the refresh token is changed for a new pair",
            second.status == 200 && second.text_of("refresh_token") != spent,
        )?;

        narrator.note("waiting until a repeated refresh is no race between two tabs any more")?;
        thread::sleep(GRACE + Duration::from_millis(100));
        let third = self.exchange(narrator, &refresh(second.text_of("refresh_token")), RENEWED)?;
        narrator.check("the new one works in its turn", third.status == 200)?;
        narrator.note("somebody has a copy of the first one, and tries it:")?;
        let replayed = self.exchange(narrator, &refresh(spent), RENEWED)?;
        narrator.check(
            "a replay is recognised",
            replayed.status == 401 && replayed.text_of("code") == "refresh_token_reused",
        )?;
        let dead =
            self.exchange(narrator, &Ask::get("/auth/me").bearer(third.text_of("access_token")), PROBLEM)?;
        narrator.check("and the whole session is over, for thief and owner alike", dead.status == 401)?;

        let login = self.login(narrator)?;
        let token = login.text_of("access_token");
        let out = self.exchange(narrator, &Ask::post("/auth/logout", &[]).bearer(token), PROBLEM)?;
        narrator.check("a logout is answered", out.status == 204)?;
        let refused = self.exchange(narrator, &Ask::get("/auth/me").bearer(token), PROBLEM)?;
        narrator.check("its token is refused at once, although it has not expired", refused.status == 401)?;
        let refused = self.exchange(narrator, &refresh(login.text_of("refresh_token")), RENEWED)?;
        narrator.check(
            "and so is its refresh token",
            refused.status == 401 && refused.text_of("code") == "invalid_refresh_token",
        )
    }
}

/// The token with other roles and the signature that it had.
fn promoted(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    *claims.get_mut("roles")? = json!(["admin"]);
    Some(format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string())))
}
