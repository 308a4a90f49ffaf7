//! Signing in with what somebody else vouches for: an OpenID Connect provider, or GitHub.
//!
//! The order outside: [`flow`] binds what a browser brings back to what it set out with; [`id_token`] says what an ID
//! token has to say after its signature was found good; both end in a [`Vouched`], of which [`decide`] says whose it
//! is here. An identity is known by who vouches and what that one calls the person, never by an address.

mod decide;
pub mod flow;
pub mod id_token;
mod username;

pub use decide::{Admitted, Linked, RECENT, Refused, Rules, UnlinkError, decide, link, register, unlink};
pub use username::candidates;

use crate::name::Email;
use crate::{IdentityId, Timestamp, UserId};

/// One row of `identities`: who a user is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: IdentityId,
    pub user_id: UserId,
    /// Who vouches: `iss`, byte for byte.
    pub issuer: String,
    /// Who it is there: `sub`, never given to another person (OpenID Connect Core §8).
    pub subject: String,
    /// Name of the provider in the configuration when this was linked.
    pub provider: String,
    /// For people: the address or the name there, bounded and cleaned.
    pub label: String,
    pub created_at: Timestamp,
}

/// What a provider vouches for, after everything about it was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    pub issuer: String,
    pub subject: String,
    pub email: Option<Email>,
    /// The provider says that the address is this person's ([`Preset::vouches_for_email`]).
    pub email_verified: bool,
    /// What the person is called there; may be anything.
    pub names: Vec<String>,
    /// When they proved it there, where the provider says.
    pub authenticated_at: Option<Timestamp>,
}

/// Longest `sub` (OpenID Connect Core §2: 255 ASCII characters).
pub const SUBJECT_MAX: usize = 255;

impl Vouched {
    /// The address, where the provider vouches for it and is trusted to.
    #[must_use]
    pub fn trusted_email(&self, trusted: bool) -> Option<&Email> {
        self.email.as_ref().filter(|_| trusted && self.email_verified)
    }

    /// What to call the identity on a page.
    #[must_use]
    pub fn label(&self) -> String {
        let text = self.email.as_ref().map(Email::as_str).or(self.names.first().map(String::as_str));
        crate::session::cleaned(text.unwrap_or(&self.subject), 100)
    }
}

/// A provider whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Google,
    Microsoft,
    /// OAuth 2 without an ID token.
    GitHub,
    GitLab,
    Apple,
}

/// What an ID token or a userinfo answer says of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AboutEmail<'a> {
    pub address: &'a str,
    /// `email_verified`; Apple sends it as a string.
    pub verified: bool,
    /// `xms_edov`: Microsoft, where it is configured, that the domain's owner is the tenant.
    pub domain_owner_verified: bool,
    /// `hd`: Google, the Workspace domain that the account belongs to.
    pub hosted_domain: Option<&'a str>,
}

impl Preset {
    /// Whether the provider vouches that the address is this person's, now.
    ///
    /// Google does so for its own mail and for Workspace domains; of any other address it only says that it was
    /// proven once. Microsoft lets an administrator write any address into an account, and says `xms_edov` of one
    /// whose domain the tenant has proven.
    #[must_use]
    pub fn vouches_for_email(preset: Option<Self>, about: AboutEmail<'_>) -> bool {
        match preset {
            Some(Self::Google) => {
                let domain = about.address.rsplit_once('@').map_or("", |(_, domain)| domain);
                let own = ["gmail.com", "googlemail.com"].iter().any(|own| domain.eq_ignore_ascii_case(own));
                let hosted = about.hosted_domain.is_some_and(|hd| domain.eq_ignore_ascii_case(hd));
                about.verified && (own || hosted)
            }
            Some(Self::Microsoft) => about.domain_owner_verified,
            Some(Self::GitHub | Self::GitLab | Self::Apple) | None => about.verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_vouches_for_an_address() {
        let about = |address, verified, domain_owner_verified, hosted_domain| AboutEmail {
            address,
            verified,
            domain_owner_verified,
            hosted_domain,
        };
        use Preset::{Apple, GitHub, Google, Microsoft};
        for (preset, about, expected) in [
            (None, about("a@x.example", true, false, None), true),
            (None, about("a@x.example", false, true, Some("x.example")), false),
            (Some(Google), about("a@gmail.com", true, false, None), true),
            (Some(Google), about("a@GMAIL.com", true, false, None), true),
            (Some(Google), about("a@gmail.com", false, false, None), false),
            (Some(Google), about("a@x.example", true, false, None), false),
            (Some(Google), about("a@x.example", true, false, Some("x.example")), true),
            (Some(Google), about("a@x.example", true, false, Some("y.example")), false),
            (Some(Google), about("a@gmail.com.evil.example", true, false, None), false),
            (Some(Microsoft), about("a@x.example", true, false, None), false),
            (Some(Microsoft), about("a@x.example", false, true, None), true),
            (Some(GitHub), about("a@x.example", true, false, None), true),
            (Some(Apple), about("a@x.example", false, false, None), false),
        ] {
            assert_eq!(Preset::vouches_for_email(preset, about), expected, "{preset:?} {about:?}");
        }
    }

    #[test]
    fn an_address_counts_only_where_the_provider_is_trusted_with_it() {
        let email = Email::parse("a@x.example").ok();
        for (email_verified, trusted, counts) in
            [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
        {
            let vouched = Vouched { email: email.clone(), email_verified, ..Vouched::default() };
            assert_eq!(vouched.trusted_email(trusted).is_some(), counts);
        }
    }

    #[test]
    fn an_identity_is_called_by_its_address_then_its_name() {
        let mut vouched = Vouched { subject: "248289761001".into(), ..Vouched::default() };
        assert_eq!(vouched.label(), "248289761001");
        vouched.names.push("Ada\u{202e}\nLovelace".into());
        assert!(!vouched.label().contains(['\n', '\u{202e}']), "{}", vouched.label());
        vouched.email = Email::parse("ada@x.example").ok();
        assert_eq!(vouched.label(), "ada@x.example");
    }
}
