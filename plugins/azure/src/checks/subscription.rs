use std::collections::BTreeSet;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use stargate_client::CallEffect;
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::client::ArmClient;

/// Hint for a missing or unreadable subscription.
const SUBSCRIPTION_HINT: &str =
    "run `az account list -o table` for their ids, and add `--azure-subscription ID`, or set AZURE_SUBSCRIPTION_ID";

/// Check `azure.subscription`: reads the subscription and its state.
pub(crate) struct SubscriptionCheck(pub(crate) ArmClient);

impl Check for SubscriptionCheck {
    fn id(&self) -> &'static str {
        "azure.subscription"
    }

    fn summary(&self) -> &'static str {
        "Reads the subscription and checks that resources can be created in it."
    }

    fn after(&self) -> &'static [&'static str] {
        &["azure.credential"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.evaluate(cx).await.unwrap_or_else(|error| Finding::of_error(error, SUBSCRIPTION_HINT)) })
    }
}

impl SubscriptionCheck {
    /// Reads the subscription.
    ///
    /// # Errors
    /// If none is given, or it cannot be read.
    async fn evaluate(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        if self.0.has_no_subscription() {
            return Err(ActionError::permanent("no subscription is given").with_hint(SUBSCRIPTION_HINT));
        }
        let response = self.0.subscription(cx).await?;
        if response.status != StatusCode::OK {
            let mut error = response.into_error(CallEffect::ReadOnly).context("the subscription cannot be read");
            error.hint = Some(SUBSCRIPTION_HINT.into());
            return Err(error);
        }
        let text = |field: &str| response.json[field].as_str().unwrap_or_default();
        Ok(finding(text("displayName"), text("subscriptionId"), text("state")))
    }
}

/// Maps the state of a subscription to a finding:
/// <https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states>.
fn finding(name: &str, id: &str, state: &str) -> Finding {
    let message = format!("{name:?} ({id}) is {state}");
    match state {
        "Enabled" => Finding::ok(message),
        "Warned" | "PastDue" => {
            Finding::warning(message, "pay the open invoices before azure disables it: see its billing in the portal")
        }
        _ => Finding::failed(message, format!("enable it: `az account subscription enable --id {id}`")),
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::CheckStatus;

    use super::*;

    #[test]
    fn only_an_enabled_subscription_passes_without_a_warning() {
        let status = |state| finding("n", "s", state).status;
        assert_eq!((status("Enabled"), status("PastDue")), (CheckStatus::Ok, CheckStatus::Warning));
        assert_eq!((status("Disabled"), status("")), (CheckStatus::Failed, CheckStatus::Failed));
    }
}
