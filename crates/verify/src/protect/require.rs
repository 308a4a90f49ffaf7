//! What a route asks of a token beyond being good.

use http::{Extensions, Request, Response};
use jotgate_jose::{Claims, Error};
use tower_layer::Layer;

use super::intercept::{Intercept, Intercepted};
use super::{Denied, Passed, Reason};
use crate::Token;
use crate::clock::now;

/// What a route asks of a token beyond being good. As a layer on a route inside of [`Protect`](super::Protect), or in the
/// type of an extractor (`Demand`). Of several around one route, all have to be met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Require {
    audience: Option<&'static str>,
    scopes: &'static [&'static str],
    roles: &'static [&'static str],
    permissions: &'static [&'static str],
    signed_in_within: Option<u64>,
}

impl Require {
    /// A good token, and no more.
    pub const fn new() -> Self {
        Self { audience: None, scopes: &[], roles: &[], permissions: &[], signed_in_within: None }
    }

    /// `aud` names this one; for a program whose policy accepts several.
    pub const fn audience(self, audience: &'static str) -> Self {
        Self { audience: Some(audience), ..self }
    }

    /// `scope` has all of these.
    pub const fn scopes(self, all: &'static [&'static str]) -> Self {
        Self { scopes: all, ..self }
    }

    /// `roles` has all of these.
    pub const fn roles(self, all: &'static [&'static str]) -> Self {
        Self { roles: all, ..self }
    }

    /// `permissions` has all of these.
    pub const fn permissions(self, all: &'static [&'static str]) -> Self {
        Self { permissions: all, ..self }
    }

    /// The user signed in (`auth_time`) at most this many seconds ago; a token that does not say when does not pass
    /// (RFC 9470 §5).
    pub const fn signed_in_within(self, seconds: u64) -> Self {
        Self { signed_in_within: Some(seconds), ..self }
    }

    /// Whether these claims meet it at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// The first [`Reason`] why not: audience, scopes, roles and permissions, sign-in.
    pub fn check(&self, claims: Claims<'_>, now: u64) -> Result<(), Reason> {
        if self.audience.is_some_and(|audience| !claims.aud().contains(audience)) {
            return Err(Reason::Refused(Error::WrongAudience.into()));
        }
        if !self.scopes.iter().all(|scope| claims.has_scope(scope)) {
            return Err(Reason::Scopes(self.scopes));
        }
        let may = self.roles.iter().all(|role| claims.roles().contains(role))
            && self.permissions.iter().all(|permission| claims.permissions().contains(permission));
        if !may {
            return Err(Reason::Forbidden);
        }
        // Last: signing in again helps only who may do it at all.
        match self.signed_in_within {
            Some(most) if claims.auth_time().is_none_or(|at| now.saturating_sub(at) > most) => {
                Err(Reason::SignedInBefore(most))
            }
            _ => Ok(()),
        }
    }

    /// The token of a request, if it is one that passed [`Protect`](super::Protect) and meets this.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn token(&self, extensions: &Extensions) -> Result<Token, Denied> {
        let Some(Passed(metadata)) = extensions.get::<Passed>() else {
            return Err(Denied::because(Reason::NotProtected));
        };
        let token = extensions.get::<Token>().ok_or(Reason::Unauthenticated);
        token
            .and_then(|token| self.check(token.claims(), now()).map(|()| token.clone()))
            .map_err(|reason| Denied::new(reason, metadata.clone()))
    }
}

impl<S> Layer<S> for Require {
    type Service = Intercepted<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Intercepted { inner, layer: *self }
    }
}

impl Intercept for Require {
    fn answer<B, R: From<String>>(&self, request: &Request<B>) -> Option<Response<R>> {
        self.token(request.extensions()).err().map(Denied::into_response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{AUDIENCE, START, Sample};

    #[test]
    fn each_demand_is_met_or_named() {
        let sample = Sample::new();
        let token = sample.verifier().check(&sample.token(1), START).unwrap();
        // The sample: scope "read write", roles ["staff"], signed in at START.
        let any = Require::new();
        let scope = Reason::Scopes(&["read", "admin"]);
        let (late, audience) = (Reason::SignedInBefore(60), Reason::Refused(Error::WrongAudience.into()));
        let rows: [(Require, u64, Result<(), Reason>); 16] = [
            (any, START, Ok(())),
            (any.scopes(&["write", "read"]), START, Ok(())),
            (any.scopes(&["read", "admin"]), START, Err(scope)),
            (any.scopes(&["rea"]), START, Err(Reason::Scopes(&["rea"]))),
            (any.scopes(&["read write"]), START, Err(Reason::Scopes(&["read write"]))),
            (any.roles(&["staff"]), START, Ok(())),
            (any.roles(&["staff", "admin"]), START, Err(Reason::Forbidden)),
            (any.roles(&["Staff"]), START, Err(Reason::Forbidden)),
            (any.permissions(&["x"]), START, Err(Reason::Forbidden)),
            (any.audience(AUDIENCE), START, Ok(())),
            (any.audience("https://api.example/"), START, Err(audience)),
            (any.signed_in_within(60), START + 60, Ok(())),
            (any.signed_in_within(60), START + 61, Err(late)),
            (any.signed_in_within(60), START - 5, Ok(())),
            (any.roles(&["admin"]).signed_in_within(60), START + 61, Err(Reason::Forbidden)),
            (any.roles(&["staff"]).scopes(&["read"]).signed_in_within(60), START + 61, Err(late)),
        ];
        for (require, now, expected) in rows {
            assert_eq!(require.check(token.claims(), now), expected, "{require:?}");
        }
        let silent = sample.token(1).len();
        let without = sample.payload(1).replace("\"auth_time\"", "\"auth_time_\"");
        let without = sample.key.sign("at+jwt", without.as_bytes()).unwrap();
        assert!(without.len() > silent);
        let token = sample.verifier().check(&without, START).unwrap();
        assert_eq!(any.signed_in_within(60).check(token.claims(), START), Err(late), "it does not say");
    }
}
