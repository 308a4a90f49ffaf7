//! By a code that an application had sent to itself and shows here.

use std::fmt;

use jotgate_domain::upstream::flow;
use jotgate_domain::upstream::{Identity, Vouched};

use super::provider::Provider;
use super::redeem::Code;
use super::{Handover, UpstreamError};
use crate::app::{App, Grant, SignedIn, Visitor};

/// A code that an application shows.
#[derive(Clone, Copy)]
pub struct CodeForm<'a> {
    pub provider: &'a str,
    pub code: &'a str,
    pub code_verifier: &'a str,
    pub redirect_uri: &'a str,
    pub nonce: Option<&'a str>,
}

impl fmt::Debug for CodeForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeForm").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl App {
    /// Signs in with a code that an application had sent to itself.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn login_by_code(
        &self,
        visitor: &Visitor,
        form: CodeForm<'_>,
        hand: Handover,
    ) -> Result<Grant, UpstreamError> {
        let result = async {
            let (provider, vouched) = self.redeem_shown(visitor, form).await?;
            let grant = self.admit(visitor, provider, &vouched, hand).await?;
            self.addresses.give_back(&visitor.network);
            Ok(grant)
        };
        let result = result.await;
        self.counts.upstream(result.as_ref().map(drop));
        result
    }

    /// Links an identity, shown by a code, to whoever is signed in.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn link_by_code(
        &self,
        visitor: &Visitor,
        asker: &SignedIn,
        form: CodeForm<'_>,
    ) -> Result<Identity, UpstreamError> {
        self.check_recent(&asker.session)?;
        let (provider, vouched) = self.redeem_shown(visitor, form).await?;
        let identity = self.link(visitor, asker, provider, &vouched).await?;
        self.addresses.give_back(&visitor.network);
        Ok(identity)
    }

    async fn redeem_shown(
        &self,
        visitor: &Visitor,
        form: CodeForm<'_>,
    ) -> Result<(&Provider, Vouched), UpstreamError> {
        let provider = self.upstream.provider(form.provider)?;
        if !provider.config.redirect_uris.iter().any(|uri| uri == form.redirect_uri) {
            return Err(UpstreamError::RedirectUri);
        }
        if !flow::is_verifier(form.code_verifier) {
            return Err(UpstreamError::Malformed("code_verifier"));
        }
        if form.code.is_empty() {
            return Err(UpstreamError::Malformed("code"));
        }
        self.take_try(visitor)?;
        let code = Code {
            code: form.code,
            verifier: form.code_verifier,
            redirect_uri: form.redirect_uri,
            nonce: form.nonce,
        };
        Ok((provider, provider.redeem(code, self.now()).await?))
    }
}
