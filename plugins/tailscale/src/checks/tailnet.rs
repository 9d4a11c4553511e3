use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::{
    api::Api,
    model::DeviceList,
    permission::{AUTHORITY, covers},
};

/// `tailscale.tailnet`.
pub(crate) struct Tailnet(pub(crate) Arc<Api>);

impl Check for Tailnet {
    fn id(&self) -> &'static str {
        "tailscale.tailnet"
    }

    fn summary(&self) -> &'static str {
        "Lists the tailnet's devices, and compares the OAuth client's scopes with what the actions do."
    }

    fn after(&self) -> &'static [&'static str] {
        &["tailscale.credential"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, needed: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let needed: Vec<&str> =
            needed.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint = "add `--tailscale-tailnet NAME`, with a name that the admin console shows; `-` is the OAuth client's own";
            let looked = self.look(cx, &needed).await;
            looked.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&needed)
        })
    }
}

impl Tailnet {
    async fn look(&self, cx: &ActionContext, needed: &[&str]) -> Result<Finding, ActionError> {
        let scopes = self.0.scopes(cx).await?;
        let missing: Vec<&str> = scopes.as_deref().map(|held| missing(held, needed)).unwrap_or_default();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Ok(Finding::failed(
                format!("the OAuth client lacks the scopes {missing}"),
                format!(
                    "make an OAuth client in Tailscale's admin console that has {missing} as well, and use its id and secret"
                ),
            ));
        }
        let path = ["tailnet", self.0.tailnet(), "devices"];
        let devices = self.0.read::<DeviceList>(cx, &path, &[]).await?.devices.len();
        let told = if scopes.is_some() { "" } else { "; this server does not tell the OAuth client's scopes" };
        Ok(Finding::ok(format!("tailnet {:?} has {devices} devices{told}", self.0.tailnet())))
    }
}

/// The scopes that are needed and not held.
fn missing<'a>(held: &[String], needed: &[&'a str]) -> Vec<&'a str> {
    needed.iter().copied().filter(|needed| !held.iter().any(|held| covers(held, needed))).collect()
}
