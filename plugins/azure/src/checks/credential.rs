use std::collections::BTreeSet;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use stargate_client::CallEffect;
use stargate_sdk::{ActionContext, ActionError, Check, FailureKind, Finding, Permission};

use crate::client::ArmClient;

/// Check `azure.credential`: obtains a token and sends it to Azure.
pub(crate) struct ArmCredentialCheck(pub(crate) ArmClient);

impl Check for ArmCredentialCheck {
    fn id(&self) -> &'static str {
        "azure.credential"
    }

    fn summary(&self) -> &'static str {
        "Obtains a token for Azure and checks that Azure accepts it."
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.evaluate(cx).await.unwrap_or_else(|error| self.failed(error)) })
    }
}

impl ArmCredentialCheck {
    /// Obtains a token and reads the subscription with it. Only a refusal of the token is a
    /// failure.
    async fn evaluate(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        let origin = self.0.token_origin(cx).await?;
        let response = self.0.subscription(cx).await?;
        if response.status == StatusCode::UNAUTHORIZED {
            return Err(response
                .into_error(CallEffect::ReadOnly)
                .context(format_args!("azure does not accept {origin}")));
        }
        Ok(Finding::ok(origin))
    }

    /// Finding for an error, with the hint for its kind.
    fn failed(&self, error: ActionError) -> Finding {
        let hint = if error.kind == FailureKind::Transient {
            format!("run `curl -sI {}` to check that it answers; HTTPS_PROXY names a proxy", self.0.endpoint())
        } else {
            "run `az login`, or `stargate --help` for the settings whose names begin with --azure".into()
        };
        Finding::of_error(error, hint)
    }
}
