use std::collections::BTreeSet;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use stargate_sdk::{ActionContext, ActionError, Check, FailureKind, Finding, Permission};

use crate::{ArmClient, failure::Effect};

/// `azure.credential`.
pub(crate) struct Credential(pub(crate) ArmClient);

impl Check for Credential {
    fn id(&self) -> &'static str {
        "azure.credential"
    }

    fn summary(&self) -> &'static str {
        "Obtains a token for Azure, and has Azure take it."
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.look(cx).await.unwrap_or_else(|error| self.failed(error)) })
    }
}

impl Credential {
    async fn look(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        let origin = self.0.credential_origin(cx).await?;
        let raw = self.0.subscription(cx).await?;
        if raw.status == StatusCode::UNAUTHORIZED {
            return Err(raw.into_error(Effect::None).context(format_args!("azure does not take {origin}")));
        }
        Ok(Finding::ok(origin))
    }

    fn failed(&self, error: ActionError) -> Finding {
        let hint = if error.kind == FailureKind::Transient {
            format!("run `curl -sI {}` to see whether it answers; HTTPS_PROXY names a proxy", self.0.endpoint())
        } else {
            "run `az login`, or `stargate --help` to see the settings whose names begin with --azure".into()
        };
        Finding::of_error(error, hint)
    }
}
