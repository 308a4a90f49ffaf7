//! `/account`: who am I, where am I signed in, and a new password.

use askama::Template;
use jotgate_domain::upstream::Identity;
use jotgate_domain::{Session, SessionId, Timestamp, User};

use super::moment::Moment;
use super::{Device, DeviceKind, Form, FormError, ProviderLink, assets, filters, form};

#[derive(Clone, Debug, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    pub form: Form,
    pub notice: Option<Notice>,
    pub username: String,
    /// `sub` of the user's tokens.
    pub id: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub roles: Vec<String>,
    pub member_since: Moment,
    /// This one first, then by last use.
    pub sessions: Vec<SessionRow>,
    pub has_password: bool,
    pub identities: Vec<IdentityRow>,
    /// Providers that can be linked.
    pub linkable: Vec<ProviderLink>,
    /// `password.min_length`
    pub min_length: usize,
    /// Of the password form.
    pub error: Option<FormError>,
}

/// Somebody else whom the user can sign in with.
#[derive(Clone, Debug)]
pub struct IdentityRow {
    pub id: String,
    /// As the provider is called.
    pub provider: String,
    /// As the user is called there.
    pub label: String,
    pub since: Moment,
    /// Whether they could still sign in without it.
    pub removable: bool,
}

/// One line of the device list.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: String,
    pub device: Device,
    pub address: String,
    /// Whether the page was asked for from it.
    pub current: bool,
    pub last_used: Moment,
    pub since: Moment,
}

/// What was just done. A fixed list: the address of the page carries only the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Registered,
    SessionEnded,
    OthersEnded,
    PasswordChanged,
    PasswordSet,
    IdentityLinked,
    IdentityUnlinked,
}

impl Notice {
    const ALL: &[(Self, &'static str, &'static str)] = &[
        (Self::Registered, "registered", "Welcome! Your account is ready and you are signed in."),
        (Self::SessionEnded, "session-ended", "That device is signed out."),
        (Self::OthersEnded, "others-ended", "All other devices are signed out."),
        (
            Self::PasswordChanged,
            "password-changed",
            "Your password is changed, and all other devices are signed out.",
        ),
        (
            Self::PasswordSet,
            "password-set",
            "You can sign in with your password from now on, and all other devices are signed out.",
        ),
        (Self::IdentityLinked, "identity-linked", "You can sign in that way from now on."),
        (
            Self::IdentityUnlinked,
            "identity-unlinked",
            "You cannot sign in that way any more, and all other devices are signed out.",
        ),
    ];

    /// Stable, for `?done=…`.
    #[must_use]
    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(notice, ..)| *notice == self).map_or("", |(_, code, _)| code)
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, c, _)| *c == code).map(|(notice, ..)| *notice)
    }

    #[must_use]
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(notice, ..)| *notice == self).map_or("", |(.., text)| text)
    }
}

impl AccountPage {
    /// The page for `user`, asked for from session `current`.
    #[must_use]
    pub fn new(
        form: Form,
        user: &User,
        sessions: &[Session],
        current: SessionId,
        min_length: usize,
        now: Timestamp,
    ) -> Self {
        let mut sessions: Vec<SessionRow> =
            sessions.iter().map(|session| SessionRow::new(session, current, now)).collect();
        sessions.sort_by_key(|row| !row.current);
        Self {
            form,
            notice: None,
            username: user.username.to_string(),
            id: user.id.to_string(),
            email: user.email.as_ref().map(ToString::to_string),
            email_verified: user.email_verified_at.is_some(),
            roles: user.roles.iter().map(ToString::to_string).collect(),
            member_since: Moment::day(user.created_at),
            sessions,
            has_password: user.password_hash.is_some(),
            identities: Vec::new(),
            linkable: Vec::new(),
            min_length,
            error: None,
        }
    }

    /// The same with whom the user signs in with. `providers`: those that are configured.
    #[must_use]
    pub fn with_identities(mut self, identities: &[Identity], providers: Vec<ProviderLink>) -> Self {
        let removable = self.has_password || identities.len() > 1;
        let row = |identity: &Identity| {
            let known = providers.iter().find(|provider| provider.name == identity.provider);
            IdentityRow {
                id: identity.id.to_string(),
                provider: known.map_or(&identity.provider, |provider| &provider.label).clone(),
                label: identity.label.clone(),
                since: Moment::day(identity.created_at),
                removable,
            }
        };
        self.identities = identities.iter().map(row).collect();
        self.linkable = providers;
        self
    }

    /// Sessions other than this one.
    fn others(&self) -> usize {
        self.sessions.iter().filter(|row| !row.current).count()
    }

    /// The letter in the picture's place.
    fn initial(&self) -> String {
        self.username.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default()
    }
}

impl SessionRow {
    fn new(session: &Session, current: SessionId, now: Timestamp) -> Self {
        Self {
            id: session.id.to_string(),
            device: Device::from_user_agent(&session.user_agent),
            address: session.address.clone(),
            current: session.id == current,
            last_used: Moment::ago(session.last_used_at, now),
            since: Moment::day(session.created_at),
        }
    }
}

#[cfg(test)]
impl AccountPage {
    pub(super) fn sample() -> Self {
        let (user, sessions) = sample_data();
        let now = Timestamp::from_secs(1_793_800_000);
        let current = sessions[0].id;
        Self {
            notice: Some(Notice::SessionEnded),
            ..Self::new(Form::sample(), &user, &sessions, current, 8, now)
        }
    }

    pub(super) fn sample_new() -> Self {
        let Self { sessions, .. } = Self::sample();
        Self {
            notice: Some(Notice::Registered),
            email: None,
            roles: Vec::new(),
            sessions: sessions.into_iter().take(1).collect(),
            ..Self::sample()
        }
    }

    pub(super) fn sample_linked() -> Self {
        Self::sample().with_identities(&sample_identities("ada@example.com"), ProviderLink::samples())
    }

    pub(super) fn sample_without_password() -> Self {
        let [one, ..] = sample_identities("ada@example.com");
        let page = Self { has_password: false, ..Self::sample() };
        page.with_identities(&[one], ProviderLink::samples())
    }

    pub(super) fn sample_wrong_password() -> Self {
        Self {
            notice: None,
            error: Some(FormError {
                code: "invalid_credentials",
                message: "That is not your current password. Type it again.".into(),
                field: Some("current_password"),
            }),
            ..Self::sample()
        }
    }

    /// What an attacker controls, as hostile as it gets.
    pub(super) fn sample_hostile(text: &str) -> Self {
        use jotgate_domain::name::{Email, RoleName, Username};
        let (user, mut sessions) = sample_data();
        for session in &mut sessions {
            session.user_agent = format!("Mozilla/5.0 {text}");
            session.address = text.to_owned();
        }
        let user = User {
            username: Username::from_stored(text.to_owned()),
            email: Some(Email::from_stored(text.to_owned())),
            roles: vec![RoleName::from_stored(text.to_owned())],
            ..user
        };
        let current = sessions[0].id;
        Self::new(
            Form { token: text.to_owned(), return_to: text.to_owned(), max_age: None },
            &user,
            &sessions,
            current,
            8,
            Timestamp::from_secs(1_793_800_000),
        )
        .with_identities(&sample_identities(text), ProviderLink::samples())
    }
}

#[cfg(test)]
fn sample_identities(label: &str) -> [Identity; 2] {
    ["google", "forgotten"].map(|provider| Identity {
        id: jotgate_domain::IdentityId::new(Timestamp::from_secs(1_793_000_000), [3; 10]),
        user_id: sample_data().0.id,
        issuer: "https://accounts.google.com".into(),
        subject: "248289761001".into(),
        provider: provider.into(),
        label: label.into(),
        created_at: Timestamp::from_secs(1_793_000_000),
    })
}

#[cfg(test)]
fn sample_data() -> (User, Vec<Session>) {
    use jotgate_domain::UserId;
    use jotgate_domain::name::{Email, RoleName, Username};
    use jotgate_domain::session::{FIRST_PARTY, RefreshState};

    let at = |ago: i64| Timestamp::from_secs(1_793_800_000 - ago);
    let user = User {
        id: UserId::new(at(40 * 86_400), [7; 10]),
        username: Username::from_stored("ada".into()),
        email: Some(Email::from_stored("ada@example.com".into())),
        email_verified_at: Some(at(39 * 86_400)),
        password_hash: Some("$argon2id$".into()),
        password_changed_at: None,
        roles: vec![RoleName::from_stored("editor".into()), RoleName::from_stored("billing:read".into())],
        claims: std::collections::BTreeMap::new(),
        created_at: at(40 * 86_400),
        disabled_at: None,
        version: 1,
    };
    let sessions = [
        (
            20,
            2 * 86_400,
            "203.0.113.7",
            "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
        ),
        (
            47 * 60,
            9 * 86_400,
            "2001:db8:85a3::8a2e:370:7334",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Version/19.0 Mobile/15E148 Safari/604.1",
        ),
        (3 * 86_400, 31 * 86_400, "198.51.100.23", "curl/8.5.0"),
    ]
    .into_iter()
    .zip(1_u8..)
    .map(|((used, since, address, agent), n)| Session {
        id: SessionId::new(at(since), [n; 10]),
        user_id: user.id,
        client_id: FIRST_PARTY.into(),
        scope: String::new(),
        refresh: RefreshState::new([n; 32]),
        status: Some(u64::from(n)),
        access_until: at(0),
        created_at: at(since),
        authenticated_at: at(since),
        last_used_at: at(used),
        idle_until: at(-86_400),
        expires_at: at(-86_400),
        address: address.into(),
        user_agent: agent.into(),
    })
    .collect();
    (user, sessions)
}
