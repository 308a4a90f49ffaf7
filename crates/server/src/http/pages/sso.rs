//! Signing in on the hosts of applications on other root domains: `/_jotgate/start` and `/_jotgate/finish` there, and
//! `/sso` here between them.
//!
//! No session cookie leaves our own host: what an application's host gets is an access cookie. Renewing it is the same
//! way once more, without a question where the session lives.

use std::fmt::Write as _;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use http::header::HeaderValue;
use jotgate_domain::Timestamp;
use jotgate_domain::sso::{self, Flow, Nonce, Refused, Start};

use super::here;
use super::page::{self, asked, see_other};
use super::return_to::on_application;
use crate::app::{RedeemError, Visitor};
use crate::http::Arrival;
use crate::http::applications::Application;
use crate::http::auth::Claims;
use crate::http::cookies::{Helper, Sent};
use crate::http::error::{ApiError, Code, PageError};
use crate::server::Server;
use crate::ui::AwayPage;

/// Where tickets are given, on our own host.
pub(super) const PATH: &str = "/sso";
/// Its parameter that names the application.
pub(super) const ORIGIN: &str = "origin";
const BINDING: &str = "binding";
const RETURN_TO: &str = "return_to";
const MAX_AGE: &str = "max_age";
const START: &str = "/_jotgate/start";
const FINISH: &str = "/_jotgate/finish";

/// Longest way back in an address, percent-encoded: beyond it an application's front page has to do.
const LONGEST: usize = 2048;

/// Where somebody begins to sign in who asked for `url`; none where that is no application's on another root domain.
/// `max_age`: they have to prove who they are anew if they last did more seconds ago.
pub(in crate::http) fn beginning(server: &Server, url: &str, max_age: Option<u64>) -> Option<String> {
    let origin = server.site().applications.of_url(url)?.origin.to_string();
    let path = on_application(url, &origin).unwrap_or_else(|| "/".to_owned());
    let max_age = max_age.map(|seconds| seconds.to_string());
    let mut query = vec![(RETURN_TO, path.as_str())];
    query.extend(max_age.as_deref().map(|seconds| (MAX_AGE, seconds)));
    Some(with_query(&format!("{origin}{START}"), &query))
}

/// `GET /_jotgate/start?return_to=…`, on an application's host: where it sends whoever it does not know.
pub(super) async fn start(
    State(server): State<Server>,
    Extension(arrival): Extension<Arrival>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let (at, sent) = Away::new(&server, &arrival, &uri, &headers)?;
    let flow = Flow::parse(sent.flow);
    let max_age = asked(&uri, MAX_AGE);
    let signed_in = at.signed_in(&sent).is_some_and(|claims| {
        let proven = claims.get().auth_time().and_then(|at| i64::try_from(at).ok()).unwrap_or_default();
        !is_too_long_ago(Timestamp::from_secs(proven), &max_age, server.app().now())
    });
    match sso::start(&flow, signed_in) {
        Start::Ask => {
            let nonce = match flow.nonce {
                // Other windows may be on their way with it.
                Some(nonce) => nonce,
                None => Nonce::new(server.app().edge.random().map_err(ApiError::from)?),
            };
            let binding = sso::binding_text(&nonce.binding());
            let origin = at.application.origin.to_string();
            let mut query = vec![(ORIGIN, origin.as_str()), (BINDING, &binding), (RETURN_TO, &at.return_to)];
            query.extend(Some(max_age.as_str()).filter(|age| !age.is_empty()).map(|age| (MAX_AGE, age)));
            let to = with_query(&format!("{}{PATH}", server.app().issuer()), &query);
            Ok(see_other(&to, vec![at.flow(&Flow { nonce: Some(nonce), ..flow })?]))
        }
        Start::Back => Ok(see_other(&at.return_to, vec![at.flow(&flow.back())?])),
        Start::Circle => {
            let cookies = vec![at.no_flow()?];
            Ok(at.page(circle(signed_in, at.application), Some("Try again"), cookies)?)
        }
    }
}

/// `GET /sso?origin=…&binding=…&return_to=…`, on our own host: a ticket for whoever is signed in, after signing in
/// where they are not.
pub(super) async fn ticket(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let application =
        server.site().applications.named(&asked(&uri, ORIGIN)).ok_or(Code::UnknownApplication)?;
    let binding = sso::binding(&asked(&uri, BINDING)).ok_or(Code::InvalidRequest)?;
    let origin = application.origin.to_string();
    let return_to = way_back(&uri, &origin);
    let max_age = asked(&uri, MAX_AGE);
    let to_login = || {
        let binding = sso::binding_text(&binding);
        let query = [(ORIGIN, origin.as_str()), (BINDING, &binding), (RETURN_TO, &return_to)];
        let back = with_query(&server.site().mount.of(PATH), &query);
        // Not in the way back: there it would ask again.
        let query = [(RETURN_TO, back.as_str()), (MAX_AGE, &max_age)];
        let query = if max_age.is_empty() { &query[..1] } else { &query };
        page::see_own(&server, &with_query(super::login::PATH, query), Vec::new())
    };
    let Some(here) = here::find(&server, &visitor, &sent).await? else { return Ok(to_login()) };
    if is_too_long_ago(here.signed_in.session.authenticated_at, &max_age, server.app().now()) {
        return Ok(to_login());
    }
    let given = server.app().give_ticket(&here.signed_in.session, &application.origin, binding).await?;
    let Some(ticket) = given else { return Ok(to_login()) };
    let finish = with_query(&format!("{origin}{FINISH}"), &[("ticket", &ticket), (RETURN_TO, &return_to)]);
    Ok(see_other(&finish, here.cookies))
}

/// `GET /_jotgate/finish?ticket=…&return_to=…`, on an application's host.
pub(super) async fn finish(
    State(server): State<Server>,
    visitor: Visitor,
    Extension(arrival): Extension<Arrival>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let (at, sent) = Away::new(&server, &arrival, &uri, &headers)?;
    let flow = Flow::parse(sent.flow);
    let ticket = asked(&uri, "ticket");
    let origin = &at.application.origin;
    match server.app().redeem_ticket(&visitor, &ticket, origin, flow.nonce.as_ref()).await {
        Ok(signed) => {
            let cookies = at.application.cookies.access(&signed.access_token, signed.expires_in);
            let mut cookies = cookies.map_err(ApiError::from)?;
            cookies.push(at.flow(&flow.around())?);
            Ok(see_other(&at.return_to, cookies))
        }
        // Another window was quicker, or this is the back button: there is nothing left to do here.
        Err(RedeemError::Refused(_)) if at.signed_in(&sent).is_some() => {
            Ok(see_other(&at.return_to, Vec::new()))
        }
        // Two windows began before either had the cookie, and the other one's number is in it now. Whoever followed a
        // stranger's address begins for themselves.
        Err(RedeemError::Refused(Refused::OtherBrowser))
            if flow.nonce.is_some() && sso::start(&flow, false) == Start::Ask =>
        {
            let start = with_query(START, &[(RETURN_TO, &at.return_to)]);
            Ok(see_other(&start, vec![at.flow(&flow.again())?]))
        }
        Err(RedeemError::Refused(why)) => {
            Ok(at.page(refused(why, sent.flow.is_some(), at.application), Some("Start again"), Vec::new())?)
        }
        Err(RedeemError::Fault(fault)) => {
            let words = Words { detail: page::fault(&fault), ..Words::of(ApiError::from(fault)) };
            Ok(at.page(words, Some("Start again"), Vec::new())?)
        }
    }
}

/// A request on the host of an application.
struct Away<'s> {
    server: &'s Server,
    application: &'s Application,
    request_id: String,
    /// On that host.
    return_to: String,
}

impl<'s> Away<'s> {
    fn new<'h>(
        server: &'s Server,
        arrival: &Arrival,
        uri: &Uri,
        headers: &'h HeaderMap,
    ) -> Result<(Self, Sent<'h>), ApiError>
    where
        's: 'h,
    {
        let asked = server.site().applications.asked(arrival.client, uri, headers);
        let application = asked.ok_or_else(|| {
            ApiError::new(Code::UnknownApplication).log("the host that was asked is not in sso.origins")
        })?;
        let sent = application.cookies.read_or_clear(headers, uri.path())?;
        let return_to = way_back(uri, &application.origin.to_string());
        let request_id = arrival.request_id.to_str().unwrap_or_default().to_owned();
        Ok((Self { server, application, request_id, return_to }, sent))
    }

    fn signed_in(&self, sent: &Sent<'_>) -> Option<Claims> {
        sent.access.and_then(|token| Claims::verify(self.server, token).ok())
    }

    fn flow(&self, flow: &Flow) -> Result<HeaderValue, ApiError> {
        let (value, age) = flow.cookie(self.server.app().config.policy.access_ttl);
        Ok(self.application.cookies.helper(Helper::Flow, &value, age.as_secs())?)
    }

    fn no_flow(&self) -> Result<HeaderValue, ApiError> {
        Ok(self.application.cookies.helper(Helper::Flow, "", 0)?)
    }

    /// A refusal as a page of that host, with a button that begins anew.
    fn page(
        &self,
        words: Words,
        again: Option<&'static str>,
        cookies: Vec<HeaderValue>,
    ) -> Result<Response, ApiError> {
        let Words { error, title, detail } = words;
        let view = AwayPage {
            status: error.code().status().as_u16(),
            code: error.code().as_str(),
            title,
            detail,
            action: again.map(|label| (with_query(START, &[(RETURN_TO, &self.return_to)]), label)),
            request_id: self.request_id.clone(),
        };
        page::bare(error, &view, cookies)
    }
}

/// Whether more than `max_age` seconds have passed since they proved who they are; never where that is no number.
fn is_too_long_ago(proven: Timestamp, max_age: &str, now: Timestamp) -> bool {
    max_age.parse::<u32>().is_ok_and(|most| now > proven.plus(Duration::from_secs(most.into())))
}

/// What is said of a refusal.
struct Words {
    error: ApiError,
    title: &'static str,
    detail: String,
}

impl Words {
    fn of(error: ApiError) -> Self {
        Self { title: error.code().title(), detail: error.code().detail().to_owned(), error }
    }
}

fn circle(signed_in: bool, application: &Application) -> Words {
    let host = &application.origin.host;
    let error = ApiError::new(Code::SignInLoop);
    if signed_in {
        Words {
            error: error.log("the application does not accept its access cookie"),
            title: "You are signed in, and not let in",
            detail: format!(
                "{host} has a good sign-in of yours and sends you back here again and again. Tell the people who run \
                 it: its clock may be wrong, or it may expect another cookie or audience."
            ),
        }
    } else {
        Words {
            error: error.log("the access cookie is set again and again and never comes back"),
            title: "Your sign-in does not stay",
            detail: format!(
                "You were signed in at {host} several times within seconds, and each time the cookie was gone. Allow \
                 cookies for {host}; if they are allowed, tell the people who run it."
            ),
        }
    }
}

fn refused(why: Refused, has_flow: bool, application: &Application) -> Words {
    let host = &application.origin.host;
    let detail = match why {
        Refused::Unknown | Refused::Expired => {
            "This address was used before, or is more than a minute old. Start again: you need not type your password \
             where you are still signed in."
                .to_owned()
        }
        Refused::OtherBrowser if !has_flow => format!(
            "Your browser did not send back the cookie that it got at the beginning. Allow cookies for {host}, then \
             start again."
        ),
        Refused::OtherBrowser => {
            "This address was made for another browser. Start again in this one; do not follow such an address that \
             somebody sent you."
                .to_owned()
        }
        Refused::OtherApplication => {
            "This address was made for another application. Start again at this one.".to_owned()
        }
        Refused::SessionOver => "You have been signed out meanwhile. Start again to sign in.".to_owned(),
    };
    let error = ApiError::new(Code::InvalidTicket).log(why.reason());
    Words { title: Code::InvalidTicket.title(), detail, error }
}

/// `return_to` of the address, as a place on the application's site; its front page where that is none.
fn way_back(uri: &Uri, origin: &str) -> String {
    let fits = |path: &String| encoded_len(path) <= LONGEST;
    on_application(&asked(uri, RETURN_TO), origin).filter(fits).unwrap_or_else(|| "/".to_owned())
}

fn encoded_len(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

fn with_query(place: &str, pairs: &[(&str, &str)]) -> String {
    let mut address = place.to_owned();
    for (n, (name, value)) in pairs.iter().enumerate() {
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        // Writing to a String does not fail.
        let _ = write!(address, "{}{name}={encoded}", if n == 0 { '?' } else { '&' });
    }
    address
}
