use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, future::BoxFuture, stream};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use super::granted::GrantedOperations;
use crate::{
    client::{ArmClient, RESOURCE_GROUP},
    permission::AUTHORITY,
};

/// Maximum number of resource groups whose permissions are read at the same time.
const MAX_CONCURRENT: usize = 8;
/// API version in which permissions are read.
const PERMISSIONS_VERSION: &str = "2022-04-01";
/// Reason for a check that fails right after a role was assigned.
const ROLE_DELAY: &str = "a new role takes some minutes to work";

/// Check `azure.permissions`: compares the account's permissions with those that the actions
/// require.
pub(crate) struct PermissionsCheck(pub(crate) ArmClient);

impl Check for PermissionsCheck {
    fn id(&self) -> &'static str {
        "azure.permissions"
    }

    fn summary(&self) -> &'static str {
        "Compares the account's permissions in the subscription with those that the actions require."
    }

    fn after(&self) -> &'static [&'static str] {
        &["azure.subscription"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, needed: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let required: Vec<&str> =
            needed.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint = "grant the account the role Reader on the subscription";
            let finding = self.evaluate(cx, &required).await;
            finding.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&required)
        })
    }
}

impl PermissionsCheck {
    /// Compares the required operations with the subscription's, and missing ones with each
    /// group's.
    ///
    /// # Errors
    /// If the permissions in the subscription cannot be read.
    async fn evaluate(&self, cx: &ActionContext, required: &[&str]) -> Result<Finding, ActionError> {
        let granted = self.read_granted(cx, None).await?;
        let missing: Vec<&str> = required.iter().copied().filter(|operation| !granted.allows(operation)).collect();
        if missing.is_empty() {
            return Ok(Finding::ok(format!("all {} operations of the actions are granted", required.len())));
        }
        let groups = self.read_groups(cx).await;
        let (in_groups, in_none): (Vec<&str>, Vec<&str>) =
            missing.into_iter().partition(|operation| groups.values().any(|granted| granted.allows(operation)));
        if !in_none.is_empty() {
            return Ok(self.not_granted(&in_none, required.len()));
        }
        let grants_one = |granted: &GrantedOperations| in_groups.iter().any(|operation| granted.allows(operation));
        let groups = groups.iter().filter(|(_, granted)| grants_one(granted)).map(|(name, _)| name.as_str());
        Ok(self.granted_in_groups(&in_groups, &groups.collect::<Vec<_>>()))
    }

    /// Finding for operations that no readable scope grants.
    fn not_granted(&self, operations: &[&str], of: usize) -> Finding {
        let assign = self.assign_command();
        Finding::failed(
            format!("{} of {of} operations are not granted: {}", operations.len(), operations.join(", ")),
            format!(
                "create a role with them, `az role definition create --role-definition FILE`, and assign it to the \
                 account, {assign}; {ROLE_DELAY}"
            ),
        )
    }

    /// Returns a warning and no failure, because a workflow that uses only these groups succeeds.
    fn granted_in_groups(&self, operations: &[&str], groups: &[&str]) -> Finding {
        let assign = self.assign_command();
        Finding::warning(
            format!("granted in the resource groups {} only: {}", groups.join(", "), operations.join(", ")),
            format!("if the workflows reach beyond these groups: {assign}; {ROLE_DELAY}"),
        )
    }

    /// Command that assigns a role in the whole subscription.
    fn assign_command(&self) -> String {
        let scope = self.0.subscription_path();
        format!("`az role assignment create --assignee ACCOUNT --role ROLE --scope {scope}`")
    }

    /// Reads the operations that are granted in the subscription, or in one of its groups.
    async fn read_granted(&self, cx: &ActionContext, group: Option<&str>) -> Result<GrantedOperations, ActionError> {
        let scope = self.0.subscription_path();
        let scope = group.map_or(scope.clone(), |group| format!("{scope}/resourcegroups/{group}"));
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        let items = self.0.list(cx, &path, PERMISSIONS_VERSION).await.map_err(|e| e.context("permissions"))?;
        Ok(GrantedOperations::read(items))
    }

    /// Reads the operations that are granted in each visible group; none in an unreadable one.
    async fn read_groups(&self, cx: &ActionContext) -> BTreeMap<String, GrantedOperations> {
        let path = format!("{}/resourcegroups", self.0.subscription_path());
        let groups = self.0.list(cx, &path, RESOURCE_GROUP.api_version).await.unwrap_or_default();
        let names = groups.iter().filter_map(|group| group["name"].as_str());
        let reads: Vec<_> = names.map(|name| self.read_group(cx, name.to_owned())).collect();
        stream::iter(reads).buffer_unordered(MAX_CONCURRENT).collect().await
    }

    async fn read_group(&self, cx: &ActionContext, group: String) -> (String, GrantedOperations) {
        let granted = self.read_granted(cx, Some(&group)).await.unwrap_or_default();
        (group, granted)
    }
}
