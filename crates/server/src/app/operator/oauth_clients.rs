//! OAuth clients, which only an operator makes.

use jotgate_domain::StoreError;
use jotgate_domain::client::{self, Client, ClientId, ClientSecret, Proof};

use super::{NewClient, Operator, OperatorError, created};

impl Operator {
    /// Makes an OAuth client. Its secret, if it has one, is nowhere else.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn add_client(&self, new: &NewClient) -> Result<(Client, Option<ClientSecret>), OperatorError> {
        let id = match &new.id {
            Some(id) => ClientId::parse(id).map_err(OperatorError::Client)?,
            None => ClientId::random(self.edge.random()?),
        };
        let secret = if new.public { None } else { Some(ClientSecret::new(&self.edge.random()?)) };
        let proof = secret.as_ref().map_or(Proof::None, |secret| Proof::Secret(secret.hash()));
        let by = self.by();
        let made = Client::new(id, &new.name, proof, &new.audiences, by.at).map_err(OperatorError::Client)?;
        created(self.store.apply(client::create(&made, &by), Vec::new()).await)?;
        Ok((made, secret))
    }

    /// A client by its id.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchClient`], [`OperatorError::Fault`].
    pub async fn client(&self, id: &str) -> Result<Client, OperatorError> {
        let missing = || OperatorError::NoSuchClient(id.to_owned());
        let parsed = ClientId::parse(id).map_err(|_| missing())?;
        self.store.client(&parsed).await?.ok_or_else(missing)
    }

    /// Clients in order of their ids, after this one.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, OperatorError> {
        Ok(self.store.clients(after, limit).await?)
    }

    /// Deletes a client; how many sessions that were granted to it ended.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn delete_client(&self, id: &str) -> Result<(Client, u32), OperatorError> {
        let found = self.client(id).await?;
        let (changes, expect) = client::delete(&found, &self.by());
        match self.store.apply(changes, expect).await {
            Ok(applied) => Ok((found, applied.ended)),
            Err(StoreError::Conflict) => Err(OperatorError::NoSuchClient(id.to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}
