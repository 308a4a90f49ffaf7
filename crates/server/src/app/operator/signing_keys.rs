//! The keys that sign tokens: rotated, retired, and, where they are symmetric, exported.

use std::sync::OnceLock;

use jotgate_domain::key::{self, KeyChange, KeyError, State, StoredKey};
use jotgate_domain::{StoreError, Timestamp};
use zeroize::Zeroizing;

use super::{Operator, OperatorError};
use crate::app::keys::{self, OpenKeyError};
use crate::app::{Fault, TRIES};
use crate::seal::{Sealer, open_master_key};

impl Operator {
    /// Every signing key with where in its life it is, newest first.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn keys(&self) -> Result<Vec<(StoredKey, State)>, OperatorError> {
        let rows = self.store.keys().await?;
        let now = self.now();
        let mut keys: Vec<_> = rows.iter().map(|row| (row.clone(), key::state(row, &rows, now))).collect();
        keys.sort_by(|(a, _), (b, _)| (b.published_at, &b.kid).cmp(&(a.published_at, &a.kid)));
        Ok(keys)
    }

    /// Whether the master key is there, private, and opens the signing keys.
    ///
    /// # Errors
    /// [`OperatorError::MasterKey`], [`OperatorError::Key`].
    pub async fn check_master_key(&self) -> Result<(), OperatorError> {
        self.sealer(&self.store.keys().await?).map(drop)
    }

    /// The standby takes over as soon as everyone can have it, and a new standby is made.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn rotate_keys(&self) -> Result<(), OperatorError> {
        self.change_keys(|rows, algorithm, now| Ok(key::rotate(rows, algorithm, &self.config.policy, now)))
            .await
    }

    /// The key of this `kid`, or the one that signs, can no longer be trusted: all its tokens are refused at once,
    /// and the standby signs. Which key it was.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn rotate_keys_in_an_emergency(&self, kid: Option<&str>) -> Result<String, OperatorError> {
        let bad = OnceLock::new();
        self.change_keys(|rows, algorithm, now| {
            let signing = || key::signing_key(rows, algorithm, now).map(|row| row.kid.as_str());
            // A second try must not take the successor for the bad one.
            let bad = bad.get_or_init(|| kid.or_else(signing).unwrap_or_default().to_owned());
            key::rotate_emergency(rows, bad, &self.config.policy, now)
        })
        .await?;
        Ok(bad.into_inner().unwrap_or_default())
    }

    /// Ends a retired key before its time: what it signed is refused at once.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn retire_key(&self, kid: &str) -> Result<(), OperatorError> {
        self.change_keys(|rows, algorithm, now| key::retire(rows, kid, algorithm, &self.config.policy, now))
            .await
    }

    /// Reads the keys, decides, and writes; again where another node was faster.
    async fn change_keys(
        &self,
        decide: impl Fn(&[StoredKey], &str, Timestamp) -> Result<Vec<KeyChange>, KeyError>,
    ) -> Result<(), OperatorError> {
        let algorithm = self.config.token.algorithm.name();
        for _ in 0..TRIES {
            let generation = self.store.setting(key::GENERATION).await?;
            let rows = self.store.keys().await?;
            let now = self.now();
            if key::verifying(&rows, now).iter().all(|row| row.algorithm != algorithm) {
                let others: Vec<&str> = rows.iter().map(|row| row.algorithm.as_str()).collect();
                return Err(OperatorError::Key(match others.first() {
                    None => "there is no signing key yet: start `jotgate serve` once".to_owned(),
                    Some(other) => format!(
                        "this installation signs with {other}, and token.algorithm is {algorithm} here: run this \
                         with the server's own configuration (--config)"
                    ),
                }));
            }
            let sealer = self.sealer(&rows)?;
            let changes = decide(&rows, algorithm, now).map_err(|why| OperatorError::Key(why.to_string()))?;
            let event = |action, kid| self.event(action, None, None, kid);
            match keys::write(&*self.store, &sealer, &self.edge, changes, generation, event).await {
                Ok(()) => return Ok(()),
                Err(OpenKeyError::Store(StoreError::Conflict)) => {}
                Err(OpenKeyError::Store(error)) => return Err(error.into()),
                Err(OpenKeyError::Fault(fault)) => return Err(OperatorError::Fault(fault)),
                Err(error) => return Err(OperatorError::Key(error.to_string())),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// The secret of a symmetric key as a JWK (RFC 7517), for a resource server. Private keys never leave.
    ///
    /// # Errors
    /// [`OperatorError::Key`] for a key that is not symmetric.
    pub async fn export_secret(&self, kid: &str) -> Result<Zeroizing<String>, OperatorError> {
        let rows = self.store.keys().await?;
        let row = rows.iter().find(|row| row.kid == kid).ok_or_else(|| {
            OperatorError::Key(format!("there is no key {kid:?}; `jotgate key list` lists them"))
        })?;
        if !row.is_symmetric() {
            return Err(OperatorError::Key(format!(
                "{kid} is a {} key: its public half is at {}/.well-known/jwks.json, and its private half stays here",
                row.algorithm, self.issuer
            )));
        }
        let jwk = self.sealer(std::slice::from_ref(row))?.open(&row.kid, &row.sealed);
        let jwk = jwk.map_err(|_| OperatorError::Key(OpenKeyError::Sealed(kid.to_owned()).to_string()))?;
        let text = std::str::from_utf8(&jwk).map_err(|_| OperatorError::Key(format!("{kid} is damaged")))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The master key's, after it has opened one of these rows: nothing may be sealed with a wrong one.
    fn sealer(&self, rows: &[StoredKey]) -> Result<Sealer, OperatorError> {
        let master = open_master_key(&self.config.master_key, &self.config.data_dir, false, &self.edge)
            .map_err(OperatorError::MasterKey)?;
        let sealer =
            Sealer::new(&master).map_err(|_| Fault::Internal("no key could be derived".to_owned()))?;
        match rows.iter().find(|row| sealer.open(&row.kid, &row.sealed).is_err()) {
            Some(row) => Err(OperatorError::Key(OpenKeyError::Sealed(row.kid.clone()).to_string())),
            None => Ok(sealer),
        }
    }
}
