//! The one interface to a database.
//!
//! Reads are plain. Writes are lists of [`Change`]s, applied in one transaction that holds only if every
//! [`Expect`] still does; a caller that gets [`StoreError::Conflict`] reads and decides again. Two operations
//! are statements of their own, because their rule must see and write the row in one step: [`Store::attempt`]
//! (a throttle's try) and [`Store::refresh`].
//!
//! A write is durable when its future resolves: after kill -9 it is there.

use std::fmt;

use async_trait::async_trait;

use crate::audit::{self, Event};
use crate::client::{Client, ClientId};
use crate::key::StoredKey;
use crate::name::Canonical;
use crate::session::Session;
use crate::sso::Ticket;
use crate::throttle::{BucketKey, Limit, Verdict};
use crate::upstream::Identity;
use crate::webhook::Delivery;
use crate::{IdentityId, SessionId, Timestamp, User, UserId, refresh};

/// How a user is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Id(UserId),
    /// By the canonical form of the user name.
    Name(Canonical),
    /// By the canonical form of an address that its user proved. One that was only typed finds nobody: it is
    /// anybody's, and several users may have typed it.
    Email(Canonical),
}

/// One change of the database; `match` on it lists the work that a backend has to do.
#[derive(Clone, Debug)]
pub enum Change {
    /// [`StoreError::Taken`] where the canonical name or e-mail exists.
    CreateUser(User),
    /// Replaces the row with this id; `version` is the new one, one above that of [`Expect::User`].
    UpdateUser(User),
    /// The user and all that is theirs; their sessions end.
    DeleteUser(UserId),
    /// [`StoreError::Taken`] where it is linked already, to whomever.
    LinkIdentity(Identity),
    /// Removes it, if it is there and this user's.
    UnlinkIdentity {
        id: IdentityId,
        user: UserId,
    },
    /// Marks a thing as used that may be used once: [`StoreError::Taken`] where it was. Forgotten after `until`, past
    /// which it is not accepted anyway.
    Spend {
        id: [u8; 32],
        until: Timestamp,
    },
    /// A new session with a fresh status entry (its number is set by the store, [`Session::status`] is ignored).
    /// Where the user then has more than `max_per_user` live ones, the oldest end, each with an audit entry.
    StartSession {
        session: Session,
        max_per_user: u32,
    },
    /// Ends it, if it is there: its status entry is revoked, its row goes.
    EndSession(SessionId),
    /// Ends the user's sessions but for `except`.
    EndSessionsOf {
        user: UserId,
        except: Option<SessionId>,
    },
    /// Revokes the tokens of a session that goes on; its next token takes a fresh entry.
    RevokeTokens(SessionId),
    /// The same for all sessions of a user (a role was removed).
    RevokeTokensOf(UserId),
    /// Gives the session new refresh and status state (password changed in it): all its earlier tokens die.
    RenewSession(Session),
    /// [`StoreError::Taken`] where the id exists.
    CreateClient(Client),
    /// The client; the sessions that were granted to it end.
    DeleteClient(ClientId),
    /// A further access token of the session is signed, good until then: its entry is remembered for as long. A session
    /// without one takes a fresh one; [`Applied::status`] tells which it has.
    ExtendTokens {
        session: SessionId,
        access_until: Timestamp,
    },
    PutTicket(Ticket),
    /// By its hash; with [`Expect::Ticket`], used once.
    TakeTicket([u8; 32]),
    /// Forgets what a throttle counted (the login succeeded).
    ClearThrottle(BucketKey),
    PutKey(StoredKey),
    DeleteKey {
        kid: String,
    },
    /// Writes a key into the revocation log: every token of it is refused until `until`.
    RevokeKey {
        kid: String,
        until: Timestamp,
    },
    /// A value of the installation as a whole, such as every `cookie.domain` used before.
    PutSetting {
        name: String,
        value: String,
    },
    Audit(Event),
    /// A message for a webhook, in place of what there is of it.
    PutDelivery(Delivery),
    /// It was taken.
    DeleteDelivery {
        id: String,
    },
}

/// What must still hold when changes are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The user exists in this version.
    User(UserId, i64),
    /// The session is there.
    Session(SessionId),
    /// The client is there.
    Client(ClientId),
    /// The ticket of this hash is there; of two who expect it and take it, one gets it.
    Ticket([u8; 32]),
    /// The setting has this value (none: it is not set), and no other writer changes it before these changes
    /// are committed: on PostgreSQL the row is locked, or inserted with a unique key, before it is compared.
    Setting { name: String, value: Option<String> },
}

/// What the revocation log tells of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revocable {
    /// The tokens under a status entry, by its number; [`crate::status`] makes list and index of it.
    Status(u64),
    /// All tokens of a signing key, by its `kid`: only in an emergency.
    Key(String),
}

/// A row of the revocation log: refused until `until`, past which no token of it is unexpired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub what: Revocable,
    pub until: Timestamp,
}

/// What [`Store::apply`] did beyond what was asked by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was added to the revocation log.
    pub revoked: Vec<Revoked>,
    /// The status numbers of the sessions started, renewed or extended, in order.
    pub status: Vec<u64>,
    /// Sessions that ended.
    pub ended: u32,
}

/// A throttled attempt: takes a try, and reads the user in the same step.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub bucket: BucketKey,
    pub limit: Limit,
    pub lookup: Lookup,
    pub now: Timestamp,
}

/// Result of [`Store::attempt`].
#[derive(Clone, Debug)]
pub struct Attempted {
    pub verdict: Verdict,
    pub user: Option<User>,
}

/// The revocation log from a position on.
#[derive(Clone, Debug, Default)]
pub struct RevocationPage {
    /// Position after the last row here; opaque outside the backend.
    pub cursor: i64,
    pub revoked: Vec<Revoked>,
    /// The status number last given to a session, 0 where none was: it tells which status lists exist.
    pub last_status: u64,
}

/// A pool of connections, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// At work.
    pub busy: u64,
    /// Open, and waiting for work.
    pub idle: u64,
    /// As many as there may be.
    pub most: u64,
}

/// Which entries of the audit trail to read.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub user: Option<UserId>,
    pub action: Option<audit::Action>,
    pub limit: u32,
}

/// The audit trail from a position on.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// By id. One that took its id early and was committed late comes in a later page.
    pub entries: Vec<audit::Entry>,
    /// Position after what was read here; opaque outside the backend.
    pub position: String,
}

/// Which messages for webhooks to read.
#[derive(Clone, Debug)]
pub enum Deliveries {
    /// Those of a webhook that wait and are due, the longest due first.
    Due { webhook: String, now: Timestamp },
    /// Dead letters, the newest first; of all webhooks where none is named.
    Dead { webhook: Option<String> },
    /// This one.
    One { id: String },
}

/// How many messages a webhook has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCount {
    pub webhook: String,
    pub pending: u64,
    pub dead: u64,
}

/// Why a store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// An [`Expect`] no longer holds: read and decide again.
    Conflict,
    /// The name or address of [`Change::CreateUser`]/[`Change::UpdateUser`] belongs to another user, the id of
    /// [`Change::CreateClient`] to another client.
    Taken(Unique),
    /// The database cannot be reached, is full or failed; nothing was acknowledged. For the log only.
    Unavailable(String),
    /// A row that this program cannot have written. For the log only.
    Corrupt(String),
}

/// What has to be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    Username,
    Email,
    ClientId,
    /// An identity at another provider.
    Identity,
    /// The use of what may be used once.
    Use,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the row changed meanwhile"),
            Self::Taken(Unique::Username) => f.write_str("the user name is taken"),
            Self::Taken(Unique::Email) => f.write_str("the e-mail address is taken"),
            Self::Taken(Unique::ClientId) => f.write_str("the client id is taken"),
            Self::Taken(Unique::Identity) => f.write_str("the identity is linked already"),
            Self::Taken(Unique::Use) => f.write_str("it was used already"),
            Self::Unavailable(why) => write!(f, "database unavailable: {why}"),
            Self::Corrupt(what) => write!(f, "database corrupt: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// A database. All instants are passed in.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Takes a try from the bucket and reads the user, known or not, at the same cost.
    async fn attempt(&self, attempt: Attempt) -> Result<Attempted, StoreError>;

    /// Applies the rule of [`refresh::decide`] to the session of this handle.
    async fn refresh(&self, request: refresh::Request) -> Result<refresh::Outcome, StoreError>;

    /// Applies all changes in order, or none.
    async fn apply(&self, changes: Vec<Change>, expect: Vec<Expect>) -> Result<Applied, StoreError>;

    async fn user(&self, lookup: Lookup) -> Result<Option<User>, StoreError>;

    /// Users in order of canonical name, after `after`.
    async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, StoreError>;

    /// A session that is live at `now`, with its user.
    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, StoreError>;

    /// The same by the hash of a refresh token's handle, whatever its generation.
    async fn session_by_handle(
        &self,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError>;

    /// Sessions that are live at `now`, newest use first; of all users where none is named.
    async fn sessions(
        &self,
        user: Option<UserId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError>;

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// Clients in order of id, after `after`.
    async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, StoreError>;
    /// Whose identity this is, with the user, by `iss` and `sub` of whoever vouches for it.
    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<(Identity, User)>, StoreError>;

    /// The identities of a user, oldest first.
    async fn identities(&self, user: UserId) -> Result<Vec<Identity>, StoreError>;

    /// The ticket of this hash, expired or not.
    async fn ticket(&self, hash: [u8; 32]) -> Result<Option<Ticket>, StoreError>;

    /// Every key that has not been deleted.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// The newest `limit` entries, oldest first.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<audit::Entry>, StoreError>;

    /// What was added to the trail since `position` was returned, each entry once, `limit` at most; without one no
    /// entries, and where the trail ends now.
    async fn audit_since(&self, query: AuditQuery, position: Option<&str>) -> Result<AuditPage, StoreError>;

    /// Entries with a greater number than `after`, in the order of their numbers, `limit` at most.
    async fn audit_after(&self, after: i64, limit: u32) -> Result<Vec<audit::Entry>, StoreError>;

    /// Which database this is: a position in the trail of another one says nothing here.
    async fn mark(&self) -> Result<String, StoreError>;

    /// Messages for webhooks, `limit` at most.
    async fn deliveries(&self, which: Deliveries, limit: u32) -> Result<Vec<Delivery>, StoreError>;

    /// How many there are, by webhook.
    async fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, StoreError>;

    /// Rows of the revocation log after `cursor` (0: the whole live set). A row may come again, and a cursor that
    /// this database cannot have given (it was restored) reads as 0: what comes is to be added to a set, never
    /// counted.
    async fn revocations(&self, cursor: i64) -> Result<RevocationPage, StoreError>;

    /// Waits until revocations, keys or settings may have changed in any process since `seen` was returned (0 at
    /// the first call, which returns at once), and returns the next `seen`. A change is noticed within 100 ms;
    /// any number of tasks may wait, each with a `seen` of its own, and none misses one.
    async fn changed(&self, seen: u64) -> u64;

    /// Removes what no rule will ask for again (expired sessions, tickets, revocations, throttles, uses; audit entries
    /// beyond `keep_audit`, dead letters beyond [`crate::webhook::MOST_DEAD`]), at most `batch` rows of a kind; returns how
    /// many went. A message that waits for a webhook stays.
    async fn sweep(&self, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, StoreError>;

    /// What the database's clock says; none where it has no other than the caller's.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The connections to a database outside of this process; none where it is inside.
    fn connections(&self) -> Option<Connections>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
