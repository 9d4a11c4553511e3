use futures::future::BoxFuture;
use reqwest::StatusCode;
use serde_json::Value;
use stargate_client::CallEffect;
use stargate_sdk::{ActionContext, ActionError, Permission, Target, TargetId};

use crate::{client::ArmClient, permission::arm};

/// Name of the target of all actions of the provider.
pub(crate) const TARGET: &str = "azure";

/// The subscription, with its tenant.
pub(crate) struct SubscriptionTarget(pub(crate) ArmClient);

impl Target for SubscriptionTarget {
    fn name(&self) -> &'static str {
        TARGET
    }

    fn permissions(&self) -> &'static [Permission] {
        const { &[arm("Microsoft.Resources/subscriptions/read")] }
    }

    fn identify<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>> {
        Box::pin(async {
            if self.0.has_no_subscription() {
                return Err(ActionError::permanent("no subscription is given"));
            }
            let response = self.0.subscription(cx).await?;
            match response.status {
                StatusCode::OK => Ok(self.id(&response.json)),
                // An account whose roles are for single groups cannot read the subscription.
                StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(self.id_by_address()),
                _ => Err(response.into_error(CallEffect::ReadOnly).context("the subscription cannot be read")),
            }
        })
    }

    fn setting(&self) -> &'static str {
        "--azure-subscription ID and a login to its tenant"
    }
}

impl SubscriptionTarget {
    fn id(&self, read: &Value) -> TargetId {
        let text = |field: &str| read[field].as_str().unwrap_or_default();
        let (subscription, tenant) = (text("subscriptionId"), text("tenantId"));
        let by_address = self.id_by_address();
        if subscription.is_empty() || tenant.is_empty() {
            return by_address;
        }
        let (name, endpoint) = (text("displayName"), self.endpoint());
        TargetId {
            id: Some(format!("{subscription} in tenant {tenant}").to_ascii_lowercase()),
            description: format!("subscription {name:?} ({subscription}) of tenant {tenant}, at {endpoint}"),
            ..by_address
        }
    }

    fn id_by_address(&self) -> TargetId {
        let address = format!("{}{}", self.endpoint(), self.0.subscription_path()).to_ascii_lowercase();
        let description = format!("subscription {address}");
        TargetId { id: None, address, description }
    }

    fn endpoint(&self) -> &str {
        self.0.endpoint().as_str().trim_end_matches('/')
    }
}
