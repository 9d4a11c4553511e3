use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Check, FailureKind, Finding, Permission};

use crate::client::TailscaleClient;

/// Check `tailscale.credential`: obtains a token as the OAuth client.
pub(crate) struct CredentialCheck(pub(crate) Arc<TailscaleClient>);

impl Check for CredentialCheck {
    fn id(&self) -> &'static str {
        "tailscale.credential"
    }

    fn summary(&self) -> &'static str {
        "Obtains a token for the tailnet, as the OAuth client."
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let (id, secret) = self.0.credentials();
            match self.0.scopes(cx).await {
                Ok(_) => Finding::ok(format!("the OAuth client of {id} and {secret}")),
                Err(error) => self.failed(error),
            }
        })
    }
}

impl CredentialCheck {
    /// The finding for `error`, with a hint that depends on its kind.
    fn failed(&self, error: ActionError) -> Finding {
        let hint = if error.kind == FailureKind::Transient {
            format!("run `curl -sI {}` to check that it responds; HTTPS_PROXY names a proxy", self.0.base())
        } else {
            let (id, secret) = self.0.credentials();
            format!(
                "create an OAuth client in Tailscale's admin console, and set {id} and {secret} to its id and secret"
            )
        };
        Finding::of_error(error, hint)
    }
}
