//! Extractors for axum.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::{Denied, Passed, Reason, Require};
use crate::Token;

/// The token of a request that passed [`Protect`](super::Protect).
impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denied> {
        Require::new().token(&parts.extensions)
    }
}

/// None: nobody signed in, and [`Protect::or_anonymous`](super::Protect::or_anonymous) let them pass.
impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Denied> {
        match parts.extensions.get::<Passed>() {
            Some(_) => Ok(parts.extensions.get::<Self>().cloned()),
            None => Err(Denied::because(Reason::NotProtected)),
        }
    }
}

/// Names a [`Require`], for the type of an extractor.
pub trait Demand {
    /// What is asked.
    const REQUIRE: Require;
}

/// A token that meets what `D` asks. As an argument of a handler, nobody else gets there.
pub struct Allowed<D> {
    token: Token,
    demand: PhantomData<fn() -> D>,
}

impl<D> Allowed<D> {
    /// The token.
    #[must_use]
    pub fn into_token(self) -> Token {
        self.token
    }
}

impl<D> Deref for Allowed<D> {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.token
    }
}

impl<D> Clone for Allowed<D> {
    fn clone(&self) -> Self {
        Self { token: self.token.clone(), demand: PhantomData }
    }
}

impl<D> fmt::Debug for Allowed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}

impl<S: Sync, D: Demand> FromRequestParts<S> for Allowed<D> {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denied> {
        Ok(Self { token: D::REQUIRE.token(&parts.extensions)?, demand: PhantomData })
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        Denied::into_response::<Body>(self)
    }
}
