use std::sync::Arc;

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::{
    auth_key_request::{AuthKeyRequest, description},
    client::{
        AuthKey, AuthKeyList, CreateAuthKey, CreateCapabilities, DeviceCapabilities, KeyCapabilities, MintedAuthKey,
        TailscaleClient,
    },
    permission::scope,
};

/// Secret source `tailscale-auth-key:tags=tag:a&expiry=1h`: mints a one-shot, preauthorised, tagged
/// key at use.
///
/// A step has at most one valid key: a key that an earlier attempt of it created, whose response
/// was lost or whose process exited, is deleted first.
pub(crate) struct AuthKeySource {
    client: Arc<TailscaleClient>,
}

impl AuthKeySource {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }

    async fn mint(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let request = AuthKeyRequest::parse(rest)?;
        let description = description(cx.idempotency_key(), rest);
        for key in self.valid_keys_of_step(cx, &description).await? {
            self.delete(cx, &key).await?;
        }
        self.create(cx, &request, &description).await
    }

    /// Keys with this description, which are those of this step, that can still be used.
    async fn valid_keys_of_step(&self, cx: &ActionContext, description: &str) -> Result<Vec<AuthKey>, ActionError> {
        let mut keys = Vec::new();
        for listed in self.list(cx).await? {
            let Some(key) = self.with_description(cx, listed).await? else { continue };
            if key.description.as_deref() == Some(description) && key.revoked.is_none() && !key.invalid {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    async fn list(&self, cx: &ActionContext) -> Result<Vec<AuthKey>, ActionError> {
        match self.client.get::<AuthKeyList>(cx, &["tailnet", self.client.tailnet(), "keys"], &[]).await {
            Ok(list) => Ok(list.keys),
            Err(error) if error.is_unsupported() => {
                cx.log("this coordination server does not list keys: a key of an earlier attempt cannot be found");
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the key if the listing has no description of it; `None` if it has been deleted
    /// meanwhile.
    async fn with_description(&self, cx: &ActionContext, listed: AuthKey) -> Result<Option<AuthKey>, ActionError> {
        if listed.description.is_some() {
            return Ok(Some(listed));
        }
        match self.client.get(cx, &["tailnet", self.client.tailnet(), "keys", &listed.id], &[]).await {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, cx: &ActionContext, key: &AuthKey) -> Result<(), ActionError> {
        match self.client.delete(cx, &["tailnet", self.client.tailnet(), "keys", &key.id]).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => {
                cx.log(format!("deleted the unused auth key {} of an earlier attempt", key.id));
                Ok(())
            }
        }
    }

    async fn create(
        &self,
        cx: &ActionContext,
        request: &AuthKeyRequest,
        description: &str,
    ) -> Result<Secret, ActionError> {
        let create = CreateCapabilities { reusable: false, ephemeral: false, preauthorized: true, tags: &request.tags };
        let body = CreateAuthKey {
            description,
            expiry_seconds: request.expiry.as_secs(),
            capabilities: KeyCapabilities { devices: DeviceCapabilities { create } },
        };
        let minted: MintedAuthKey = self.client.post(cx, &["tailnet", self.client.tailnet(), "keys"], &body).await?;
        cx.redactor().add(&minted.key);
        Ok(Secret::new(minted.key))
    }
}

impl SecretSource for AuthKeySource {
    fn scheme(&self) -> &'static str {
        "tailscale-auth-key"
    }

    fn permissions(&self, _: &str) -> Vec<Permission> {
        vec![scope("auth_keys")]
    }

    fn resolve<'a>(&'a self, cx: &'a ActionContext, rest: &'a str) -> BoxFuture<'a, Result<Secret, ActionError>> {
        Box::pin(self.mint(cx, rest))
    }
}
