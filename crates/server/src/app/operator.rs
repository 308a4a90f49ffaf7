//! The operator's side: the same rules on the same database, beside a server that runs or without one.
//!
//! Nothing here needs the running server, and nothing but what changes or exports keys needs the master key. A running
//! server sees every change at once: it follows the database.

mod oauth_clients;
mod signing_keys;

use std::fmt;
use std::sync::{Arc, OnceLock};

use jotgate_domain::account::{self, AccountError, By, Edited};
use jotgate_domain::audit::{Action, Actor, Entry, Event};
use jotgate_domain::client::ClientError;
use jotgate_domain::name::{Canonical, Email, NameError, RoleName, Username};
use jotgate_domain::password::PasswordError;
use jotgate_domain::store::{Applied, AuditPage, AuditQuery, Change, Lookup, Store, StoreError, Unique};
use jotgate_domain::token::check_size;
use jotgate_domain::{Session, SessionId, Timestamp, User, UserId};
use serde_json::Value;

use super::grant::shape;
use super::open::{open_store, sqlite_path};
use super::{Fault, OpenError, TRIES, password};
use crate::config::{Config, DatabaseUrl, Mount, Origin};
use crate::edge::Edge;
use crate::hasher::{Hasher, Phc, PhcError};
use crate::store::make_private_dir;

/// An installation as the operator's program opens it.
#[derive(Debug)]
pub struct Operator {
    pub config: Config,
    pub edge: Edge,
    pub(super) store: Arc<dyn Store>,
    issuer: Origin,
    /// Started by the first password that has to be hashed.
    hasher: OnceLock<Hasher>,
}

/// A user to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub username: String,
    pub email: Option<String>,
    /// Whether the operator vouches for the address.
    pub email_verified: bool,
    pub roles: Vec<String>,
}

/// A client to be made.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    pub name: String,
    /// None: one is drawn.
    pub id: Option<String>,
    /// Whether it has no secret.
    pub public: bool,
    pub audiences: Vec<String>,
}

/// What an edit did.
#[derive(Clone, Debug)]
pub struct Done {
    /// As it stands now.
    pub user: User,
    /// False where it stood so already.
    pub changed: bool,
    /// Sessions that ended.
    pub ended: u32,
}

/// Why the operator's wish was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperatorError {
    NoSuchUser(String),
    NoSuchSession,
    NoSuchClient(String),
    Client(ClientError),
    Username(String, NameError),
    Email(String, NameError),
    Role(String),
    Password(PasswordError),
    Hash(PhcError),
    Taken(Unique),
    Account(AccountError),
    /// No key of that name, or not one that is exported.
    Key(String),
    MasterKey(crate::seal::MasterKeyError),
    NoSuchWebhook(String),
    NoSuchDelivery(String),
    Fault(Fault),
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser(who) => write!(f, "there is no user {who:?}"),
            Self::NoSuchSession => f.write_str("there is no such session; it may have ended"),
            Self::NoSuchClient(id) => {
                write!(f, "there is no client {id:?}; `jotgate client list` lists them")
            }
            Self::Client(why) => why.fmt(f),
            Self::Username(name, why) => write!(f, "the user name {name:?} {why}"),
            Self::Email(email, why) => write!(f, "the e-mail address {email:?} {why}"),
            Self::Role(role) => {
                write!(f, "{role:?} is no role's name: 1 to 64 of A-Z a-z 0-9 _ . : -")
            }
            Self::Password(why) => write!(f, "the password is refused: {why}"),
            Self::Hash(why) => write!(f, "the password hash is {why}"),
            Self::Taken(Unique::Username) => f.write_str("the user name is taken"),
            Self::Taken(Unique::Email) => f.write_str("the e-mail address belongs to another user"),
            Self::Taken(Unique::ClientId) => f.write_str("the client id is taken"),
            Self::Taken(Unique::Identity | Unique::Use) => f.write_str("it is taken"),
            Self::Account(why) => why.fmt(f),
            Self::Key(why) => f.write_str(why),
            Self::MasterKey(why) => why.fmt(f),
            Self::NoSuchWebhook(name) => {
                write!(f, "no webhook {name:?} is configured; `jotgate webhook list` shows those that are")
            }
            Self::NoSuchDelivery(id) => {
                write!(
                    f,
                    "there is no message {id:?}: it was taken, or is too old; `jotgate webhook dead` lists some"
                )
            }
            Self::Fault(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for OperatorError {}

impl<F: Into<Fault>> From<F> for OperatorError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl OperatorError {
    /// Stable, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchUser(_) => "no_such_user",
            Self::NoSuchSession => "no_such_session",
            Self::NoSuchClient(_) => "no_such_client",
            Self::Client(why) => why.code(),
            Self::Username(..) => "invalid_username",
            Self::Email(..) => "invalid_email",
            Self::Role(_) => "invalid_role",
            Self::Password(_) => "weak_password",
            Self::Hash(PhcError::Malformed) => "unsupported_hash",
            Self::Hash(PhcError::TooExpensive) => "hash_too_expensive",
            Self::Taken(Unique::Username) => "username_taken",
            Self::Taken(Unique::Email) => "email_taken",
            Self::Taken(Unique::ClientId) => "client_id_taken",
            Self::Taken(Unique::Identity | Unique::Use) => "taken",
            Self::Account(why) => why.code(),
            Self::Key(_) => "invalid_key",
            Self::MasterKey(_) => "master_key",
            Self::NoSuchWebhook(_) => "no_such_webhook",
            Self::NoSuchDelivery(_) => "no_such_delivery",
            Self::Fault(_) => "unavailable",
        }
    }
}

impl Operator {
    /// Opens the database that `config` names. Where there is none yet, it is made if `create`; else that is an
    /// error, since a mistyped directory should not look like an empty installation.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: Config, edge: Edge, create: bool) -> Result<Self, OpenError> {
        let file = match &config.database_url {
            DatabaseUrl::Sqlite(path) => Some(sqlite_path(&config, path.as_deref())),
            DatabaseUrl::Postgres(_) => None,
        };
        if create {
            make_private_dir(&config.data_dir).map_err(OpenError::Database)?;
        } else if let Some(path) = file.filter(|path| !path.exists()) {
            return Err(OpenError::Other(format!(
                "there is no database at {} yet. Start `jotgate serve` once, add a user with `jotgate user add`, \
                 or name the installation that you mean with --data-dir or --config",
                path.display()
            )));
        }
        let store = open_store(&config, create, edge.now()).await.map_err(OpenError::Database)?;
        Ok(Self::with_store(config, edge, store))
    }

    /// The same over a store that is open already.
    #[must_use]
    pub fn with_store(config: Config, edge: Edge, store: Arc<dyn Store>) -> Self {
        let issuer = config
            .public_url
            .clone()
            .unwrap_or_else(|| Origin::of_listener(config.listen, config.tls.is_some()));
        Self { config, edge, store, issuer, hasher: OnceLock::new() }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.edge.now()
    }

    /// A user by name, by e-mail address (whatever has an `@`) or by id.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchUser`], [`OperatorError::Fault`].
    pub async fn user(&self, who: &str) -> Result<User, OperatorError> {
        let lookup = match who.parse::<UserId>() {
            Ok(id) => Lookup::Id(id),
            Err(_) if who.contains('@') => Lookup::Email(jotgate_domain::name::canonical(who)),
            Err(_) => Lookup::Name(jotgate_domain::name::canonical(who)),
        };
        self.store.user(lookup).await?.ok_or_else(|| OperatorError::NoSuchUser(who.to_owned()))
    }

    /// Users in order of their names, after this one.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, OperatorError> {
        Ok(self.store.users(after, limit).await?)
    }

    /// The row that [`Operator::add`] and [`Operator::import`] write, if nothing about it is wrong.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub fn draft(&self, new: &NewUser) -> Result<User, OperatorError> {
        let username = Username::parse(&new.username)
            .map_err(|why| OperatorError::Username(new.username.clone(), why))?;
        let email = match &new.email {
            Some(text) => Some(Email::parse(text).map_err(|why| OperatorError::Email(text.clone(), why))?),
            None => None,
        };
        let mut roles = Vec::new();
        for role in &new.roles {
            let role = RoleName::parse(role).map_err(|_| OperatorError::Role(role.clone()))?;
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        let now = self.now();
        let user = User {
            id: UserId::new(now, self.edge.random()?),
            username,
            email_verified_at: email.as_ref().filter(|_| new.email_verified).map(|_| now),
            email,
            password_hash: None,
            password_changed_at: None,
            roles,
            claims: std::collections::BTreeMap::new(),
            created_at: now,
            disabled_at: None,
            version: 1,
        };
        check_size(&user, &self.config.policy, &shape(&self.config, &self.issuer, &Mount::default()))
            .map_err(AccountError::from)
            .map_err(OperatorError::Account)?;
        Ok(user)
    }

    /// Makes a user with this password.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn add(&self, new: &NewUser, password: &str) -> Result<User, OperatorError> {
        let user = self.draft(new)?;
        let hash = self.hash(&user, password).await?;
        let user = User { password_hash: Some(hash), password_changed_at: Some(user.created_at), ..user };
        created(self.store.apply(self.creation(user.clone(), Action::UserCreated), Vec::new()).await)?;
        Ok(user)
    }

    /// Makes users of [drafts](Operator::draft) with hashes that another system made: argon2id, argon2i or argon2d
    /// in PHC form, within what a login here may cost. None: the user has no password.
    ///
    /// Each stands by itself; they are written side by side, so that the database commits many at once, and
    /// answered in order.
    pub async fn import(&self, drafts: Vec<(User, Option<String>)>) -> Vec<Result<(), OperatorError>> {
        let writes: Vec<_> = drafts
            .into_iter()
            .map(|(draft, hash)| {
                check_hash(hash.as_deref())?;
                let password_changed_at = hash.as_ref().map(|_| draft.created_at);
                let changes = self.creation(
                    User { password_hash: hash, password_changed_at, ..draft },
                    Action::UserImported,
                );
                let store = Arc::clone(&self.store);
                Ok(tokio::spawn(async move { store.apply(changes, Vec::new()).await }))
            })
            .collect();
        let mut results = Vec::with_capacity(writes.len());
        for write in writes {
            results.push(match write {
                Ok(task) => match task.await {
                    Ok(applied) => created(applied),
                    Err(error) => Err(Fault::Internal(error.to_string()).into()),
                },
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Whether [`Operator::import`] would be refused, as far as can be told without writing.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn check_import(&self, draft: &User, hash: Option<&str>) -> Result<(), OperatorError> {
        check_hash(hash)?;
        if self.store.user(Lookup::Name(draft.username.canonical())).await?.is_some() {
            return Err(OperatorError::Taken(Unique::Username));
        }
        if let Some(email) = &draft.email
            && self.store.user(Lookup::Email(email.canonical())).await?.is_some()
        {
            return Err(OperatorError::Taken(Unique::Email));
        }
        Ok(())
    }

    fn creation(&self, user: User, action: Action) -> Vec<Change> {
        let event = self.event(action, Some(user.id), None, String::new());
        vec![Change::CreateUser(user), Change::Audit(event)]
    }

    /// Sets a password in the user's place; every session of theirs ends.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn set_password(&self, who: &str, password: &str) -> Result<Done, OperatorError> {
        let user = self.user(who).await?;
        let hash = self.hash(&user, password).await?;
        self.edit(who, |user, by| Ok(account::set_password(user, Some(hash.clone()), by))).await
    }

    /// Sets a custom claim, or removes it where `value` is none.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn set_claim(
        &self,
        who: &str,
        name: &str,
        value: Option<&Value>,
    ) -> Result<Done, OperatorError> {
        let shape = shape(&self.config, &self.issuer, &Mount::default());
        self.edit(who, |user, by| account::set_claim(user, name, value, &self.config.policy, &shape, by))
            .await
    }

    /// # Errors
    /// [`OperatorError`].
    pub async fn disable(&self, who: &str) -> Result<Done, OperatorError> {
        self.edit(who, |user, by| Ok(account::disable(user, by))).await
    }

    /// # Errors
    /// [`OperatorError`].
    pub async fn enable(&self, who: &str) -> Result<Done, OperatorError> {
        self.edit(who, |user, by| Ok(account::enable(user, by))).await
    }

    /// # Errors
    /// [`OperatorError`].
    pub async fn grant(&self, who: &str, role: &str) -> Result<Done, OperatorError> {
        let role = RoleName::parse(role).map_err(|_| OperatorError::Role(role.to_owned()))?;
        let shape = shape(&self.config, &self.issuer, &Mount::default());
        self.edit(who, |user, by| account::grant_role(user, &role, &self.config.policy, &shape, by)).await
    }

    /// # Errors
    /// [`OperatorError`].
    pub async fn revoke(&self, who: &str, role: &str) -> Result<Done, OperatorError> {
        let role = RoleName::parse(role).map_err(|_| OperatorError::Role(role.to_owned()))?;
        self.edit(who, |user, by| Ok(account::revoke_role(user, &role, by))).await
    }

    /// Deletes a user and all that is theirs; how many sessions ended with it.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn delete(&self, who: &str) -> Result<Done, OperatorError> {
        for _ in 0..TRIES {
            let user = self.user(who).await?;
            let (changes, expect) = account::delete(&user, &self.by());
            match self.store.apply(changes, expect).await {
                Ok(applied) => return Ok(Done { user, changed: true, ended: applied.ended }),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Reads, decides and writes, again where somebody else was faster.
    async fn edit(
        &self,
        who: &str,
        decide: impl Fn(&User, &By) -> Result<Edited, AccountError>,
    ) -> Result<Done, OperatorError> {
        for _ in 0..TRIES {
            let user = self.user(who).await?;
            let Edited { user, changes, expect } =
                decide(&user, &self.by()).map_err(OperatorError::Account)?;
            if changes.is_empty() {
                return Ok(Done { user, changed: false, ended: 0 });
            }
            match self.store.apply(changes, expect).await {
                Ok(applied) => return Ok(Done { user, changed: true, ended: applied.ended }),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Live sessions, newest use first; of one user or of all.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn sessions(&self, user: Option<UserId>, limit: u32) -> Result<Vec<Session>, OperatorError> {
        Ok(self.store.sessions(user, self.now(), limit).await?)
    }

    /// Ends one session, of whomever.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchSession`], [`OperatorError::Fault`].
    pub async fn end_session(&self, id: SessionId) -> Result<(Session, User), OperatorError> {
        let found = self.store.session(id, self.now()).await?;
        let (session, user) = found.ok_or(OperatorError::NoSuchSession)?;
        let changes = account::end_session(&user, id, Action::SessionRevoked, &self.by());
        self.store.apply(changes, Vec::new()).await?;
        Ok((session, user))
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn end_sessions(&self, who: &str) -> Result<Done, OperatorError> {
        let user = self.user(who).await?;
        let changes = account::end_sessions(&user, None, Action::SessionRevoked, &self.by());
        let ended = self.store.apply(changes, Vec::new()).await?.ended;
        Ok(Done { user, changed: ended > 0, ended })
    }

    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<Entry>, OperatorError> {
        Ok(self.store.audit(query).await?)
    }

    /// What was added to the trail since `position`; see [`Store::audit_since`].
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn audit_since(
        &self,
        query: AuditQuery,
        position: Option<&str>,
    ) -> Result<AuditPage, OperatorError> {
        Ok(self.store.audit_since(query, position).await?)
    }

    /// Waits until somebody, the running server most of all, may have written; see [`Store::changed`].
    pub async fn changed(&self, seen: u64) -> u64 {
        self.store.changed(seen).await
    }

    fn by(&self) -> By {
        By { actor: Actor::Operator, at: self.now(), address: String::new() }
    }

    fn event(
        &self,
        action: Action,
        user: Option<UserId>,
        session: Option<SessionId>,
        detail: String,
    ) -> Event {
        Event {
            at: self.now(),
            action,
            actor: Actor::Operator,
            user,
            session,
            address: String::new(),
            detail,
        }
    }

    async fn hash(&self, user: &User, text: &str) -> Result<String, OperatorError> {
        let min_length = self.config.policy.password_min_length;
        let chosen = password::choose(text, &self.issuer, min_length, &user.username, user.email.as_ref())
            .map_err(OperatorError::Password)?;
        let hasher = match self.hasher.get() {
            Some(hasher) => hasher,
            None => {
                let started = Hasher::start(self.config.password).map_err(Fault::Internal)?;
                self.hasher.get_or_init(|| started)
            }
        };
        Ok(hasher.hash(&chosen, self.edge.random()?).await?)
    }
}

fn created(applied: Result<Applied, StoreError>) -> Result<(), OperatorError> {
    match applied {
        Ok(_) => Ok(()),
        Err(StoreError::Taken(what)) => Err(OperatorError::Taken(what)),
        Err(error) => Err(error.into()),
    }
}

fn check_hash(hash: Option<&str>) -> Result<(), OperatorError> {
    hash.map_or(Ok(()), |hash| Phc::parse(hash).map(drop).map_err(OperatorError::Hash))
}
