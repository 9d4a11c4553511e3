use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, ActionError, Check, FailureKind, Finding, Permission};

use crate::api::Api;

/// `tailscale.credential`.
pub(crate) struct Credential(pub(crate) Arc<Api>);

impl Check for Credential {
    fn id(&self) -> &'static str {
        "tailscale.credential"
    }

    fn summary(&self) -> &'static str {
        "Obtains a token for the tailnet, as the OAuth client."
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let (id, secret) = self.0.client();
            match self.0.scopes(cx).await {
                Ok(_) => Finding::ok(format!("the OAuth client of {id} and {secret}")),
                Err(error) => self.failed(error),
            }
        })
    }
}

impl Credential {
    fn failed(&self, error: ActionError) -> Finding {
        let hint = if error.kind == FailureKind::Transient {
            format!("run `curl -sI {}` to see whether it answers; HTTPS_PROXY names a proxy", self.0.base())
        } else {
            let (id, secret) = self.0.client();
            format!("make an OAuth client in Tailscale's admin console, and let {id} and {secret} be its id and secret")
        };
        Finding::of_error(error, hint)
    }
}
