use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::{
    client::{DeviceList, TailscaleClient},
    permission::{AUTHORITY, covers},
};

/// Check `tailscale.tailnet`: lists the devices, and compares the scopes that the OAuth client has
/// and those that the actions require.
pub(crate) struct TailnetCheck(pub(crate) Arc<TailscaleClient>);

impl Check for TailnetCheck {
    fn id(&self) -> &'static str {
        "tailscale.tailnet"
    }

    fn summary(&self) -> &'static str {
        "Lists the tailnet's devices, and compares the OAuth client's scopes with those that the actions require."
    }

    fn after(&self) -> &'static [&'static str] {
        &["tailscale.credential"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, required: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let required: Vec<&str> =
            required.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint = "add `--tailscale-tailnet NAME`, with a name that the admin console shows; `-` is the OAuth client's own";
            let finding = self.check(cx, &required).await;
            finding.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&required)
        })
    }
}

impl TailnetCheck {
    async fn check(&self, cx: &ActionContext, required: &[&str]) -> Result<Finding, ActionError> {
        let scopes = self.0.scopes(cx).await?;
        let missing: Vec<&str> = scopes.as_deref().map(|held| missing(held, required)).unwrap_or_default();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Ok(Finding::failed(
                format!("the OAuth client lacks the scopes {missing}"),
                format!(
                    "create an OAuth client in Tailscale's admin console that has {missing} as well, and use its id and secret"
                ),
            ));
        }
        let path = ["tailnet", self.0.tailnet(), "devices"];
        let devices = self.0.get::<DeviceList>(cx, &path, &[]).await?.devices.len();
        let note = if scopes.is_some() { "" } else { "; this server does not report the OAuth client's scopes" };
        Ok(Finding::ok(format!("tailnet {:?} has {devices} devices{note}", self.0.tailnet())))
    }
}

/// The scopes of `required` that `held` does not include.
fn missing<'a>(held: &[String], required: &[&'a str]) -> Vec<&'a str> {
    required.iter().copied().filter(|scope| !held.iter().any(|held| covers(held, scope))).collect()
}
