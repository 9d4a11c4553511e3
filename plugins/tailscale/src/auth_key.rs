use std::sync::Arc;

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::{
    api::Api,
    auth_key_request::{AuthKeyRequest, description},
    model::{Capabilities, CreateCapabilities, CreateKey, DeviceCapabilities, Key, KeyList, MintedKey},
    permission::scope,
};

/// `tailscale-auth-key:tags=tag:a&expiry=1h`: a one-shot, preauthorised, tagged key, minted at use.
///
/// A step has one live key at most: a key of its own that an earlier attempt left (its reply was lost, or the process
/// died with it) is deleted first.
pub(crate) struct AuthKeySource {
    api: Arc<Api>,
}

impl AuthKeySource {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    async fn mint(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let request = AuthKeyRequest::parse(rest)?;
        let description = description(cx.idempotency_key(), rest);
        for key in self.left_behind(cx, &description).await? {
            self.delete(cx, &key).await?;
        }
        self.create(cx, &request, &description).await
    }

    /// Keys of this step that could still be used.
    async fn left_behind(&self, cx: &ActionContext, description: &str) -> Result<Vec<Key>, ActionError> {
        let mut left = Vec::new();
        for listed in self.list(cx).await? {
            let Some(key) = self.described(cx, listed).await? else { continue };
            if key.description.as_deref() == Some(description) && key.revoked.is_none() && !key.invalid {
                left.push(key);
            }
        }
        Ok(left)
    }

    async fn list(&self, cx: &ActionContext) -> Result<Vec<Key>, ActionError> {
        match self.api.read::<KeyList>(cx, &["tailnet", self.api.tailnet(), "keys"], &[]).await {
            Ok(list) => Ok(list.keys),
            Err(error) if error.is_unsupported() => {
                cx.log("this coordination server does not list keys: one left by an earlier attempt is not looked for");
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The key with its description, which a listing may leave out; `None` when it is gone by now.
    async fn described(&self, cx: &ActionContext, listed: Key) -> Result<Option<Key>, ActionError> {
        if listed.description.is_some() {
            return Ok(Some(listed));
        }
        match self.api.read(cx, &["tailnet", self.api.tailnet(), "keys", &listed.id], &[]).await {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, cx: &ActionContext, key: &Key) -> Result<(), ActionError> {
        match self.api.delete(cx, &["tailnet", self.api.tailnet(), "keys", &key.id]).await {
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
        let body = CreateKey {
            description,
            expiry_seconds: request.expiry.as_secs(),
            capabilities: Capabilities { devices: DeviceCapabilities { create } },
        };
        let minted: MintedKey = self.api.change(cx, &["tailnet", self.api.tailnet(), "keys"], &body).await?;
        cx.redactor().hide(&minted.key);
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
