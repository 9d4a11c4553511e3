use std::collections::BTreeSet;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::{ArmClient, failure::Effect};

const CHOOSE: &str = "run `az account list -o table` to see the ones there are, and add `--azure-subscription ID`, or set AZURE_SUBSCRIPTION_ID";

/// `azure.subscription`.
pub(crate) struct Subscription(pub(crate) ArmClient);

impl Check for Subscription {
    fn id(&self) -> &'static str {
        "azure.subscription"
    }

    fn summary(&self) -> &'static str {
        "Reads the subscription, and whether resources can be made in it."
    }

    fn after(&self) -> &'static [&'static str] {
        &["azure.credential"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.look(cx).await.unwrap_or_else(|error| Finding::of_error(error, CHOOSE)) })
    }
}

impl Subscription {
    async fn look(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        if self.0.has_no_subscription() {
            return Err(ActionError::permanent("no subscription is given").with_hint(CHOOSE));
        }
        let raw = self.0.subscription(cx).await?;
        if raw.status != StatusCode::OK {
            let mut error = raw.into_error(Effect::None).context("the subscription cannot be read");
            error.hint = Some(CHOOSE.into());
            return Err(error);
        }
        let text = |field: &str| raw.json[field].as_str().unwrap_or_default();
        Ok(judge(text("displayName"), text("subscriptionId"), text("state")))
    }
}

/// What the states of subscriptions let one do: <https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states>.
fn judge(name: &str, id: &str, state: &str) -> Finding {
    let found = format!("{name:?} ({id}) is {state}");
    match state {
        "Enabled" => Finding::ok(found),
        "Warned" | "PastDue" => {
            Finding::warning(found, "pay what is due before azure disables it: see its billing in the portal")
        }
        _ => Finding::failed(found, format!("enable it: `az account subscription enable --id {id}`")),
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::CheckStatus;

    use super::*;

    #[test]
    fn only_an_enabled_subscription_is_in_order() {
        let status = |state| judge("n", "s", state).status;
        assert_eq!((status("Enabled"), status("PastDue")), (CheckStatus::Ok, CheckStatus::Warning));
        assert_eq!((status("Disabled"), status("")), (CheckStatus::Failed, CheckStatus::Failed));
    }
}
